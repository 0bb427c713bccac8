"""The worklist in the dock: how far the review is, which images are shown in which order, and their table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from qtpy.QtCore import QEvent, QObject, Qt, QTimer, Signal
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QHBoxLayout, QLabel, QLineEdit, QProgressBar, QSizePolicy, QVBoxLayout, QWidget

from napari_wavegms.widgets.qt.combo_box import ChoiceList
from napari_wavegms.widgets.qt.wrapped_label import WrappedLabel
from napari_wavegms.widgets.thumbnails import ReadPlane, Thumbnails, plane_of_file
from napari_wavegms.widgets.worklist.labels import HOW_HELP, SHOW_WORDS, counts_line, gone_sentence, nothing_shown
from napari_wavegms.widgets.worklist.model import IMAGE, SCORE, TIME, UNCERTAINTY, WorklistModel
from napari_wavegms.widgets.worklist.table import WorklistTable
from napari_wavegms.worklist.item import Item
from napari_wavegms.worklist.ordering import HOWS, Show, SortOrder
from napari_wavegms.worklist.worklist import Difference, Worklist

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
        A person wants to see an item: its key. Whoever shows it then calls `go_to`.
    order_changed()
        The rows are others or stand in another order: what comes next may be another image.

    Parameters
    ----------
    read : callable, optional
        Gives the plane of an item for its small picture, in a thread in the background; reads its file by default.
    """

    item_chosen = Signal(str)
    order_changed = Signal()

    def __init__(self, read: ReadPlane = plane_of_file, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.model = WorklistModel(Thumbnails(read, self), self)
        self.table = WorklistTable(self.model)
        self._counts = QLabel()
        self._bar = QProgressBar()
        self._order = ChoiceList()
        self._show = ChoiceList()
        self._search = QLineEdit()
        self._notes = WrappedLabel()
        self._settled = QTimer(self)
        self._fill_choices()
        self._lay_out()
        self._connect()
        self._tell_counts()
        self._tell_empty()
        self._tell_list()

    @property
    def worklist(self) -> Worklist | None:
        """The list that is shown."""
        return self.model.worklist

    @property
    def current(self) -> str | None:
        """The key of the image that is looked at."""
        return self.model.current

    @property
    def how(self) -> SortOrder:
        """In which order the images come."""
        return self.model.how

    @property
    def show_what(self) -> Show:
        """Which images are shown."""
        return self.model.show

    def set_worklist(self, worklist: Worklist | None) -> None:
        """Show another list, or none; `current` says where it was left."""
        self._settled.stop()
        self._search.clear()
        self.model.set_worklist(worklist)
        self._tell_list()

    def go_to(self, key: str) -> None:
        """Note and show that an image is on the screen now.

        Raises
        ------
        InputError
            If there is no such image, or the disk refuses.
        """
        self.model.go_to(key)
        self.table.select(key)
        self._tell_empty()

    def next_key(self) -> str | None:
        """Give the image that *Next* shows, by what is known now; None where there is no other."""
        return self.model.next_key()

    def previous_key(self) -> str | None:
        """Give the image that *Previous* shows; None where there is no other."""
        return self.model.previous_key()

    def upcoming(self, count: int) -> list[str]:
        """Give the next images, to be predicted before they are asked for."""
        return self.model.upcoming(count)

    def set_item(self, key: str, **changes: Any) -> None:
        """Note and show what became of an image, see `Worklist.set`.

        Raises
        ------
        InputError
            If a value does not fit, or the disk refuses.
        """
        self.set_items({key: changes})

    def set_items(self, changes: Mapping[str, Mapping[str, Any]]) -> None:
        """Note and show what became of several images; what a model says of many comes in one go.

        Raises
        ------
        InputError
            If a value does not fit, or the disk refuses.
        """
        changed = self.model.set_items(changes)
        self._find_columns(changed, anew=False)
        self._settled.start()

    def identify(self, key: str, content: str) -> Item:
        """Tell what pixels an image was found to have; gives the item, which is to do again if they are others.

        Raises
        ------
        InputError
            If the disk refuses.
        """
        return self.model.identify(key, content)

    def refresh(self) -> Difference:
        """Look again which files are there, and what other windows have noted.

        Raises
        ------
        InputError
            If the folder cannot be read, or no image is left in it.
        """
        found = self.model.refresh()
        self._tell_list()
        return found

    def choose(self, how: SortOrder | None = None, show: Show | None = None) -> None:
        """Choose the order and what is shown, as a person does."""
        self._order.set_choices([(each, each) for each in HOWS], how or self.how)
        self._show.set_choices([(words, each) for each, words in SHOW_WORDS.items()], show or self.show_what)
        self._arrange()

    def changeEvent(self, event: QEvent | None) -> None:
        """Write the links in the ink of another theme."""
        super().changeEvent(event)
        if event is not None and event.type() in (QEvent.Type.StyleChange, QEvent.Type.PaletteChange):
            self._tell_counts()

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

    def _fill_choices(self) -> None:
        self._order.set_choices([(how, how) for how in HOWS], self.model.how, list(HOW_HELP.values()))
        self._show.set_choices([(words, show) for show, words in SHOW_WORDS.items()], self.model.show)
        self._show.setMinimumContentsLength(4)  # the other one has the longer words
        self._search.setPlaceholderText("find by name")
        self._search.setClearButtonEnabled(True)
        self._search.setToolTip(
            "Type a part of a name; Enter opens the first image found. Letters typed in the list land here."
        )
        self._settled.setSingleShot(True)
        self._settled.setInterval(_SETTLED)
        for widget, name in (
            (self._order, "order"),
            (self._show, "show"),
            (self._search, "find"),
            (self.table, "images"),
        ):
            widget.setAccessibleName(name)

    def _lay_out(self) -> None:
        self._counts.setWordWrap(True)
        self._counts.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self._counts.setTextInteractionFlags(Qt.TextInteractionFlag.LinksAccessibleByMouse)
        self._counts.setToolTip("Press a number to show these images.")
        self._bar.setTextVisible(False)
        self._bar.setMaximumHeight(6)
        choices = QHBoxLayout()
        choices.addWidget(QLabel("order"))
        choices.addWidget(self._order, 5)
        choices.addWidget(QLabel("show"))
        choices.addWidget(self._show, 3)
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

    def _connect(self) -> None:
        self._order.chosen.connect(self._arrange)
        self._show.chosen.connect(self._arrange)
        self._counts.linkActivated.connect(self._show_linked)
        self._search.textChanged.connect(self._arrange)
        self._search.returnPressed.connect(self._open_first)
        self._search.installEventFilter(self)
        self._settled.timeout.connect(self._arrange_quietly)
        self.table.opened.connect(self.item_chosen)
        self.table.typed.connect(self._type)
        header = self.table.horizontalHeader()
        if header is not None:
            header.sectionClicked.connect(self._sort_by_column)
        self.model.counts_changed.connect(self._tell_counts)
        self.model.arranged.connect(self._after_arranging)

    def _arrange(self) -> None:
        place = self.table.place_of(self.current)
        self.model.arrange(self._order.value, self._show.value, self._search.text())
        if place is not None:
            self.table.put(self.current, place)
        self._tell_empty()

    def _arrange_quietly(self) -> None:
        """Put new scores in order, unless a person is about to choose a row."""
        viewport = self.table.viewport()
        if self.table.hasFocus() or (viewport is not None and viewport.underMouse()):
            self._settled.start()
        else:
            self._arrange()

    def _after_arranging(self) -> None:
        self.table.select(self.current)
        self._tell_empty()
        self.order_changed.emit()

    def _show_linked(self, show: str) -> None:
        self.choose(show=cast("Show", show))

    def _sort_by_column(self, column: int) -> None:
        how = _BY_COLUMN[column]
        self.choose(how="folder order" if how == self.how else how)

    def _type(self, letters: str) -> None:
        self._search.setFocus()
        self._search.insert(letters)

    def _go_to_rows(self) -> None:
        if self.model.rowCount():
            self.table.setFocus()
            if self.table.key is None:
                self.table.select(self.model.key_at(0))

    def _open_first(self) -> None:
        if self.model.rowCount():
            self.item_chosen.emit(self.model.key_at(0))

    def _tell_counts(self) -> None:
        counts = self.model.counts
        self._counts.setText(counts_line(counts, self.palette().windowText().color().name()))
        self._bar.setMaximum(max(1, sum(counts.values())))
        self._bar.setValue(counts["approved"])
        self._bar.setToolTip(f"{counts['approved']:,} of {sum(counts.values()):,} approved")

    def _find_columns(self, items: Sequence[Item], anew: bool) -> None:
        """Show a column from its first value on; an empty one would only take room from the names."""
        hidden = {SCORE: all(item.score is None for item in items), TIME: not any(item.seconds for item in items)}
        for column, is_empty in hidden.items():
            if anew or not is_empty:
                self.table.setColumnHidden(column, is_empty)

    def _tell_empty(self) -> None:
        empty = not self.model.rowCount()
        self.table.say_empty(nothing_shown(self.model.counts, self.show_what, self._search.text()) if empty else "")

    def _tell_list(self) -> None:
        worklist = self.worklist
        self._find_columns(() if worklist is None else worklist.items(), anew=True)
        sentences = () if worklist is None else (gone_sentence(worklist.gone), *worklist.warnings)
        self._notes.say(" ".join(filter(None, sentences)))
