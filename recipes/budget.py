"""How long and how large a comparison trains: options that the ablations and the baseline share."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from lab import LAB
from settings import COMMON, RECIPES

from napari_wavegms.learn.config import TrainConfig

STAGES = RECIPES["ultrasound-first"].stages | RECIPES["breast-ultrasound"].stages


def add_budget(parser: argparse.ArgumentParser) -> None:
    """Add the options; `stages_of` reads them."""
    parser.add_argument("--data", type=Path, required=True, help="folder with images/, masks/ and split.json")
    parser.add_argument("--epochs", type=int, default=36)
    parser.add_argument("--size", type=int, default=128, help="side of the frame in pixels (default: 128)")
    parser.add_argument("--rate", type=float, default=COMMON.learning_rate)
    parser.add_argument(
        "--stages", nargs="+", choices=list(STAGES), help="these stages of the shipped model instead of one stage"
    )
    parser.add_argument("--seed", type=int, default=COMMON.seed)
    parser.add_argument("--limit", type=int, help="only so many images of each part, for a quick try")
    parser.add_argument("--lab", type=Path, default=LAB, help=f"file that gets a line a result (default: {LAB})")
    parser.add_argument("--device", default="auto")


def stages_of(options: argparse.Namespace) -> list[TrainConfig]:
    """The stages to train; each is validated at its end only, so that val chooses no epoch."""
    if options.stages:
        chosen = [STAGES[name] for name in options.stages]
    else:
        chosen = [replace(COMMON, epochs=options.epochs, size=options.size, learning_rate=options.rate)]
    return [replace(config, seed=options.seed, validate_every=config.epochs) for config in chosen]


def in_words(stages: list[TrainConfig]) -> str:
    """Such as "36 epochs at 128 px, 10 at 224 px"."""
    first, *others = stages
    return ", ".join(
        [f"{first.epochs} epochs at {first.size} px", *(f"{config.epochs} at {config.size} px" for config in others)]
    )


def folder_name(stages: list[TrainConfig]) -> str:
    """Such as "36x128@0.002-10x224@0.001-seed2333": one folder for each budget, so that runs do not meet."""
    parts = (f"{config.epochs}x{config.size}@{config.learning_rate:g}" for config in stages)
    return "-".join([*parts, f"seed{stages[0].seed}"])
