"""One thread that writes, so that nobody else waits for the disk; failed writes are retried."""

from __future__ import annotations

import atexit
import logging
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from functools import cache
from typing import Any

from napari_wavegms.errors import WaveGMSError

Task = Callable[[], Any]
Then = Callable[[Any, str], None]

_LOG = logging.getLogger("napari_wavegms")


class Writer:
    """Runs tasks in a thread of its own, which lives as long as there are any.

    Tasks of one key run in order. A failed task is retried after `retry` seconds, before those after it; other keys go
    on meanwhile.
    """

    def __init__(self, retry: float = 2.0) -> None:
        self._retry = retry
        self._turn = threading.Condition()  # held for moments only, never while the disk is at work
        self._lines: OrderedDict[Hashable, deque[tuple[Task, Then]]] = OrderedDict()
        self._thread: threading.Thread | None = None
        self._refusals = 0
        self._hurry = False

    def add(self, key: Hashable, task: Task, then: Then) -> None:
        """Queue a task, which fails by raising.

        `then` is called in the writer's thread after each try, with the result and an empty sentence, or with None and
        a sentence on why it failed.
        """
        with self._turn:
            self._lines.setdefault(key, deque()).append((task, then))
            if self._thread is None:
                # A daemon, so that a disk that hangs does not keep the program from ending.
                self._thread = threading.Thread(target=self._work, name="wavegms-writer", daemon=True)
                atexit.register(self.flush)
                self._thread.start()

    def flush(self, timeout: float = 10.0) -> bool:
        """Wait until all tasks are done or one fails again; returns whether all are done."""
        with self._turn:
            refusals, self._hurry = self._refusals, True
            self._turn.notify_all()
            self._turn.wait_for(lambda: self._thread is None or self._refusals > refusals, timeout)
            self._hurry = False
            return self._thread is None

    def _work(self) -> None:
        while (line := self._next_line()) is not None:
            key, task, then = line
            result, sentence = _done(task)
            try:
                then(result, sentence)
            except Exception:
                _LOG.exception("Reporting a write failed")
            with self._turn:
                if not sentence:
                    self._lines[key].popleft()
                    if not self._lines[key]:
                        del self._lines[key]
                    continue
                self._lines.move_to_end(key)
                self._refusals += 1
                self._hurry = False
                self._turn.notify_all()
                self._turn.wait_for(lambda: self._hurry, self._retry)

    def _next_line(self) -> tuple[Hashable, Task, Then] | None:
        """The next task; None ends the thread, and a later task starts another."""
        with self._turn:
            for key, line in self._lines.items():
                return key, *line[0]
            self._thread = None
            atexit.unregister(self.flush)
            self._turn.notify_all()
            return None


@cache
def process_writer() -> Writer:
    """The one writer of this process."""
    return Writer()


def _done(task: Task) -> tuple[Any, str]:
    """The result of a task, and a sentence if it failed."""
    try:
        return task(), ""
    except WaveGMSError as error:
        return None, str(error)
    except Exception as error:
        # Whatever it is: if the thread ended here, all later strokes would be lost.
        _LOG.exception("Writing failed")
        return None, f"The last changes are not on disk ({type(error).__name__}: {error}); save the mask to a file."
