"""The table of a worklist: rows of one height, and keys that open images without a mouse."""

from __future__ import annotations

from qtpy.QtCore import QItemSelectionModel, QModelIndex, Qt, QTimer, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QKeyEvent, QResizeEvent
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QLabel, QTableView, QWidget

from napari_wavegms.widgets.worklist_delegate import ROW_HEIGHT, WorklistDelegate
from napari_wavegms.widgets.worklist_model import IMAGE, SCORE, TIME, UNCERTAINTY, WorklistModel

_WIDTHS = {UNCERTAINTY: 54, SCORE: 44, TIME: 48}
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
        A person types a letter: what they want is the search.

    Parameters
    ----------
    model : WorklistModel
    """

    opened = Signal(str)
    typed = Signal(str)

    def __init__(self, model: WorklistModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
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
        self._empty = QLabel(self.viewport())
        self._empty.setWordWrap(True)
        self._empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._empty.hide()
        self._rest = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.setInterval(_REST)
        self._rest.timeout.connect(self._open_where_keys_rest)
        self.clicked.connect(self._open)

    @property
    def key(self) -> str | None:
        """The key of the selected row's item."""
        index = self.currentIndex()
        return self._model.key_at(index.row()) if index.isValid() else None

    def select(self, key: str | None) -> None:
        """Select a row, telling nobody, and bring it into sight; none where the item is not shown."""
        self._rest.stop()
        row = self._model.row_of(key)
        selection = self.selectionModel()
        if selection is None:
            return
        if row is None:
            selection.clear()
            return
        flags = QItemSelectionModel.SelectionFlag.ClearAndSelect | QItemSelectionModel.SelectionFlag.Rows
        index = self._model.index(row, IMAGE)
        selection.setCurrentIndex(index, flags)
        self.scrollTo(index)

    def say_empty(self, sentence: str) -> None:
        """Show a sentence instead of rows; nothing for an empty one."""
        self._empty.setText(sentence)
        self._empty.setVisible(bool(sentence))
        self._place_empty()

    def place_of(self, key: str | None) -> int | None:
        """Give how far below the upper edge a row stands, in pixels; None where it is not in sight."""
        row = self._model.row_of(key)
        viewport = self.viewport()
        if row is None or viewport is None:
            return None
        top = self.rowViewportPosition(row)
        return top if -ROW_HEIGHT < top < viewport.height() else None

    def put(self, key: str | None, place: int) -> None:
        """Scroll so that a row stands so far below the upper edge."""
        row, bar = self._model.row_of(key), self.verticalScrollBar()
        if row is not None and bar is not None:
            self.updateGeometries()  # after a reset Qt would learn the new length later
            bar.setValue(row * ROW_HEIGHT - place)

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

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Keep the sentence in the middle."""
        super().resizeEvent(event)
        self._place_empty()

    def _set_headers(self) -> None:
        rows, columns = self.verticalHeader(), self.horizontalHeader()
        if rows is None or columns is None:
            return
        rows.hide()
        rows.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        rows.setMinimumSectionSize(ROW_HEIGHT)
        rows.setDefaultSectionSize(ROW_HEIGHT)
        columns.setSectionsClickable(True)
        columns.setHighlightSections(False)
        columns.setMinimumSectionSize(40)
        columns.setSectionResizeMode(IMAGE, QHeaderView.ResizeMode.Stretch)
        for column, width in _WIDTHS.items():
            columns.setSectionResizeMode(column, QHeaderView.ResizeMode.Fixed)
            columns.resizeSection(column, width)

    def _place_empty(self) -> None:
        viewport = self.viewport()
        if viewport is not None:
            self._empty.setGeometry(viewport.rect().adjusted(16, 8, -16, -8))

    def _open_where_keys_rest(self) -> None:
        if self.key != self._model.current:
            self._open(self.currentIndex())

    def _open(self, index: QModelIndex) -> None:
        self._rest.stop()
        if index.isValid():
            self.opened.emit(self._model.key_at(index.row()))


def _is_shortcut(event: QKeyEvent) -> bool:
    held = event.modifiers() & ~(Qt.KeyboardModifier.ShiftModifier | Qt.KeyboardModifier.KeypadModifier)
    return held != Qt.KeyboardModifier.NoModifier
