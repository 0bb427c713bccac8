"""A panel that scrolls up and down where the window is low, and is never cut off sideways."""

from __future__ import annotations

from qtpy.QtCore import QSize, Qt
from qtpy.QtWidgets import QFrame, QScrollArea, QScrollBar, QWidget


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
