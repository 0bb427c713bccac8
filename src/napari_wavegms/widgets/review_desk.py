"""What all parts of Review work with: the viewer, the panel, and where things are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_error  # type: ignore[import-untyped]
from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]

from napari_wavegms.errors import InputError
from napari_wavegms.review.corrections import CorrectionStore
from napari_wavegms.review.items import Item
from napari_wavegms.review.journal import Journal
from napari_wavegms.review.journal_writer import JournalWriter
from napari_wavegms.review.review_notes import NoteWriter
from napari_wavegms.widgets.review_approve import Approver
from napari_wavegms.widgets.review_journal import ReviewJournal
from napari_wavegms.widgets.review_panel import ReviewPanel
from napari_wavegms.widgets.review_predict import Predictions
from napari_wavegms.widgets.segment_job import LoadSegmenter, SegmenterShelf

if TYPE_CHECKING:
    from napari.components import ViewerModel  # type: ignore[import-untyped]


class _Refusals(QObject):
    """Brings sentences from the writer's thread to the window's; held by the writer, see `journal_watch`."""

    said = Signal(str)


class ReviewDesk(QObject):
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
    keys_of : dict of str to str
        The item that has a content.
    """

    def __init__(self, viewer: ViewerModel, load: LoadSegmenter, shelf: SegmenterShelf, parent: QObject) -> None:
        super().__init__(parent)
        self.viewer = viewer
        self.panel = ReviewPanel()
        self.store = CorrectionStore()
        refusals = _Refusals()
        refusals.said.connect(self.say_problem)
        self.notes = NoteWriter(lambda sentence: refusals.said.emit(sentence))
        self.journal = ReviewJournal(JournalWriter(Journal()), self)
        self.predictions = Predictions(load, shelf, self)
        self.approver = Approver(self.store, self)
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
