"""What happens when Qt destroys an object, a dock or a window closes, or a moment has passed."""

from __future__ import annotations

from collections.abc import Callable
from weakref import ReferenceType, finalize, ref

from qtpy.QtCore import QEvent, QObject, QTimer, Signal
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QDockWidget, QMainWindow, QScrollArea, QWidget


def on_destroyed(watched: QObject, callback: Callable[..., object], *arguments: object) -> None:
    """Run a callback once when Qt destroys an object or Python collects it.

    It runs in whichever thread that happens. Neither it nor its arguments may lead back to the object.
    """
    # A function or a partial that is connected to `destroyed` is garbage together with its object. The collector may
    # empty it before Qt destroys the object and calls it, which is a segmentation fault. A finalizer is out of reach
    # of the collector until it was called.
    watched.destroyed.connect(finalize(watched, callback, *arguments))


def single_shot(parent: QObject | None, milliseconds: int, action: Callable[[], object]) -> QTimer:
    """Make a timer that runs an action once after its last start, and goes with its parent.

    superqt's debouncers may outlive the C++ half of the object whose method they call.
    """
    timer = QTimer(parent)
    timer.setSingleShot(True)
    timer.setInterval(milliseconds)
    timer.timeout.connect(action)
    return timer


class DockedWidget(QWidget):
    """What napari puts into a dock. `_open` and `_close` may be called more than once in a row."""

    def __init__(self) -> None:
        super().__init__()
        self._is_placed = False
        self._place_soon = single_shot(self, 0, self._place)

    def showEvent(self, event: QShowEvent | None) -> None:
        """Notice when napari shows a dock that it has opened."""
        super().showEvent(event)
        self._place_soon.start()

    def _place(self) -> None:
        """Stand behind a panel of ours that is open in the same column, which is too low for both; once."""
        dock: QWidget | None = self
        while dock is not None and not isinstance(dock, QDockWidget):
            dock = dock.parentWidget()
        window = None if dock is None else dock.parentWidget()
        if self._is_placed or dock is None or dock.isFloating() or not isinstance(window, QMainWindow):
            return
        # napari's theme has made our parts smaller meanwhile, but a dock only ever raises the minimum that it has.
        for part in (*self.findChildren(QScrollArea), self):
            part.updateGeometry()
        dock.setMinimumWidth(1)
        self._is_placed, area = True, window.dockWidgetArea(dock)
        for other in window.findChildren(QDockWidget):
            if other is not dock and window.dockWidgetArea(other) == area and other.findChild(DockedWidget) is not None:
                window.tabifyDockWidget(other, dock)
                dock.raise_()
                return

    def changeEvent(self, event: QEvent | None) -> None:
        """Notice when napari closes the dock, or opens it again."""
        # A closed dock gets no close event: napari takes its widget out, and that is all that can be seen of it.
        if event is not None and event.type() == QEvent.Type.ParentChange:
            self._is_placed = False
            (self._close if self.parent() is None else self._open)()
        super().changeEvent(event)

    def _open(self) -> None:
        raise NotImplementedError

    def _close(self) -> None:
        raise NotImplementedError


class WindowWatch(QObject):
    """Watches the main window that a widget is in.

    Signals
    -------
    closed()
        The window was closed, or hidden by the program; a minimised one is not.
    reopened()
    """

    closed = Signal()
    reopened = Signal()

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._known: ReferenceType[QMainWindow] | None = None  # weak: a closed viewer has to be collected

    def follow(self, widget: QWidget) -> None:
        """Watch the window that the widget is in now."""
        above: QWidget | None = widget
        while above is not None and not isinstance(above, QMainWindow):
            above = above.parentWidget()  # of a floating dock, too
        before = self._window
        if above is before:
            return
        if before is not None:
            before.removeEventFilter(self)
        self._known = None if above is None else ref(above)
        if above is not None:
            above.installEventFilter(self)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Follow the window's events without taking any."""
        if event is not None and watched is self._window and not event.spontaneous():
            if event.type() == QEvent.Type.Hide:
                self.closed.emit()
            elif event.type() == QEvent.Type.Show:
                self.reopened.emit()
        return False

    @property
    def _window(self) -> QMainWindow | None:
        return None if self._known is None else self._known()
