"""What was done to the images of a review, written down by a thread of its own: who goes on waits for no disk.

A note is on disk a moment after it was made. What the disk refuses stays in line and is tried again.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence

from napari_wavegms.errors import InputError
from napari_wavegms.review.background import BackgroundWriter
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
