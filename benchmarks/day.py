"""A user's day in real napari windows, by mouse and keys alone: the clicks and the seconds of each act.

    xvfb-run -a -s "-screen 0 1600x1000x24" python benchmarks/day.py [--images FOLDER] [--shots FOLDER] [--json FILE]

A folder of twelve images that no model of ours has seen is opened in Review. Ten masks are corrected with the brush and
approved; Fine-tune (Quick) learns from them; its model is put in use; the last two images are corrected with it, and
the masks are exported. Strokes are chosen by the ground truth, the one that mends most first, until the mask agrees
with it by a Dice of 0.95, no stroke is worth the effort, or ten are drawn.

*Clicks* are presses of the mouse, on buttons, tabs and entries of menus, *keys* are presses of a key or a shortcut;
a path that is typed into a dialog counts as one key. *Seconds* are the program's and the hand's, which moves at 12 ms
a step; thinking takes no time here. The images are Kvasir-SEG's of ../shared (not part of this repository).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "kvasir_seg"
IMAGES, CORRECTED = 12, 10
BRUSH = 16  # pixels
ENOUGH, MOST_STROKES, LEAST_GAIN = 0.95, 10, 80


def dice(mask: np.ndarray, truth: np.ndarray) -> float:
    return float(2 * (mask & truth).sum() / max(1, mask.sum() + truth.sum()))


def best_stroke(mask: np.ndarray, truth: np.ndarray) -> tuple[int, int, tuple[int, int, int]]:
    """The stroke along a row that mends most: pixels mended, label, and (row, first column, last column)."""
    from scipy.ndimage import distance_transform_edt

    best = (0, 0, (0, 0, 0))
    half = BRUSH // 2
    for label in (1, 0):
        wanted = truth if label else ~truth
        wrong, safe = wanted & (mask != bool(label)), distance_transform_edt(np.pad(wanted, 1, mode="edge")) > half + 1
        for row in range(half, len(truth) - half, 3):
            inside = np.flatnonzero(safe[row + 1, 1:-1])
            for run in np.split(inside, np.flatnonzero(np.diff(inside) > 1) + 1) if len(inside) else ():
                band = wrong[row - half : row + half, run[0] : run[-1] + 1]
                columns = np.flatnonzero(band.any(axis=0))
                if len(columns) and (gain := int(band.sum())) > best[0]:
                    best = gain, label, (row, int(run[0] + columns[0]), int(run[0] + columns[-1]))
    return best


class Day:
    """One napari window, a hand in it, and the acts it did."""

    def __init__(self, shots: Path | None, size: tuple[int, int] | None = (1400, 950)) -> None:
        import napari
        from walks import Profiler, Room, wait

        self.viewer, self._wait, self._shots = napari.Viewer(), wait, shots
        self._room = Room.__new__(Room)  # its mouse, without its counting
        self._room.profiler, self._room.viewer = Profiler(), self.viewer
        self._room.window = self.viewer.window._qt_window
        if size is not None:
            self._room.window.resize(*size)
        self.rows: list[dict[str, Any]] = []
        self.clicks = self.keys = self.strokes = 0

    @contextmanager
    def act(self, name: str) -> Iterator[None]:
        """Count what is done inside."""
        self.clicks = self.keys = self.strokes = 0
        begin = time.perf_counter()
        yield
        counts = {"clicks": self.clicks, "keys": self.keys, "strokes": self.strokes}
        self.rows.append({"act": name, **counts, "seconds": time.perf_counter() - begin})
        print(self.rows[-1], file=sys.stderr, flush=True)

    def wait(self, until: Callable[[], bool]) -> None:
        """Let the window work until something is so."""
        self._wait(until)

    def shot(self, name: str) -> None:
        """Save what is on screen."""
        if self._shots is not None:
            now = time.perf_counter()
            self.wait(lambda: time.perf_counter() > now + 0.3)
            file = self._shots / f"{len(list(self._shots.glob('*.png'))):02}-{name}.png"
            self.viewer.window.screenshot(str(file), canvas_only=False, flash=False)

    def open(self, title: str) -> Any:
        """Open a panel: Plugins, Wave-GMS, its name."""
        self.clicks += 3
        _dock, panel = self.viewer.window.add_plugin_dock_widget("napari-wavegms", title)
        self.wait(lambda: panel.is_ready)
        self._room.panel = panel
        return panel

    def turn_to(self, panel: Any, title: str) -> None:
        """Click the tab of a panel."""
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest
        from qtpy.QtWidgets import QTabBar

        def found() -> list[tuple[Any, int]]:
            bars = [bar for bar in self._room.window.findChildren(QTabBar) if bar.isVisible()]
            return [(bar, tab) for bar in bars for tab in range(bar.count()) if bar.tabText(tab).startswith(title)]

        self.wait(lambda: len(found()) == 1)
        ((bar, tab),) = found()
        QTest.mouseClick(bar, Qt.MouseButton.LeftButton, pos=bar.tabRect(tab).center())
        self.clicks += 1
        self._room.panel = panel

    def click(self, label: str) -> None:
        """Click the button, or the heading of a fold, whose text begins so."""
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest
        from qtpy.QtWidgets import QAbstractButton

        found = [each for each in self._room.panel.findChildren(QAbstractButton) if each.text().startswith(label)]
        self.wait(lambda: any(each.isVisible() for each in found))
        (button,) = (each for each in found if each.isVisible())
        if not button.isEnabled():
            raise SystemExit(f"{label} is switched off: {button.toolTip()}")
        QTest.mouseClick(button, Qt.MouseButton.LeftButton)
        self.clicks += 1

    def type_path(self, path: Path) -> None:
        """Type a path into the dialog that is open, and press Enter."""
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest
        from qtpy.QtWidgets import QApplication, QFileDialog, QLineEdit

        def dialog() -> Any:
            return next(
                (w for w in QApplication.topLevelWidgets() if isinstance(w, QFileDialog) and w.isVisible()), None
            )

        self.wait(lambda: dialog() is not None)
        field = dialog().findChild(QLineEdit)
        field.setFocus()
        field.clear()
        QTest.keyClicks(field, str(path))
        QTest.keyClick(field, Qt.Key.Key_Return)
        self.keys += 1

    def key(self, key: str) -> None:
        """Press a key on the canvas."""
        from qtpy.QtGui import QKeySequence
        from qtpy.QtOpenGLWidgets import QOpenGLWidget
        from qtpy.QtTest import QTest

        pressed = QKeySequence(key)[0]
        QTest.keyClick(self._room.window.findChild(QOpenGLWidget), pressed.key(), pressed.keyboardModifiers())
        self.keys += 1

    def stroke(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Draw a line with the mouse."""
        self._room.paint(start, end, 8)
        self.strokes += 1

    def correct(self, panel: Any, truth: np.ndarray) -> tuple[float, float]:
        """Correct the mask on screen with the brush; give its Dice before and after."""
        mask, label = panel.shown.mask, 1
        before = dice(mask.data > 0, truth)
        for _ in range(MOST_STROKES):
            if dice(mask.data > 0, truth) >= ENOUGH:
                break
            gain, wanted, (row, first, last) = best_stroke(mask.data > 0, truth)
            if gain < LEAST_GAIN:
                break
            while mask.brush_size < BRUSH:
                self.key("]")
            if wanted != label:
                self.key("2" if wanted else "1")  # napari's keys of the brush and the eraser
                label = wanted
            self.stroke((row, first), (row, last))
        return before, dice(mask.data > 0, truth)


