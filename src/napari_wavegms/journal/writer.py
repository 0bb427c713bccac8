"""The journal, written by a thread of its own: whoever paints never waits for the disk.

Of each image only the newest mask waits to be written. What the disk refuses stays in line and is tried again, and the
painting goes on meanwhile.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from napari_wavegms.errors import WaveGMSError
from napari_wavegms.journal.journal import Journal
from napari_wavegms.journal.patches import Band, Labels, checked_mask
from napari_wavegms.journal.records import Answer, Edit, EditTarget
from napari_wavegms.storage.background_writer import BackgroundWriter

News = Edit | Answer | None
Heard = Callable[[str, News], None]

_LOG = logging.getLogger("napari_wavegms")


@dataclass(slots=True, eq=False)
class _Wish:
    """One thing to be done for an image."""

    do: Callable[[], Answer | None] | None = None  # to begin or to close; None for an edit
    whole: Labels | None = None
    bands: dict[Band, Labels] = field(default_factory=dict)
    editor: str = ""
    model: str = ""
    threshold: float | None = None
    seconds: float = 0.0

    def take(self, mask: Labels | Mapping[Band, Labels]) -> None:
        """Take in a newer mask, or newer rows."""
        if not isinstance(mask, Mapping):
            self.whole, self.bands = np.array(mask), {}
        elif self.whole is None:
            self.bands.update(mask)
        else:
            for band, rows in mask.items():
                band.of(self.whole)[...] = rows


class JournalWriter(BackgroundWriter):
    """Writes a journal in the background.

    Parameters
    ----------
    journal : Journal, optional
        The user's by default.
    retry : float
        Seconds until the disk is asked again after it has refused.

    Attributes
    ----------
    saved_at : float or None
        When the last edit came to the disk, as `time.time` counts; None before the first.
    """

    def __init__(self, journal: Journal | None = None, retry: float = 2.0) -> None:
        super().__init__("wavegms-journal", retry)
        self.journal = Journal() if journal is None else journal
        self.saved_at: float | None = None
        self._wishes: OrderedDict[str, list[_Wish]] = OrderedDict()
        self._busy: _Wish | None = None
        self._failing: dict[str, str] = {}
        self._heard: list[Heard] = []

    @property
    def problem(self) -> str:
        """A sentence on why edits are not on disk; empty when all is well."""
        with self._turn:
            return next(iter(self._failing.values()), "")

    def waits(self, image: str) -> bool:
        """Whether an edit of an image is not on disk yet."""
        with self._turn:
            return any(wish.do is None for wish in self._wishes.get(image, []))

    def listen(self, heard: Heard) -> Callable[[], None]:
        """Be told of each image that was written, and of each that was refused.

        Parameters
        ----------
        heard : callable
            Called in the writer's thread with the content hash of the image, and the edit that is on disk, or how the
            edits ended; with None where nothing had changed or the disk refused, see `problem`.

        Returns
        -------
        callable
            Ends the listening.
        """
        self._heard.append(heard)
        return partial(_remove, self._heard, heard)

    def begin(
        self, target: EditTarget, mask: Labels, *, editor: str, model: str = "", threshold: float | None = None
    ) -> None:
        """As `Journal.begin`, later. The mask belongs to the writer from now on: hand over a copy.

        Raises
        ------
        InputError
            If the mask holds no labels.
        """
        mask = checked_mask(np.asarray(mask))
        begin = partial(self.journal.begin, target, mask, editor=editor, model=model, threshold=threshold)
        self._add(target.image, _Wish(do=begin))

    def submit(
        self,
        image: str,
        mask: Labels | Mapping[Band, Labels],
        *,
        editor: str,
        model: str = "",
        threshold: float | None = None,
        active_seconds: float = 0.0,
    ) -> None:
        """As `Journal.record`, later. A whole mask is copied; rows belong to the writer from now on.

        Raises
        ------
        InputError
            If a whole mask holds no labels.
        """
        if not isinstance(mask, Mapping):
            mask = checked_mask(np.asarray(mask))
        with self._turn:
            line = self._wishes.get(image, [])
            last = line[-1] if line and line[-1].do is None and line[-1] is not self._busy else _Wish()
            last.take(mask)
            last.editor, last.model, last.threshold = editor, model, threshold
            last.seconds += active_seconds
            if not line or last is not line[-1]:
                self._add(image, last)

    def finish(self, image: str, how: Answer, upto: int | None = None) -> None:
        """As `Journal.close`, after what was submitted before."""

        def close() -> Answer:
            self.journal.close(image, how, upto)
            return how

        self._add(image, _Wish(do=close))

    def close(self, timeout: float = 10.0) -> bool:
        """Flush, end the thread and release the journal; gives what `flush` gives. A later `submit` starts anew."""
        done = super().close(timeout)
        if done:
            self.journal.release()
        return done

    def _waits(self) -> bool:
        return bool(self._wishes)

    def _add(self, image: str, wish: _Wish) -> None:
        with self._turn:
            self._wishes.setdefault(image, []).append(wish)
            self._has_come()

    def _work_off(self) -> bool:
        with self._turn:
            image, (wish, *_) = next(iter(self._wishes.items()))
            self._busy = wish
        news, sentence = self._done(image, wish)
        self._note(image, wish, news, sentence)
        for heard in tuple(self._heard):
            try:
                heard(image, news)
            except Exception:
                _LOG.exception("Telling of a saved edit failed")
        return not sentence

    def _done(self, image: str, wish: _Wish) -> tuple[News, str]:
        """Do it; give what came of it, and a sentence where it failed."""
        try:
            if wish.do is not None:
                return wish.do(), ""
            mask = wish.bands if wish.whole is None else wish.whole
            signed = {"editor": wish.editor, "model": wish.model}
            edit = self.journal.record(image, mask, **signed, threshold=wish.threshold, active_seconds=wish.seconds)
            return edit, ""
        except WaveGMSError as error:
            return None, self._sentence(error)
        except Exception as error:
            # Whatever it is, a thread that ends here would take all later edits with it.
            _LOG.exception("Writing the journal failed")
            return None, f"The last edits are not on disk ({type(error).__name__}: {error}); save the mask to a file."

    def _sentence(self, error: WaveGMSError) -> str:
        cause = error.__cause__
        if not isinstance(cause, OSError):
            return str(error)
        return (
            f"Your last edits are not on disk yet, because {self.journal.folder} cannot be written "
            f"({cause.strerror or cause}); free some space or check its rights, and they are saved by themselves."
        )

    def _note(self, image: str, wish: _Wish, news: News, sentence: str) -> None:
        with self._turn:
            self._busy = None
            if sentence:
                self._failing[image] = sentence
                self._was_refused()
                self._wishes.move_to_end(image)
            else:
                self._failing.pop(image, None)
                self._wishes[image].remove(wish)
                if not self._wishes[image]:
                    del self._wishes[image]
                if isinstance(news, Edit):
                    self.saved_at = time.time()
            self._turn.notify_all()


def _remove(heard: list[Heard], one: Heard) -> None:
    if one in heard:
        heard.remove(one)
