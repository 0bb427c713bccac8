"""A file of JSON lines that only grows: what a line says is on disk before anybody is told that it is.

A kill or a power cut can cut the last line short, never an earlier one. The next writer closes the cut line with a line
that says so; nothing is ever taken out of the file.
"""

from __future__ import annotations

import io
import json
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from napari_wavegms.errors import InputError
from napari_wavegms.storage.atomic import sync_folder
from napari_wavegms.storage.file_lock import locked

Record = dict[str, Any]

KIND = "kind"

_HEAD = "head"

_CUT = "cut"

_FORMAT = 1

HEAD: Record = {KIND: _HEAD, "format": _FORMAT}
"""The first line of every file."""


class Ledger:
    """An append-only list of records, shared by any number of processes.

    Parameters
    ----------
    path : pathlib.Path
        The file; made by the first `append`. A lock file of the same name lies beside it.

    Raises
    ------
    InputError
        If the file was written by a newer version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock_path = path.with_suffix(".lock")
        self._guard = threading.Lock()  # of what is in memory; never held while waiting for the disk's lock
        self._holds_lock = False
        self._generation = 0
        self._forget()
        self._was_cut = False
        self.read()

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences on what is damaged in the file, empty when all is well."""
        name = self.path.name
        cut = f"The last line of {name} was cut short, most likely by a crash; everything confirmed before it is here."
        damaged = [
            f"Line {number} of {name} is damaged and was passed over; the other lines are fine."
            for number in self._damaged
        ]
        return (*([cut] if self._was_cut else []), *damaged)

    def read(self) -> tuple[Record, ...]:
        """All records, oldest first, those that other processes have added meanwhile included."""
        return self.snapshot()[1]

    def snapshot(self) -> tuple[int, tuple[Record, ...]]:
        """All records behind a number that grows whenever the file was replaced or removed, so that they begin anew."""
        with self._guard:
            self._take_in()
            looks_cut = bool(self._open_end) and not self._was_cut and not self._holds_lock
        if looks_cut:
            self._look_closer()
        with self._guard:
            return self._generation, tuple(self._records)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Be the only writer; what `read` gives then stays true until the block ends. Not re-entrant.

        Raises
        ------
        OSError
            If the disk refuses.
        """
        with locked(self._lock_path):
            self._holds_lock = True
            try:
                with self._guard:
                    self._take_in()
                yield
            finally:
                self._holds_lock = False

    def append(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Add records; on return they are on disk, after an error none of them is.

        Only inside `writing`.

        Raises
        ------
        OSError
            If the disk refuses.
        """
        assert self._holds_lock, "append() belongs into writing()"
        with self._guard:
            head = [] if self._records or self._head_seen else [HEAD]
            self._write(b"".join(_line(record) for record in [*head, *records]))
            self._take_in()

    def _write(self, data: bytes) -> None:
        is_new = not self.path.exists()
        # Unbuffered: what is to be written is written here, or raises here.
        with self.path.open("ab", buffering=0) as file:
            size = file.seek(0, os.SEEK_END)
            try:
                _write_whole(file, self._closing() + data)
            except BaseException:
                with suppress(OSError):
                    file.truncate(size)
                raise
        if is_new:
            sync_folder(self.path.parent)
            sync_folder(self.path.parent.parent)

    def _closing(self) -> bytes:
        """What closes an unfinished last line: its line end, and a note where more is missing than that."""
        if not self._open_end:
            return b""
        whole = _parsed(self._open_end) is not None
        return b"\n" if whole else b"\n" + _line({KIND: _CUT, "bytes": len(self._open_end)})

    def _look_closer(self) -> None:
        """Tell a line that is just being written from one that a crash has cut, and close the latter."""
        try:
            with self.writing(), self._guard:
                if self._open_end:
                    self._was_cut = _parsed(self._open_end) is None
                    self._write(b"")
                    self._take_in()
        except OSError:  # a folder that may only be read
            self._was_cut = True
        except InputError:  # somebody writes for very long; the next reader looks again
            return

    def _forget(self) -> None:
        self._generation += 1
        self._file_id: tuple[int, int] | None = None
        self._offset = 0
        self._lines = 0
        self._records: list[Record] = []
        self._damaged: list[int] = []
        self._head_seen = False
        self._open_end = b""

    def _take_in(self) -> None:
        """Read the whole lines that have come since the last time."""
        try:
            with self.path.open("rb") as file:
                status = os.fstat(file.fileno())
                file_id = (status.st_dev, status.st_ino)
                if self._offset and (status.st_size < self._offset or file_id != self._file_id):
                    self._forget()  # replaced or removed under us: begin again
                self._file_id = file_id
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:
            if self._offset:
                self._forget()
            self._open_end = b""
            return
        except OSError as cause:
            raise InputError(
                f"{self.path} cannot be read ({cause.strerror or cause}). Check its rights, or choose another folder."
            ) from cause
        whole, end, self._open_end = data.rpartition(b"\n")
        if end:
            self._offset += len(whole) + 1
            for line in whole.split(b"\n"):
                self._take_line(line)

    def _take_line(self, line: bytes) -> None:
        self._lines += 1
        record = _parsed(line)
        if record is None:
            if line.strip():
                self._damaged.append(self._lines)
        elif record[KIND] == _CUT:
            with suppress(ValueError):
                self._damaged.remove(self._lines - 1)
        elif record[KIND] == _HEAD:
            self._head_seen = True
            self._check_format(record)
        else:
            self._records.append(record)

    def _check_format(self, head: Record) -> None:
        version = head.get("format", _FORMAT)
        if isinstance(version, int) and version > _FORMAT:
            raise InputError(
                f"{self.path} is from a newer version (format {version}, this is {_FORMAT}). Update napari-wavegms, or "
                "choose another folder."
            )


def _line(record: Mapping[str, Any]) -> bytes:
    return json.dumps(record, ensure_ascii=True, allow_nan=False).encode("ascii") + b"\n"


def _parsed(line: bytes) -> Record | None:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and isinstance(record.get(KIND), str) else None


def _write_whole(file: io.FileIO, data: bytes) -> None:
    view = memoryview(data)
    while view:
        # A disk that is nearly full takes a part and refuses the rest.
        view = view[file.write(view) :]
    os.fsync(file.fileno())


def now() -> str:
    """Current time, ISO 8601 in UTC to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
