"""The worklist in the dock: how far the review is, which images are shown in which order, and their table."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject, Qt, Signal
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QHBoxLayout, QLabel, QLineEdit, QProgressBar, QSizePolicy, QVBoxLayout, QWidget

from napari_wavegms.widgets.qt.combo_box import ChoiceList
from napari_wavegms.widgets.qt.lifetime import single_shot
from napari_wavegms.widgets.qt.wrapped_label import WrappedLabel
from napari_wavegms.widgets.thumbnails import Thumbnails, plane_of_file
from napari_wavegms.widgets.worklist.labels import HOW_HELP, SHOW_WORDS, counts_line, gone_sentence, nothing_shown
from napari_wavegms.widgets.worklist.model import IMAGE, SCORE, TIME, UNCERTAINTY, WorklistModel
from napari_wavegms.widgets.worklist.table import WorklistTable
from napari_wavegms.worklist.ordering import SORT_ORDERS, SortOrder, StateFilter
from napari_wavegms.worklist.worklist import Worklist

_SETTLED = 1500  # ms without a new score after which the rows are put in order
_BY_COLUMN: dict[int, SortOrder] = {
    IMAGE: "name",
    UNCERTAINTY: "least certain first",
    SCORE: "lowest score first",
    TIME: "longest first",
}


class WorklistView(QWidget):
    """The images of a review; a person chooses, the coordinator opens.

    Signals
    -------
    item_chosen(str)
        A person wants to see an image: its key. Whoever shows it then calls `go_to`.
    order_changed()
        The rows are others or stand in another order: what comes next may be another image.

    Attributes
    ----------
    model : WorklistModel
    table : WorklistTable
    """

    item_chosen = Signal(str)
    order_changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.model = WorklistModel(Thumbnails(plane_of_file, self), self)
        self.table = WorklistTable(self.model)
        self._counts = QLabel()
        self._bar = QProgressBar()
        self._order = ChoiceList()
        self._show = ChoiceList()
        self._search = QLineEdit()
        self._notes = WrappedLabel()
        self._settled = single_shot(self, _SETTLED, self._arrange_unless_in_use)
        self._lay_out()
        self._connect()
        self.choose()
        self._on_list()
        self._on_change()

    def set_worklist(self, worklist: Worklist | None) -> None:
        """Show another list, or none."""
        self._search.clear()
        self.model.set_worklist(worklist)

    def go_to(self, key: str) -> None:
        """Note and show that an image is on screen now, see `WorklistModel.go_to`."""
        self.model.go_to(key)
        self.table.select(key)
        self._show_if_empty()

    def choose(self, how: SortOrder | None = None, show: StateFilter | None = None) -> None:
        """Choose the order and what is shown, as a person does."""
        self._order.set_choices([(each, each) for each in SORT_ORDERS], how or self.model.how, list(HOW_HELP.values()))
        self._show.set_choices([(words, each) for each, words in SHOW_WORDS.items()], show or self.model.show)
        self._arrange()

    def changeEvent(self, event: QEvent | None) -> None:
        """Draw the links in the text colour of another theme."""
        super().changeEvent(event)
        if event is not None and event.type() in (QEvent.Type.StyleChange, QEvent.Type.PaletteChange):
            self._show_counts()

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """In the search, Down goes to the rows and Escape ends the search."""
        if isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress and watched is self._search:
            if event.key() in (Qt.Key.Key_Down, Qt.Key.Key_Up):
                self._go_to_rows()
                return True
            if event.key() == Qt.Key.Key_Escape and self._search.text():
                self._search.clear()
                return True
        return super().eventFilter(watched, event)

    def _lay_out(self) -> None:
        self._counts.setWordWrap(True)
        self._counts.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self._counts.setTextInteractionFlags(Qt.TextInteractionFlag.LinksAccessibleByMouse)
        self._counts.setToolTip("Click a number to show these images.")
        self._bar.setTextVisible(False)
        self._bar.setMaximumHeight(6)
        self._show.setMinimumContentsLength(4)  # the other one has the longer words
        self._search.setPlaceholderText("Find by name")
        self._search.setClearButtonEnabled(True)
        self._search.setToolTip(
            "Type part of a name; press Enter to open the first match. Letters typed in the list go here."
        )
        choices = QHBoxLayout()
        for label, choice, stretch in (("Order", self._order, 5), ("Show", self._show, 3)):
            choices.addWidget(QLabel(label))
            choices.addWidget(choice, stretch)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(5)
        column.addWidget(self._counts)
        column.addWidget(self._bar)
        column.addLayout(choices)
        column.addWidget(self._search)
        column.addWidget(self.table, 1)
        column.addWidget(self._notes)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        names = ((self._order, "Order"), (self._show, "Show"), (self._search, "Find"), (self.table, "Images"))
        for widget, name in names:
            widget.setAccessibleName(name)

    def _connect(self) -> None:
        self._order.chosen.connect(self._arrange)
        self._show.chosen.connect(self._arrange)
        self._counts.linkActivated.connect(lambda show: self.choose(show=show))
        self._search.textChanged.connect(self._arrange)
        self._search.returnPressed.connect(self._open_first)
        self._search.installEventFilter(self)
        self.table.opened.connect(self.item_chosen)
        self.table.typed.connect(self._type)
        self.table.title_clicked.connect(self._sort_by_column)
        self.model.listed.connect(self._on_list)
        self.model.changed.connect(self._on_change)
        self.model.arranged.connect(self._after_arranging)

    def _arrange(self) -> None:
        place = self.table.place_of(self.model.current)
        self.model.arrange(self._order.value, self._show.value, self._search.text())
        if place is not None:
            self.table.put(self.model.current, place)
        self._show_if_empty()

    def _arrange_unless_in_use(self) -> None:
        """Sort by new scores, unless a person is about to choose a row."""
        if self.table.hasFocus() or self.table.is_under_mouse:
            self._settled.start()
        else:
            self._arrange()

    def _after_arranging(self) -> None:
        self.table.select(self.model.current)
        self._show_if_empty()
        self.order_changed.emit()

    def _sort_by_column(self, column: int) -> None:
        how = _BY_COLUMN[column]
        self.choose(how="folder order" if how == self.model.how else how)

    def _type(self, letters: str) -> None:
        self._search.setFocus()
        self._search.insert(letters)

    def _go_to_rows(self) -> None:
        if self.model.rowCount():
            self.table.setFocus()
            if self.table.key is None:
                self.table.select(self.model.keys[0])

    def _open_first(self) -> None:
        if self.model.rowCount():
            self.item_chosen.emit(self.model.keys[0])

    def _on_list(self) -> None:
        for column in (SCORE, TIME):
            self.table.setColumnHidden(column, True)
        worklist = self.model.worklist
        sentences = () if worklist is None else (gone_sentence(worklist.gone), *worklist.warnings)
        self._notes.say(" ".join(filter(None, sentences)))

    def _on_change(self) -> None:
        # A column comes with its first value; an empty one would only take room from the names.
        if any(item.score is not None for item in self.model.items()):
            self.table.setColumnHidden(SCORE, False)
        if any(item.seconds for item in self.model.items()):
            self.table.setColumnHidden(TIME, False)
        self._show_counts()
        self._settled.start()

    def _show_counts(self) -> None:
        counts = self.model.counts
        approved, total = counts["approved"], sum(counts.values())
        self._counts.setText(counts_line(counts, self.palette().windowText().color().name()))
        self._bar.setMaximum(max(1, total))
        self._bar.setValue(approved)
        self._bar.setToolTip(f"{approved:,} of {total:,} approved")

    def _show_if_empty(self) -> None:
        model = self.model
        self.table.set_empty("" if model.rowCount() else nothing_shown(model.counts, model.show, self._search.text()))
