"""A heading that unfolds what stands below it."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QToolButton, QVBoxLayout, QWidget

from napari_wavegms.widgets.qt.controls import fill
from napari_wavegms.widgets.qt.lifetime import single_shot


class Fold(QWidget):
    """Shows or hides a body under a heading.

    superqt's QCollapsible does not hide its content but makes it 0 pixels high, so that Tab goes on through fields that
    nobody sees, and it takes the focus frame away from its heading.
    """

    unfolded = Signal()  # the body is shown, and stands where it will stand

    def __init__(self, title: str, body: QWidget, unfolded: bool = False) -> None:
        super().__init__()
        self._body = body
        self._heading = QToolButton()
        self._heading.setText(title)
        self._heading.setCheckable(True)
        self._heading.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self._heading.setStyleSheet("QToolButton { border: none; background: transparent; padding: 2px; }")
        fill(QVBoxLayout(self), self._heading, body, spacing=2)
        self._settled = single_shot(self, 0, self.unfolded.emit)
        self._heading.toggled.connect(self.unfold)
        self.unfold(unfolded)

    def set_title(self, title: str) -> None:
        """Show another heading."""
        self._heading.setText(title)

    def unfold(self, unfolded: bool) -> None:
        """Show or hide the body."""
        self._heading.setChecked(unfolded)
        self._heading.setArrowType(Qt.ArrowType.DownArrow if unfolded else Qt.ArrowType.RightArrow)
        self._body.setVisible(unfolded)
        if unfolded:
            self._settled.start()
