"""A window in which somebody paints until it is killed; test_day.py runs it and looks at what is left.

It prints the number of each edit once the journal has said that it is on disk.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import napari
import numpy as np
from napari.layers import Labels
from qtpy.QtCore import QTimer

from napari_wavegms.segment.segmenter_cache import SegmenterCache
from napari_wavegms.widgets.review.widget import ReviewWidget

SHAPE = (24, 32)
STROKES = 300


class Brightness:
    """Probability = brightness / 255."""

    device = SimpleNamespace(name="cpu", reason="the processor (chosen)")

    def for_volume(self, planes: object) -> Any:
        return self

    def segment(self, image: Any) -> Any:
        return SimpleNamespace(classes=None, confidence=np.asarray(image, np.float32) / 255)


def places(seed: int) -> list[tuple[int, int]]:
    """Where the strokes go, one pixel each."""
    rng = np.random.default_rng(seed)
    return [(int(row), int(column)) for row, column in rng.integers(0, SHAPE, (STROKES, 2))]


def painted(predicted: np.ndarray, seed: int, strokes: int) -> np.ndarray:
    """The mask after so many strokes, each of which changes its pixel."""
    mask = predicted.copy()
    for row, column in places(seed)[:strokes]:
        mask[row, column] = (mask[row, column] + 1) % 3
    return mask


def paint_until_killed(folder: Path, seed: int) -> None:
    viewer = napari.Viewer(show=False)
    widget = ReviewWidget(viewer, load=lambda _model, _device: Brightness(), cache=SegmenterCache())
    viewer.window.add_dock_widget(widget)
    combo = widget.panel.model_row.combo
    combo.setCurrentIndex([choice.name for choice in combo.values].index("tiny"))
    widget.prefetch.use_model()
    widget.journal.edited.connect(lambda edit: print(edit.number, flush=True))  # noqa: T201
    todo = iter(places(seed))

    def paint() -> None:
        shown = widget.shown
        if shown is None or not shown.memory.planes:
            return
        mask: Labels = shown.mask
        mask.brush_size = 1
        place = next(todo)
        mask.paint(place, (int(mask.data[place]) + 1) % 3)

    timer = QTimer()
    timer.timeout.connect(paint)
    timer.start(40)
    widget.lists.open_folder(folder)
    napari.run(force=True)


if __name__ == "__main__":
    paint_until_killed(Path(sys.argv[1]), int(sys.argv[2]))
