"""What a review does in a worker's thread besides predicting: opening, looking for what was left behind, exporting.

Items, paths and stores come in, arrays and sentences go out; no layer, no widget.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_wavegms.errors import InputError
from napari_wavegms.files.spacing import Spacing
from napari_wavegms.review.corrections import CorrectionStore
from napari_wavegms.review.drafts import approved, journalled
from napari_wavegms.review.items import Item
from napari_wavegms.review.journal import Journal, Unfinished
from napari_wavegms.review.journal_thinning import thin_out
from napari_wavegms.review.journal_writer import JournalWriter
from napari_wavegms.review.recent import note_folder
from napari_wavegms.review.review_notes import NoteWriter
from napari_wavegms.review.worklist import Worklist
from napari_wavegms.widgets.review_picture import Picture, picture_of, read_picture
from napari_wavegms.widgets.segment_job import fetch_what_napari_fetches_late


@dataclass(frozen=True, slots=True, eq=False)
class Pixels:
    """An image that is open in the viewer, as plain values."""

    pixels: Any
    rgb: bool
    axes: tuple[str, ...]
    spacing: Spacing | None
    source: str


@dataclass(frozen=True, slots=True, eq=False)
class Opened:
    """An image that is ready to be shown.

    Attributes
    ----------
    picture : Picture
    mask : ndarray or None
        What a person had drawn.
    is_approved : bool
    """

    picture: Picture
    mask: Any = None
    is_approved: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Restored:
    """The mask that edits had come to which were left behind; `how` is "restore" or "both"."""

    left: Unfinished
    how: str
    mask: Any


@dataclass(frozen=True, slots=True)
class Exported:
    """A table that was written."""

    path: Path
    rows: int


def has_past(content: str, writer: JournalWriter, store: CorrectionStore) -> bool:
    """Whether there may be a mask that a person had drawn; a glance that the window can afford."""
    journal = writer.journal
    return writer.waits(content) or (journal.folder / f"{content}.jsonl").exists() or bool(store.history(content))


def open_job(
    item: Item,
    known: Picture | Pixels | None,
    writer: JournalWriter,
    store: CorrectionStore,
    without: Collection[int] = (),
) -> Generator[None, None, Opened]:
    """Read an image, and find the mask that a person had drawn.

    Parameters
    ----------
    item : Item
    known : Picture or Pixels, optional
        Where the image is in memory already.
    writer : JournalWriter
    store : CorrectionStore
    without : collection of int
        See `napari_wavegms.review.drafts.journalled`.

    Raises
    ------
    InputError
        If the image cannot be read, or its last edits are not on disk yet.
    """
    yield
    if isinstance(known, Picture):
        picture = known
    elif isinstance(known, Pixels):
        picture = picture_of(item, np.asarray(known.pixels), known.rgb, known.axes, known.spacing, known.source)
    else:
        picture = read_picture(item)
    if writer.waits(picture.content) and not writer.flush() and writer.waits(picture.content):
        raise InputError(f"The last edits of {item.name} are not on disk yet. {writer.problem} Then open it again.")
    mask = approved(picture.pixels, picture.planes, picture.plan.labels_shape, store)
    if mask is not None:
        return Opened(picture, _fitting(mask, picture), is_approved=True)
    mask = journalled(picture.content, writer.journal, without)
    if mask is None:
        mask = approved(picture.pixels, picture.planes, picture.plan.labels_shape, store, former=True)
    return Opened(picture, _fitting(mask, picture))


def _fitting(mask: Any, picture: Picture) -> Any:
    """A mask that was brought to another shape meanwhile is no mask of this image."""
    return mask if mask is not None and mask.shape == picture.plan.labels_shape else None


def list_job(make: Callable[[], Worklist], notes: NoteWriter) -> Generator[None, None, Worklist]:
    """Make a list of images, after what is still to be noted about those of another one.

    Raises
    ------
    InputError
        If there is none.
    """
    yield
    fetch_what_napari_fetches_late()
    notes.flush()
    worklist = make()
    if worklist.folder is not None:
        note_folder(worklist.folder)
    return worklist


def left_behind_job(journal: Journal, store: CorrectionStore) -> Generator[None, None, list[Unfinished]]:
    """Find edits that a crash has left behind; what was approved after them is closed.

    Raises
    ------
    InputError
        If the journal cannot be read.
    """
    yield
    found = []
    for left in journal.unfinished():
        kept = store.find(left.target.image)
        if kept is not None and kept.time >= left.time:
            journal.close(left.target.image, "approved", left.upto)
        else:
            found.append(left)
    return found


def thin_job(journal: Journal, store: CorrectionStore) -> Generator[str, None, None]:
    """Let go of the pixels of edits that were approved long ago, see `napari_wavegms.review.journal_thinning`.

    Raises
    ------
    InputError
        If the folder of the journal cannot be read.
    """
    yield from thin_out(journal, store)


def restore_job(journal: Journal, left: Unfinished, how: str) -> Generator[None, None, Restored]:
    """Bring back the mask that was left behind.

    Raises
    ------
    InputError
        If its lines are damaged.
    """
    yield
    return Restored(left, how, journal.restore(left.target.image, left.upto))


def export_job(writer: JournalWriter, path: Path) -> Generator[None, None, Exported]:
    """Write the journal as a table, the last stroke included.

    Raises
    ------
    InputError
        If the disk refuses.
    """
    yield
    writer.flush()
    return Exported(path, writer.journal.export_csv(path))


def drawable_job(segmenter: Any, planes: Sequence[Any]) -> Generator[None, None, str]:
    """Tell whether the model could draw a mask, in a sentence that is empty where it could."""
    yield
    from napari_wavegms.segment.drawable import drawable_sentence, survives

    device = segmenter.device.name
    return drawable_sentence(
        min((survives(plane, segmenter.codec, segmenter.preprocessing, device) for plane in planes), default=1.0)
    )
