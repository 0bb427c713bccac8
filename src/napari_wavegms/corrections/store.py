"""The store of approved corrections.

Arrays are written first, each to a file named by its content, and the database row last. So a kill at any moment leaves
complete corrections and, at worst, arrays that no row refers to.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_wavegms.corrections.export import export_corrections
from napari_wavegms.corrections.records import Approval, Correction, Kept, described
from napari_wavegms.errors import InputError
from napari_wavegms.files.labels import smallest_labels
from napari_wavegms.storage.array_store import ArrayStore
from napari_wavegms.storage.atomic import atomic_write, explain_os_error
from napari_wavegms.storage.content_hash import content_hash
from napari_wavegms.storage.database import Database, from_json, now
from napari_wavegms.storage.plain import to_json

__all__ = ["Approval", "Correction", "CorrectionStore", "Kept"]

_ARRAYS = "pixels"
_ROWS = "SELECT number, image, record FROM corrections"

Row = tuple[int, str, str]
Index = tuple[int | slice, ...]


class CorrectionStore:
    """The approved corrections of a user's folder, which any number of processes may share.

    Corrections are identified by the content of their image: approving an image again replaces its correction, whatever
    the image is called by then. All methods raise `InputError` and change nothing if the disk fails.

    Parameters
    ----------
    folder : path-like, optional
        Folder of the database, see `Database`; images and masks are in ``pixels`` below it.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> store = CorrectionStore(tempfile.mkdtemp())
    >>> image, mask = np.zeros((4, 6), np.uint8), np.ones((4, 6), bool)
    >>> store.approve(Approval(name="polyp", image=image, mask=mask)).labelled
    24
    >>> [correction.name for correction in store.corrections()]
    ['polyp']
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        self.database = Database(folder)
        self.folder = self.database.folder
        self._arrays = ArrayStore(self.folder / _ARRAYS)
        self._unreadable: dict[str, str] = {}

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences about damaged or missing data, including what `export` could not read."""
        with self.database.read() as connection:
            rows = connection.execute(_ROWS).fetchall()
        damaged = [problem for row in rows if isinstance(problem := self._read(row), str)]
        folder = self._arrays.folder
        if not rows and (copies := self._copies()):
            lost = f"{self.database.path} has lost its corrections; {len(copies)} were taken up again from {folder}."
            damaged = [f"{lost} What was approved before them is gone, unless you copy the database from a backup."]
        elif not self.database.path.exists() and any(folder.glob("*.npy.gz")):
            damaged = [f"{self.database.path} is gone, but {folder} holds masks that it knew; copy it from a backup."]
        return (*self.database.warnings, *damaged, *self._unreadable.values())

    @property
    def notice(self) -> str:
        """What is kept where, to be said at the first approval; empty when there was one before."""
        with self.database.read() as connection:
            if connection.execute("SELECT 1 FROM corrections LIMIT 1").fetchone():
                return ""
        return (
            f"From now on, approved images and masks are copied to {self._arrays.folder} for later training. Forget, "
            "in the list of Fine-tune, removes them again."
        )

    def corrections(self) -> list[Correction]:
        """The current corrections, one per image, in the order of their first approval."""
        return self._select("WHERE in_force ORDER BY place")

    def history(self, image: str | None = None) -> list[Correction]:
        """Every approval ever, or those of an image: superseded and withdrawn ones included, oldest first."""
        return self._select("WHERE ?1 IS NULL OR image = ?1 ORDER BY number", image)

    def find(self, image: str) -> Correction | None:
        """The correction in force of the image with this content hash, see `napari_wavegms.storage.content_hash`."""
        return next(iter(self._select("WHERE in_force AND image = ?", image)), None)

    def approve(self, approval: Approval) -> Correction:
        """Keep a correction; on return it is on disk."""
        labels = smallest_labels(approval.mask)
        predicted = None if approval.prediction is None else smallest_labels(approval.prediction)
        failure = f"The correction of {approval.name} was not kept"
        if not self.database.path.exists():  # first, so that array files without it mean that it was lost
            with self.database.write(failure):
                pass
        with explain_os_error(failure, self.folder):
            # Before the transaction, so that strokes need not wait for a large image.
            image, mask = self._arrays.put(approval.image), self._arrays.put(labels)
            prediction = None if predicted is None else self._arrays.put(predicted)
        with self.database.write(failure) as connection:
            self._take_up(connection)
            number = 1 + connection.execute("SELECT coalesce(max(number), 0) FROM corrections").fetchone()[0]
            name = _free_name(self._read_all(connection.execute(f"{_ROWS} ORDER BY number")), approval.name, image)
            correction = described(approval, number, name, image, mask, prediction)
            in_force = connection.execute("SELECT place FROM corrections WHERE in_force AND image = ?", (image,))
            (place,) = in_force.fetchone() or (number,)
            connection.execute("UPDATE corrections SET in_force = 0 WHERE image = ?", (image,))
            connection.execute(
                "INSERT INTO corrections (number, image, place, in_force, record) VALUES (?, ?, ?, 1, ?)",
                (number, image, place, to_json(correction)),
            )
        with suppress(OSError), atomic_write(self._copy(image)) as neighbour:  # it is kept without a copy, too
            neighbour.write_text(to_json(correction), encoding="utf-8")
        self._unreadable.pop(image, None)
        return correction

    def withdraw(self, image: str, editor: str = "") -> None:
        """Withdraw the approval of the image with this content hash; its history stays."""
        failure = "The approval was not withdrawn"
        with self.database.write(failure) as connection, explain_os_error(failure, self.folder):
            self._take_up(connection)
            row = connection.execute("SELECT number FROM corrections WHERE in_force AND image = ?", (image,)).fetchone()
            if row is None:
                raise InputError("This image has no approved mask that could be withdrawn. Approve it first.")
            self._copy(image).unlink(missing_ok=True)
            connection.execute("UPDATE corrections SET in_force = 0 WHERE number = ?", row)
            record = to_json({"editor": editor, "time": now()})
            connection.execute("INSERT INTO withdrawals (correction, record) VALUES (?, ?)", (*row, record))

    def forget(self, image: str) -> None:
        """Remove every correction of the image with this content hash for good: records, image and masks.

        The pixels of its edits are in the journal, see `napari_wavegms.journal.compaction.forget`. Raises `InputError`
        if there is none, or the disk refuses; then nothing has changed, or files without a record stay behind.
        """
        failure = "The correction was not forgotten"
        with self.database.write(failure) as connection, explain_os_error(failure, self.folder):
            self._take_up(connection)
            rows = connection.execute(f"{_ROWS} WHERE image = ?", (image,)).fetchall()
            if not rows:
                raise InputError("This image has no correction that could be forgotten.")
            self._copy(image).unlink(missing_ok=True)
            gone = {image} | _contents(self._read_all(rows))
            for number, *_ in rows:
                connection.execute("DELETE FROM withdrawals WHERE correction = ?", (number,))
            connection.execute("DELETE FROM corrections WHERE image = ?", (image,))
            others = connection.execute(_ROWS).fetchall()
        with explain_os_error(failure, self.folder):
            self._arrays.remove(gone - _contents(self._read_all(others)))
        self._unreadable.pop(image, None)

    def verify(self) -> list[str]:
        """A sentence for each correction whose pixels are gone or damaged, and for pixels that no record knows."""
        self._readable()
        unknown = len(self._arrays.contents() - _contents(self.history()))
        there = [f"{unknown} files in {self._arrays.folder} belong to no correction."] if unknown else []
        return [*self.warnings, *there]

    def load(self, correction: Correction) -> Kept:
        """The pixels of a correction, of the history too."""
        prediction = correction.prediction
        try:
            return Kept(
                image=self._arrays.get(correction.image),
                mask=self._arrays.get(correction.mask),
                prediction=None if prediction is None else self._arrays.get(prediction),
            )
        except InputError as cause:
            raise InputError(f"The correction of {correction.name} cannot be read. {cause}") from cause

    def export(self, folder: str | os.PathLike[str], *, keep_names: bool = False) -> list[Correction]:
        """Write the corrections in force to ``images/`` and ``masks/``, for `load_pairs` and every other program.

        `folder` is new or empty, and appears when all is written. Every image and its mask become TIFF files of one
        name, the masks with their provenance; ``corrections.jsonl`` tells the rest. With `keep_names`, it also tells
        the folders of the sources, who approved, and content hashes.

        Returns what was written; what could not be read is told in `warnings`. Raises `InputError` if there is nothing
        to export, the folder holds something, or the disk refuses.
        """
        if not self.corrections():
            raise InputError(f"There is no approved correction in {self.folder}. Approve a mask first.")
        return export_corrections(self._readable(), Path(folder).resolve(), keep_names=keep_names)

    def _readable(self) -> list[tuple[Correction, Kept]]:
        found = []
        self._unreadable.clear()
        for correction in self.corrections():
            try:
                found.append((correction, self.load(correction)))
            except InputError as cause:
                self._unreadable[correction.image] = str(cause)
        return found

    def _select(self, where: str, *values: object) -> list[Correction]:
        """The readable ones; `warnings` reports the others."""
        with self.database.read() as connection:
            self._take_up(connection, "CREATE TEMP TABLE corrections AS SELECT * FROM main.corrections")
            rows = connection.execute(f"{_ROWS} {where}", values).fetchall()
        return self._read_all(rows)

    def _read_all(self, rows: Iterable[Row]) -> list[Correction]:
        return [one for row in rows if isinstance(one := self._read(row), Correction)]

    def _read(self, row: Row) -> Correction | str:
        """A correction, its copy if that is intact, or a sentence on why it cannot be read."""
        number, image, record = row
        try:
            return from_json(Correction, record)
        except InputError as cause:
            copies = (one for one in self._copies(image) if one.number == number)
            return next(copies, str(cause))

    def _copy(self, image: str) -> Path:
        """The record of a correction in force, beside its pixels, in case the database is lost."""
        return self._arrays.path(image).with_name(f"{image}.json")

    def _copies(self, image: str | None = None) -> list[Correction]:
        copies = []
        for path in self._arrays.folder.glob("*.json"):
            # What a damaged row says of an image may be no name of a file, and a pipe would make us wait for ever.
            if image not in (None, path.stem) or not path.is_file():
                continue
            with suppress(OSError, ValueError):
                copies.append(from_json(Correction, path.read_text(encoding="utf-8")))
        return sorted((one for one in copies if self._copy(one.image).is_file()), key=lambda one: one.number)

    def _take_up(self, connection: sqlite3.Connection, before: str = "") -> None:
        """Fill an empty table from the copies."""
        if connection.execute("SELECT 1 FROM corrections").fetchone() is None and (copies := self._copies()):
            connection.execute(before)
            rows = [(one.number, one.image, one.number, to_json(one)) for one in copies]
            connection.executemany("INSERT OR IGNORE INTO corrections VALUES (?, ?, ?, 1, ?)", rows)


def approved_mask(
    pixels: npt.NDArray[Any],
    planes: Iterable[tuple[Index, Index]],
    shape: tuple[int, ...],
    store: CorrectionStore,
    *,
    former: bool = False,
) -> npt.NDArray[Any] | None:
    """Assemble the approved masks of the planes of an image, in `shape`; None if no plane was approved.

    `planes` has the index of each plane in the image and in the mask; with `former`, withdrawn approvals count, too.
    Raises `InputError` if an approved mask is missing or damaged.
    """
    mask: npt.NDArray[Any] | None = None
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
                "its image. Draw it again."
            )
        mask = mask.astype(np.promote_types(mask.dtype, labels.dtype), copy=False)
        mask[label_index] = labels
    return mask


def _contents(corrections: Iterable[Correction]) -> set[str]:
    """The arrays that corrections refer to."""
    return {content for one in corrections for content in (one.image, one.mask, one.prediction) if content}


def _free_name(corrections: Iterable[Correction], wanted: str, image: str) -> str:
    """The name itself if it is free or belongs to this image, otherwise with the first free number."""
    taken = {one.name: one.image for one in corrections}
    name, number = wanted, 1
    while taken.get(name, image) != image:
        number += 1
        name = f"{wanted} ({number})"
    return name
