"""Pairs of images and masks for a command: found at once, read one by one."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from napari_wavegms.commands.common.arguments import a_path
from napari_wavegms.commands.common.console import bar, note
from napari_wavegms.errors import InputError
from napari_wavegms.files.discovery import same_name
from napari_wavegms.files.foreign_masks import SOFT
from napari_wavegms.files.pairing import PairPaths, unpaired
from napari_wavegms.finetune.preflight import Candidate, Trouble, iter_check
from napari_wavegms.learn.pairs import Pair, PairArrays, meant, read_pair, read_split
from napari_wavegms.model.classes import Learned
from napari_wavegms.wording import counted, listed

# What the panel asks about, and what a command cannot ask, stays in: nothing to find, pixels that are no numbers, and
# masks that label the border.
_KEPT = (Trouble.EMPTY, Trouble.NOT_FINITE, Trouble.INVERTED)
_IN_MEMORY = 100 * 2**20  # bytes of pairs that are kept, so that small sets are read once


def a_label_choice(text: str) -> Learned:
    """What becomes of several labels; raises what argparse turns into a sentence."""
    if text in ("all", "each", "known"):
        return text  # type: ignore[return-value]
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"is '{text}'; give all, each, known, or the number of one label")


def add_labels(parser: argparse.ArgumentParser) -> None:
    """Add --labels."""
    parser.add_argument(
        "--labels",
        metavar="all|each|known|N",
        type=a_label_choice,
        help="what becomes of masks with several labels that are no classes of the model: all are one class, each is a "
        "class of its own, those that the model does not know are background, or all but the label N are",
    )


def add_folders(parser: argparse.ArgumentParser, required: bool = True) -> None:
    """Add --images and --masks."""
    named = "the masks, named like the images, with or without '_mask'; may be the same folder"
    for option, of in (("--images", "the images"), ("--masks", named)):
        parser.add_argument(option, metavar="DIR", type=a_path, required=required, help=f"folder of {of}")


def note_unpaired(images: Path, masks: Path) -> None:
    """Say which files have no partner."""
    alone = unpaired(images, masks)
    for names, noun, other in ((alone.images, "image", "a mask"), (alone.masks, "mask", "an image")):
        if names:
            note(f"Skipped {counted(len(names), noun)} without {other}: {listed(names)}.")
    for sentence in alone.others:
        note(sentence)


def chosen(pairs: Sequence[PairPaths], split: Path, subset: str) -> list[PairPaths]:
    """The pairs that a subset of a split file names, in its order.

    Raises `InputError` if the split cannot be read, has no such subset, or names pairs that do not exist.
    """
    names = read_split(split, subset)
    known = {same_name(pair.name): pair for pair in pairs}
    if missing := [name for name in names if name not in known]:
        raise InputError(
            f"The '{subset}' list of {split.name} names {counted(len(missing), 'pair')} that the folders do not "
            f"contain ({listed(missing)}). Check --images, --masks and --split."
        )
    if not names:
        raise InputError(f"The '{subset}' list of {split.name} is empty. Choose another subset.")
    return [known[name] for name in names]


class Readers(Sequence["Pair"]):
    """Pairs that are read when they are asked for, so that a large set does not have to fit into memory."""

    def __init__(self, places: Sequence[tuple[PairPaths, int]]) -> None:
        self._places = places  # a plane of a file each
        self._kept: dict[str, Pair] = {}
        self._bytes = 0
        self._last: tuple[PairPaths, list[PairArrays]] | None = None  # the planes of a volume follow each other
        self.labels: frozenset[int] = frozenset()  # of all masks
        self.meaning: dict[int, int] = {}  # which class each of them is, see `classes_for`; empty for what they are

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, number: Any) -> Any:
        places = self._places[number]
        return [self._meant(*place) for place in places] if isinstance(number, slice) else self._meant(*places)

    def _meant(self, files: PairPaths, plane: int) -> Pair:
        pair = self.read(files, plane)
        return meant(pair, self.meaning) if self.meaning else pair

    @property
    def files(self) -> list[PairPaths]:
        """The files of the pairs, each once."""
        return list(dict.fromkeys(file for file, _ in self._places))

    def of(self, files: Sequence[PairPaths]) -> Readers:
        """Those of some files, which share what is in memory."""
        planes: dict[PairPaths, list[tuple[PairPaths, int]]] = {}
        for place in self._places:
            planes.setdefault(place[0], []).append(place)
        some = Readers([place for file in files for place in planes.get(file, ())])
        some._kept, some.labels, some.meaning = self._kept, self.labels, self.meaning
        return some

    def read(self, files: PairPaths, plane: int) -> Pair:
        """Read a plane of a pair as it is in its files, or give it once more."""
        if self._last is None or self._last[0] != files:
            if files.name in self._kept:
                return self._kept[files.name]
            self._last = files, read_pair(files).planes
        found = self._last[1][plane]
        return self._kept.get(found.name) or self.keep(found.pair)

    def keep(self, pair: Pair) -> Pair:
        """Keep a pair that was read, as long as there is room."""
        self._bytes += pair.image.nbytes + pair.mask.nbytes
        if self._bytes <= _IN_MEMORY:
            self._kept[pair.name] = pair
        return pair


def usable_pairs(files: Sequence[PairPaths], what: str) -> Readers:
    """The pairs that can be learned from; what is wrong with each of the others is said, and they are left out.

    Raises `InputError` if none is left.
    """
    good: list[tuple[PairPaths, int]] = []
    places: list[tuple[PairPaths, int]] = []
    readers = Readers(good)
    soft: list[str] = []
    inverted: list[str] = []
    likewise: dict[tuple[str, Trouble], int] = {}  # more planes of a stack
    with bar(len(files), what, "pair") as progress:
        for report in iter_check(_candidates(files, readers, places, soft, progress.update)):
            name = places[-1][0].name
            if name not in inverted and any(problem.trouble is Trouble.INVERTED for problem in report.problems):
                inverted.append(name)
            wrong = [problem for problem in report.problems if problem.trouble not in _KEPT]
            if not wrong:
                good.append(places[-1])
                readers.labels |= report.labels
            elif (name, wrong[0].trouble) in likewise:
                likewise[name, wrong[0].trouble] += 1
            else:
                likewise[name, wrong[0].trouble] = 0
                note(f"Left out: {wrong[0].sentence}")
    for (name, trouble), more in likewise.items():
        if more:
            note(f"Left out likewise: {counted(more, 'plane')} of {name} ({trouble}).")
    if soft:
        note(f"Cut at half, because of soft edges: {counted(len(soft), 'mask')} ({listed(soft)}).")
    if inverted:
        note(
            f"Mostly labelled, and so is the border: {counted(len(inverted), 'mask')} ({listed(inverted)}). They are "
            "used as they are; invert them if they mark the background."
        )
    if not good:
        raise InputError(f"None of the {counted(len(files), 'pair')} can be used. Repair them.")
    if (used := len(readers.files)) < len(files):
        note(f"{len(files) - used} of {counted(len(files), 'pair')} are left out.")
    return readers


def _candidates(
    files: Sequence[PairPaths],
    readers: Readers,
    places: list[tuple[PairPaths, int]],
    soft: list[str],
    on_read: Callable[[], object],
) -> Iterator[Candidate]:
    for file in files:
        try:
            found = read_pair(file)
        except InputError as error:
            note(f"Left out: {error}")
        else:
            if SOFT in found.note:
                soft.append(file.name)
            elif found.note:
                note(found.note)
            for number, plane in enumerate(found.planes):
                if plane.image.shape[:2] == plane.mask.shape:
                    readers.keep(plane.pair)
                places.append((file, number))
                yield Candidate(plane.name, plane.image, plane.mask, plane.group)
        on_read()
