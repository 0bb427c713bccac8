"""How long the window stands still: the longest gap of the event loop in every act of a user, in real napari windows.

    xvfb-run -a python benchmarks/gaps.py [segment review fine-tune] [--images FOLDER] [--json FILE]

Each of the three groups runs in a fresh process, so that its first acts are cold: torch, numba and the models are
not loaded yet. A timer of the window ticks every 5 ms; a *gap* is the time between two ticks, less those 5 ms. *Own* is
the longest processor time of the window's thread between two ticks: on a busy machine the better measure, though it
leaves out waiting for the interpreter's lock. An act lasts from the click, or the call that a dialog would make, until
what it promises is there and nothing of ours has worked for half a second. *Seconds* is the time to what it promises.
Images are those of a folder (by default BUSI's in ../shared), or else phantoms; 2048² is one of them, enlarged, with
noise.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

IMAGES = Path(__file__).resolve().parents[2] / "shared" / "data" / "busi" / "images"
TICK = 0.005  # seconds
QUIET = 0.5  # seconds
TARGET = 0.3  # seconds
REVIEWED = 100
WHERE = "WAVEGMS_GAPS_WHERE"


class Window:
    """A napari window, its clock and what was measured in it."""

    def __init__(self) -> None:
        import napari
        from qtpy.QtCore import Qt, QTimer
        from walks import Profiler, Room, wait

        self.viewer = napari.Viewer()
        self.window = self.viewer.window._qt_window
        self.window.resize(1400, 1000)
        self.rows: list[dict[str, Any]] = []
        self._wait = wait
        self._room = Room.__new__(Room)  # its mouse, without its counting
        self._room.profiler, self._room.viewer, self._room.window = Profiler(), self.viewer, self.window
        self._last = self._longest = self._own = self._spent = 0.0
        self._held: Counter[str] = Counter()
        if os.environ.get(WHERE):
            threading.Thread(target=self._sample, daemon=True).start()
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._tick)
        self._timer.start(round(TICK * 1000))
        self.act("open napari's window", lambda: None)

    def open(self, title: str, name: str = "") -> Any:
        """Open one of our panels from the menu."""

        def opened() -> None:
            _dock, self._room.panel = self.viewer.window.add_plugin_dock_widget("napari-wavegms", title)

        self.act(name or f"open {title.removeprefix('Wave-GMS ')}", opened, lambda: self._room.panel.is_ready)
        return self._room.panel

    def act(self, name: str, do: Callable[[], object], until: Callable[[], bool] = lambda: True) -> None:
        """Do something and measure it."""
        begin = self._last = time.perf_counter()
        self._longest, self._own, self._spent = 0.0, 0.0, time.thread_time()
        self._held.clear()
        do()
        self._wait(until)
        seconds = time.perf_counter() - begin
        quiet = time.perf_counter()

        def rests() -> bool:
            nonlocal quiet
            if self._room.works() or time.perf_counter() - self._last > QUIET:
                quiet = time.perf_counter()
            return time.perf_counter() - quiet > QUIET

        with suppress(SystemExit):  # what never rests is measured all the same
            self._wait(rests)
        self.rows.append({"act": name, "gap": self._longest, "own": self._own, "seconds": seconds})
        print(f"{name}: gap {self._longest:.2f} s, own {self._own:.2f} s, {seconds:.2f} s", file=sys.stderr, flush=True)
        for where, count in self._held.most_common(12):
            print(f"    {count * 0.02:.2f} s {where}", file=sys.stderr, flush=True)

    def click(self, label: str) -> None:
        """Click the button of the panel whose text begins so."""
        self._room.click(label)

    def offers(self, label: str) -> bool:
        """Whether the panel has a button of this text."""
        from qtpy.QtWidgets import QPushButton

        return any(button.text() == label for button in self._room.panel.findChildren(QPushButton))

    def stroke(self, row: float, to: float | None = None) -> None:
        """Draw with the mouse across the active layer, from a part of its height to another, or along it."""
        from napari.layers import Labels

        rows, columns = [layer for layer in self.viewer.layers if isinstance(layer, Labels)][-1].data.shape[-2:]
        self._room.paint((rows * row, columns * 0.3), (rows * (to or row), columns * 0.6), 6)

    def pass_time(self, seconds: float) -> None:
        """Let the window work for a while."""
        until = time.perf_counter() + seconds
        self._wait(lambda: time.perf_counter() > until)

    def _sample(self) -> None:
        """Note what the window's thread computes, every 20 ms of its own time from the first 150 ms after a tick on."""
        window = threading.main_thread().ident
        assert window is not None
        clock = time.pthread_getcpuclockid(window)
        before = 0.0
        while True:
            time.sleep(0.01)
            spent = time.clock_gettime(clock)
            if spent - self._spent < 0.15 or spent - before < 0.02:
                continue
            before, frame, lines = spent, sys._current_frames().get(window), []
            while frame is not None:
                code = frame.f_code
                lines.append(f"{Path(code.co_filename).name}:{frame.f_lineno} {code.co_name}")
                frame = frame.f_back
            self._held[" < ".join(lines[:40])] += 1

    def _tick(self) -> None:
        now, spent = time.perf_counter(), time.thread_time()
        self._longest = max(self._longest, now - self._last - TICK)
        self._own = max(self._own, spent - self._spent)
        self._last, self._spent = now, spent


