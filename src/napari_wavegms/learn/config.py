"""The settings of a training run, which travel whole: config, command line, card and tooltip all read them here."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal

from pydantic import ConfigDict

from napari_wavegms.errors import InputError
from napari_wavegms.storage.plain import read_as

LEVELS = ("level3", "level2", "level1", "out")


@dataclass(frozen=True, slots=True)
class Augmentation:
    """Random changes of a training pair; image and mask move together."""

    flips_and_turns: bool = True
    """Draw one of the eight flips and quarter turns."""
    jitter: float = 0.1
    """Largest relative change of brightness and contrast (and of saturation, in colour)."""
    jitter_probability: float = 0.2
    """Share of the samples that are jittered."""
    shift: float = 0.15
    """Largest shift as a share of the frame."""
    scale: float = 0.1
    """Largest relative change of size."""
    rotation: float = 20.0
    """Largest rotation in degrees."""
    warp_probability: float = 0.4
    """Share of the samples that are shifted, scaled and rotated."""
    upright: bool = False
    """Of the flips and turns draw only the mirror image, for images that have an up and a down, such as ultrasound."""
    quarter_turns: bool = True
    """Of the flips and turns draw those by 90° and 270°, too, which swap height and width."""


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """Everything that decides a training run but its data and its start (arXiv 2510.03216, section 3.1).

    Raises
    ------
    InputError
        If a setting does not fit.

    Examples
    --------
    >>> TrainConfig(epochs=60, batch=8).learning_rate
    0.002
    """

    epochs: int = 1000
    """Passes over the training pairs."""
    steps: int = 0
    """Steps after which the run ends, however many epochs they are; 0 ends it after `epochs`."""
    batch: int = 12
    """Pairs a step; fewer where there are fewer. A last small batch is used, never dropped."""
    learning_rate: float = 2e-3
    """Peak rate of AdamW."""
    warmup_epochs: float = 5.0
    """Epochs of linear warm-up before the cosine decay, at most a fifth of the run."""
    weight_decay: float = 1e-2
    """AdamW's decoupled decay."""
    clip: float = 1.0
    """Largest norm of the gradient; 0 leaves it alone."""
    seed: int = 2333
    """Decides order, augmentation and sampled latents; with the start weights it decides the run."""
    size: int = 224
    """Side of the working frame while training, in pixels, a multiple of 8."""
    latent_levels: tuple[str, ...] = LEVELS
    """Decoder levels whose latents are compared with the mask's (the official code leaves out level3)."""
    decoded_levels: tuple[str, ...] = LEVELS
    """Decoder levels whose decoded masks are scored with Dice."""
    segmentation_weight: float = 1.0
    """Weight of the loss of the decoded masks."""
    segmentation_loss: Literal["dice", "dice_entropy"] = "dice"
    """Soft Dice, as the paper has it, or with cross-entropy beside it."""
    latent_weight: float = 1.0
    """Weight of the squared error between predicted and true mask latents."""
    alignment_weight: float = 1.0
    """Weight of the alignment of the image's latent with the teacher's; 0 trains without a teacher."""
    alignment_l1: Literal["l1", "smooth_l1"] = "l1"
    """Distance beside the cosine in the alignment loss: the paper's L1 or the official code's smooth L1."""
    align_warped: bool = True
    """Ask the teacher for every view; otherwise only for flips and turns, whose latents are computed once."""
    sample_latent: bool = True
    """Feed the mapper a sampled latent, as the paper does, rather than the mean."""
    trained: Literal["everything", "mapper"] = "everything"
    """What learns: encoder and mapper, or the mapper alone on remembered latents of the frozen encoder."""
    replay_share: float = 0.5
    """Share of each epoch that is drawn from the replayed pairs, where there are any."""
    patience: int = 0
    """Validations without improvement after which the run stops; 0 never stops early."""
    average_decay: float = 0.0
    """Decay of an exponential average of the weights, which is then validated and kept; 0 keeps the raw ones."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """bfloat16 autocast where the processor computes in it (auto), never, or always."""
    validate_every: int = 1
    """Epochs between validations; the last epoch is always validated."""
    validations: int = 0
    """About how many epochs are validated, spread over the run, instead of one in `validate_every`; 0 is no number."""
    keep: Literal["best", "last"] = "best"
    """Which of the validated epochs is kept: the best, or the last, as where there are too few pairs to tell."""
    augmentation: Augmentation = field(default_factory=Augmentation)
    """Random changes of the training pairs."""
    replay_augmentation: Augmentation | None = None
    """Random changes of the replayed pairs, where they are other ones."""

    __pydantic_config__: ClassVar = ConfigDict(extra="forbid")

    def __post_init__(self) -> None:
        problems = [
            f"{name} is {getattr(self, name)} and must be {rule}"
            for name, (rule, fits) in _RULES.items()
            if not fits(getattr(self, name))
        ]
        if problems:
            raise InputError("This training cannot start: " + "; ".join(problems) + ".")

    def as_dict(self) -> dict[str, Any]:
        """Plain values for cards and history."""
        return asdict(self)

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> TrainConfig:
        """Read what `as_dict` wrote; raises `InputError` if a setting is unknown or its value does not fit."""
        try:
            return read_as(cls, settings)
        except ValueError as error:
            raise InputError(f"The training settings cannot be read: {error}.") from error


_RULES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    **dict.fromkeys(("epochs", "batch", "validate_every"), ("at least 1", lambda number: number >= 1)),
    **dict.fromkeys(("average_decay", "replay_share"), ("in [0, 1)", lambda share: 0 <= share < 1)),
    **dict.fromkeys(
        ("latent_levels", "decoded_levels"), (f"among {', '.join(LEVELS)}", lambda levels: set(levels) <= {*LEVELS})
    ),
    "size": ("a multiple of 8", lambda size: size >= 8 and size % 8 == 0),
    "learning_rate": ("above 0", lambda rate: 0 < rate < math.inf),  # NaN is not
    **dict.fromkeys(("steps", "validations", "patience"), ("at least 0", lambda number: number >= 0)),
    "seed": ("in [0, 2**32)", lambda seed: 0 <= seed < 2**32),
}
