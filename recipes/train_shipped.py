"""Train a shipped model; `recipes/settings.py` holds what they are made of.

    python recipes/train_shipped.py ultrasound-first --data BUSI --taesd TAESD \
        --output runs/ultrasound-first.safetensors
    python recipes/train_shipped.py both --data BUSI ISIC --taesd TAESD --output runs/both.safetensors
    python recipes/train_shipped.py breast-ultrasound --data BUSI --taesd TAESD \
        --output src/napari_wavegms/assets/breast-ultrasound.safetensors
    python recipes/train_shipped.py skin-lesion --data ISIC --taesd TAESD \
        --output src/napari_wavegms/assets/skin-lesion.safetensors

Trains on the train parts only; the val parts, as they are and mirrored, choose the best epoch. A stopped run continues
with the same command. Each goes on from the one before, both specialists from the second; `--start FILE` starts from
other weights, and `--stages` names the stages to do then. The generalist is a mean of them: `recipes/average.py`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from scoring import score
from sets import joined, mirrored, read_set
from settings import RECIPES, Recipe

from napari_wavegms.learn.config import TrainConfig
from napari_wavegms.learn.events import TrainEpoch
from napari_wavegms.learn.pairs import Pair
from napari_wavegms.learn.train import iter_train
from napari_wavegms.model.card import ModelCard
from napari_wavegms.model.checkpoint import load_checkpoint, save_checkpoint
from napari_wavegms.model.codec import Taesd, TinyVAE, load_codec
from napari_wavegms.model.device import choose_device
from napari_wavegms.model.network import WaveGMS
from napari_wavegms.model.registry import resolve
from napari_wavegms.segment.preprocessing import Preprocessing
from napari_wavegms.segment.segmenter import Segmenter

DONE = "done"  # in a stage's folder: what was done
STARTED = " Started from "
Sets = list[tuple[str, list[Pair]]]


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    recipe = RECIPES[options.model]
    device = choose_device(options.device).name
    learned, held_out = (
        [
            (source.name, read_set(folder, subset, options.limit, source.upright and len(recipe.sets) > 1))
            for source, folder in zip(recipe.sets, options.data, strict=True)
        ]
        for subset in ("train", "val")
    )
    codec, teacher = load_codec("mask-codec", options.codec), Taesd.from_file(options.taesd).to(device)
    stages = chosen_stages(recipe, options)
    torch.manual_seed(next(iter(stages.values())).seed)
    model, card = WaveGMS(), ModelCard(name=options.output.stem)
    started = ""
    if options.start:
        model, card = load_checkpoint(resolve(options.start), device)
        # What that one itself went on from stands in the lineage, and says nothing new.
        before, *_ = card.data.partition(STARTED)
        started = f"{STARTED}{card.name}, which learned from: {before or 'its card does not say what'}"
    pairs, validation = joined(learned), joined(held_out)
    # An image says as much once more, mirrored; fewer lucky epochs win.
    validation = [*validation, *map(mirrored, validation)]
    for name, config in stages.items():
        folder = options.run / name
        if not finished(folder, config, len(pairs)):
            run = iter_train(
                pairs, validation, model, codec, config, folder, teacher=teacher, card=card, device=device, resume=True
            )
            for event in run:
                if isinstance(event, TrainEpoch):
                    print(name, json.dumps(_numbers(event)), flush=True)
            (folder / DONE).write_text(told(config, len(pairs)))
        model, card = load_checkpoint(folder / "best.safetensors", device)
    counts = ([len(found) for _, found in sets] for sets in (learned, held_out))
    about = {
        "name": options.output.stem,
        "title": recipe.title,
        "description": recipe.description,
        "data": recipe.data(*counts) + started,
        "terms": recipe.terms,
        "command": command(options, recipe),
    }
    ship(model, replace(card, **about), codec, held_out, options.output)


def finished(folder: Path, config: TrainConfig, pairs: int) -> bool:
    """Whether a stage is done; one that was done with other settings is not taken for it."""
    done = folder / DONE
    before = done.read_text() if done.exists() else None
    if before and before != told(config, pairs):
        sys.exit(f"{folder} holds a run with other settings ({before}). Give the same ones, or another --run.")
    return before is not None


def told(config: TrainConfig, pairs: int) -> str:
    return f"{pairs} pairs, {config.epochs} epochs at {config.size} px, seed {config.seed}"


def chosen_stages(recipe: Recipe, options: argparse.Namespace) -> dict[str, TrainConfig]:
    """The recipe's stages, or some of them, with what the command line changes."""
    wanted = options.stages or list(recipe.stages)
    if unknown := [name for name in [*wanted, *options.epochs] if name not in recipe.stages]:
        sys.exit(f"{options.model} has no stage {unknown[0]}; it has {', '.join(recipe.stages)}.")
    changes = {name: value for name in ("size", "seed") if (value := getattr(options, name)) is not None}
    stages = {}
    for name in wanted:
        config = replace(recipe.stages[name], **changes)
        epochs = options.epochs.get(name, config.epochs)
        stages[name] = replace(config, epochs=epochs, validate_every=min(config.validate_every, epochs))
    return stages


