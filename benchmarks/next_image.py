"""What *Next* costs the window: processor time and the longest wait, from one image with a mask to the next.

    python benchmarks/next_image.py [--images FOLDER] [--steps 30] [--json FILE]

Without a folder, grey images of 480 x 560 pixels are made. The masks of the next images are there before *Next* is
pressed, as when somebody looks at an image for longer than the model does; they come from brightness, at no cost.
Measured is the window's thread alone: "press" until *Next* gives the window back, "settled" until everything that it
set off is drawn. Between two steps a stroke is painted (`--strokes 0` leaves that out), so that there is something to
write down. Needs a display; `xvfb-run` will do. To compare two commits, run it with either's `src` on `PYTHONPATH`, in
turns.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import napari
import numpy as np
from PIL import Image
from qtpy.QtCore import QEventLoop, QTimer
from qtpy.QtWidgets import QApplication

from napari_wavegms.segment.segmenter_cache import SegmenterCache
from napari_wavegms.widgets.review.widget import ReviewWidget


class Brightness:
    """Probability = brightness / 255."""

    device = SimpleNamespace(name="cpu", reason="CPU: as chosen")

    def segment(self, image: Any) -> Any:
        """Give the probability of a plane."""
        grey = image if image.ndim == 2 else image[..., :3].mean(axis=-1)
        return SimpleNamespace(probability=np.asarray(grey, np.float32) / 255)


def make_images(folder: Path, count: int) -> None:
    random = np.random.default_rng(2333)
    rows, columns = np.ogrid[:480, :560]
    for number in range(count):
        row, column = random.integers(150, 330, 2)
        patch = (rows - row) ** 2 + (columns - column) ** 2 < 90**2
        Image.fromarray(np.where(patch, 200, random.integers(0, 90, (480, 560))).astype(np.uint8)).save(
            folder / f"scan_{number:03}.png"
        )


def wait_until(done: Callable[[], bool], at_least: float = 0.0) -> None:
    """Run the window until something is so, and for so many seconds."""
    loop, timer, start = QEventLoop(), QTimer(), time.perf_counter()
    timer.timeout.connect(lambda: done() and time.perf_counter() - start >= at_least and loop.quit())
    timer.start(5)
    loop.exec()


def steps(widget: ReviewWidget, count: int, strokes: int) -> list[tuple[float, float, float]]:
    """Press Next so many times; seconds of processor until it returns and until all is drawn, and the longest wait."""
    times = []
    for number in range(count):
        wait_until(lambda: widget.shown is not None and bool(widget.shown.memory.planes) and not widget.busy)
        wait_until(lambda: not widget.prefetch.busy, at_least=0.3)
        for stroke in range(strokes):
            widget.shown.mask.paint((20 + 10 * stroke, 20 + number), 1)
        wait_until(lambda: True, at_least=0.6)  # the journal has it
        key, start, wall = widget.shown.key, time.thread_time(), time.perf_counter()
        widget.lists.next()
        press, waited = time.thread_time() - start, time.perf_counter() - wall
        wait_until(lambda key=key: widget.shown is not None and widget.shown.key != key, at_least=0.3)
        times.append((press, time.thread_time() - start, waited))
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--strokes", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    app = QApplication.instance() or QApplication([])
    with tempfile.TemporaryDirectory() as temporary:
        os.environ["WAVEGMS_HOME"] = str(Path(temporary, "home"))
        folder = options.images
        if folder is None:
            folder = Path(temporary, "images")
            folder.mkdir()
            make_images(folder, options.steps + 2)
        viewer = napari.Viewer(show=True)
        widget = ReviewWidget(viewer, load=lambda _model, _device: Brightness(), cache=SegmenterCache())
        viewer.window.add_dock_widget(widget, name="Wave-GMS Review")
        widget.lists.open_folder(folder)
        times = np.array(steps(widget, options.steps, options.strokes))[2:] * 1000  # the first two warm up
        widget.journal.close()
        viewer.close()
        app.processEvents()
    names = ("press_processor_ms", "settled_processor_ms", "press_wall_ms")
    report = {
        name: {"median": round(float(np.median(column)), 1), "largest": round(float(column.max()), 1)}
        for name, column in zip(names, times.T, strict=True)
    }
    print(json.dumps(report))
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
