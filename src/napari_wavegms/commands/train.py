"""`wavegms train`: train a model, or fine-tune one, on a folder of images with masks."""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_wavegms.commands.common.arguments import (
    Commands,
    add_command,
    add_device,
    add_json,
    add_taesd,
    number,
    whole,
)
from napari_wavegms.commands.common.console import counted, tell
from napari_wavegms.commands.common.output_paths import checked_output_folder
from napari_wavegms.commands.common.pairs import add_folders, read_pairs
from napari_wavegms.errors import InputError

if TYPE_CHECKING:
    from napari_wavegms.commands.train_plan import Plan
    from napari_wavegms.learn.teacher import ImageTeacher
    from napari_wavegms.model.card import ModelCard
    from napari_wavegms.model.network import WaveGMS

_EPILOG = """\
Writes to DIR: best.safetensors (the best epoch on the held-out pairs), last.safetensors (to --resume from),
history.jsonl (a line an epoch) and split.json (which pairs were held out), each as soon as there is something to write.
Without --split a fifth of the pairs is held out, none below five pairs. Ctrl-C stops and keeps the best.
From a model: 600 steps, or 20 epochs where that is more. From scratch: the paper's recipe, 1000 epochs in batches of 12
at a rate of 0.002, which takes a GPU or days. TAESD's weights make a better teacher than the model's own encoder."""


def add_parser(commands: Commands) -> None:
    """Tell argparse about the command."""
    parser = add_command(commands, "train", run, "Fine-tune a model on your images, or train one", epilog=_EPILOG)
    add_folders(parser)
    parser.add_argument("--output", metavar="DIR", type=Path, required=True, help="folder for the trained model")
    parser.add_argument(
        "--from",
        dest="start",
        metavar="NAME|FILE",
        help="the model to start from (default: default), or scratch for random weights",
    )
    parser.add_argument(
        "--split",
        metavar="FILE",
        type=Path,
        help='JSON {"train": [stems], "val": [stems]}',
    )
    parser.add_argument("--epochs", metavar="N", type=whole, help="passes over the pairs")
    parser.add_argument("--batch", metavar="N", type=whole, help="pairs a step; fewer need less memory")
    parser.add_argument("--learning-rate", metavar="RATE", type=number, help="peak rate of AdamW")
    parser.add_argument("--size", metavar="PIXELS", type=whole, help="side of the working frame, a multiple of 8")
    parser.add_argument("--seed", metavar="N", type=whole, help="the same seed gives the same run (default: 2333)")
    parser.add_argument("--resume", action="store_true", help="continue the run in DIR as if it had not been stopped")
    parser.add_argument("--quick", action="store_true", help="only the mapping model learns, for a quarter of a minute")
    add_device(parser)
    add_taesd(parser)
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Train, and say where the result is."""
    from napari_wavegms.commands.train_plan import make_plan, write_split

    plan = make_plan(options)
    checked_output_folder(options.output)
    pairs = read_pairs(plan.train, "Reading pairs")
    validation = read_pairs(plan.validation, "Reading held-out pairs")

    from napari_wavegms.commands.train_progress import follow
    from napari_wavegms.learn.train import iter_train
    from napari_wavegms.model.codec import load_codec
    from napari_wavegms.model.device import choose_device

    device = choose_device(options.device)
    tell(f"On {device.reason}.")
    codec = load_codec("mask-codec")
    teacher, named = _teacher(options, plan, device.name)
    if named == "none":
        plan = replace(plan, config=replace(plan.config, alignment_weight=0.0))
    if not plan.previous:
        write_split(plan)
    events = iter_train(
        pairs,
        validation,
        _network(plan),
        codec,
        plan.config,
        plan.output,
        teacher=teacher,
        card=_card(options, plan, named),
        device=device.name,
        resume=options.resume,
    )
    return follow(events, plan, as_json=options.json)


def _network(plan: Plan) -> WaveGMS:
    import torch

    from napari_wavegms.model.checkpoint import load_checkpoint
    from napari_wavegms.model.network import WaveGMS

    if plan.start.path is None:
        torch.manual_seed(plan.config.seed)
        return WaveGMS()
    return load_checkpoint(plan.start.path)[0]


def _teacher(options: argparse.Namespace, plan: Plan, device: str) -> tuple[ImageTeacher | None, str]:
    """The alignment teacher and its name in the card: "TAESD", "own" (the start's encoder) or "none"."""
    from napari_wavegms.model.codec import TAESD_VARIABLE, load_codec

    wants_taesd = bool(options.taesd or os.environ.get(TAESD_VARIABLE) or options.allow_download)
    name = "TAESD" if wants_taesd else "none" if plan.start.path is None else "own"
    if plan.teacher_before and plan.teacher_before != name:
        raise InputError(
            f"This run was aligned with the teacher '{plan.teacher_before}' and would go on with '{name}'. "
            + ("Give --taesd again." if plan.teacher_before == "TAESD" else f"Drop --taesd and ${TAESD_VARIABLE}.")
        )
    if name == "TAESD":
        tell("Teacher: TAESD.")
        return load_codec("taesd", options.taesd, allow_download=options.allow_download).to(device), name
    if name == "own":
        tell(f"Teacher: a frozen copy of the encoder of {plan.start.label}.")
    else:
        tell("Teacher: none, so that latents are not aligned. --taesd FOLDER gives one (the paper: +0.6 DSC points).")
    return None, name


def _card(options: argparse.Namespace, plan: Plan, teacher: str) -> ModelCard:
    """The new model's card: what it was before, where it comes from, and no scores of another model."""
    from napari_wavegms.model.card import ModelCard

    config, start = plan.config, plan.start
    images, masks = (folder.resolve().name for folder in (options.images, options.masks))
    name = plan.output.resolve().name or "model"
    learned = f"{counted(len(plan.train), 'pair')} of images and masks from '{images}'"
    verb = "Trained" if start.card is None else f"{start.label}, fine-tuned"
    before = start.card or ModelCard(name=name)
    noted = {"start": start.label, "images": images, "teacher": teacher, "held out": len(plan.validation)}
    return replace(
        before,
        name=name,
        title=f"{verb} on {learned}",
        description="",
        lineage=(*before.lineage, noted),
        scores={},
        data="; then ".join(part for part in (before.data, learned) if part),
        command=(
            f"wavegms train --images {images} --masks {masks} --output {name} --from {start.label} "
            f"--epochs {config.epochs} --batch {config.batch} --learning-rate {config.learning_rate:g} "
            f"--size {config.size} --seed {config.seed}"
        ),
    )
