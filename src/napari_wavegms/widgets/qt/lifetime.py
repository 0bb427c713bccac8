"""Run a callback when Qt destroys an object, when a dock closes, or when the window does."""

from __future__ import annotations

from collections.abc import Callable
from weakref import ReferenceType, finalize, ref

from qtpy.QtCore import QEvent, QObject, Signal
from qtpy.QtWidgets import QMainWindow, QWidget


def when_gone(watched: QObject, do: Callable[..., object], *arguments: object) -> None:
    """Call a function once, as soon as Qt destroys an object or Python collects it.

    Parameters
    ----------
    watched : QObject
    do : callable
        Called in whichever thread that happens; neither it nor its arguments may lead back to the object.
    *arguments
        What it is called with.
    """
    # A function or a partial that is connected to `destroyed` is garbage together with its object. The collector may
    # empty it before Qt destroys the object and calls it, which is a segmentation fault. A finalizer is out of reach
    # of the collector until it was called.
    watched.destroyed.connect(finalize(watched, do, *arguments))


class DockedWidget(QWidget):
    """What both panels' coordinators are; `_open` and `_close` may come more than once."""

    def event(self, event: QEvent | None) -> bool:
        """Notice when napari closes the dock, or opens it again."""
        # A closed dock gets no close event: napari takes its widget out, and that is all that can be seen of it.
        if event is not None and event.type() == QEvent.Type.ParentChange:
            if self.parent() is None:
                self._close()
            else:
                self._open()
        return super().event(event)

    def _open(self) -> None:
        raise NotImplementedError

    def _close(self) -> None:
        raise NotImplementedError


class WindowWatch(QObject):
    """Watches the main window that a widget is in.

    Signals
    -------
    gone()
        The window was closed or hidden by the program; one that is minimised is not gone.
    back()
        It is shown again.
    """

    gone = Signal()
    back = Signal()

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._known: ReferenceType[QMainWindow] | None = None  # weak: a viewer that was closed is to go

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
        """Hear of the window, and keep nothing from it."""
        if event is not None and watched is self._window and not event.spontaneous():
            if event.type() == QEvent.Type.Hide:
                self.gone.emit()
            elif event.type() == QEvent.Type.Show:
                self.back.emit()
        return False

    @property
    def _window(self) -> QMainWindow | None:
        return None if self._known is None else self._known()
