"""One image of a review, what has become of it, and where that is saved."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, Field

from napari_wavegms.errors import InputError
from napari_wavegms.storage.database import Database, key_text, text_key
from napari_wavegms.storage.plain import parse_json, read_as, to_json
from napari_wavegms.storage.writer import Writer

State = Literal["todo", "predicted", "corrected", "approved", "skipped"]
STATES: tuple[State, ...] = get_args(State)
CHANGEABLE = ("state", "score", "uncertainty", "seconds", "content", "time", "light", "size", "unit")


_Number = Annotated[
    float | None, AfterValidator(lambda value: value if value is None or math.isfinite(value) else None)
]


@dataclass(frozen=True, slots=True)
class Item:
    """One image of a worklist."""

    key: str  # what names it in its list: the path of its file, or the id of its layer
    name: str  # what the user calls it; unique in its list wherever files allow
    path: Path | None = None  # its file; None for an open layer
    state: State = "todo"
    score: _Number = None  # the model's own score of its mask
    uncertainty: _Number = None  # 0 to 1, of the image as a whole
    seconds: Annotated[float, Field(allow_inf_nan=False)] = 0.0  # how long a person has worked on it
    content: str = ""  # content hash of its pixels, once they were read
    time: str = ""  # when its state changed last, ISO 8601 in UTC
    light: str = ""  # "green", "amber" or "red": how much it is like what the model has learned from
    size: _Number = None  # area or volume of the mask that was approved last
    unit: str = ""  # of it, such as mm²
    # Its place among the images that were shown, from 1 up; 0 for never shown.
    shown: Annotated[int, Field(ge=0, lt=2**53)] = 0
    masks: tuple[Path, ...] = ()  # files with masks of it, by their names

    def with_record(self, record: Mapping[str, Any]) -> Item:
        """The item with its saved state; raises ValueError if the record is damaged."""
        if not record:
            return self
        known = read_as(Item, {**record, "key": self.key, "name": self.name, "path": self.path})
        return replace(known, masks=self.masks)


def checked_changes(item: Item, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Validated changes of an item's attributes; a score that is not finite becomes None.

    Raises `InputError` if an attribute cannot be changed, or not to this value.
    """
    kept: dict[str, Any] = {}
    for what, value in changes.items():
        try:
            if what not in CHANGEABLE:
                raise ValueError(what)
            kept[what] = getattr(read_as(Item, {"key": item.key, "name": item.name, what: value}), what)
        except ValueError as cause:
            raise InputError(
                f"The {what} of {item.name} cannot become {value!r}. What can change is {', '.join(CHANGEABLE)}; a "
                f"state is one of {', '.join(STATES)}."
            ) from cause
    return kept


_UPSERT = "INSERT OR REPLACE INTO worklist (folder, name, record) VALUES (?, ?, ?)"


class WorklistStates:
    """Saved states of images, shared by any number of windows.

    A `writer` writes in the background, and `on_problem` is called once in its thread, with a sentence, when writing
    begins to fail; without one a change is on disk when `note` returns.
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
        self._waiting: list[tuple[str, str, dict[str, Any]]] = []

    def read(self, folder: str) -> dict[str, dict[str, Any]]:
        """The records of a folder by name, including changes that are still queued."""
        with self._guard:
            waiting = tuple(self._waiting)
        with self.database.read() as connection:
            rows = connection.execute("SELECT name, record FROM worklist WHERE folder = ?", (_key(folder),)).fetchall()
        records: dict[str, dict[str, Any]] = {key_text(name): _plain(record) for name, record in rows}
        for place, name, changes in waiting:
            if place == folder:
                records[name] = records.get(name, {}) | changes
        return records

    def note(self, folder: str, name: str, changes: Mapping[str, Any]) -> None:
        """Save changes of a file, or of a layer (without a folder, by the hash of its pixels); a writer queues them."""
        change = folder, name, dict(changes)
        if self._writer is None:
            self._write(change)
        else:
            with self._guard:
                self._waiting.append(change)
            self._writer.add(self, partial(self._write, change), self._on_done)

    def _write(self, change: tuple[str, str, dict[str, Any]]) -> None:
        folder, name, changes = change
        place = _key(folder), text_key(name)
        with self.database.write("The state of the image was not saved") as connection:
            row = connection.execute("SELECT record FROM worklist WHERE folder = ? AND name = ?", place).fetchone()
            record = _plain(row[0]) if row else {}
            with suppress(ValueError):  # a damaged record is replaced
                Item("", "").with_record(record)
                changes = record | changes
            connection.execute(_UPSERT, (*place, to_json(changes)))
        with self._guard:
            if change in self._waiting:
                self._waiting.remove(change)

    def _on_done(self, _result: object, sentence: str) -> None:
        if sentence and self._is_well:
            self._on_problem(sentence)
        self._is_well = not sentence


def _key(folder: str) -> bytes:
    return text_key(os.path.normcase(folder))


def _plain(record: str) -> dict[str, Any]:
    """A record as plain values; for a damaged one, values that `Item` rejects."""
    with suppress(ValueError):
        values = parse_json(record)
        if isinstance(values, dict):
            return values
    return {"state": None}
