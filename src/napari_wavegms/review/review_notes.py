"""What was done to the images of a review, written down by a thread of its own: who goes on waits for no disk.

A note is on disk a moment after it was made. What the disk refuses stays in line and is tried again.
"""

from __future__ import annotations

import atexit
import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence

from napari_wavegms.errors import InputError
from napari_wavegms.review.disk import told
from napari_wavegms.review.ledger import Ledger, Record

_LOG = logging.getLogger("napari_wavegms")


def write_notes(ledger: Ledger, lines: Sequence[Record]) -> None:
    """Add notes to a file; on return they are on disk.

    Raises
    ------
    InputError
        If the disk refuses; then none of them is noted.
    """
    with told("What was done to the image was not noted", ledger.path), ledger.writing():
        ledger.append(lines)


class NoteWriter:
    """Writes notes in the background, in their order.

    Parameters
    ----------
    heard : callable, optional
        Called in the writer's thread with a sentence when the disk refuses, once until it takes notes again.
    retry : float
        Seconds until the disk is asked again after it has refused.
    """

    def __init__(self, heard: Callable[[str], None] = lambda _sentence: None, retry: float = 2.0) -> None:
        self._heard = heard
        self._retry = retry
        self._turn = threading.Condition()  # held for moments only, never while the disk is at work
        self._line: deque[tuple[Ledger, list[Record]]] = deque()
        self._busy = self._hurry = self._stopping = False
        self._refusals = 0
        self._thread: threading.Thread | None = None

    def add(self, ledger: Ledger, lines: Sequence[Record]) -> None:
        """Have notes written soon."""
        with self._turn:
            if self._line and self._line[-1][0] is ledger and not (self._busy and len(self._line) == 1):
                self._line[-1][1].extend(lines)
            else:
                self._line.append((ledger, list(lines)))
            if self._thread is None:
                self._stopping = False
                # A daemon, so that a disk that hangs does not keep the program from ending.
                self._thread = threading.Thread(target=self._work, name="wavegms-notes", daemon=True)
                self._thread.start()
                atexit.register(self.flush)
            self._turn.notify_all()

    def flush(self, timeout: float = 10.0) -> bool:
        """Wait until every note is on disk, or the disk refuses again; tells whether all are."""
        with self._turn:
            refusals, self._hurry = self._refusals, True
            self._turn.notify_all()
            self._turn.wait_for(lambda: not self._line or self._refusals > refusals, timeout)
            self._hurry = False
            return not self._line

    def close(self, timeout: float = 10.0) -> bool:
        """Flush and end the thread; gives what `flush` gives. A later `add` starts anew."""
        done = self.flush(timeout)
        with self._turn:
            thread, self._thread, self._stopping = self._thread, None, True
            self._turn.notify_all()
        if thread is not None:
            atexit.unregister(self.flush)
            thread.join(timeout)
        return done

    def _work(self) -> None:
        is_well = True
        while (first := self._next()) is not None:
            sentence = _sentence_of(*first)
            with self._turn:
                self._busy = False
                if sentence:
                    self._refusals += 1
                    self._hurry = False
                else:
                    self._line.popleft()
                self._turn.notify_all()
            if sentence and is_well:
                self._tell(sentence)
            is_well = not sentence
            if sentence:
                with self._turn:
                    self._turn.wait_for(lambda: self._hurry or self._stopping, self._retry)

    def _tell(self, sentence: str) -> None:
        try:
            self._heard(sentence)
        except Exception:
            _LOG.exception("Telling of a note that failed has failed")

    def _next(self) -> tuple[Ledger, list[Record]] | None:
        with self._turn:
            self._turn.wait_for(lambda: self._line or self._stopping)
            if self._stopping:
                return None
            self._busy = True
            return self._line[0]


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
