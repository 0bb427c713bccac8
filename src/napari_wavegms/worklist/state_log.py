"""The state of each image of a worklist, on disk."""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

from napari_wavegms.errors import InputError
from napari_wavegms.storage.append_log import KIND, Ledger, Record
from napari_wavegms.storage.atomic import explain_os_error
from napari_wavegms.storage.background_writer import BackgroundWriter
from napari_wavegms.worklist.item import fitting_changes

_LOG = logging.getLogger("napari_wavegms")


def write_notes(ledger: Ledger, lines: Sequence[Record]) -> None:
    """Add notes to a file; on return they are on disk.

    Raises
    ------
    InputError
        If the disk refuses; then none of them is noted.
    """
    with explain_os_error("What was done to the image was not noted", ledger.path), ledger.writing():
        ledger.append(lines)


class NoteWriter(BackgroundWriter):
    """Writes notes in the background, in their order.

    Parameters
    ----------
    heard : callable, optional
        Called in the writer's thread with a sentence when the disk refuses, once until it takes notes again.
    retry : float
        Seconds until the disk is asked again after it has refused.
    """

    def __init__(self, heard: Callable[[str], None] = lambda _sentence: None, retry: float = 2.0) -> None:
        super().__init__("wavegms-notes", retry)
        self._heard = heard
        self._line: deque[tuple[Ledger, list[Record]]] = deque()
        self._busy = False
        self._is_well = True

    def add(self, ledger: Ledger, lines: Sequence[Record]) -> None:
        """Have notes written soon."""
        with self._turn:
            if self._line and self._line[-1][0] is ledger and not (self._busy and len(self._line) == 1):
                self._line[-1][1].extend(lines)
            else:
                self._line.append((ledger, list(lines)))
            self._has_come()

    def _waits(self) -> bool:
        return bool(self._line)

    def _work_off(self) -> bool:
        with self._turn:
            self._busy, first = True, self._line[0]
        sentence = _sentence_of(*first)
        with self._turn:
            self._busy = False
            if sentence:
                self._was_refused()
            else:
                self._line.popleft()
            self._turn.notify_all()
        if sentence and self._is_well:
            self._tell(sentence)
        self._is_well = not sentence
        return self._is_well

    def _tell(self, sentence: str) -> None:
        try:
            self._heard(sentence)
        except Exception:
            _LOG.exception("Telling of a note that failed has failed")


def _sentence_of(ledger: Ledger, lines: Sequence[Record]) -> str:
    """Write, and say why it failed; empty where it did not."""
    try:
        write_notes(ledger, lines)
    except InputError as error:
        return str(error)
    except Exception as error:
        # Whatever it is, a thread that ends here would take all later notes with it.
        _LOG.exception("Writing a note failed")
        return f"What was done to the image was not noted ({type(error).__name__}: {error})."
    return ""


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