def pictures(folder: Path, count: int) -> list[np.ndarray]:
    """Grey images of a folder, or phantoms where it has too few."""
    from PIL import Image

    files = sorted(folder.glob("*.png"))[:count] if folder.is_dir() else []
    if len(files) == count:
        return [np.asarray(Image.open(file).convert("L")) for file in files]
    from napari_wavegms.samples import ultrasound_phantom

    return [ultrasound_phantom(number).image for number in range(count)]


def enlarged(image: np.ndarray, side: int = 2048) -> np.ndarray:
    """A square picture of 16 bits."""
    from PIL import Image

    grown = np.asarray(Image.fromarray(image).resize((side, side)), np.uint16) * 200
    return grown + np.random.default_rng(0).integers(0, 200, grown.shape, np.uint16)


def segment(images: Path, scratch: Path) -> list[dict[str, Any]]:
    """Wave-GMS Segment."""
    first, second = pictures(images, 2)
    window = Window()
    viewer, panel = window.viewer, window.open("Wave-GMS Segment")
    viewer.add_image(first, name="first")

    def run(name: str) -> None:
        window.act(name, lambda: window.click("Segment"), lambda: not panel.busy)

    def says(words: str) -> Callable[[], bool]:
        return lambda: panel.panel.status.startswith(words)

    def move(name: str) -> None:
        slider = panel.panel.threshold_row.findChildren(type(panel.panel.threshold_row._slider))[0]

        def drag() -> None:
            slider.setSliderDown(True)
            for step in range(45, 60, 3):
                slider.setSliderPosition(step)
                window.pass_time(0.03)
            slider.setSliderDown(False)

        window.act(name, drag)

    run("first Segment, all cold")
    run("second Segment, same image")
    window.act("brush, first stroke", lambda: window.stroke(0.2))
    window.act("brush, later stroke", lambda: window.stroke(0.25))
    viewer.add_image(second, name="second")
    run("Segment, another image")
    move("threshold, five steps")
    window.act("Mask off", lambda: window.click("Mask"))
    window.act("Mask on", lambda: window.click("Mask"))
    window.act("Uncertain spot, first", lambda: window.click("Uncertain spot"))
    window.act("Uncertain spot, later", lambda: window.click("Uncertain spot"))
    window.act("probability layer", lambda: panel.panel._probability.native.click())
    file = scratch / "second_mask.tif"
    window.act("Save mask", lambda: panel.save_mask(file), says("Saved"))
    window.act("Load mask", lambda: panel.load_mask(file), says("Loaded"))
    for name in ("Box, first", "Box, later"):
        window.act(f"{name}: press", lambda: window.click("Box"))
        window.act(f"{name}: draw", lambda: window.stroke(0.4, 0.6), lambda: not window.offers("Cancel box"))
    viewer.add_image(enlarged(first), name="large")
    run("Segment at 2048²")
    move("threshold at 2048²")
    window.act("brush at 2048², first", lambda: window.stroke(0.2))
    window.act("brush at 2048², later", lambda: window.stroke(0.25))
    window.act("undo at 2048²", lambda: viewer.layers.selection.active.undo())
    unfold(panel)
    for label in ("Smooth", "Fill holes", "Keep largest", "Remove islands"):
        window.act(f"{label} at 2048²", lambda label=label: window.click(label), says(label.split(" ")[0]))
    window.act("probability layer at 2048²", lambda: panel.panel._probability.native.click())
    for title in ("Review", "Fine-tune"):
        window.open(f"Wave-GMS {title}", f"open {title} after Segment")
    return window.rows


def unfold(panel: Any) -> None:
    """Open what is folded."""
    from qtpy.QtWidgets import QToolButton

    for heading in panel.findChildren(QToolButton):
        if heading.isCheckable() and not heading.isChecked():
            heading.click()


