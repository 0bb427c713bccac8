"""A window with Wave-GMS Segment in which somebody paints until it is killed; test_strokes.py looks at what is left.

It prints how many strokes have been made after each one.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import napari
import numpy as np
from qtpy.QtCore import QTimer

from napari_wavegms.segment.segmenter_cache import SegmenterCache
from napari_wavegms.widgets.segment.widget import SegmentWidget

STROKES = 300


class Brightness:
    """Probability = brightness / 255."""

    device = SimpleNamespace(name="cpu", reason="the processor (chosen)")

    def for_volume(self, planes: Any) -> Any:
        return self

    def segment(self, image: Any) -> Any:
        return SimpleNamespace(classes=None, confidence=np.asarray(image, np.float32) / 255, is_uniform=False)


def painted(predicted: np.ndarray, strokes: int) -> np.ndarray:
    """The mask after so many strokes, each of which changes a pixel of its own."""
    mask = predicted.copy()
    mask.flat[:strokes] = 2
    return mask


def paint_until_killed(image: Path, model: Path) -> None:
    viewer = napari.Viewer(show=False)
    widget = SegmentWidget(viewer, load=lambda _model, _device: Brightness(), cache=SegmenterCache())
    viewer.window.add_dock_widget(widget)
    widget.panel.model_row.open_file(model)
    viewer.open(image, plugin="napari-wavegms")
    done = 0

    def paint() -> None:
        nonlocal done
        mask = viewer.layers[-1]
        if widget.busy or len(viewer.layers) < 2:
            return
        mask.brush_size = 1
        mask.paint(np.unravel_index(done, mask.data.shape), 2)
        done += 1
        print(done, flush=True)  # noqa: T201

    timer = QTimer()
    timer.timeout.connect(paint)
    widget.segment()
    timer.start(40)
    napari.run(force=True)


if __name__ == "__main__":
    paint_until_killed(Path(sys.argv[1]), Path(sys.argv[2]))
