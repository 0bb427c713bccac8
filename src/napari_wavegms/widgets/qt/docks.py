"""What napari puts into a dock, and what scrolls there where the window is low."""

from __future__ import annotations

from typing import TypeVar
from weakref import ReferenceType, ref

from qtpy.QtCore import QEvent, QObject, QSize, Qt
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QDockWidget, QFrame, QMainWindow, QScrollArea, QScrollBar, QWidget

from napari_wavegms.widgets.qt.lifetime import single_shot

Kind = TypeVar("Kind", bound=QWidget)


def enclosing(widget: QWidget, kind: type[Kind]) -> Kind | None:
    """The nearest widget of a kind that a widget is in; of a floating dock, its window too."""
    above = widget.parentWidget()
    while above is not None and not isinstance(above, kind):
        above = above.parentWidget()
    return above


class DockedWidget(QWidget):
    """Is opened and closed with its dock and with the window that it is in, maybe more than once in a row."""

    def __init__(self) -> None:
        super().__init__()
        self._is_placed = self._is_behind = False
        self._place_soon = single_shot(self, 0, self._place)
        self._watched: ReferenceType[QMainWindow] | None = None  # the window; weak: a closed viewer has to be collected

    def showEvent(self, event: QShowEvent | None) -> None:
        """Notice when napari shows a dock that it has opened."""
        super().showEvent(event)
        self._watch_window()  # a dock is put into its window after we are put into the dock
        self._place_soon.start()
        self._catch_up()

    def changeEvent(self, event: QEvent | None) -> None:
        """Notice when napari closes the dock, or opens it again."""
        # A closed dock gets no close event: napari takes its widget out, and that is all that can be seen of it.
        if event is not None and event.type() == QEvent.Type.ParentChange:
            self._is_placed = False
            if self.parent() is None:
                self._close()
            else:
                self._watch_window()
                self._open()
        super().changeEvent(event)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Notice when the window is closed or hidden by the program, and when it is back; a minimised one is not."""
        known = None if self._watched is None else self._watched()
        if event is not None and known is not None and watched is known and not event.spontaneous():
            if event.type() == QEvent.Type.Hide:
                self._close()
            elif event.type() == QEvent.Type.Show:
                self._open()
        return False

    def _watch_window(self) -> None:
        window, before = enclosing(self, QMainWindow), None if self._watched is None else self._watched()
        if window is before:
            return
        if before is not None:
            before.removeEventFilter(self)
        self._watched = None if window is None else ref(window)
        if window is not None:
            window.installEventFilter(self)

    def _place(self) -> None:
        """Stand behind a panel of ours that is open in the same column, which is too low for both; once."""
        dock, window = enclosing(self, QDockWidget), enclosing(self, QMainWindow)
        if self._is_placed or dock is None or dock.isFloating() or window is None:
            return
        # napari's theme has made our parts smaller meanwhile, but a dock only ever raises the minimum that it has.
        for part in (*self.findChildren(QScrollArea), self):
            part.updateGeometry()
        dock.setMinimumWidth(1)
        dock.visibilityChanged.connect(self._on_visibility)
        self._is_placed, area = True, window.dockWidgetArea(dock)
        for other in window.findChildren(QDockWidget):
            if other is not dock and window.dockWidgetArea(other) == area and other.findChild(DockedWidget) is not None:
                window.tabifyDockWidget(other, dock)
                dock.raise_()
                return

    def _on_visibility(self, is_seen: bool) -> None:
        """Catch up when our tab comes to the front, for which Qt sends no event: a dock behind others is not hidden."""
        was_behind, self._is_behind = self._is_behind, not is_seen
        if is_seen and was_behind:
            self._catch_up()

    def _open(self) -> None:
        raise NotImplementedError

    def _close(self) -> None:
        raise NotImplementedError

    def _catch_up(self) -> None:
        """Read what may have changed while the panel was out of sight."""


class ScrolledPanel(QScrollArea):
    """A vertical scroll area as wide as its panel needs, so that docks cannot be made narrower than that."""

    def __init__(self, panel: QWidget) -> None:
        super().__init__()
        self._panel = panel
        self._bar, sideways = QScrollBar(Qt.Orientation.Vertical), QScrollBar(Qt.Orientation.Horizontal)
        self.setVerticalScrollBar(self._bar)
        self.setHorizontalScrollBar(sideways)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setWidgetResizable(True)
        self.setWidget(panel)
        # There is something to scroll sideways once the panel needs more room, as when napari's theme reaches it.
        sideways.rangeChanged.connect(self._on_range)

    def minimumSizeHint(self) -> QSize:
        """Qt's own hint, but as wide as the panel with a scroll bar beside it."""
        width = self._panel.minimumSizeHint().width() + self._bar.sizeHint().width()
        return QSize(width, super().minimumSizeHint().height())

    def _on_range(self) -> None:
        self.updateGeometry()