def review(images: Path, scratch: Path) -> list[dict[str, Any]]:
    """Wave-GMS Review, with edits that a crash has left behind."""
    from PIL import Image

    from napari_wavegms.journal.journal import Journal
    from napari_wavegms.journal.records import EditTarget
    from napari_wavegms.storage.content_hash import content_hash

    folder = scratch / "images"
    folder.mkdir()
    found = pictures(images, REVIEWED)
    for number, image in enumerate(found):
        Image.fromarray(image).save(folder / f"scan_{number:03}.png")
    file, pixels, journal = folder / "scan_007.png", found[7], Journal()
    mask = np.zeros(pixels.shape, np.uint8)
    content = content_hash(pixels)
    journal.begin(EditTarget(content, "scan_007", mask.shape, str(file)), mask, editor="")
    mask[20:60, 20:60] = 1
    journal.record(content, mask, editor="")
    journal.release()

    window = Window()
    panel = window.open("Wave-GMS Review")

    def has_mask() -> bool:
        return not panel.busy and panel.shown is not None and bool(panel.shown.memory.planes)

    def goes_on(name: str, do: Callable[[], object]) -> None:
        before = panel.shown

        window.act(name, do, lambda: panel.shown is not before and has_mask())

    window.act("open a folder of 100, until its first mask", lambda: panel.lists.open_folder(folder), has_mask)
    if panel.panel.question.isVisibleTo(panel.panel):
        goes_on("Restore", lambda: window.click("Restore"))
    goes_on("Next", lambda: window.click("Next"))
    goes_on("Next, again", lambda: window.click("Next"))
    window.act("brush in Review, first", lambda: window.stroke(0.2))
    window.act("brush in Review, later", lambda: window.stroke(0.3))
    goes_on("Approve, first", lambda: window.click("Approve"))
    window.stroke(0.2)
    goes_on("Approve, later", lambda: window.click("Approve"))
    window.act("Uncertain spot in Review", lambda: window.click("Uncertain spot"))
    window.act("Uncertainty on", lambda: window.click("Uncertainty"))
    window.act("Changes on", lambda: window.click("Changes"))
    for name in ("Box in Review, first", "Box in Review, later"):
        window.act(f"{name}: press", lambda: window.click("Box"))
        window.act(f"{name}: draw", lambda: window.stroke(0.4, 0.6), lambda: panel.tools.box.state == "idle")
    unfold(panel)
    window.act("Run on all images", lambda: window.click("Run on all"), lambda: not panel.prefetch.busy)
    return window.rows


def fine_tune(images: Path, scratch: Path) -> list[dict[str, Any]]:
    """Wave-GMS Fine-tune: Quick, and the comparison after it."""
    from PIL import Image

    window = Window()
    masks = images.with_name("masks")
    for number, image in enumerate(pictures(images, 4)):
        window.viewer.add_image(image, name=f"scan {number}")
        file = next(iter(sorted(masks.glob("*.png"))[number : number + 1]), None)
        truth = np.zeros(image.shape, np.uint8)
        truth[60:120, 80:160] = 1
        if file is not None:
            truth = (np.asarray(Image.open(file).convert("L")) > 127).astype(np.uint8)
        window.viewer.add_labels(truth, name=f"scan {number} mask")
    panel = window.open("Wave-GMS Fine-tune")
    window.act("Quick, from the press to the verdict", lambda: window.click("Fine-tune"), lambda: not panel.busy)
    with suppress(SystemExit, ValueError):
        window.act("Compare", lambda: window.click("Compare"))
        window.act("Compare, hidden", lambda: window.click("Hide comparison"))
    return window.rows


GROUPS = {"segment": segment, "review": review, "fine-tune": fine_tune}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("groups", nargs="*", metavar="group", help=f"{', '.join(GROUPS)}; by default all")
    parser.add_argument("--images", type=Path, default=IMAGES, help="folder of PNG images")
    parser.add_argument("--where", action="store_true", help="say, too, what the window was doing in its gaps")
    parser.add_argument("--json", type=Path, help="write the figures to a file")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if unknown := set(options.groups) - set(GROUPS):
        parser.error(f"unknown group {', '.join(sorted(unknown))}; there are {', '.join(GROUPS)}")
    if options.child:
        os.environ["NAPARI_CONFIG"] = ""  # the user's settings of napari neither matter nor change
        with tempfile.TemporaryDirectory() as temporary:
            os.environ["WAVEGMS_HOME"] = str(Path(temporary, "home"))
            rows = GROUPS[options.groups[0]](options.images, Path(temporary))
            options.json.write_text(json.dumps(rows), encoding="utf-8")
            sys.stderr.flush()
            os._exit(0)  # nothing of the window is to be measured while it closes
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as temporary:
        for group in options.groups or GROUPS:
            file = Path(temporary, f"{group}.json")
            command = [sys.executable, __file__, group, "--child", "--json", str(file), "--images", str(options.images)]
            subprocess.run(command, check=True, env=os.environ | ({WHERE: "1"} if options.where else {}))
            found += json.loads(file.read_text(encoding="utf-8"))
    print("| act | longest gap, s | own, s | seconds |\n| --- | --- | --- | --- |")
    for row in found:
        gap = f"**{row['gap']:.2f}**" if row["gap"] > TARGET else f"{row['gap']:.2f}"
        print(f"| {row['act']} | {gap} | {row['own']:.2f} | {row['seconds']:.2f} |")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
