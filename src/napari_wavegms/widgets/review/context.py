"""What the parts of Review share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_error
from qtpy.QtCore import QObject, Signal

from napari_wavegms.corrections.store import CorrectionStore
from napari_wavegms.errors import InputError
from napari_wavegms.journal.journal import Journal
from napari_wavegms.journal.records import Edit
from napari_wavegms.journal.writer import JournalWriter
from napari_wavegms.widgets.review.edits import ReviewJournal
from napari_wavegms.widgets.review.image import Opened, Prediction, Shown
from napari_wavegms.widgets.review.panel import ReviewPanel
from napari_wavegms.worklist.item import Item
from napari_wavegms.worklist.state_log import NoteWriter

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_wavegms.widgets.review.approval import Approver
    from napari_wavegms.widgets.review.prefetch import Predictions


class _Refusals(QObject):
    """Brings sentences from the writer's thread to the window's; held by the writer, see `journal_watch`."""

    said = Signal(str)


class ReviewContext(QObject):
    """One review: its parts meet here.

    Attributes
    ----------
    viewer : ViewerModel
    panel : ReviewPanel
    store : CorrectionStore
    notes : NoteWriter
        Writes down what became of the images.
    journal : ReviewJournal
    predictions : Predictions
    approver : Approver
        Both are given by the widget.
    keys_of : dict of str to str
        The item that has a content.
    """

    predictions: Predictions
    approver: Approver

    def __init__(self, viewer: ViewerModel, parent: QObject) -> None:
        super().__init__(parent)
        self.viewer = viewer
        self.panel = ReviewPanel()
        self.store = CorrectionStore()
        refusals = _Refusals()
        refusals.said.connect(self.say_problem)
        self.notes = NoteWriter(lambda sentence: refusals.said.emit(sentence))
        self.journal = ReviewJournal(JournalWriter(Journal()), self)
        self.keys_of: dict[str, str] = {}

    def item(self, key: str | None) -> Item | None:
        """Find an item of the list."""
        worklist = self.panel.list.worklist
        return worklist.item(key) if worklist is not None and key in worklist and key is not None else None

    def note(self, key: str, **changes: Any) -> None:
        """Note and show what became of an image, if it is in the list; see `Worklist.set`."""
        try:
            if self.item(key) is not None:
                self.panel.list.set_item(key, **changes)
        except InputError as error:
            self.say_problem(str(error))

    def say(self, sentence: str, kind: str = "news") -> None:
        """Say in the panel what happened."""
        self.panel.set_status(sentence, kind)

    def say_problem(self, sentence: str, _details: str = "") -> None:
        """Say what went wrong, where it is seen."""
        self.panel.set_status(sentence, "problem")
        if not self.panel.isVisible():  # a closed tab or a hidden dock: nobody would read it there
            show_error(sentence)


_FRESH = ("todo", "predicted")

_SECONDS = 5  # between two notes on how long somebody has worked


def state_of(item: Item, opened: Opened) -> str:
    """The state that an image turns out to be in; empty where it is the one that was noted."""
    if opened.is_approved:
        return "approved" if item.state != "approved" else ""
    if opened.mask is None:
        return "todo" if item.state in ("approved", "corrected") else ""
    return "corrected" if item.state in ("approved", *_FRESH) else ""


def note_look(desk: ReviewContext, look: Prediction) -> bool:
    """Note what a model says of an image; tells whether it is in the list."""
    item = desk.item(look.key)
    if item is None:
        return False
    changes: dict[str, Any] = {"uncertainty": look.uncertainty, "score": look.score}
    if look.light is not None:
        changes["light"] = look.light.colour
    if item.state == "todo":
        changes["state"] = "predicted"
    desk.note(item.key, **changes)
    return True


def note_edit(desk: ReviewContext, edit: Edit, shown: Shown | None) -> bool:
    """Note an edit that has come to the disk; tells whether it is one of the mask on screen, which is not approved."""
    item = desk.item(desk.keys_of.get(edit.image))
    if item is None:
        return False
    ours = shown is not None and shown.content == edit.image
    is_open = False
    if shown is not None and ours:
        shown.edit = edit.number
        is_open = not shown.approved
        _note_seconds(desk, item, edit, shown)
    fresh = item.state not in ("corrected", "approved") if is_open else item.state in _FRESH and not ours
    if fresh:
        desk.note(item.key, state="corrected")
    return is_open


def _note_seconds(desk: ReviewContext, item: Item, edit: Edit, shown: Shown) -> None:
    seconds = shown.seconds + edit.seconds_so_far
    if seconds > item.seconds + _SECONDS:
        desk.note(item.key, seconds=seconds)
