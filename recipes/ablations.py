"""The paper's ablations, and a few of ours: each changes one thing of the shipped model's recipe.

    python recipes/ablations.py as-shipped no-alignment batch-2 other-vae other-lmm taesd-encoder levels-3 levels-4 \
        taesd-decode --data BUSI --taesd TAESD --epochs 36 --size 128 --seed 1

`--help` says what each changes. All train on the train part for the same epochs and are scored on the val part by the
averaged weights of the last epoch, so val chooses nothing. A stopped run continues with the same command. Every result
is one line of the lab file, one for each codec that decodes it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from budget import add_budget, folder_name, in_words, stages_of
from lab import command, machine, parsed, record
from scoring import score
from sets import mirrored, read_set
from taesd_encoder import TaesdEncoder

from napari_wavegms.learn.config import LEVELS, Augmentation, TrainConfig
from napari_wavegms.learn.events import TrainEpoch
from napari_wavegms.learn.pairs import Pair
from napari_wavegms.learn.train import iter_train
from napari_wavegms.model.card import ModelCard
from napari_wavegms.model.checkpoint import load_checkpoint
from napari_wavegms.model.codec import Taesd, TinyVAE, load_codec
from napari_wavegms.model.device import choose_device
from napari_wavegms.model.network import WaveGMS
from napari_wavegms.model.registry import resolve
from napari_wavegms.segment.segmenter import Segmenter

MASK_CODEC, TAESD, TAESDXL = "mask-codec", "taesd", "taesdxl"


@dataclass(frozen=True)
class Ablation:
    """What is changed, also of its views, and which codecs decode the result (that of the training first)."""

    about: str
    change: dict[str, Any] = field(default_factory=dict)
    views: dict[str, Any] = field(default_factory=dict)
    codecs: tuple[str, ...] = (MASK_CODEC,)
    teacher: str = TAESD
    taesd_encodes: bool = False
    mapper_of: str = ""
    aligned_first: bool = False
    letterbox: bool = False
    upright: bool = False


ABLATIONS = {
    "as-shipped": Ablation("nothing; the others compare with this", codecs=(MASK_CODEC, TAESD)),
    # The paper's.
    "no-alignment": Ablation("no alignment loss", {"alignment_weight": 0.0}),
    "batch-2": Ablation("two images a step", {"batch": 2}),
    "other-vae": Ablation(
        "latents of TAESDXL throughout, decoded by TAESDXL, then by codecs that it was not trained for",
        codecs=(TAESDXL, TAESD, MASK_CODEC),
        teacher=TAESDXL,
    ),
    "other-lmm": Ablation(
        "the LMM that other-vae trained for TAESDXL's latents, frozen; E_wave learns to work with it in TAESD's",
        mapper_of="other-vae",
    ),
    "taesd-encoder": Ablation(
        "TAESD's frozen encoder instead of E_wave; the LMM alone learns", {"trained": "mapper"}, taesd_encodes=True
    ),
    "levels-3": Ablation(
        "the last three levels supervised, latent and decoded, as in the official code",
        {"latent_levels": LEVELS[1:], "decoded_levels": LEVELS[1:]},
    ),
    "levels-4": Ablation(
        "all four levels supervised, latent and decoded, as in the paper",
        {"latent_levels": LEVELS, "decoded_levels": LEVELS},
    ),
    "taesd-decode": Ablation("TAESD instead of the mask codec in the losses", codecs=(TAESD, MASK_CODEC)),
    # Ours.
    "paper": Ablation(
        "the paper's recipe to the letter, but for the epochs and the size of the frame",
        {name: getattr(TrainConfig(), name) for name in ("batch", "decoded_levels", "align_warped", "average_decay")}
        | {"augmentation": Augmentation()},
        codecs=(TAESD, MASK_CODEC),
    ),
    "no-average": Ablation("the raw weights of the last step, not their average", {"average_decay": 0.0}),
    "mean-latent": Ablation("the latent's mean instead of a sample while training", {"sample_latent": False}),
    "smooth-l1": Ablation("smooth L1 in the alignment loss, as in the official code", {"alignment_l1": "smooth_l1"}),
    "strong-views": Ablation(
        "twice the jitter, and half of the views warped",
        views={"jitter": 0.4, "jitter_probability": 0.5, "scale": 0.25, "warp_probability": 0.5},
    ),
    "dice-entropy": Ablation("cross-entropy beside Dice", {"segmentation_loss": "dice_entropy"}),
    "aligned-first": Ablation(
        "before, as many epochs of alignment alone, for which no mask is needed", aligned_first=True
    ),
    "letterbox": Ablation("images keep their proportions, on black; scored in that frame", letterbox=True),
    "upright": Ablation("mirrors only: no image stands on its head or lies on its side", upright=True),
}


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    bench = Bench(options)
    for name in options.names:
        bench.measure(name)


class Bench:
    """The data, the budget and the codecs, which all ablations share."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.device = choose_device(options.device)
        self.pairs, self.validation = (read_set(options.data, subset, options.limit) for subset in ("train", "val"))
        self.stages = stages_of(options)
        self._codecs: dict[str, TinyVAE] = {}

    def measure(self, name: str) -> None:
        """Train, score with each codec, and record."""
        ablation = ABLATIONS[name]
        model, card = self.trained(name)
        learning = model.mapper if ablation.taesd_encodes else model.encoder if ablation.mapper_of else model
        for codec in ablation.codecs:
            scores = score(Segmenter(model, card, self.codec(codec), self.device), self.validation)
            record(
                self.options.lab,
                name if codec == ablation.codecs[0] else f"{name}, decoded by {codec}",
                scores,
                data=f"{self.options.data.name} val",
                codec=codec,
                training=in_words([changed(config, ablation) for config in self.stages]),
                start=self.start_name,
                pairs=len(self.pairs),
                parameters=sum(parameter.numel() for parameter in learning.parameters()),
                seed=self.options.seed,
                device=machine(self.device.name),
                seconds=round(self.seconds(name)),
                command=command([name, *(word for word in self.options.arguments if word not in ABLATIONS)]),
            )

    def trained(self, name: str) -> tuple[WaveGMS, ModelCard]:
        """The network that an ablation makes; what was trained before is not trained again."""
        ablation = ABLATIONS[name]
        card = ModelCard(name=name)
        if ablation.letterbox:
            card = replace(card, preprocessing=card.preprocessing | {"aspect": "letterbox"})
        model = self.start(ablation)
        pairs = [*self.pairs, *map(mirrored, self.pairs)] if ablation.upright else self.pairs
        stages = {str(number): changed(config, ablation) for number, config in enumerate(self.stages)}
        if ablation.aligned_first:
            # Every view: a batch of warped ones alone would have nothing to align.
            alone = replace(self.stages[0], segmentation_weight=0.0, latent_weight=0.0, align_warped=True, keep="last")
            stages = {"alignment": alone, **stages}
        for stage, config in stages.items():
            folder = self.folder(name) / stage
            if not (folder / "done").exists():
                self._train(name, pairs, model, card, config, folder)
                (folder / "done").touch()
            weights, card = load_checkpoint(folder / "best.safetensors", self.device.name)
            model.load_state_dict(weights.state_dict())
        return model, card

    def _train(
        self, name: str, pairs: list[Pair], model: WaveGMS, card: ModelCard, config: TrainConfig, folder: Path
    ) -> None:
        ablation = ABLATIONS[name]
        teacher, codec = self.codec(ablation.teacher), self.codec(ablation.codecs[0])
        assert isinstance(teacher, Taesd)  # it encodes images, too
        run = iter_train(
            pairs,
            self.validation,
            model,
            codec,
            config,
            folder,
            teacher=teacher,
            card=card,
            device=self.device.name,
            resume=True,
        )
        for event in run:
            if isinstance(event, TrainEpoch):
                print(f"{name}: epoch {event.epoch + 1} of {event.epochs}, loss {event.loss:.3f}", flush=True)

    def start(self, ablation: Ablation) -> WaveGMS:
        """The network that training starts from."""
        torch.manual_seed(self.options.seed)
        model = load_checkpoint(resolve(self.options.start))[0] if self.options.start else WaveGMS()
        if ablation.mapper_of:
            model.mapper.load_state_dict(self.trained(ablation.mapper_of)[0].mapper.state_dict())
            model.mapper.requires_grad_(False)
        if ablation.taesd_encodes:
            taesd = self.codec(TAESD)
            assert isinstance(taesd, Taesd)
            model.encoder = TaesdEncoder(taesd)
        return model.to(self.device.name)

    def codec(self, name: str) -> TinyVAE:
        """A codec by name; TAESDXL's weights lie beside TAESD's."""
        if name not in self._codecs:
            weights = {TAESD: self.options.taesd, TAESDXL: self.options.taesd / "taesdxl_encoder.safetensors"}
            loaded = load_codec(MASK_CODEC) if name == MASK_CODEC else load_codec(TAESD, weights[name])
            self._codecs[name] = loaded.to(self.device.name)
        return self._codecs[name]

    def folder(self, name: str) -> Path:
        """Where the runs of an ablation are."""
        start = f"-from-{Path(self.start_name).stem}" if self.options.start else ""
        limit = f"-{self.options.limit}-images" if self.options.limit else ""
        return self.options.run / name / (folder_name(self.stages) + start + limit)

    @property
    def start_name(self) -> str:
        """What training starts from, in a word."""
        return Path(self.options.start).name if self.options.start else "random"

    def seconds(self, name: str) -> float:
        """Seconds of training, those before an interruption included."""
        histories = self.folder(name).glob("*/history.jsonl")
        return sum(json.loads(line)["seconds"] for file in histories for line in file.read_text().splitlines())


def changed(config: TrainConfig, ablation: Ablation) -> TrainConfig:
    """The settings of one stage of an ablation."""
    config = replace(config, **ablation.change)
    config = replace(config, augmentation=replace(config.augmentation, **ablation.views))
    if ablation.upright:  # an epoch sees each image twice, as it is and mirrored
        epochs = max(1, round(config.epochs / 2))
        views = replace(config.augmentation, flips_and_turns=False)
        config = replace(config, augmentation=views, epochs=epochs, validate_every=epochs)
    return config


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    names = "\n".join(f"  {name:14} {ablation.about}" for name, ablation in ABLATIONS.items())
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=f"names:\n{names}", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="+", choices=list(ABLATIONS), metavar="NAME", help="what to change; see below")
    parser.add_argument("--taesd", type=Path, required=True, help="folder of TAESD's and TAESDXL's weights")
    parser.add_argument("--start", metavar="NAME|FILE", help="a model to start from instead of random weights")
    parser.add_argument("--run", type=Path, default=Path("runs/ablations"), help="folder of the runs' own files")
    add_budget(parser)
    return parsed(parser, arguments)


if __name__ == "__main__":
    main()
