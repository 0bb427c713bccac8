"""Ten thousand images in the worklist: how long it takes to open them, and the longest wait while scrolling.

    python benchmarks/worklist.py [--files 10000] [--seconds 10]

Tiny PNG files are made in a temporary folder, with a state and an uncertainty noted for each. "Open" is the list, its
model and the view on the screen with its first small pictures asked for; it is measured once with nothing noted yet and
once more when all is noted. Then the table is scrolled from the top to the bottom, a step for each time that the
window is idle, while the pictures of what is in sight are read in the background; the longest gap is the longest time
between two turns of a 1 ms timer. Processor time is given beside the time on the clock, which a busy machine stretches.
Needs a display; `xvfb-run` will do.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication

from napari_wavegms.widgets.worklist.view import WorklistView
from napari_wavegms.worklist.worklist import Worklist

_SIDE = 32


def make_files(folder: Path, count: int) -> None:
    random = np.random.default_rng(2333)
    first = folder / "scan_0.png"
    Image.fromarray(random.integers(0, 255, (_SIDE, _SIDE), np.uint8)).save(first)
    for number in range(1, count):
        shutil.copyfile(first, folder / f"scan_{number}.png")


def note_all(folder: Path) -> None:
    worklist, random = Worklist.of_folder(folder), np.random.default_rng(2333)
    values = random.random(len(worklist))
    for item, value in zip(worklist.items(), values, strict=True):
        worklist.set(item.key, state="predicted", uncertainty=float(value))


def open_view(app: QApplication, folder: Path) -> tuple[WorklistView, dict[str, float]]:
    start, busy = time.perf_counter(), time.process_time()
    worklist = Worklist.of_folder(folder)
    listed = time.perf_counter()
    view = WorklistView()
    view.set_worklist(worklist)
    view.resize(380, 800)
    view.show()
    app.processEvents()
    end, worked = time.perf_counter(), time.process_time() - busy
    times = {"list_s": listed - start, "view_s": end - listed, "open_s": end - start, "open_processor_s": worked}
    return view, {name: round(value, 3) for name, value in times.items()}


def close_view(app: QApplication, view: WorklistView) -> None:
    view.close()
    view.deleteLater()
    app.processEvents()


def scroll(app: QApplication, view: WorklistView, seconds: float) -> dict[str, float]:
    """Scroll from the top to the bottom in so many seconds."""
    bar = view.table.verticalScrollBar()
    turns: list[tuple[float, float]] = []
    timer = QTimer()
    timer.setInterval(1)
    timer.timeout.connect(lambda: turns.append((time.perf_counter(), time.thread_time())))
    timer.start()
    start = time.perf_counter()
    while (gone := time.perf_counter() - start) < seconds:
        bar.setValue(round(bar.maximum() * gone / seconds))
        app.processEvents()
    bar.setValue(bar.maximum())
    app.processEvents()
    timer.stop()
    gaps, worked = np.diff(turns, axis=0).T * 1000
    return {
        "frames_per_s": round(len(gaps) / seconds, 1),
        "median_gap_ms": round(float(np.median(gaps)), 1),
        "gap_99_percent_ms": round(float(np.percentile(gaps, 99)), 1),
        "longest_gap_ms": round(float(gaps.max()), 1),
        "median_gap_processor_ms": round(float(np.median(worked)), 1),
        "longest_gap_processor_ms": round(float(worked.max()), 1),
        "pictures_kept": len(view.model.thumbnails),
    }


def step(view: WorklistView) -> dict[str, float]:
    """Approve and go on, as *Approve* does: the list notes it, arranges anew, and selects the next one."""
    times = []
    for _ in range(20):
        start = time.thread_time()
        key = view.model.next_key()
        view.go_to(key)
        view.model.note(key, state="approved", seconds=1.0)
        times.append(time.thread_time() - start)
    return {
        "median_processor_ms": round(float(np.median(times)) * 1000, 1),
        "longest_processor_ms": round(max(times) * 1000, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args()
    app = QApplication.instance() or QApplication([])
    with tempfile.TemporaryDirectory() as temporary:
        home, folder = Path(temporary, "home"), Path(temporary, "images")
        os.environ["WAVEGMS_HOME"] = str(home)
        folder.mkdir()
        make_files(folder, options.files)
        view, first = open_view(app, folder)
        close_view(app, view)
        note_all(folder)
        view, again = open_view(app, folder)
        scrolled = scroll(app, view, options.seconds)
        stepped = step(view)
        close_view(app, view)
    print(
        json.dumps({"files": options.files, "first_time": first, "again": again, "scroll": scrolled, "next": stepped})
    )


if __name__ == "__main__":
    main()