def play(images: list[Path], truths: dict[str, np.ndarray], day: Day, scratch: Path) -> None:
    """Play the day."""
    folder, exported = scratch / "polyps", scratch / "masks"
    for each in (folder, exported):
        each.mkdir()
    for image in images:
        shutil.copy(image, folder)
    scores: list[tuple[float, float]] = []

    with day.act("open Review"):
        review = day.open("Wave-GMS Review")
    day.shot("review")

    def has_mask() -> bool:
        return not review.busy and review.shown is not None and bool(review.shown.memory.planes)

    def correct_and_approve(number: int, is_last: bool = False) -> None:
        shown = review.shown
        scores.append(day.correct(review, truths[shown.loaded.name]))
        if number in (0, 4):
            day.shot(f"corrected-{number + 1}")
        day.key("Alt+A")
        day.wait(lambda: not review.busy and (is_last or (review.shown is not shown and has_mask())))

    with day.act(f"open a folder of {IMAGES} images, until the first mask"):
        day.click("Folder")
        day.type_path(folder)
        day.wait(has_mask)
    day.shot("folder")
    for number in range(CORRECTED):
        with day.act(f"correct image {number + 1} and approve it"):
            correct_and_approve(number)
        if number == 0:
            day.shot("approved-1")
    day.shot(f"approved-{CORRECTED}")
    with day.act("open Fine-tune"):
        tune = day.open("Wave-GMS Fine-tune")
    day.shot("fine-tune")
    with day.act("Fine-tune, Quick, until the verdict"):
        day.click("Fine-tune")
        day.wait(lambda: not tune.busy)
    day.shot("verdict")
    print(tune.panel.status, file=sys.stderr)
    with day.act("use the new model"):
        if all(row.note != "in use" for row in tune.panel.versions.rows if row.number == 1):
            day.click("Use v1")
    day.shot("in-use")
    with day.act("back to Review, until the mask of the new model"):
        day.turn_to(review, "Wave-GMS Review")
        day.wait(lambda: has_mask() and review.prefetch.choice.name == "v1" and review.shown.memory.model == "v1")
    day.shot("new-model")
    for number in range(CORRECTED, IMAGES):
        with day.act(f"correct image {number + 1} and approve it"):
            correct_and_approve(number, number + 1 == IMAGES)
    day.shot("all-approved")
    with day.act(f"export the {IMAGES} masks"):
        day.click("Save, export")
        day.click("Export masks")
        day.type_path(exported)
        day.wait(lambda: len(list(exported.iterdir())) == IMAGES and not review.exports.busy)
    day.shot("exported")
    for name, part in (("first ten", scores[:CORRECTED]), ("last two, new model", scores[CORRECTED:])):
        before, after = np.mean(part, axis=0)
        print(f"{name}: Dice {before:.2f} as predicted, {after:.2f} as approved", file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, default=DATA, help="folder that holds the folders images and masks")
    parser.add_argument("--shots", type=Path, help="save a screenshot of each station here")
    parser.add_argument("--json", type=Path, help="write the figures to a file")
    options = parser.parse_args()
    os.environ["NAPARI_CONFIG"] = ""  # the user's settings of napari neither matter nor change
    from PIL import Image

    files = sorted((options.images / "images").iterdir())[:IMAGES]
    masks = {file.stem: options.images / "masks" / f"{file.stem}.png" for file in files}
    truths = {name: np.asarray(Image.open(file).convert("L")) > 127 for name, file in masks.items()}
    if options.shots is not None:
        options.shots.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        os.environ["WAVEGMS_HOME"] = str(Path(temporary, "home"))
        begin = time.perf_counter()
        day = Day(options.shots)
        play(files, truths, day, Path(temporary))
        rows = day.rows
        print("| act | clicks | keys | strokes | seconds |\n| --- | --- | --- | --- | --- |")
        for row in rows:
            print(f"| {row['act']} | {row['clicks']} | {row['keys']} | {row['strokes']} | {row['seconds']:.1f} |")
        whole = [sum(row[name] for row in rows) for name in ("clicks", "keys", "strokes", "seconds")]
        print("| all | {} | {} | {} | {:.0f} |".format(*whole))
        print(f"{time.perf_counter() - begin:.0f} s with the screenshots and napari's start", file=sys.stderr)
        if options.json:
            options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)  # nothing of the window is to be measured while it closes


if __name__ == "__main__":
    main()
