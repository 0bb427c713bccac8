"""Tells when the window around a panel goes and comes: what is in a dock hears nothing of it, least of all in a tab."""

from __future__ import annotations

from weakref import ReferenceType, ref

from qtpy.QtCore import QEvent, QObject, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QMainWindow, QWidget


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