def ship(
    model: WaveGMS, card: ModelCard, codec: TinyVAE, held_out: Sets, output: Path, keeper: WaveGMS | None = None
) -> None:
    """Write the model in half precision, with the scores that this very file reaches on each data set."""
    rules = replace(Preprocessing.from_dict(card.preprocessing), margins=True)  # the scanner's frame says nothing
    card = replace(card, codec=codec.fingerprint, scores={}, preprocessing=rules.as_dict())
    save_checkpoint(output, model, card, half=True, keeper=keeper)
    segmenter = Segmenter.from_checkpoint(output, codec=codec)
    scores = {f"{name} val": score(segmenter, pairs) for name, pairs in held_out}
    save_checkpoint(output, model, replace(card, scores=scores), half=True, keeper=keeper)
    print(output, json.dumps(scores))


def command(options: argparse.Namespace, recipe: Recipe) -> str:
    """What rebuilds the model, with names where the folders of this machine stood."""
    data = " ".join(source.name for source in recipe.sets)
    words = [f"python recipes/train_shipped.py {options.model} --data {data} --taesd TAESD"]
    words += [f"--output {options.output.name}"]
    words += [f"--start {Path(options.start).name}"] if options.start else []
    words += [f"--stages {' '.join(options.stages)}"] if options.stages else []
    words += [f"--epochs {' '.join(f'{name}={n}' for name, n in options.epochs.items())}"] if options.epochs else []
    words += [
        f"--{name} {value}" for name in ("size", "seed", "limit") if (value := getattr(options, name)) is not None
    ]
    return " ".join(words)


def _numbers(event: TrainEpoch) -> dict[str, float]:
    return {
        name: round(value, 4)
        for name in ("epoch", "loss", "segmentation", "latent", "alignment", "dsc", "iou", "best_dsc", "seconds")
        if (value := getattr(event, name)) is not None
    }


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=[name for name, recipe in RECIPES.items() if recipe.stages])
    parser.add_argument(
        "--data", type=Path, nargs="+", required=True, help="for each data set a folder of images/, masks/, split.json"
    )
    parser.add_argument("--taesd", type=Path, required=True, help="folder of TAESD's weights, the alignment teacher")
    parser.add_argument("--output", type=Path, required=True, help="the model file to ship")
    parser.add_argument("--run", type=Path, help="folder of the run's own files (default: runs/MODEL)")
    parser.add_argument("--start", metavar="NAME|FILE", help="a model to start from instead of the recipe's")
    parser.add_argument("--stages", nargs="+", metavar="STAGE", help="only these stages of the recipe")
    parser.add_argument(
        "--epochs", nargs="+", type=_stage_epochs, metavar="STAGE=N", default=[], help="other epochs than the recipe's"
    )
    parser.add_argument("--size", type=int, help="another frame than the recipe's, in all stages, for a quick try")
    parser.add_argument("--seed", type=int, help="another seed than the recipe's")
    parser.add_argument("--limit", type=int, help="only so many images of each part, for a quick try")
    parser.add_argument("--codec", type=Path, help="another mask codec than the shipped one")
    parser.add_argument("--device", default="auto")
    options = parser.parse_args(arguments)
    options.epochs = dict(options.epochs)
    options.run = options.run or Path("runs") / options.model
    options.start = options.start or RECIPES[options.model].start
    if len(options.data) != (expected := len(RECIPES[options.model].sets)):
        names = ", ".join(source.name for source in RECIPES[options.model].sets)
        parser.error(f"{options.model} learns from {expected} data sets in this order: {names}")
    return options


def _stage_epochs(text: str) -> tuple[str, int]:
    name, _, number = text.partition("=")
    return name, int(number)


if __name__ == "__main__":
    main()
