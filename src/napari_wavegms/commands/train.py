"""`wavegms train`: train a model, or fine-tune one, on a folder of images with masks."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_wavegms.commands.common.arguments import Commands, a_path, add_command, add_shared, number, whole
from napari_wavegms.commands.common.console import bar, note, show, show_json
from napari_wavegms.commands.common.exit_codes import DONE, INTERRUPTED
from napari_wavegms.commands.common.output_paths import checked_output_folder
from napari_wavegms.commands.common.pairs import add_folders, add_labels, usable_pairs
from napari_wavegms.errors import InputError
from napari_wavegms.finetune.gate import WORSE, judge
from napari_wavegms.learn.events import (
    BEST,
    HISTORY,
    LAST,
    TrainEpoch,
    TrainEvent,
    TrainResult,
    TrainStarted,
    TrainStep,
    run_to_end,
)
from napari_wavegms.model.card import BINARY
from napari_wavegms.model.classes import classes_for, named_classes
from napari_wavegms.storage.memory import set_memory_limit
from napari_wavegms.wording import counted, duration

if TYPE_CHECKING:
    from tqdm import tqdm

    from napari_wavegms.commands.common.train_plan import Plan
    from napari_wavegms.learn.pairs import Pair
    from napari_wavegms.learn.teacher import ImageTeacher
    from napari_wavegms.model.card import ModelCard
    from napari_wavegms.model.device import Device
    from napari_wavegms.model.network import WaveGMS

_EPILOG = """\
Writes to DIR: best.safetensors (of five test images and more the best epoch, otherwise the last), last.safetensors (to
--resume from), history.jsonl (a line an epoch) and split.json (which images are test images), each as soon as there is
something to write. Without --split a fifth is held out as test images, at least one of two, two of five. Ctrl-C stops
and keeps the best. From a model: 130 steps, some minutes, or 20 epochs where that is more; both models are scored on
the test images, and it is said which is better. From scratch: the paper's recipe, 1000 epochs in batches of 12 at a
rate of 0.002, which takes a GPU or days. TAESD's weights make a better teacher than the model's own encoder."""


def add_parser(commands: Commands) -> None:
    """Register the command with argparse."""
    parser = add_command(commands, "train", run, "Fine-tune a model on your images, or train one", epilog=_EPILOG)
    add_folders(parser)
    parser.add_argument("--output", metavar="DIR", type=a_path, required=True, help="folder for the trained model")
    parser.add_argument(
        "--from",
        dest="start",
        metavar="NAME|FILE",
        help="the model to start from (default: default), or scratch for random weights",
    )
    parser.add_argument("--split", metavar="FILE", type=a_path, help='JSON {"train": [stems], "val": [stems]}')
    parser.add_argument("--epochs", metavar="N", type=whole, help="passes over the pairs")
    parser.add_argument("--batch", metavar="N", type=whole, help="pairs per step; fewer need less memory")
    parser.add_argument("--learning-rate", metavar="RATE", type=number, help="peak rate of AdamW")
    parser.add_argument("--size", metavar="PIXELS", type=whole, help="side of the working frame, a multiple of 8")
    parser.add_argument("--seed", metavar="N", type=whole, help="the same seed gives the same run (default: 2333)")
    parser.add_argument("--resume", action="store_true", help="continue the run in DIR as if it had not been stopped")
    parser.add_argument(
        "--keep-names", action="store_true", help="name the folders of images and masks in the model's card"
    )
    add_labels(parser)
    parser.add_argument(
        "--class-names", metavar="NAMES", type=_names, default=(), help="of classes that are new, such as liver,spleen"
    )
    parser.add_argument("--quick", action="store_true", help="train the mapping model only, some 25 seconds")
    add_shared(parser, "--device", "--window", "--max-memory", "--taesd", "--allow-download", "--json")


def run(options: argparse.Namespace) -> int:
    """Train, and say where the result is."""
    from napari_wavegms.commands.common.train_plan import make_plan, write_split

    set_memory_limit(options.max_memory)
    plan = make_plan(options)
    checked_output_folder(options.output)
    readers = usable_pairs([*plan.train, *plan.validation], "Reading pairs")
    names = BINARY if plan.start.card is None else plan.start.card.class_names
    readers.meaning = classes_for(readers.labels, options.labels or plan.labels_before, len(names) - 1)
    names = _class_names(names, readers.meaning, options.class_names)
    pairs, validation = readers.of(plan.train), readers.of(plan.validation)
    plan = replace(plan, train=list(pairs.files), validation=list(validation.files))

    from napari_wavegms.learn.train import iter_train
    from napari_wavegms.model.codec import load_codec
    from napari_wavegms.model.device import choose_device

    device = choose_device(options.device)
    note(f"On {device.reason}.")
    codec = load_codec("mask-codec")
    teacher, teacher_name = _teacher(options, plan, device.name)
    if teacher_name == "none":
        plan = replace(plan, config=replace(plan.config, alignment_weight=0.0))
    if not plan.previous:
        write_split(plan)
    scores = partial(_scores, plan, validation, device, len(names) - 1)
    before = scores()
    events = iter_train(
        pairs,
        validation,
        _network(plan, len(names) - 1),
        codec,
        plan.config,
        plan.output,
        teacher=teacher,
        card=replace(_card(options, plan, teacher_name), class_names=names),
        device=device.name,
        resume=options.resume,
    )
    return _follow(events, plan, scores, before, as_json=options.json)


def _names(text: str) -> tuple[str, ...]:
    return tuple(filter(None, (name.strip() for name in text.split(","))))


def _class_names(known: tuple[str, ...], meaning: dict[int, int], given: tuple[str, ...]) -> tuple[str, ...]:
    """Names of all classes, background first; those given are of the classes that the start does not have.

    Raises `InputError` if they are not as many.
    """
    names = named_classes(known, meaning)
    first = 1 if len(known) == len(BINARY) else len(known)
    if given and len(given) != len(names) - first:
        raise InputError(
            f"--class-names has {counted(len(given), 'name')} for {counted(len(names) - first, 'class')}. Give one for "
            "each class that the start does not have, in the order of the labels."
        )
    return (*names[:first], *(given or names[first:]))


def _scores(
    plan: Plan, pairs: Sequence[Pair], device: Device, classes: int, trained: TrainResult | None = None
) -> dict[str, float] | None:
    """DSC by test image, or volume, of the start or of what was trained; None without a start or a test image."""
    if plan.start.path is None or not pairs:
        return None
    from napari_wavegms.finetune.gate import measure
    from napari_wavegms.model.codec import load_codec
    from napari_wavegms.segment.segmenter import Segmenter

    codec = load_codec("mask-codec")
    if trained is None:
        segmenter = Segmenter.from_checkpoint(plan.start.path, device.name, codec)
    else:
        segmenter = Segmenter(trained.model, trained.card, codec, device)
    planes: dict[str, list[float]] = {}  # those of a volume are no images of their own
    for pair, scored in zip(pairs, measure(segmenter, pairs, classes), strict=True):
        planes.setdefault(pair.group or pair.name, []).append(scored.dsc)
    return {name: sum(scores) / len(scores) for name, scores in planes.items()}


def _network(plan: Plan, classes: int) -> WaveGMS:
    import torch

    from napari_wavegms.model.checkpoint import load_checkpoint
    from napari_wavegms.model.network import WaveGMS

    if plan.start.path is None:
        torch.manual_seed(plan.config.seed)
        return WaveGMS(classes=classes)
    return load_checkpoint(plan.start.path)[0].with_at_least(classes)


def _teacher(options: argparse.Namespace, plan: Plan, device: str) -> tuple[ImageTeacher | None, str]:
    """The alignment teacher and its name in the card: "TAESD", "own" (the start's encoder) or "none"."""
    from napari_wavegms.model.codec import TAESD_VARIABLE, load_codec

    wants_taesd = bool(options.taesd or os.environ.get(TAESD_VARIABLE) or options.allow_download)
    name = "TAESD" if wants_taesd else "none" if plan.start.path is None else "own"
    if plan.teacher_before and plan.teacher_before != name:
        remedy = "Give --taesd again." if plan.teacher_before == "TAESD" else f"Drop --taesd and ${TAESD_VARIABLE}."
        raise InputError(
            f"This run used the teacher '{plan.teacher_before}' and cannot continue with '{name}'. {remedy}"
        )
    if name == "TAESD":
        note("Teacher: TAESD.")
        return load_codec("taesd", options.taesd, allow_download=options.allow_download).to(device), name
    if name == "own":
        note(f"Teacher: a frozen copy of the encoder of {plan.start.label}.")
    else:
        note("Teacher: none, so latents are not aligned. --taesd FOLDER provides one (in the paper +0.6 DSC points).")
    return None, name


def _card(options: argparse.Namespace, plan: Plan, teacher: str) -> ModelCard:
    """The new model's card: the start's, with this training added and without the start's scores."""
    from napari_wavegms.model.card import ModelCard
    from napari_wavegms.segment.preprocessing import Preprocessing

    config, start = plan.config, plan.start
    name = plan.output.resolve().name or "model"
    data, images, masks = f"{counted(len(plan.train), 'pair')} of images and masks", "IMAGES", "MASKS"
    if options.keep_names:
        images, masks = (folder.resolve().name for folder in (options.images, options.masks))
        data += f" from '{images}'"
    verb = "Trained" if start.card is None else f"{start.label}, fine-tuned"
    before = start.card or ModelCard(name=name)
    rules = Preprocessing.from_dict((plan.previous or before).preprocessing)
    if options.window is not None:
        rules = rules.with_window(options.window)
    chosen = {"window": None if rules.window is None else list(rules.window), "of_volume": rules.of_volume}
    preprocessing = {name: value for name, value in (before.preprocessing | chosen).items() if value}
    entry = {"start": start.label, "teacher": teacher, "held out": len(plan.validation)}
    entry |= {"labels": options.labels} if options.labels else {}
    return replace(
        before,
        name=name,
        title=f"{verb} on {data}",
        description="",
        preprocessing=preprocessing,
        lineage=(*before.lineage, entry),
        scores={},
        data="; then ".join(part for part in (before.data, data) if part),
        command=(
            f"wavegms train --images {images} --masks {masks} --output {name} --from {start.label} "
            f"--epochs {config.epochs} --batch {config.batch} --learning-rate {config.learning_rate:g} "
            f"--size {config.size} --seed {config.seed}"
        ),
    )


def _follow(
    run: Generator[TrainEvent, None, TrainResult],
    plan: Plan,
    scores: Callable[..., dict[str, float] | None],
    before: dict[str, float] | None,
    *,
    as_json: bool,
) -> int:
    """Go through a run with a bar for each epoch and a line after it; Ctrl-C stops it cleanly."""
    progress = _Progress(plan)
    try:
        result = run_to_end(run, progress.report)
    except KeyboardInterrupt:  # a loadable best is left
        result = None
    finally:
        progress.close_bar()
    after = scores(trained=result) if result and before is not None else None
    verdict = judge(before, after) if before is not None and after is not None else None
    if as_json:
        dsc = {"before": verdict and verdict.mean_before, "after": verdict and verdict.mean_after}
        show_json(progress.summary(result) | {"verdict": verdict and verdict.word, "dsc": dsc})
    if result is None:
        note(progress.stopped())
        return INTERRUPTED
    if not as_json:
        steps = f"after {counted(result.steps, 'step')} in {duration(result.seconds)}"
        if verdict is None:
            show(f"The model is {result.best}, {progress.score(result.best_dsc)}, {steps}.")
        else:
            word = "cannot tell yet whether it is better" if verdict.unsure else verdict.word
            show(f"The model is {result.best}: {word} than {plan.start.label} {verdict.measured}, {steps}.")
        if verdict is not None and verdict.word == WORSE:
            show(f"Go on with {plan.start.label}; correct more images, or try another --learning-rate.")
        else:
            show(f"Use it: wavegms segment INPUT --output DIR --model {result.best}")
    return DONE


class _Progress:
    """Prints a run's events, and sums it up."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._done = self._epochs = 0
        self._best: float | None = None
        self._bar: tqdm[Any] | None = None
        self._seconds: list[float] = []

    def report(self, event: TrainEvent) -> None:
        if isinstance(event, TrainStarted):
            self._start(event)
        elif isinstance(event, TrainStep):
            if self._bar is None:
                self._bar = bar(event.steps_per_epoch, f"epoch {event.epoch + 1}/{self._epochs}", "step")
            self._bar.set_postfix_str(f"loss {event.loss:.3f}", refresh=False)
            self._bar.update()
        elif isinstance(event, TrainEpoch):
            self._epoch(event)
        else:  # the device ran out of memory and the run continues with less
            note(event.sentence)

    def close_bar(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _start(self, event: TrainStarted) -> None:
        self._done, self._epochs = event.first_epoch, event.epochs
        if event.first_epoch >= event.epochs:
            note(f"This run has finished: {event.first_epoch} of {counted(event.epochs, 'epoch')}.")
            return
        again = f", from epoch {event.first_epoch + 1} on" if event.first_epoch else ""
        note(
            f"Learning from {counted(event.pairs, 'pair')}, with {counted(event.validation, 'test image')}: "
            f"{counted(event.epochs, 'epoch')} of {counted(event.steps_per_epoch, 'step')} in {event.precision}{again}."
        )

    def _epoch(self, event: TrainEpoch) -> None:
        self.close_bar()
        self._done, self._best = event.epoch + 1, event.best_dsc
        self._seconds.append(event.seconds)
        if event.dsc is None and self.plan.validation:
            return
        scored = "" if event.dsc is None else f"  DSC {event.dsc:.3f}{' (best)' if event.improved else ''}"
        left = sum(self._seconds) / len(self._seconds) * (event.epochs - self._done)
        note(
            f"epoch {self._done:{len(str(event.epochs))}}/{event.epochs}  loss {event.loss:.4f} (mask "
            f"{event.segmentation:.4f}, latent {event.latent:.4f}, alignment {event.alignment:.4f}){scored}  "
            f"{duration(event.seconds)}{f', {duration(left)} left' if left else ''}"
        )

    def _file(self, name: str) -> Path | None:
        path = self.plan.output / name
        return path if path.is_file() else None

    def stopped(self) -> str:
        """What a stopped run leaves behind."""
        said = f"Stopped after {self._done} of {counted(self._epochs, 'epoch')}."
        if best := self._file(BEST):
            how = self.score(self._best) if self._done else "as it was at the stop"
            said += f" The best model so far is {best}, {how}."
        return said + (" Continue with --resume." if self._file(LAST) else "")

    def summary(self, result: TrainResult | None) -> dict[str, Any]:
        """Plain values for JSON; paths where there are files."""
        files = {name: self._file(file) for name, file in (("best", BEST), ("last", LAST), ("history", HISTORY))}
        return {
            "finished": result is not None,
            "epochs": self._done,
            "pairs": len(self.plan.train),
            "held_out": len(self.plan.validation),
            "best_dsc": result.best_dsc if result else self._best,
            **{name: str(file) if file else None for name, file in files.items()},
        }

    def score(self, dsc: float | None) -> str:
        count = len(self.plan.validation)
        if dsc is None:
            return "not scored, because there is no test image"
        return f"DSC {dsc:.3f} on {counted(count, 'test image')}"
