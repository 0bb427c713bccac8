"""A heading that unfolds what stands below it."""

from __future__ import annotations

from qtpy.QtCore import Qt, QTimer, Signal
from qtpy.QtWidgets import QToolButton, QVBoxLayout, QWidget


class Fold(QWidget):
    """Shows or hides a body under a heading.

    Parameters
    ----------
    title : str
    body : QWidget
    unfolded : bool

    Signals
    -------
    unfolded()
        The body was shown, and stands where it will stand.
    """

    unfolded = Signal()

    def __init__(self, title: str, body: QWidget, unfolded: bool = False, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._body = body
        self._heading = QToolButton()
        self._heading.setText(title)
        self._heading.setCheckable(True)
        self._heading.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self._heading.setStyleSheet("QToolButton { border: none; background: transparent; padding: 2px; }")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addWidget(self._heading)
        column.addWidget(body)
        self._heading.toggled.connect(self.unfold)
        self._settled = QTimer(self)
        self._settled.setSingleShot(True)
        self._settled.setInterval(0)
        self._settled.timeout.connect(self.unfolded)
        self.unfold(unfolded)

    def unfold(self, unfolded: bool) -> None:
        """Show or hide the body."""
        self._heading.setChecked(unfolded)
        self._heading.setArrowType(Qt.ArrowType.DownArrow if unfolded else Qt.ArrowType.RightArrow)
        self._body.setVisible(unfolded)
        if unfolded:
            self._settled.start()
