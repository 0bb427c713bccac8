"""A panel that scrolls up and down where the window is low, and is never cut off sideways."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject, QSize, Qt
from qtpy.QtWidgets import QFrame, QScrollArea, QWidget


class ScrolledPanel(QScrollArea):
    """A vertical scroll area as wide as its panel needs, so that docks cannot be made narrower than that.

    Parameters
    ----------
    panel : QWidget
        What is shown.
    """

    def __init__(self, panel: QWidget) -> None:
        super().__init__()
        self._panel = panel
        self.setWidget(panel)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)

    def minimumSizeHint(self) -> QSize:
        """Qt's own hint, but as wide as the panel with a scroll bar beside it."""
        bar = self.verticalScrollBar()
        width = self._panel.minimumSizeHint().width() + (bar.sizeHint().width() if bar is not None else 0)
        return QSize(width, super().minimumSizeHint().height())

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Pass on that the panel's needs changed, as when napari's theme reaches it."""
        # QScrollArea watches its widget with this very filter, but tells its own parent nothing.
        if event is not None and event.type() == QEvent.Type.LayoutRequest:
            self.updateGeometry()
        return super().eventFilter(watched, event)
