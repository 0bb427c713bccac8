"""The mask that a person last left on an image, whether it was approved or not."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_wavegms.corrections.store import CorrectionStore
from napari_wavegms.errors import InputError
from napari_wavegms.journal.journal import Journal
from napari_wavegms.journal.replay import Book
from napari_wavegms.storage.content_hash import content_hash

Index = tuple[int | slice, ...]
Labels = npt.NDArray[Any]


def journalled(image: str, journal: Journal, without: Collection[int] = ()) -> Labels | None:
    """Give the mask that the journal last knew of an image, discarded edits left out.

    Parameters
    ----------
    image : str
        Content hash of the image.
    journal : Journal
    without : collection of int
        Numbers of edits, see `Unfinished.upto`: what belongs together with them is left out too, because a person has
        not yet said what is to become of it.

    Returns
    -------
    ndarray or None
        None where nothing was edited.

    Raises
    ------
    InputError
        If the journal cannot be read.
    """
    number = _last_number(journal.folder / f"{image}.jsonl", without)
    return None if number is None else journal.restore(image, number)


def approved(
    pixels: npt.NDArray[Any],
    planes: Iterable[tuple[Index, Index]],
    shape: tuple[int, ...],
    store: CorrectionStore,
    *,
    former: bool = False,
) -> Labels | None:
    """Put together the approved masks of an image's planes.

    Parameters
    ----------
    pixels : ndarray
        The image.
    planes : iterable of (index, index)
        Where each plane lies in the image and in its mask.
    shape : tuple of int
        Of the mask.
    store : CorrectionStore
    former : bool
        Also take approvals that were taken back since.

    Returns
    -------
    ndarray or None
        None where no plane was approved.

    Raises
    ------
    InputError
        If an approved mask is gone or damaged.
    """
    mask: Labels | None = None
    for index, label_index in planes:
        content = content_hash(pixels[index])
        found = store.find(content) or (next(reversed(store.history(content)), None) if former else None)
        if found is None:
            continue
        labels = store.load(found).mask
        if mask is None:
            mask = np.zeros(shape, labels.dtype)
        if mask[label_index].shape != labels.shape:
            raise InputError(
                f"The approved mask of {found.name} is {labels.shape[0]} x {labels.shape[1]} pixels and does not cover "
                "its image. Draw it anew."
            )
        mask = mask.astype(np.promote_types(mask.dtype, labels.dtype), copy=False)
        mask[label_index] = labels
    return mask


def _last_number(file: Path, without: Collection[int]) -> int | None:
    if not file.is_file():
        return None
    story = Book(file).story()
    discarded = {name for _, closing in story.closings if closing["how"] == "discarded" for name in closing["sessions"]}
    gone = discarded | story.thinned  # of what was thinned, the store has the mask
    sessions = [session for session in story.sessions.values() if session.edits and session.id not in gone]
    numbers = [
        session.edits[-1].number for session in sessions if not any(edit.number in without for edit in session.edits)
    ]
    return max(numbers, default=None)
