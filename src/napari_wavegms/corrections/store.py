"""Every approved correction, on disk before the user is told so.

The arrays go first, each to a file named by its content; the line of the index that makes them a correction goes last.
A kill at any moment leaves whole corrections and, at worst, arrays that nothing refers to.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path

from napari_wavegms.corrections.export import export_corrections
from napari_wavegms.corrections.records import Approval, Correction, Kept, described
from napari_wavegms.errors import InputError
from napari_wavegms.learn.pairs import Pair
from napari_wavegms.storage.append_log import KIND, Ledger, Record, now
from napari_wavegms.storage.array_store import ArrayFolder
from napari_wavegms.storage.atomic import explain_os_error
from napari_wavegms.storage.user_data import corrections_folder

__all__ = ["Approval", "Correction", "CorrectionStore", "Kept", "corrections_folder"]

INDEX = "corrections.jsonl"

_DATA = "data"

_APPROVE = "approve"

_WITHDRAW = "withdraw"


class CorrectionStore:
    """The approved corrections of a folder, which any number of processes may share.

    What identifies a correction is the content of its image: approving the same image again supersedes the earlier
    correction, whatever the image is called by then.

    Parameters
    ----------
    folder : path-like, optional
        `corrections_folder()` by default. Made by the first approval.

    Raises
    ------
    InputError
        If the index cannot be read, or is from a newer version.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> store = CorrectionStore(tempfile.mkdtemp())
    >>> image, mask = np.zeros((4, 6), np.uint8), np.ones((4, 6), bool)
    >>> store.approve(Approval(name="polyp", image=image, mask=mask)).labelled
    24
    >>> [pair.name for pair in store.pairs()]
    ['polyp']
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        self.folder = corrections_folder() if folder is None else Path(folder)
        self._ledger = Ledger(self.folder / INDEX)
        self._arrays = ArrayFolder(self.folder / _DATA)
        self._swept = False
        self._unreadable: dict[str, str] = {}
        self._guard = threading.Lock()
        self._folded = _Fold(generation=0)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences on what is damaged or gone, empty when all is well; `pairs` and `export` add what they meet."""
        return (*self._ledger.warnings, *self._fold().warnings, *self._unreadable.values())

    def corrections(self) -> list[Correction]:
        """The corrections in force, the latest approval of each image, in the order in which the images came."""
        return list(self._fold().active.values())

    def history(self, image: str | None = None) -> list[Correction]:
        """Every approval ever, superseded and withdrawn ones included, oldest first.

        Parameters
        ----------
        image : str, optional
            Only those of the image with this content hash.
        """
        return [kept for kept in self._fold().history if image in (None, kept.image)]

    def find(self, image: str) -> Correction | None:
        """The correction in force of the image with this content hash, see `napari_wavegms.storage.content_hash`."""
        return self._fold().active.get(image)

    def of_source(self, source: str) -> list[Correction]:
        """The corrections in force of a source file; more than one where it is a stack."""
        return [kept for kept in self.corrections() if kept.source == source]

    def approve(self, approval: Approval) -> Correction:
        """Keep a correction; on return it is on disk.

        Raises
        ------
        InputError
            If the mask holds no labels, the image no real numbers, or the disk refuses; then nothing has changed.
        """
        labels, predicted = approval.labels, approval.predicted_labels
        with explain_os_error(f"The correction of {approval.name} was not kept", self.folder), self._ledger.writing():
            self._sweep()
            image = self._arrays.put(approval.image)
            mask = self._arrays.put(labels)
            prediction = None if predicted is None else self._arrays.put(predicted)
            name = self._fold().name_for(approval.name, image)
            correction = described(approval, name, image, mask, prediction)
            self._ledger.append([{KIND: _APPROVE, **correction.as_dict()}])
        self._unreadable.pop(image, None)
        return self._fold().active[image]

    def withdraw(self, image: str, editor: str = "") -> None:
        """Take an approval back; its history stays, and the image may be approved again.

        Parameters
        ----------
        image : str
            Content hash of the image.
        editor : str
            Who takes it back.

        Raises
        ------
        InputError
            If the image has no correction in force, or the disk refuses.
        """
        with explain_os_error("The approval was not taken back", self.folder), self._ledger.writing():
            if image not in self._fold().active:
                raise InputError("This image has no approved correction that could be taken back. Approve it first.")
            self._ledger.append([{KIND: _WITHDRAW, "image": image, "editor": editor, "time": now()}])

    def load(self, correction: Correction) -> Kept:
        """The pixels of a correction, of the history too.

        Raises
        ------
        InputError
            If a file is gone or damaged.
        """
        prediction = correction.prediction
        try:
            return Kept(
                image=self._arrays.get(correction.image),
                mask=self._arrays.get(correction.mask),
                prediction=None if prediction is None else self._arrays.get(prediction),
            )
        except InputError as cause:
            raise InputError(f"The correction of {correction.name} cannot be read. {cause}") from cause

    def pairs(self) -> list[Pair]:
        """The corrections in force to learn from; those that cannot be read are left out and told in `warnings`."""
        return [Pair(correction.name, kept.image, kept.mask, correction.group) for correction, kept in self._readable()]

    def export(self, folder: str | os.PathLike[str]) -> list[Correction]:
        """Write the corrections in force to ``images/`` and ``masks/``, for `load_pairs` and every other program.

        Parameters
        ----------
        folder : path-like
            New or empty; appears when all is written. Every image and its mask become TIFF files of one name, the
            masks with their provenance; ``corrections.jsonl`` tells the rest.

        Returns
        -------
        list of Correction
            What was written; what could not be read is told in `warnings`.

        Raises
        ------
        InputError
            If there is nothing to export, the folder holds something, or the disk refuses.
        """
        if not self.corrections():
            raise InputError(f"There is no approved correction in {self.folder}. Approve a mask first.")
        return export_corrections(self._readable(), Path(folder).resolve())

    def _readable(self) -> list[tuple[Correction, Kept]]:
        found = []
        self._unreadable.clear()
        for correction in self.corrections():
            try:
                found.append((correction, self.load(correction)))
            except InputError as cause:
                self._unreadable[correction.image] = str(cause)
        return found

    def _fold(self) -> _Fold:
        generation, records = self._ledger.snapshot()
        with self._guard:
            if generation > self._folded.generation:
                self._folded = _Fold(generation)
            if generation == self._folded.generation:
                self._folded.add(records[self._folded.count :])
            return self._folded

    def _sweep(self) -> None:
        if not self._swept:
            self._arrays.sweep()
            self._swept = True


class _Fold:
    """What the lines of the index come to."""

    def __init__(self, generation: int) -> None:
        self.generation = generation
        self.count = 0
        self.active: dict[str, Correction] = {}
        self.history: list[Correction] = []
        self._unread = 0

    def add(self, records: Sequence[Record]) -> None:
        """Take in the lines that have come since the last time."""
        for record in records:
            self.count += 1
            if record[KIND] == _APPROVE:
                self._approve(record)
            elif record[KIND] == _WITHDRAW:
                self.active.pop(str(record.get("image")), None)

    @property
    def warnings(self) -> tuple[str, ...]:
        if not self._unread:
            return ()
        return (f"{self._unread} of {self.count} entries of {INDEX} lack something and were passed over.",)

    def name_for(self, wanted: str, image: str) -> str:
        """The name an image has had, as long as the user's name for it stays, or the first of its kind that is free."""
        taken = {kept.name: kept.image for kept in self.history}
        name, number = wanted, 1
        while taken.get(name, image) != image:
            number += 1
            name = f"{wanted} ({number})"
        return name

    def _approve(self, record: Record) -> None:
        try:
            correction = Correction.from_dict(record, number=len(self.history) + 1)
        except (KeyError, TypeError, ValueError):
            self._unread += 1
            return
        self.history.append(correction)
        self.active[correction.image] = correction
