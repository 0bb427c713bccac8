"""What a training run is going to be: its settings, its start and its pairs, decided before torch is loaded."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from napari_wavegms.commands.common.console import note
from napari_wavegms.commands.common.models import IN_USE, named_model
from napari_wavegms.commands.common.output_paths import write_json
from napari_wavegms.commands.common.pairs import chosen, note_unpaired
from napari_wavegms.errors import InputError
from napari_wavegms.files.pairing import PairPaths, pair_by_stem
from napari_wavegms.finetune.presets import FULL, QUICK
from napari_wavegms.finetune.split import FEW, to_hold_out
from napari_wavegms.learn.config import TrainConfig
from napari_wavegms.learn.events import BEST, HISTORY, LAST
from napari_wavegms.model.card import ModelCard, read_card
from napari_wavegms.model.classes import Learned
from napari_wavegms.model.registry import DEFAULT, learned_models, shipped, user_models
from napari_wavegms.storage.plain import read_json
from napari_wavegms.wording import counted, listed

_SCRATCH = "scratch"
_SPLIT = "split.json"
_FEWEST_EPOCHS = 20


@dataclass(frozen=True, slots=True)
class Start:
    """Where the weights come from: a model file, or None for random ones."""

    label: str
    path: Path | None
    card: ModelCard | None


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that is decided before the pairs are read; `previous` is the card of the run that is continued."""

    config: TrainConfig
    start: Start
    train: list[PairPaths]
    validation: list[PairPaths]
    output: Path
    previous: ModelCard | None

    @property
    def labels_before(self) -> Learned | None:
        """What became of several labels in the run that is continued."""
        noted = _noted(self.previous).get("labels") if self.previous else None
        return noted if noted in ("all", "each", "known") or isinstance(noted, int) else None

    @property
    def teacher_before(self) -> str:
        """The teacher of the run that is continued."""
        return str(_noted(self.previous).get("teacher", "")) if self.previous else ""


def make_plan(options: argparse.Namespace) -> Plan:
    """Decide on a run; raises `InputError` or `CheckpointError` if something does not fit."""
    previous = _previous(options)
    start = _start(options, previous)
    config = _config(options, start, previous)
    train, validation = _pairs(options, config.seed)
    if start.card is not None and previous is None and not (options.quick or options.epochs):
        config = _long_enough(config, len(train))
    if start.card is not None and previous is None and len(validation) < FEW:  # too few to choose an epoch by
        config = replace(config, keep="last")
    return Plan(config, start, train, validation, options.output, previous)


def hold_out(names: Sequence[str], seed: int) -> tuple[list[str], list[str]]:
    """Names to train on and names held out as test images: a fifth, at least one of two, two of five.

    Examples
    --------
    >>> training, held_out = hold_out("abcdefghij", seed=0)
    >>> len(training), len(held_out)
    (8, 2)
    >>> len(hold_out("ab", seed=0)[1]), len(hold_out("a", seed=0)[1])
    (1, 0)
    """
    import numpy as np

    drawn = set(np.random.default_rng(seed).permutation(len(names))[: to_hold_out(len(names))].tolist())
    return (
        [name for i, name in enumerate(names) if i not in drawn],
        [name for i, name in enumerate(names) if i in drawn],
    )


def _previous(options: argparse.Namespace) -> ModelCard | None:
    last, best = options.output / LAST, options.output / BEST
    if options.resume:
        if not last.is_file() and _stopped_at_once(options.output):
            note(f"The run in {options.output} was stopped in its first epoch; it begins anew.")
            return None
        if not last.is_file():
            remedy = "choose another one for a new run" if best.exists() else "drop --resume"
            raise InputError(f"There is no {LAST} in {options.output} to resume from. Check --output, or {remedy}.")
        return read_card(last)
    for file in (last, best):
        if file.exists():
            goes_on = last.is_file() or _stopped_at_once(options.output)
            remedy = "Continue it with --resume, or choose" if goes_on else "Choose"
            raise InputError(
                f"{options.output} already contains {file.name} from an earlier run. {remedy} another --output."
            )
    return None


def _stopped_at_once(folder: Path) -> bool:
    """Whether a run began in a folder, and finished no epoch; what it left can go."""
    history, split = folder / HISTORY, folder / _SPLIT
    begun = history.is_file() or (split.is_file() and not (folder / BEST).is_file())
    return begun and not (history.is_file() and history.stat().st_size)


