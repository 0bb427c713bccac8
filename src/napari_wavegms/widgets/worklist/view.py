"""The worklist in the dock: how far the review is, which images are shown in which order, and their table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, cast

from qtpy.QtCore import QEvent, QItemSelectionModel, QModelIndex, QObject, QRect, QSize, Qt, Signal
from qtpy.QtGui import QColor, QFontMetrics, QKeyEvent, QPainter, QPalette, QResizeEvent
from qtpy.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QLineEdit,
    QProgressBar,
    QScrollBar,
    QSizePolicy,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from napari_wavegms.widgets.qt.controls import ChoiceList, WrappedLabel, fill
from napari_wavegms.widgets.qt.lifetime import single_shot
from napari_wavegms.widgets.thumbnails import SHOWN, Thumbnails, paint_picture, plane_of_file
from napari_wavegms.widgets.worklist.labels import (
    SORT_ORDER_HELP,
    STATE_COLOURS,
    STATE_FILTER_LABELS,
    counts_line,
    gone_sentence,
    nothing_shown,
    state_line,
)
from napari_wavegms.widgets.worklist.model import IMAGE, ITEM_ROLE, SCORE, SIZE, TIME, UNCERTAINTY, WorklistModel
from napari_wavegms.worklist.item import Item
from napari_wavegms.worklist.ordering import SORT_ORDERS, SortOrder, StateFilter
from napari_wavegms.worklist.worklist import Worklist

_SETTLED = 1500  # ms without a new score after which the rows are put in order
_REST = 200  # ms; a key that is held down runs past images without opening each
_EDGE, _GAP = 3, 8  # pixels
_ROOMY = 320  # pixels from which all columns are shown
_MIDDLE = 128  # between dark and light
ROW_HEIGHT = SHOWN + 2 * _EDGE
_WIDTHS = {UNCERTAINTY: 74, SCORE: 46, TIME: 48, SIZE: 84}
_HAS_VALUE: dict[int, Callable[[Item], bool]] = {
    SCORE: lambda item: item.score is not None,
    TIME: lambda item: item.seconds > 0,
    SIZE: lambda item: item.size is not None,
}
_BY_COLUMN: dict[int, SortOrder] = {
    IMAGE: "name",
    UNCERTAINTY: "least certain first",
    SCORE: "lowest score first",
    TIME: "longest first",
    SIZE: "largest first",
}
_ENTER = (Qt.Key.Key_Return, Qt.Key.Key_Enter)
_UP_DOWN = (Qt.Key.Key_Up, Qt.Key.Key_Down)
_MOVES = (*_UP_DOWN, Qt.Key.Key_PageUp, Qt.Key.Key_PageDown, Qt.Key.Key_Home, Qt.Key.Key_End)


class WorklistDelegate(QStyledItemDelegate):
    """Paints the cells of the first column."""

    def sizeHint(self, option: QStyleOptionViewItem, _index: QModelIndex) -> QSize:
        """All rows are equally high."""
        return QSize(option.rect.width(), ROW_HEIGHT)

    def paint(self, painter: QPainter | None, option: QStyleOptionViewItem, index: QModelIndex) -> None:
        """Paint one cell: the thumbnail, and beside it the name above the state."""
        if painter is None:
            return
        item: Item = index.data(ITEM_ROLE)
        style = cast("QStyle", option.widget.style())
        style.drawPrimitive(QStyle.PrimitiveElement.PE_PanelItemViewItem, option, painter, option.widget)
        painter.save()
        square = QRect(option.rect.left() + _EDGE, option.rect.top() + _EDGE, SHOWN, SHOWN)
        paint_picture(painter, square, index.data(Qt.ItemDataRole.DecorationRole))
        upper = option.rect.adjusted(SHOWN + _EDGE + _GAP, _EDGE + 2, -_EDGE, -_EDGE - 2)
        lower = upper.adjusted(0, upper.height() // 2, 0, 0)
        upper.setBottom(lower.top() - 1)
        ink = option.palette.color(QPalette.ColorRole.Text)
        selected = bool(option.state & QStyle.StateFlag.State_Selected)
        # The end of a name tells it from its neighbours as often as its beginning.
        for text, place, colour, elided in (
            (item.name, upper, ink, Qt.TextElideMode.ElideMiddle),
            (state_line(item), lower, ink if selected else _state_colour(item, ink), Qt.TextElideMode.ElideRight),
        ):
            painter.setPen(colour)
            line = QFontMetrics(painter.font()).elidedText(text, elided, place.width())
            painter.drawText(place, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, line)
        painter.restore()


def _state_colour(item: Item, ink: QColor) -> QColor:
    if item.state not in STATE_COLOURS:
        return QColor(ink.red(), ink.green(), ink.blue(), 165)
    colour = QColor(STATE_COLOURS[item.state])
    # Where the ink is dark, the ground is light, and a colour made for dark ground could not be read.
    return colour.darker(190) if ink.lightness() < _MIDDLE else colour


class WorklistTable(QTableView):
    """Shows a `WorklistModel`."""

    opened = Signal(str)  # the key of an item, by a click, Enter, or on a row that the arrow keys rest on
    typed = Signal(str)  # a letter, which is meant for the search
    title_clicked = Signal(int)  # of a column

    def __init__(self, model: WorklistModel) -> None:
        super().__init__()
        self._model = model
        self.setModel(model)
        self.setItemDelegateForColumn(IMAGE, WorklistDelegate(self))
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setShowGrid(False)
        self.setTabKeyNavigation(False)  # Tab goes on to the buttons
        self.setWordWrap(False)
        self._set_headers()
        self._empty = QLabel()
        self._empty.setWordWrap(True)
        self._empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        QVBoxLayout(self._area).addWidget(self._empty)
        self._rest = single_shot(self, _REST, self._open_where_keys_rest)
        self.clicked.connect(self._open)

    @property
    def key(self) -> str | None:
        """The key of the selected row's item."""
        index = self.currentIndex()
        return self._model.keys[index.row()] if index.isValid() else None

    def select(self, key: str | None) -> None:
        """Select a row without a signal, and scroll to it; none where the item is not shown."""
        self._rest.stop()
        row, selection = self._model.row_of(key), cast("QItemSelectionModel", self.selectionModel())
        if row is None:
            selection.clear()
            return
        flags = QItemSelectionModel.SelectionFlag.ClearAndSelect | QItemSelectionModel.SelectionFlag.Rows
        index = self._model.index(row, IMAGE)
        selection.setCurrentIndex(index, flags)
        self.scrollTo(index)

    @property
    def is_in_use(self) -> bool:
        """Whether a person is about to choose a row."""
        return bool(self.hasFocus() or self._area.underMouse())

    def set_empty(self, sentence: str) -> None:
        """Show a sentence instead of rows; nothing for an empty one."""
        self._empty.setText(sentence)
        self._empty.setVisible(bool(sentence))

    def place_of(self, key: str | None) -> int | None:
        """Distance of a row from the upper edge, in pixels; None where it is not in sight."""
        row = self._model.row_of(key)
        top = -ROW_HEIGHT if row is None else self.rowViewportPosition(row)
        return top if -ROW_HEIGHT < top < self._area.height() else None

    def put(self, key: str | None, place: int) -> None:
        """Scroll so that a row has this distance from the upper edge."""
        row = self._model.row_of(key)
        if row is not None:
            self.updateGeometries()  # after a reset Qt would learn the new length later
            cast("QScrollBar", self.verticalScrollBar()).setValue(row * ROW_HEIGHT - place)

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Open with Enter and where the arrow keys rest; hand letters to the search."""
        if event is None:
            return
        beside_shift = ~(Qt.KeyboardModifier.ShiftModifier | Qt.KeyboardModifier.KeypadModifier)
        if event.key() in _ENTER:
            self._open(self.currentIndex())
        elif event.key() in _MOVES:
            super().keyPressEvent(event)
            self._rest.start()
        elif event.text().strip() and event.text().isprintable() and not event.modifiers() & beside_shift:
            self.typed.emit(event.text())
        else:
            event.ignore()  # napari's, or somebody else's

    @property
    def _area(self) -> QWidget:
        return cast("QWidget", self.viewport())

    def _set_headers(self) -> None:
        rows, columns = cast("QHeaderView", self.verticalHeader()), cast("QHeaderView", self.horizontalHeader())
        rows.hide()
        rows.setMinimumSectionSize(ROW_HEIGHT)
        rows.setDefaultSectionSize(ROW_HEIGHT)
        for header in (rows, columns):
            header.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        columns.setSectionsClickable(True)
        columns.sectionClicked.connect(self.title_clicked)
        columns.setHighlightSections(False)
        columns.setMinimumSectionSize(40)
        columns.setSectionResizeMode(IMAGE, QHeaderView.ResizeMode.Stretch)
        for column, width in _WIDTHS.items():
            columns.resizeSection(column, width)

    def _open_where_keys_rest(self) -> None:
        if self.key != self._model.current:
            self._open(self.currentIndex())

    def _open(self, index: QModelIndex) -> None:
        self._rest.stop()
        if index.isValid():
            self.opened.emit(self._model.keys[index.row()])


def _plane_of(open_planes: Mapping[str, Callable[[], Any]], item: Item) -> Any:
    """What stands for an image in the list; called in the background."""
    return open_planes[item.key]() if item.key in open_planes else plane_of_file(item)


class WorklistView(QWidget):
    """The images of a review; a person chooses, the coordinator opens."""

    item_chosen = Signal(str)  # the key of an image that a person wants to see; whoever shows it calls `go_to`
    order_changed = Signal()  # the rows are others or stand in another order: another image may come next

    def __init__(self) -> None:
        super().__init__()
        self.open_planes: dict[
            str, Callable[[], Any]
        ] = {}  # by key, what reads an open layer's plane for its thumbnail
        self.model = WorklistModel(Thumbnails(partial(_plane_of, self.open_planes), self), self)
        self.table = WorklistTable(self.model)
        self._counts, self._bar, self._notes = QLabel(), QProgressBar(), WrappedLabel()
        self._order, self._show, self._search = ChoiceList(), ChoiceList(), QLineEdit()
        self._settled = single_shot(self, _SETTLED, self._arrange_unless_in_use)
        self._lay_out()
        self._order.chosen.connect(self._arrange)
        self._show.chosen.connect(self._arrange)
        self._counts.linkActivated.connect(lambda state_filter: self.choose(state_filter=state_filter))
        self._search.textChanged.connect(self._arrange)
        self._search.returnPressed.connect(self._open_first)
        self._search.installEventFilter(self)
        self.table.opened.connect(self.item_chosen)
        self.table.typed.connect(self._type)
        self.table.title_clicked.connect(self._sort_by_column)
        self.model.listed.connect(self._on_list)
        self.model.changed.connect(self._on_change)
        self.model.arranged.connect(self._after_arranging)
        self.choose()
        self._on_list()
        self._on_change()

    @property
    def worklist(self) -> Worklist | None:
        """The list that is shown."""
        return self.model.worklist

    def set_worklist(self, worklist: Worklist | None) -> None:
        """Show another list, or none."""
        self._search.clear()
        self.model.set_worklist(worklist)

    def go_to(self, key: str) -> None:
        """Note and show that an image is on screen now, see `WorklistModel.go_to`."""
        self.model.go_to(key)
        self.table.select(key)
        self._show_if_empty()

    def choose(self, order: SortOrder | None = None, state_filter: StateFilter | None = None) -> None:
        """Choose the order and what is shown, as a person does."""
        self._order.set_choices(
            [(each, each) for each in SORT_ORDERS], order or self.model.order, list(SORT_ORDER_HELP.values())
        )
        self._show.set_choices(
            [(words, each) for each, words in STATE_FILTER_LABELS.items()], state_filter or self.model.state_filter
        )
        self._arrange()

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Leave columns out where there is little room."""
        super().resizeEvent(event)
        self._show_columns()

    def changeEvent(self, event: QEvent | None) -> None:
        """Draw the links in the text colour of another theme."""
        super().changeEvent(event)
        if event is not None and event.type() in (QEvent.Type.StyleChange, QEvent.Type.PaletteChange):
            self._show_counts()

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """In the search, Down goes to the rows and Escape ends the search."""
        if isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress and watched is self._search:
            if event.key() in _UP_DOWN:
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
        self._show.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)  # words of ours, all of them short
        self._search.setPlaceholderText("Find by name")
        self._search.setClearButtonEnabled(True)
        self._search.setToolTip(
            "Type part of a name; press Enter to open the first match. Letters typed in the list go here."
        )
        order, found = fill(QHBoxLayout(), QLabel("Order"), self._order), fill(QHBoxLayout(), self._search, self._show)
        order.setStretch(1, 1)
        found.setStretch(0, 1)
        names = {"Order": self._order, "Show": self._show, "Find": self._search, "Images": self.table}
        for name, part in names.items():
            part.setAccessibleName(name)
        column = fill(QVBoxLayout(self), self._counts, self._bar, order, found, self.table, self._notes, spacing=5)
        column.setStretchFactor(self.table, 1)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)

    def _arrange(self) -> None:
        place = self.table.place_of(self.model.current)
        self.model.arrange(self._order.value, self._show.value, self._search.text())
        if place is not None:
            self.table.put(self.model.current, place)
        self._show_if_empty()

    def _arrange_unless_in_use(self) -> None:
        """Sort by new scores, unless a person is about to choose a row."""
        if self.table.is_in_use:
            self._settled.start()
        else:
            self._arrange()

    def _after_arranging(self) -> None:
        self.table.select(self.model.current)
        self._show_if_empty()
        self.order_changed.emit()

    def _sort_by_column(self, column: int) -> None:
        order = _BY_COLUMN[column]
        self.choose("folder order" if order == self.model.order else order)

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
        for column in _HAS_VALUE:
            self.table.setColumnHidden(column, True)
        worklist = self.model.worklist
        sentences = () if worklist is None else (gone_sentence(worklist.gone), *worklist.warnings, *worklist.left_out)
        self._notes.say(" ".join(filter(None, sentences)))

    def _on_change(self) -> None:
        self._show_columns()
        self._show_counts()
        self._settled.start()

    def _show_columns(self) -> None:
        """Show a column from its first value on, where there is room: it takes it from the names."""
        has_room = self.width() >= _ROOMY
        for column, has_value in _HAS_VALUE.items():
            if self.table.isColumnHidden(column) or not has_room:
                self.table.setColumnHidden(column, not (has_room and any(map(has_value, self.model.items()))))

    def _show_counts(self) -> None:
        counts = self.model.counts
        approved, total = counts["approved"], sum(counts.values())
        self._counts.setText(counts_line(counts, self.palette().windowText().color().name()))
        self._bar.setMaximum(max(1, total))
        self._bar.setValue(approved)
        self._bar.setToolTip(f"{approved:,} of {total:,} approved")

    def _show_if_empty(self) -> None:
        model = self.model
        self.table.set_empty(
            "" if model.rowCount() else nothing_shown(model.counts, model.state_filter, self._search.text())
        )
