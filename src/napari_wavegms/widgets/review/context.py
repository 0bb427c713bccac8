"""What the parts of Review share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from qtpy.QtCore import QObject, Signal

from napari_wavegms.corrections.store import CorrectionStore
from napari_wavegms.errors import InputError
from napari_wavegms.journal.records import Answer, Unfinished
from napari_wavegms.journal.writer import JournalWriter
from napari_wavegms.widgets.layers.viewer import notify_if_hidden
from napari_wavegms.widgets.recording.recorder import JournalWatch
from napari_wavegms.widgets.review.layers import Shown
from napari_wavegms.widgets.review.panel import ReviewPanel
from napari_wavegms.widgets.worklist.model import WorklistModel
from napari_wavegms.worklist.item import Item
from napari_wavegms.worklist.state import WorklistStates

if TYPE_CHECKING:
    from napari.components import ViewerModel


class ReviewJournal(QObject):
    """Begins and ends the edits of one image after another.

    An image that is left in good order has nothing to restore: its edits are closed as saved, or as approved. What is
    still open at the next start was cut off.

    Attributes
    ----------
    watch : JournalWatch
    left : list of Unfinished
        Edits that were cut off and not yet decided on, the latest first.
    """

    def __init__(self, writer: JournalWriter, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.writer = writer
        self.watch = JournalWatch(writer, self)
        self.left: list[Unfinished] = []

    def undecided(self, content: str) -> set[int]:
        """Numbers of the edits of an image that a person has not decided on."""
        return {left.upto for left in self.left if left.target.image == content}

    def decide(self, left: Unfinished, answer: Answer) -> None:
        """Close edits that were cut off."""
        self.left.remove(left)
        self.writer.finish(left.target.image, answer, left.upto)

    def begin(self, shown: Shown, threshold: float | None) -> None:
        """Watch the mask on screen; what it is now is what its edits begin with."""
        # The name was asked for once: the settings are a file, and going on must not wait for the disk.
        editor = self.watch.editor or None
        self.watch.attach(shown.mask, shown.target, editor=editor, model=shown.memory.model, threshold=threshold)

    def end(self, shown: Shown, answer: Answer) -> None:
        """Close the edits on screen, with what is still on its way to the disk."""
        self.watch.settle()
        self.writer.finish(shown.content, answer, own=True)

    def close(self) -> None:
        """Write everything down, and leave the journal to others."""
        self.watch.detach()
        self.writer.close()


@dataclass(frozen=True, slots=True, eq=False)
class ReviewContext:
    """One review.

    Attributes
    ----------
    viewer : ViewerModel
    panel : ReviewPanel
    store : CorrectionStore
    journal : ReviewJournal
    states : WorklistStates
        What became of the images so far.
    """

    viewer: ViewerModel
    panel: ReviewPanel
    store: CorrectionStore
    journal: ReviewJournal
    states: WorklistStates

    @property
    def images(self) -> WorklistModel:
        """The list of images."""
        return self.panel.list.model

    def item(self, key: str | None) -> Item | None:
        """The item of the list with a key."""
        return self.images.item(key)

    def item_of(self, content: str) -> Item | None:
        """The item of the list whose pixels have a content hash."""
        return next((item for item in self.images.items() if item.content == content), None)

    def note(self, key: str, **changes: Any) -> None:
        """Note and show the state of an image, if it is in the list; see `Worklist.set`."""
        try:
            if self.item(key) is not None:
                self.images.set_item(key, **changes)
        except InputError as error:
            self.say_problem(str(error))

    def say(self, sentence: str, kind: Literal["news", "problem"] = "news") -> None:
        """Show a sentence in the panel."""
        self.panel.set_status(sentence, kind)

    def say_problem(self, sentence: str, _details: str = "") -> None:
        """Say what went wrong, where it is seen."""
        self.say(sentence, "problem")
        notify_if_hidden(self.panel, sentence)


class _Relay(QObject):
    """Held by the writer's thread alone, see `recording.recorder`."""

    sent = Signal(str)


def in_window(do: Callable[[str], None]) -> Callable[[str], None]:
    """A function for other threads that has the window's thread call `do`."""
    relay = _Relay()
    relay.sent.connect(do)
    return lambda sentence: relay.sent.emit(sentence)
