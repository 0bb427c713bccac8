"""Pairs of images and masks for a command: found at once, read one by one."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_wavegms.commands.common.console import bar, note
from napari_wavegms.errors import InputError
from napari_wavegms.wording import counted, listed

if TYPE_CHECKING:
    from napari_wavegms.learn.pairs import Pair


@dataclass(frozen=True, slots=True)
class PairFiles:
    """The two files of a pair, named by their common stem."""

    name: str
    image: Path
    mask: Path

    def read(self) -> Pair:
        """Read both; raises `InputError` if one cannot be read, or they do not cover the same pixels."""
        from napari_wavegms.files.reading import read_image, read_mask
        from napari_wavegms.learn.pairs import Pair

        return Pair(self.name, read_image(self.image).pixels, read_mask(self.mask))


def add_folders(parser: argparse.ArgumentParser) -> None:
    """Add --images and --masks."""
    parser.add_argument("--images", metavar="DIR", type=Path, required=True, help="folder of the images")
    parser.add_argument(
        "--masks", metavar="DIR", type=Path, required=True, help="folder of the masks, named like the images"
    )


def find_pairs(images: Path, masks: Path) -> list[PairFiles]:
    """The pairs of two folders, in natural order; raises `InputError` if there is none."""
    from napari_wavegms.files.discovery import pair_by_stem

    return [PairFiles(*found) for found in pair_by_stem(images, masks)]


def note_unpaired(images: Path, masks: Path) -> None:
    """Say which files have no partner."""
    from napari_wavegms.files.discovery import unpaired

    alone = unpaired(images, masks)
    for names, noun, other in ((alone.images, "image", "a mask"), (alone.masks, "mask", "an image")):
        if names:
            note(f"Skipped {counted(len(names), noun)} without {other}: {listed(names)}.")


def chosen(pairs: Sequence[PairFiles], split: Path, subset: str) -> list[PairFiles]:
    """The pairs that a subset of a split file names, in its order.

    Raises
    ------
    InputError
        If the split cannot be read, has no such subset, or names pairs that do not exist.
    """
    from napari_wavegms.learn.pairs import read_split

    names = read_split(split, subset)
    known = {pair.name: pair for pair in pairs}
    if missing := [name for name in names if name not in known]:
        raise InputError(
            f"The '{subset}' list of {split.name} names {counted(len(missing), 'pair')} that the folders do not "
            f"contain ({listed(missing)}). Check --images, --masks and --split."
        )
    if not names:
        raise InputError(f"The '{subset}' list of {split.name} is empty. Choose another subset.")
    return [known[name] for name in names]


def read_pairs(files: Sequence[PairFiles], what: str) -> list[Pair]:
    """Read pairs that are all needed; raises `InputError` after naming every file that cannot be read."""
    pairs: list[Pair] = []
    unreadable = 0
    with bar(len(files), what, "pair") as progress:
        for file in files:
            try:
                pairs.append(file.read())
            except InputError as error:
                unreadable += 1
                note(str(error))
            progress.update()
    if unreadable:
        total = counted(len(files), "pair")
        raise InputError(f"{unreadable} of {total} cannot be used for training. Repair or remove them.")
    return pairs