def _start(options: argparse.Namespace, previous: ModelCard | None) -> Start:
    noted = str(_noted(previous).get("start", "")) if previous else ""
    name = options.start or noted or DEFAULT
    label = _label(name)
    if noted and label != noted:
        raise InputError(f"This run started from {noted}, not from {label}. Resume it with its own --from.")
    if name == _SCRATCH:
        return Start(_SCRATCH, None, None)
    if noted and options.start is None and noted not in _known():
        raise InputError(f"This run started from the file {noted}. Name it again with --from to continue.")
    path = named_model(name)
    return Start(label, path, read_card(path))


def _label(name: str) -> str:
    """A known name as it is; of a file its name, because a card that is shared should not reveal folders."""
    if name == _SCRATCH or name in _known():
        return name
    return named_model(name).stem if name in (DEFAULT, IN_USE) else Path(name).name


def _known() -> Mapping[str, Path]:
    return learned_models() | user_models() | shipped()


def _config(options: argparse.Namespace, start: Start, previous: ModelCard | None) -> TrainConfig:
    given = {
        name: getattr(options, name)
        for name in ("epochs", "seed", "batch", "learning_rate", "size")
        if getattr(options, name) is not None
    }
    if previous:
        return _resumed(previous, given)
    if start.card is None:
        if options.quick:
            raise InputError(
                "--quick trains the mapping model only and needs a trained encoder. Drop --quick or --from scratch."
            )
        return replace(TrainConfig(), **given)
    config = (QUICK if options.quick else FULL).config
    if "epochs" in given:
        config = replace(config, steps=0, validations=0)
    return replace(config, **{"size": int(start.card.preprocessing.get("size", config.size)), **given})


def _long_enough(config: TrainConfig, pairs: int) -> TrainConfig:
    """The preset's steps, or so many epochs where that is more."""
    return replace(config, steps=max(config.steps, _FEWEST_EPOCHS * -(-pairs // config.batch)), validations=30)


def _resumed(previous: ModelCard, given: Mapping[str, Any]) -> TrainConfig:
    noted = previous.lineage[-1].get("config") if previous.lineage else None
    if not noted:
        raise InputError(f"{LAST} does not contain its settings, so its run cannot be continued. Start a new run.")
    config = TrainConfig.from_dict(noted)
    for name, value in given.items():
        if getattr(config, name) != value:
            option = "--" + name.replace("_", "-")
            raise InputError(
                f"This run has {option} {getattr(config, name)}, not {value}. Drop {option} to resume it, or choose "
                "another --output for a new run."
            )
    return config


def _noted(card: ModelCard) -> Mapping[str, Any]:
    """The lineage entry of the command, which the trainer's own follows."""
    return card.lineage[-2] if len(card.lineage) > 1 else {}


def _pairs(options: argparse.Namespace, seed: int) -> tuple[list[PairPaths], list[PairPaths]]:
    found = pair_by_stem(options.images, options.masks)
    split = options.split or options.output / _SPLIT
    if options.split or (options.resume and split.is_file()):
        train, validation = chosen(found, split, "train"), _validation(found, split)
        if both := [pair.name for pair in validation if pair in train]:
            raise InputError(f"{split.name} has {listed(both)} in both 'train' and 'val'. Keep each in one list.")
        return train, validation
    note_unpaired(options.images, options.masks)
    training, held_out = hold_out([pair.name for pair in found], seed)
    if not held_out:
        note("There is one pair, so there is no test image; the last epoch is kept.")
    else:
        note(f"Test images: {len(held_out)} of {counted(len(found), 'pair')}, drawn with seed {seed}.")
    by_name = {pair.name: pair for pair in found}
    return [by_name[name] for name in training], [by_name[name] for name in held_out]


def _validation(found: Sequence[PairPaths], split: Path) -> list[PairPaths]:
    lists = read_json(split)  # `chosen` has read it before
    if not lists.get("val"):
        note(f"{split.name} has no 'val' list; the last epoch is kept.")
        return []
    return chosen(found, split, "val")


def write_split(plan: Plan) -> None:
    """Keep which pairs were held out, for `wavegms evaluate --split` and for a resumed run."""
    lists = {"train": [pair.name for pair in plan.train], "val": [pair.name for pair in plan.validation]}
    write_json(plan.output / _SPLIT, lists)
