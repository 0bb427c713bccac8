"""A widget in napari's dock, which is told when its dock closes and when it opens again."""

from __future__ import annotations

from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QWidget


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
