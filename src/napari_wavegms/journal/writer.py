"""Record edits in the background, so that painting never waits for the disk.

Only the newest mask of each image is queued. Failed writes stay queued and are retried while painting continues.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from napari_wavegms.errors import InputError
from napari_wavegms.journal.journal import Journal
from napari_wavegms.journal.patches import Band, Labels, checked_mask
from napari_wavegms.journal.records import Answer, Edit, EditTarget
from napari_wavegms.storage.database import reason_of
from napari_wavegms.storage.writer import Writer, process_writer

News = Edit | Answer | None
OnEvent = Callable[[str, News], None]


@dataclass(slots=True, eq=False)
class _Waiting:
    """A mask, or some of its rows, to be written."""

    mask: Labels | dict[Band, Labels] = field(default_factory=dict)
    signed: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0

    def take(self, mask: Labels | Mapping[Band, Labels]) -> None:
        """Merge a newer mask, or newer rows."""
        if not isinstance(mask, Mapping):
            self.mask = np.array(mask)
        elif isinstance(self.mask, dict):
            self.mask.update(mask)
        else:
            for band, rows in mask.items():
                band.of(self.mask)[...] = rows


class JournalWriter:
    """Writes a journal in the background; by default that of the user, with the writer of the process.

    `saved_at` is when the last edit was saved, by `time.time`; None before the first.
    """

    def __init__(self, journal: Journal | None = None, writer: Writer | None = None) -> None:
        self.journal = Journal() if journal is None else journal
        self.saved_at: float | None = None
        self._writer = process_writer() if writer is None else writer
        self._guard = threading.Lock()
        self._waiting: dict[str, _Waiting] = {}  # queued and still open for newer masks
        self._unsaved: Counter[str] = Counter()
        self._failing: dict[str, str] = {}
        self._listeners: list[OnEvent] = []

    @property
    def problem(self) -> str:
        """Why edits are not on disk; empty if all are."""
        with self._guard:
            return next(iter(self._failing.values()), "")

    def waits(self, image: str) -> bool:
        """Whether an edit of an image is not on disk yet."""
        with self._guard:
            return self._unsaved[image] > 0

    def listen(self, on_event: OnEvent) -> Callable[[], None]:
        """Subscribe to writes; returns a callable that unsubscribes.

        `on_event` is called in the writer's thread with the content hash of the image and the saved edit or how the
        edits ended; None if nothing had changed or the write failed, see `problem`.
        """
        self._listeners.append(on_event)
        return lambda: self._listeners.remove(on_event) if on_event in self._listeners else None

    def begin(self, target: EditTarget, mask: Labels, **signed: Any) -> None:
        """Queue `Journal.begin`, with its arguments. The writer keeps the mask: pass a copy."""
        self._add(target.image, partial(self.journal.begin, target, checked_mask(np.asarray(mask)), **signed))

    def submit(
        self,
        image: str,
        mask: Labels | Mapping[Band, Labels],
        *,
        active_seconds: float = 0.0,
        **signed: Any,
    ) -> None:
        """Queue `Journal.record`, with its arguments. A whole mask is copied; the writer keeps rows."""
        if not isinstance(mask, Mapping):
            mask = checked_mask(np.asarray(mask))
        with self._guard:
            waiting = self._waiting.get(image)
            is_new = waiting is None
            if waiting is None:
                waiting = self._waiting[image] = _Waiting()
                self._unsaved[image] += 1
            waiting.take(mask)
            waiting.signed = signed
            waiting.seconds += active_seconds
        if is_new:
            self._writer.add((self, image), partial(self._record, image, waiting), partial(self._on_done, image))

    def finish(self, image: str, action: Answer, upto: int | None = None, own: bool = False) -> None:
        """Queue `Journal.close`, after what was submitted before."""

        def close() -> Answer:
            self.journal.close(image, action, upto, own)
            return action

        self._add(image, close)

    def flush(self, timeout: float = 10.0) -> bool:
        """As `Writer.flush`."""
        return self._writer.flush(timeout)

    def close(self, timeout: float = 10.0) -> bool:
        """Flush, and release the journal if everything is on disk; returns whether it is."""
        done = self.flush(timeout)
        if done:
            self.journal.release()
        return done

    def _add(self, image: str, task: Callable[[], Answer | None]) -> None:
        with self._guard:
            self._waiting.pop(image, None)  # later masks come after this
        self._writer.add((self, image), task, partial(self._on_done, image))

    def _record(self, image: str, waiting: _Waiting) -> Edit | None:
        with self._guard:
            if self._waiting.get(image) is waiting:
                del self._waiting[image]  # it is being written; later masks are queued on their own
        try:
            edit = self.journal.record(image, waiting.mask, **waiting.signed, active_seconds=waiting.seconds)
        except InputError as error:
            if not isinstance(cause := error.__cause__, OSError | sqlite3.Error):
                raise
            raise InputError(
                f"Your last edits are not on disk yet, because {self.journal.database.folder} cannot be written "
                f"({reason_of(cause)}); free some space or check its permissions, and they are saved by themselves."
            ) from cause
        with self._guard:
            self._unsaved[image] -= 1
            if edit is not None:
                self.saved_at = time.time()
        return edit

    def _on_done(self, image: str, news: News, sentence: str) -> None:
        with self._guard:
            if sentence:
                self._failing[image] = sentence
            else:
                self._failing.pop(image, None)
        for on_event in tuple(self._listeners):
            on_event(image, news)
