"""The table that shows the worklist, and how its cells are drawn."""

from __future__ import annotations

from typing import cast

from qtpy.QtCore import QItemSelectionModel, QModelIndex, QRect, QSize, Qt, Signal
from qtpy.QtGui import QColor, QFontMetrics, QKeyEvent, QPainter, QPalette
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QLabel,
    QScrollBar,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from napari_wavegms.widgets.qt.lifetime import single_shot
from napari_wavegms.widgets.thumbnails import SHOWN, paint_picture
from napari_wavegms.widgets.worklist.labels import STATE_COLOURS, state_line
from napari_wavegms.widgets.worklist.model import IMAGE, ITEM_ROLE, SCORE, TIME, UNCERTAINTY, WorklistModel
from napari_wavegms.worklist.item import Item

_EDGE, _GAP = 3, 8  # pixels
_MIDDLE = 128  # between dark and light
ROW_HEIGHT = SHOWN + 2 * _EDGE


class WorklistDelegate(QStyledItemDelegate):
    """Paints the cells of the first column."""

    def sizeHint(self, option: QStyleOptionViewItem, _index: QModelIndex) -> QSize:
        """All rows are equally high."""
        return QSize(option.rect.width(), ROW_HEIGHT)

    def paint(self, painter: QPainter | None, option: QStyleOptionViewItem, index: QModelIndex) -> None:
        """Paint one cell."""
        if painter is None:
            return
        item: Item = index.data(ITEM_ROLE)
        style = cast("QStyle", option.widget.style())
        style.drawPrimitive(QStyle.PrimitiveElement.PE_PanelItemViewItem, option, painter, option.widget)
        painter.save()
        square = QRect(option.rect.left() + _EDGE, option.rect.top() + _EDGE, SHOWN, SHOWN)
        paint_picture(painter, square, index.data(Qt.ItemDataRole.DecorationRole))
        words = option.rect.adjusted(SHOWN + _EDGE + _GAP, _EDGE + 2, -_EDGE, -_EDGE - 2)
        ink = option.palette.color(QPalette.ColorRole.Text)
        selected = bool(option.state & QStyle.StateFlag.State_Selected)
        _paint_words(painter, words, item, ink, ink if selected else _state_colour(item, ink))
        painter.restore()


def _paint_words(painter: QPainter, place: QRect, item: Item, ink: QColor, second: QColor) -> None:
    upper, lower = QRect(place), QRect(place)
    upper.setBottom(place.center().y())
    lower.setTop(place.center().y() + 1)
    font = painter.font()
    metrics = QFontMetrics(font)
    left = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
    painter.setPen(ink)
    # The end of a name tells it from its neighbours as often as its beginning.
    painter.drawText(upper, left, metrics.elidedText(item.name, Qt.TextElideMode.ElideMiddle, upper.width()))
    painter.setPen(second)
    painter.drawText(lower, left, metrics.elidedText(state_line(item), Qt.TextElideMode.ElideRight, lower.width()))


def _state_colour(item: Item, ink: QColor) -> QColor:
    if item.state not in STATE_COLOURS:
        faint = QColor(ink)
        faint.setAlpha(165)
        return faint
    colour = QColor(STATE_COLOURS[item.state])
    # Where the ink is dark, the ground is light, and a colour made for dark ground could not be read.
    return colour.darker(190) if ink.lightness() < _MIDDLE else colour


_WIDTHS = {UNCERTAINTY: 74, SCORE: 46, TIME: 48}

_REST = 200  # ms; a key that is held down runs past images without opening each

_MOVES = (
    Qt.Key.Key_Up,
    Qt.Key.Key_Down,
    Qt.Key.Key_PageUp,
    Qt.Key.Key_PageDown,
    Qt.Key.Key_Home,
    Qt.Key.Key_End,
)


class WorklistTable(QTableView):
    """Shows a `WorklistModel`.

    Signals
    -------
    opened(str)
        A person opens an image: the key of its item, from a click, Enter, or a row that the arrow keys rest on.
    typed(str)
        A person types a letter, which is meant for the search.
    title_clicked(int)
        The title of a column was clicked.
    """

    opened = Signal(str)
    typed = Signal(str)
    title_clicked = Signal(int)

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
    def is_under_mouse(self) -> bool:
        """Whether the mouse is over the rows."""
        return self._area.underMouse()

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
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self._open(self.currentIndex())
        elif event.key() in _MOVES:
            super().keyPressEvent(event)
            self._rest.start()
        elif event.text().strip() and event.text().isprintable() and not _is_shortcut(event):
            self.typed.emit(event.text())
        else:
            event.ignore()  # napari's, or somebody else's

    @property
    def _area(self) -> QWidget:
        return cast("QWidget", self.viewport())

    def _set_headers(self) -> None:
        rows, columns = cast("QHeaderView", self.verticalHeader()), cast("QHeaderView", self.horizontalHeader())
        rows.hide()
        rows.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        rows.setMinimumSectionSize(ROW_HEIGHT)
        rows.setDefaultSectionSize(ROW_HEIGHT)
        columns.setSectionsClickable(True)
        columns.sectionClicked.connect(self.title_clicked)
        columns.setHighlightSections(False)
        columns.setMinimumSectionSize(40)
        columns.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
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


def _is_shortcut(event: QKeyEvent) -> bool:
    held = event.modifiers() & ~(Qt.KeyboardModifier.ShiftModifier | Qt.KeyboardModifier.KeypadModifier)
    return held != Qt.KeyboardModifier.NoModifier
