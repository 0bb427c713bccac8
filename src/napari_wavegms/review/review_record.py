"""What was noted about the images of one folder: a file that only grows, and what its lines come to."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

from napari_wavegms.review.items import fitting_changes
from napari_wavegms.review.ledger import KIND, Ledger, Record
from napari_wavegms.review.review_notes import NoteWriter, write_notes

_ITEM = "item"
_NAME = "name"
_SET = "set"
SHOWN_AT = "at"
_UNTOUCHED = ("todo", "predicted")


def record_file(reviews: Path, folder: Path) -> Path:
    """Where the notes about a folder's images are kept; no two folders share one."""
    place = os.path.normcase(folder).encode("utf-8", "surrogatepass")
    return reviews / f"{blake2b(place, digest_size=16).hexdigest()}.jsonl"


class ReviewRecord:
    """Notes about images by name, shared by any number of windows.

    Parameters
    ----------
    path : pathlib.Path
        The file; made by the first note.
    writer : NoteWriter, optional
        Writes the notes in the background; without one they are on disk when `note` returns.

    Attributes
    ----------
    changes : dict of str to dict
        The latest value of everything that was ever noted, by name of the image.
    shown_at : dict of str to str
        When each image was shown last, ISO 8601 in UTC.

    Raises
    ------
    InputError
        If the file cannot be read, or is from a newer version.
    """

    def __init__(self, path: Path, writer: NoteWriter | None = None) -> None:
        self._ledger = Ledger(path)
        self._writer = writer
        self._generation = self._count = 0
        self.changes: dict[str, dict[str, Any]] = {}
        self.shown_at: dict[str, str] = {}
        self.read()

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences on what is damaged in the file."""
        return self._ledger.warnings

    @property
    def touched(self) -> list[str]:
        """Names of the images that a person has decided something about."""
        return [name for name, values in self.changes.items() if values.get("state", "todo") not in _UNTOUCHED]

    def read(self) -> None:
        """Take in what was noted since, here and in other windows."""
        if self._writer is not None:
            self._writer.flush()
        generation, lines = self._ledger.snapshot()
        if generation > self._generation:
            self._generation, self._count = generation, 0
            self.changes, self.shown_at = {}, {}
        for line in lines[self._count :]:
            self._take(line)
        self._count = len(lines)

    def note(self, changes: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
        """Note changes; on return they are on disk, or in the writer's line.

        Raises
        ------
        InputError
            If the disk refuses; then none of them is noted.
        """
        lines: list[Record] = [{KIND: _ITEM, _NAME: name, _SET: dict(values)} for name, values in changes]
        if self._writer is None:
            write_notes(self._ledger, lines)
            self.read()
        else:
            self._writer.add(self._ledger, lines)
            for line in lines:
                self._take(line)

    def _take(self, line: Record) -> None:
        name, values = line.get(_NAME), line.get(_SET)
        if line[KIND] == _ITEM and isinstance(name, str) and isinstance(values, dict):
            self.changes.setdefault(name, {}).update(fitting_changes(values))
            if isinstance(at := values.get(SHOWN_AT), str):
                self.shown_at[name] = at
