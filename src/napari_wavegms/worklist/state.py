"""States of the images of all worklists in the user's database, by folder and file name."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from napari_wavegms.errors import InputError
from napari_wavegms.storage.database import Database, key_text, text_key, to_json
from napari_wavegms.storage.writer import Writer
from napari_wavegms.worklist.item import Item

Place = tuple[str, str]
"""Folder and file name; an empty folder and the content hash for a layer."""

_ANY = Item("", "")
_UPSERT = "INSERT OR REPLACE INTO worklist (folder, name, record) VALUES (?, ?, ?)"


class WorklistStates:
    """Saved states of images, shared by any number of windows.

    Parameters
    ----------
    folder : path-like, optional
        Of the database, see `Database`.
    writer : Writer, optional
        Writes in the background; without one a change is on disk when `note` returns.
    on_problem : callable, optional
        Called once in the writer's thread, with a sentence, when writing begins to fail.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str] | None = None,
        writer: Writer | None = None,
        on_problem: Callable[[str], None] = lambda _sentence: None,
    ) -> None:
        self.database = Database(folder)
        self._writer = writer
        self._on_problem = on_problem
        self._is_well = True
        self._guard = threading.Lock()
        self._waiting: list[dict[Place, dict[str, Any]]] = []

    def read(self, folder: str) -> dict[str, dict[str, Any]]:
        """The records of a folder by name, including changes that are still queued."""
        with self._guard:
            waiting = tuple(self._waiting)
        with self.database.read() as connection:
            rows = connection.execute("SELECT name, record FROM worklist WHERE folder = ?", (_key(folder),)).fetchall()
        records: dict[str, dict[str, Any]] = {key_text(name): _plain(record) for name, record in rows}
        for batch in waiting:
            for (place, name), changes in batch.items():
                if place == folder:
                    records[name] = records.get(name, {}) | changes
        return records

    def note(self, changes: Mapping[Place, Mapping[str, Any]]) -> None:
        """Save changes, or queue them if there is a writer."""
        batch = {place: dict(values) for place, values in changes.items()}
        if self._writer is None:
            self._write(batch)
        elif batch:
            with self._guard:
                self._waiting.append(batch)
            self._writer.add(self, partial(self._write, batch), self._on_done)

    def _write(self, batch: dict[Place, dict[str, Any]]) -> None:
        with self.database.write("The state of the image was not saved") as connection:
            for (folder, name), changes in batch.items():
                place = _key(folder), text_key(name)
                row = connection.execute("SELECT record FROM worklist WHERE folder = ? AND name = ?", place).fetchone()
                record = _plain(row[0]) if row else {}
                with suppress(InputError):  # a damaged record is replaced
                    _ANY.with_record(record)
                    changes = record | changes
                connection.execute(_UPSERT, (*place, to_json(changes)))
        with self._guard:
            if batch in self._waiting:
                self._waiting.remove(batch)

    def _on_done(self, _result: object, sentence: str) -> None:
        if sentence and self._is_well:
            self._on_problem(sentence)
        self._is_well = not sentence


def _key(folder: str) -> bytes:
    return text_key(os.path.normcase(folder))


def _plain(record: str) -> dict[str, Any]:
    """A record as plain values; for a damaged one, values that `Item` rejects."""
    with suppress(ValueError, RecursionError):
        values = json.loads(record)
        if isinstance(values, dict):
            return values
    return {"state": None}
