"""The journal of the image on screen: watched while it is shown, ended when it is left, late news included."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from qtpy.QtCore import QObject, Signal

from napari_wavegms.errors import InputError
from napari_wavegms.journal.records import Answer, Edit, Unfinished
from napari_wavegms.journal.writer import JournalWriter
from napari_wavegms.widgets.recording.recorder import JournalWatch
from napari_wavegms.widgets.review.image import Shown


class ReviewJournal(QObject):
    """Begins and ends the edits of one image after the other.

    An image that is left in good order has nothing to restore: its edits are closed as saved, or as approved. What is
    still open at the next start was cut off.

    Signals
    -------
    saved(str)
        See `JournalWatch.saved`.
    edited(Edit)
        An edit came to the disk, maybe of an image that was left meanwhile.
    """

    saved = Signal(str)
    edited = Signal(object)

    def __init__(self, writer: JournalWriter, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.writer = writer
        self.watch = JournalWatch(writer, self)
        self._numbers: dict[str, int] = {}
        self._ended: dict[str, Answer] = {}
        self._left: dict[str, list[Unfinished]] = {}
        self.watch.saved.connect(self.saved)
        self.watch.edited.connect(self._on_edited)

    @property
    def left(self) -> list[Unfinished]:
        """What was left behind and not yet decided on, the latest first."""
        every = [left for several in self._left.values() for left in several]
        return sorted(every, key=lambda left: left.time, reverse=True)

    def set_left(self, left: Sequence[Unfinished]) -> None:
        """Note what was left behind."""
        self._left = {}
        for each in left:
            self._left.setdefault(each.target.image, []).append(each)

    def undecided(self, content: str) -> set[int]:
        """Numbers of the edits of an image that a person has not decided on."""
        return {left.upto for left in self._left.get(content, ())}

    def decide(self, left: Unfinished, how: Answer) -> None:
        """Close edits that were left behind."""
        several = self._left.get(left.target.image, [])
        self._left[left.target.image] = [each for each in several if each.upto != left.upto]
        self.writer.finish(left.target.image, how, left.upto)

    def begin(self, shown: Shown, threshold: float | None) -> None:
        """Watch the mask on screen; what it is now is what its edits begin with.

        Raises
        ------
        InputError
            If it cannot be painted.
        """
        if shown.edit is None:
            self._numbers.pop(shown.content, None)
        self._ended.pop(shown.content, None)
        # The name was asked for once: the settings are a file, and who goes on waits for no disk.
        editor = self.watch.editor or None
        self.watch.attach(shown.mask, shown.target, editor=editor, model=shown.memory.model, threshold=threshold)

    def pause(self) -> None:
        """Stop watching for a moment."""
        self.watch.detach()

    def end(self, shown: Shown, how: Answer) -> None:
        """Write down how the edits on screen have ended; those that are still on their way end likewise."""
        self.watch.settle()
        self._ended[shown.content] = how
        if shown.content in self._numbers:
            self.writer.finish(shown.content, how, self._numbers.pop(shown.content))

    def take_back(self, shown: Shown) -> None:
        """Go on with an image whose edits had ended."""
        self._ended.pop(shown.content, None)

    def close(self) -> None:
        """Write everything down, and let others have the journal."""
        self.watch.detach()
        self.writer.flush()
        for content, how in self._ended.items():
            with suppress(InputError):  # said by the journal where it matters
                last = max((edit.number for edit in self.writer.journal.edits(content)), default=0)
                # News of a last stroke may be on their way to us still; what a person has not decided on stays open.
                if last and last not in self.undecided(content):
                    self.writer.finish(content, how, last)
        self._ended.clear()
        self._numbers.clear()
        self.writer.close()

    def _on_edited(self, edit: Edit) -> None:
        how = self._ended.get(edit.image)
        if how is None:
            self._numbers[edit.image] = edit.number
        else:
            self.writer.finish(edit.image, how, edit.number)
        self.edited.emit(edit)
