"""The presets of fine-tuning: all their settings, in one place."""

from __future__ import annotations

from dataclasses import dataclass, replace

from napari_wavegms.errors import InputError
from napari_wavegms.learn.config import Augmentation, TrainConfig

# Half of the eight views, so that their latents are computed half as often.
_TURNS_ONLY = Augmentation(quarter_turns=False, jitter_probability=0.0, warp_probability=0.0)
# What is replayed is to be kept as it is known: nobody will ask for ultrasound that lies on its side, and rehearsing it
# so costs more than it saves.
_REPLAYED_PLAINLY = replace(_TURNS_ONLY, upright=True)
_REPLAYED_MILDLY = Augmentation(jitter=0.2, jitter_probability=0.3, warp_probability=0.25, upright=True)


@dataclass(frozen=True, slots=True)
class Preset:
    """One way to learn from corrections."""

    key: str  # its name in programs
    title: str  # and for people
    seconds: float  # about how long training takes, without scoring
    purpose: str  # in a few words
    config: TrainConfig  # its settings; the size is taken from the start's card
    details: str = ""  # what is trained, for a tooltip


# docs/lab/adaptation.md has the measurements behind these numbers.
QUICK = Preset(
    key="quick",
    title="Quick",
    seconds=15.0,
    purpose="fine adjustment",
    details="Trains the mapping model and leaves the encoder as it is. Good where masks are nearly right.",
    config=TrainConfig(
        trained="mapper",
        steps=80,
        # Steps count, not pairs a step: one at a time learns as much a step as two, in two thirds of the time.
        batch=1,
        learning_rate=3e-3,
        # Adam's first steps are as long as its rate; a start that is good already would be thrown off by them.
        warmup_epochs=1.0,
        segmentation_loss="dice_entropy",
        # Flips and turns only, so that each view's latents are computed once.
        augmentation=_TURNS_ONLY,
        replay_augmentation=_REPLAYED_PLAINLY,
        alignment_weight=0.0,
        sample_latent=False,
        decoded_levels=("out",),
        average_decay=0.8,
        validations=3,
    ),
)
FULL = Preset(
    key="full",
    title="Full",
    seconds=105.0,
    purpose="new kind of image",
    details="Trains encoder and mapping model. Good for a kind of image that the model has never seen.",
    config=TrainConfig(
        steps=130,
        batch=2,
        learning_rate=1e-3,
        warmup_epochs=5.0,
        # Few images, much change: stronger than the paper's.
        augmentation=Augmentation(jitter=0.3, jitter_probability=0.8, warp_probability=0.6),
        replay_augmentation=_REPLAYED_MILDLY,
        # A quarter more time a step, and no better on a new clinic; what is forgotten is replay's business.
        alignment_weight=0.0,
        decoded_levels=("out",),
        average_decay=0.9,
        validations=5,
    ),
)
PRESETS = {preset.key: preset for preset in (QUICK, FULL)}


def preset_named(key: str) -> Preset:
    """The preset of this key; raises `InputError` where there is none."""
    if key not in PRESETS:
        raise InputError(f"There is no preset '{key}'; choose {' or '.join(PRESETS)}.")
    return PRESETS[key]


REFIT_STEPS = 60
"""Steps of a training without one image, by which that image is scored where there are few."""

WATCHED = 8
"""At most so many test images are scored after an epoch, for the curve; all of them before and after the run."""
