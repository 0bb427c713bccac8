"""A window that is closed right after a stroke, while the next image is being predicted; test_close.py runs it.

The stroke and the closing are one turn of the event loop: nothing but the closing itself can have written it down.
"""

from __future__ import annotations

import sys
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import napari
import numpy as np
from napari._qt.qt_event_loop import quit_app
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QLabel

from napari_wavegms.segment.segmenter_cache import SegmenterCache
from napari_wavegms.widgets.review.widget import ReviewWidget

PLACES = [(1, 1), (22, 30), (5, 17)]


class SlowAfterTheFirst:
    """Probability = brightness / 255; the second image takes three seconds."""

    device = SimpleNamespace(name="cpu", reason="the processor (chosen)")

    def __init__(self) -> None:
        self.calls = 0

    def for_volume(self, planes: object) -> Any:
        return self

    def segment(self, image: Any) -> Any:
        self.calls += 1
        if self.calls > 1:
            Event().wait(3)
        return SimpleNamespace(classes=None, confidence=np.asarray(image, np.float32) / 255)


def painted(predicted: np.ndarray) -> np.ndarray:
    """The mask that is left."""
    mask = predicted.copy()
    for number, place in enumerate(PLACES):
        mask[place] = number + 2
    return mask


def paint_and_close(folder: Path, how: str) -> None:
    viewer, segmenter = napari.Viewer(), SlowAfterTheFirst()
    widget = ReviewWidget(viewer, load=lambda _model, _device: segmenter, cache=SegmenterCache())
    dock = viewer.window.add_dock_widget(widget, name="Wave-GMS Review")
    if how == "tab":  # another panel lies in front of ours, which is not told anything any more
        viewer.window.add_dock_widget(QLabel("in front"), name="another", tabify=True)
    combo = widget.panel.model_row.combo
    combo.setCurrentIndex([choice.name for choice in combo.values].index("tiny"))
    widget.prefetch.use_model()

    def paint() -> None:
        shown = widget.shown
        if shown is None or not shown.memory.planes or segmenter.calls < 2:
            return
        timer.stop()
        assert dock.isVisible() or how == "tab"
        shown.mask.brush_size = 1
        for number, place in enumerate(PLACES):
            shown.mask.paint(place, number + 2)
        if how == "viewer":
            viewer.close()
        elif how == "quit":
            quit_app()
        else:
            viewer.window._qt_window.close()

    timer = QTimer()
    timer.timeout.connect(paint)
    timer.start(20)
    widget.lists.open_folder(folder)
    napari.run()


if __name__ == "__main__":
    sys.stderr = sys.stdout  # for the test to read: a traceback, of whatever thread
    paint_and_close(Path(sys.argv[1]), sys.argv[2])
