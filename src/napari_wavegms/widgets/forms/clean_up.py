"""Clean up a mask: fill holes, remove islands, keep the largest piece, smooth, split objects."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np
from napari.components import ViewerModel
from napari.layers import Labels
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QGridLayout, QPushButton, QSpinBox, QVBoxLayout, QWidget

from napari_wavegms.errors import InputError
from napari_wavegms.model.registry import class_names_of
from napari_wavegms.widgets.layers.mask_history import Mask, PlaneKey, memory_of, read_plane
from napari_wavegms.widgets.layers.mask_layers import active_mask, plane_on_screen, why_not_write
from napari_wavegms.widgets.layers.undoable import describe_change, write_planes
from napari_wavegms.widgets.qt.controls import Fold, fill, push_button
from napari_wavegms.wording import counted

Step = Literal["fill_holes", "remove_islands", "keep_largest", "smooth", "split_objects"]

_SMOOTHING_RADIUS = 2  # pixels
_OBJECTS = (
    "Number the objects of this slice, and part those that touch, to count and to save them.\n"
    "Their classes are lost: numbers begin after the last class. A model does not learn from them."
)
# The buttons, each with what it does; the number of pixels stands beside that of the islands.
_BUTTONS: tuple[tuple[Step, str, str, tuple[int, int]], ...] = (
    ("fill_holes", "Fill holes", "Label what the mask encloses.", (0, 0)),
    ("keep_largest", "Keep largest", "Keep only the largest piece of each label.", (0, 1)),
    ("remove_islands", "Remove islands below", "Remove pieces with fewer pixels than this number.", (1, 0)),
    ("smooth", "Smooth", "Round off the outline by two pixels.", (2, 0)),
    ("split_objects", "Split objects", _OBJECTS, (2, 1)),
)


@dataclass(frozen=True, slots=True)
class CleanUp:
    """What to do; islands of fewer than `smallest` pixels are removed, and objects numbered after several `classes`."""

    step: Step
    smallest: int = 0
    classes: int = 1

    def apply(self, plane: Mask) -> Mask:
        """Make a tidied copy of a plane of labels, (H, W), of the same dtype."""
        from napari_wavegms.segment import postprocess

        match self.step:
            case "fill_holes":
                return postprocess.fill_holes(plane)
            case "remove_islands":
                return postprocess.remove_islands(plane, self.smallest)
            case "keep_largest":
                return postprocess.keep_largest(plane)
            case "smooth":
                return postprocess.smooth(plane, _SMOOTHING_RADIUS)
            case "split_objects":
                return self._numbered(postprocess.split_objects(plane), plane.dtype)

    def _numbered(self, objects: Mask, dtype: np.dtype[Any]) -> Mask:
        """Objects in a type of labels, numbered after the classes where there are several, which keep their colours."""
        before, most = self.classes if self.classes > 1 else 0, np.iinfo(dtype).max
        if (count := int(objects.max())) + before > most:
            raise InputError(
                f"There are {count:,} objects, and this mask holds labels up to {most}. Remove islands first, or use "
                "'wavegms segment --objects'."
            )
        return np.where(objects, objects.astype(np.int64) + before, 0).astype(dtype)


def clean_up(mask: Labels, key: PlaneKey, request: CleanUp) -> str:
    """Tidy a plane of a mask as one undo step, and say what changed."""
    before = np.array(read_plane(mask, key))
    if (memory := memory_of(mask)) is not None and request.step == "split_objects":
        request = replace(request, classes=max(1, len(class_names_of(memory.model)) - 1))
    try:
        after = request.apply(before)
    except InputError as error:
        return str(error)
    changed = write_planes(mask, {key: after})
    if request.step == "split_objects":
        undo = ". Press Ctrl+Z to undo" if changed else ""
        return f"Split objects: {counted(len(np.unique(after[after > 0])), 'object')}{undo}."
    change = describe_change(before, after)
    name = request.step.replace("_", " ").capitalize()
    below = f" below {request.smallest} px" if request.step == "remove_islands" else ""
    return f"{name}{below}: {f'{change}. Press Ctrl+Z to undo' if change else 'nothing to change'}."


def clean_up_active(viewer: ViewerModel, request: CleanUp) -> str:
    """Tidy the active mask's plane on screen, and say what changed, or why it cannot be."""
    mask = active_mask(viewer)
    why_not = why_not_write(viewer, mask)
    if mask is None or why_not:
        return why_not
    return clean_up(mask, plane_on_screen(viewer, mask), request)


class CleanUpRow(QWidget):
    """A heading that unfolds into five buttons."""

    requested = Signal(CleanUp)

    def __init__(self) -> None:
        super().__init__()
        self._smallest = QSpinBox()
        self._smallest.setRange(2, 1_000_000)
        self._smallest.setValue(50)
        self._smallest.setSuffix(" px")
        self._smallest.setButtonSymbols(QSpinBox.ButtonSymbols.NoButtons)
        self._smallest.setToolTip("Islands with fewer pixels than this are removed.")
        self.buttons: list[QPushButton] = []
        body = QWidget()
        grid = QGridLayout(body)
        grid.setContentsMargins(12, 0, 0, 0)
        grid.setSpacing(4)
        for step, text, tooltip, place in _BUTTONS:
            self.buttons.append(push_button(text, tooltip, partial(self._ask_for, step)))
            grid.addWidget(self.buttons[-1], *place)
        grid.addWidget(self._smallest, 1, 1)
        fill(QVBoxLayout(self), Fold("Clean up", body))

    def _ask_for(self, step: Step) -> None:
        self.requested.emit(CleanUp(step, self._smallest.value()))
