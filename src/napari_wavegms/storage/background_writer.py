"""A thread that writes what waits in line: nobody else waits for the disk, and what it refuses stays in line."""

from __future__ import annotations

import atexit
import threading
from abc import ABC, abstractmethod


class BackgroundWriter(ABC):
    """Works a line off in a thread of its own, which begins with the first item and tries again what was refused.

    Parameters
    ----------
    name : str
        Of the thread.
    retry : float
        Seconds until the disk is asked again after it has refused.
    """

    def __init__(self, name: str, retry: float) -> None:
        self._name, self._retry = name, retry
        self._turn = threading.Condition()  # held for moments only, never while the disk is at work
        self._refusals = 0
        self._hurry = self._stopping = False
        self._thread: threading.Thread | None = None

    def flush(self, timeout: float = 10.0) -> bool:
        """Wait until all that was in line is on disk, or the disk refuses again.

        Returns
        -------
        bool
            Whether all is on disk.
        """
        with self._turn:
            refusals, self._hurry = self._refusals, True
            self._turn.notify_all()
            self._turn.wait_for(lambda: not self._waits() or self._refusals > refusals, timeout)
            self._hurry = False
            return not self._waits()

    def close(self, timeout: float = 10.0) -> bool:
        """Flush and end the thread; gives what `flush` gives. What comes later starts it anew."""
        done = self.flush(timeout)
        with self._turn:
            thread, self._thread, self._stopping = self._thread, None, True
            self._turn.notify_all()
        if thread is not None:
            atexit.unregister(self.flush)
            thread.join(timeout)
        return done

    @abstractmethod
    def _waits(self) -> bool:
        """Whether anything is in line; asked while `_turn` is held."""

    @abstractmethod
    def _work_off(self) -> bool:
        """Write what comes first, and take it out of the line; tells whether the disk took it. Raises nothing."""

    def _has_come(self) -> None:
        """Wake the thread; called while `_turn` is held, after something was put in line."""
        if self._thread is None:
            self._stopping = False
            # A daemon, so that a disk that hangs does not keep the program from ending.
            self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
            self._thread.start()
            atexit.register(self.flush)
        self._turn.notify_all()

    def _was_refused(self) -> None:
        """Let go of whoever waits; called while `_turn` is held."""
        self._refusals += 1
        self._hurry = False

    def _work(self) -> None:
        while self._goes_on():
            if not self._work_off():
                with self._turn:
                    self._turn.wait_for(lambda: self._hurry or self._stopping, self._retry)

    def _goes_on(self) -> bool:
        with self._turn:
            self._turn.wait_for(lambda: self._waits() or self._stopping)
            return not self._stopping
