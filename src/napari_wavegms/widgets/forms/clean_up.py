"""The clean-up row: fill holes, remove islands, keep the largest piece, smooth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QFrame, QGridLayout, QPushButton, QSpinBox, QToolButton, QVBoxLayout, QWidget

from napari_wavegms.widgets.layers.mask_history import Mask
from napari_wavegms.widgets.layers.mask_layers import NO_MASK, active_mask, plane_on_screen, why_not_write
from napari_wavegms.widgets.layers.undoable import read_plane, write_planes

if TYPE_CHECKING:
    from napari.components import ViewerModel


SMOOTHING_RADIUS = 2  # pixels


@dataclass(frozen=True, slots=True)
class CleanUp:
    """What to do; `smallest` is the size in pixels of the smallest island that stays."""

    step: Literal["fill_holes", "remove_islands", "keep_largest", "smooth"]
    smallest: int = 0


def cleaned(plane: Mask, request: CleanUp) -> Mask:
    """Give a tidied copy of a plane of labels.

    Parameters
    ----------
    plane : ndarray of int, shape (H, W)
    request : CleanUp

    Returns
    -------
    ndarray of shape (H, W)
        Of the same dtype.
    """
    from napari_wavegms.segment import postprocess

    match request.step:
        case "fill_holes":
            return postprocess.fill_holes(plane)
        case "remove_islands":
            return postprocess.remove_islands(plane, request.smallest)
        case "keep_largest":
            return postprocess.keep_largest(plane)
        case "smooth":
            return postprocess.smooth(plane, SMOOTHING_RADIUS)


def clean_up_sentence(request: CleanUp, before: Mask, after: Mask) -> str:
    """Say what a step changed."""
    added = int(np.count_nonzero((before == 0) & (after != 0)))
    removed = int(np.count_nonzero((before != 0) & (after == 0)))
    name = {
        "fill_holes": "Fill holes",
        "remove_islands": f"Remove islands below {request.smallest} px",
        "keep_largest": "Keep largest",
        "smooth": "Smooth",
    }[request.step]
    if not added and not removed:
        return f"{name}: there was nothing to do."
    changes = [f"{count:,} px {verb}" for count, verb in ((added, "added"), (removed, "removed")) if count]
    return f"{name}: {' and '.join(changes)}. Ctrl+Z takes it back."


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


def clean_up_active(viewer: ViewerModel, request: CleanUp) -> str:
    """Tidy the active mask's plane on screen, as one undo step.

    Returns
    -------
    str
        What it did, or why it could not.
    """
    mask = active_mask(viewer)
    if mask is None or (sentence := why_not_write(viewer, mask)):
        return NO_MASK if mask is None else sentence
    key = plane_on_screen(viewer, mask)
    before = np.array(read_plane(mask, key))
    after = cleaned(before, request)
    write_planes(mask, {key: after})
    return clean_up_sentence(request, before, after)
