"""Buttons that tidy the mask, folded away until they are wanted."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QFrame, QGridLayout, QPushButton, QSpinBox, QToolButton, QVBoxLayout, QWidget

from napari_wavegms.widgets.clean_up import CleanUp


class CleanUpRow(QWidget):
    """A heading that unfolds into four buttons.

    Signals
    -------
    requested(CleanUp)
    """

    requested = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._heading = QToolButton()
        self._heading.setText("Clean up")
        self._heading.setCheckable(True)
        self._heading.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self._heading.setStyleSheet("QToolButton { border: none; background: transparent; padding: 2px; }")
        self._body = QFrame()
        self._smallest = QSpinBox()
        self._smallest.setRange(2, 1_000_000)
        self._smallest.setValue(50)
        self._smallest.setSuffix(" px")
        self._smallest.setButtonSymbols(QSpinBox.ButtonSymbols.NoButtons)
        self._smallest.setToolTip("Islands with fewer pixels than this are removed")
        self._buttons = self._fill()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addWidget(self._heading)
        column.addWidget(self._body)
        self._heading.toggled.connect(self.unfold)
        self.unfold(False)

    def unfold(self, unfolded: bool) -> None:
        """Show or hide the buttons."""
        self._heading.setChecked(unfolded)
        self._heading.setArrowType(Qt.ArrowType.DownArrow if unfolded else Qt.ArrowType.RightArrow)
        self._body.setVisible(unfolded)

    def set_why_not(self, sentence: str) -> None:
        """Switch the buttons off and say why on hover; on again with an empty sentence."""
        for button, tooltip in self._buttons.items():
            button.setEnabled(not sentence)
            button.setToolTip(sentence or tooltip)

    def _fill(self) -> dict[QPushButton, str]:
        grid = QGridLayout(self._body)
        grid.setContentsMargins(12, 0, 0, 0)
        grid.setSpacing(4)
        holes = self._button("Fill holes", CleanUp("fill_holes"))
        largest = self._button("Keep largest", CleanUp("keep_largest"))
        smooth = self._button("Smooth", CleanUp("smooth"))
        islands = QPushButton("Remove islands <")
        islands.clicked.connect(lambda: self.requested.emit(CleanUp("remove_islands", self._smallest.value())))
        grid.addWidget(holes, 0, 0)
        grid.addWidget(largest, 0, 1)
        grid.addWidget(smooth, 0, 2)
        grid.addWidget(islands, 1, 0, 1, 2)
        grid.addWidget(self._smallest, 1, 2)
        return {
            holes: "Label what the mask encloses.",
            largest: "Keep only the largest piece of each label.",
            smooth: "Round off the outline by two pixels.",
            islands: "Remove the pieces that have fewer pixels than the number beside.",
        }

    def _button(self, text: str, request: CleanUp) -> QPushButton:
        button = QPushButton(text)
        button.clicked.connect(lambda: self.requested.emit(request))
        return button
