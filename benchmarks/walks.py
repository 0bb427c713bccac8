"""How far one act of a user walks through our source: the files it enters, and the moves between them.

    python benchmarks/walks.py [segment stroke approve fine-tune] [--list] [--json FILE]

Four acts in real napari windows, with the shipped model on small phantoms: a press on Segment, a brush stroke in Review
with the journal recording, a press on Approve in Review, and a Fine-tune (Quick). Buttons are clicked and the canvas
gets mouse events; each act has been done once before it is counted, so that nothing is counted for being imported
or loaded. Needs a display; `xvfb-run` will do.

*Files* are the modules below `src/napari_wavegms` in which a line ran. A *move* is one passage of control, in one
thread, from a file of ours to another one of ours, by a call or by its return, directly or through napari and Qt. Code
that dataclasses generate has no file and is not seen.

All threads are profiled: the window's by `sys.setprofile`, those of `threading` and `concurrent.futures` by
`threading.setprofile`, and those of Qt's pool, which Python does not start, by a wrapper around what
`QThreadPool.start` is handed. A QThread of our own would not be seen; there is none. Of Fine-tune the window's thread
alone is counted.

An act ends when nothing of ours runs or waits in Qt's pool, every other thread with our code on its stack rests in a
lock of `threading`, and nothing has been entered for two seconds, which is longer than any pause after which
something of ours begins by itself. What goes on without anybody's doing, such as the clock that says when the last
edit was saved, is learned before the act and left out.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

SOURCE = Path(__file__).resolve().parents[1] / "src" / "napari_wavegms"
REST = 2.0  # seconds; the longest pause in the panels is 1.5
PATIENCE = 900.0  # seconds for one act; a busy machine is no reason to give up


class _Thread(threading.local):
    """Where one thread is."""

    def __init__(self) -> None:
        self.stack: list[str] = []  # files of our frames, outermost first
        self.walk = 0
        self.at: str | None = None
        self.by_itself = False


class Profiler:
    """Follows control through our files, in every thread that it is installed in.

    Attributes
    ----------
    files : list of str
        Those entered since `start`, in the order of the first entry.
    moves : int
    threads : set of int
        Those in which something of ours was entered since `start`.
    roots : Counter of code objects
        What Qt or a thread called first of ours since `start`, and how often.
    entered : float
        When anything of ours was last entered, by `time.perf_counter`.
    """

    def __init__(self) -> None:
        self._thread = _Thread()
        self._names: dict[str, str | None] = {}
        self._walk = 0
        self._only: int | None = None
        self._ignored: frozenset[CodeType] = frozenset()
        self._lock = threading.Lock()
        self.start()

    def start(self, ignored: frozenset[CodeType] = frozenset(), thread: int | None = None) -> None:
        """Count from nothing, without what begins in `ignored`, and maybe in one thread only."""
        with self._lock:
            self._walk += 1
            self._ignored, self._only = ignored, thread
            self.files: list[str] = []
            self.moves = 0
            self.threads: set[int] = set()
            self.roots: Counter[CodeType] = Counter()
            self.entered = time.perf_counter()

    def install(self) -> None:
        """Follow this thread, and all that begin from now on."""
        from qtpy.QtCore import QRunnable, QThreadPool

        threading.setprofile(self)
        sys.setprofile(self)
        start = QThreadPool.start

        def start_followed(pool: Any, work: Any, *priority: int) -> None:
            run = work.run if isinstance(work, QRunnable) else work

            def followed() -> None:
                sys.setprofile(self)
                try:
                    run()
                finally:
                    sys.setprofile(None)

            if isinstance(work, QRunnable):
                work.run = followed
            start(pool, work if isinstance(work, QRunnable) else followed, *priority)

        QThreadPool.start = start_followed

    def name(self, path: str) -> str | None:
        """A file's path below our source; None for other people's files."""
        if path not in self._names:
            file = Path(path)
            self._names[path] = file.relative_to(SOURCE).as_posix() if file.is_relative_to(SOURCE) else None
        return self._names[path]

    def __call__(self, frame: FrameType, event: str, _argument: object) -> None:
        """Take what the interpreter tells."""
        if event not in ("call", "return") or (name := self.name(frame.f_code.co_filename)) is None:
            return
        thread = self._thread
        if event == "call":
            if not thread.stack:
                thread.by_itself = frame.f_code in self._ignored
                self._count_root(frame.f_code)
            self._arrive(thread, name)
            thread.stack.append(name)
        elif thread.stack:
            thread.stack.pop()
            if thread.stack:
                self._arrive(thread, thread.stack[-1])

    def _count_root(self, code: CodeType) -> None:
        with self._lock:
            self.roots[code] += 1

    def _arrive(self, thread: _Thread, name: str) -> None:
        if thread.by_itself:
            return
        with self._lock:
            self.entered = time.perf_counter()
            self.threads.add(ident := threading.get_ident())
            if self._only not in (None, ident):
                return
            if thread.walk != self._walk:
                thread.walk, thread.at = self._walk, thread.stack[-1] if thread.stack else None
            if name not in self.files:
                self.files.append(name)
            self.moves += thread.at not in (None, name)
            thread.at = name


class Room:
    """A napari window with one of our panels, and what a person does in it."""

    def __init__(self, profiler: Profiler, title: str, home: Path) -> None:
        import napari

        self.profiler, self.home = profiler, home
        self.viewer = napari.Viewer()
        _dock, self.panel = self.viewer.window.add_plugin_dock_widget("napari-wavegms", title)
        wait(lambda: self.panel.is_ready)
        self.window = self.panel.window()
        self.window.resize(1400, 1000)

    def click(self, label: str) -> None:
        """Click the button whose text begins so."""
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest
        from qtpy.QtWidgets import QPushButton

        (button,) = (button for button in self.panel.findChildren(QPushButton) if button.text().startswith(label))
        check(button.isEnabled(), f"{label} is switched off ({button.toolTip()})")
        QTest.mouseClick(button, Qt.MouseButton.LeftButton)

    def paint(self, start: tuple[float, float], end: tuple[float, float], steps: int = 5) -> None:
        """Draw with the mouse on the canvas, in the active layer."""
        from qtpy.QtCore import QEvent, Qt

        left, none = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton
        self._mouse(QEvent.Type.MouseMove, start, none, none)
        self._mouse(QEvent.Type.MouseButtonPress, start, left, left)
        for step in range(1, steps + 1):
            until = time.perf_counter() + 0.012  # vispy drops movements that follow each other within 10 ms
            wait(lambda until=until: time.perf_counter() > until)
            place = tuple(a + (b - a) * step / steps for a, b in zip(start, end, strict=True))
            self._mouse(QEvent.Type.MouseMove, place, none, left)
        self._mouse(QEvent.Type.MouseButtonRelease, end, left, none)

    def _mouse(self, kind: Any, place: tuple[float, ...], button: Any, buttons: Any) -> None:
        from qtpy.QtCore import QPointF, Qt
        from qtpy.QtGui import QMouseEvent
        from qtpy.QtOpenGLWidgets import QOpenGLWidget
        from qtpy.QtWidgets import QApplication

        canvas = self.window.findChild(QOpenGLWidget)
        camera = getattr(self.viewer, "scene", self.viewer).camera  # a scene has it since napari 0.9
        world = self.viewer.layers.selection.active.data_to_world(place)[-2:]
        y, x = (
            (w - c) * camera.zoom + side / 2
            for w, c, side in zip(world, camera.center[-2:], (canvas.height(), canvas.width()), strict=True)
        )
        at = QPointF(x, y)
        event = QMouseEvent(kind, at, QPointF(canvas.mapToGlobal(at)), button, buttons, Qt.KeyboardModifier.NoModifier)
        QApplication.sendEvent(canvas, event)

    def settle(self) -> frozenset[CodeType]:
        """Wait until all that was set off is done; give what goes on by itself: seen in two spans in a row, seldom."""
        before: frozenset[CodeType] = frozenset()
        deadline = time.perf_counter() + PATIENCE
        while time.perf_counter() < deadline:
            wait(lambda: not self.works(), self.works)
            self.profiler.start()
            until = time.perf_counter() + REST
            wait(lambda until=until: time.perf_counter() > until)
            seen = frozenset(self.profiler.roots)
            if not self.works() and seen <= before and all(count <= 2 * REST for count in self.profiler.roots.values()):
                return seen
            before = frozenset() if self.works() else seen
        raise SystemExit(f"The window never rests: {sorted(code.co_qualname for code in before)}.")

    def works(self) -> str:
        """Where another thread is at work for us; empty where none is."""
        from qtpy.QtCore import QThreadPool

        window = threading.main_thread().ident
        for ident, frame in sys._current_frames().items():
            outer: FrameType | None = frame if frame.f_code.co_filename != threading.__file__ else None
            while outer is not None and ident != window:
                if (name := self.profiler.name(outer.f_code.co_filename)) is not None:
                    return f"{name}:{outer.f_lineno}"
                outer = outer.f_back
        return "Qt's thread pool" if QThreadPool.globalInstance().activeThreadCount() else ""

    def count(self, act: Callable[[], None], window_only: bool = False) -> dict[str, Any]:
        """Do something, wait until it is done in all threads, and give where it went."""
        known, profiler = self.settle(), self.profiler
        profiler.start(known, threading.main_thread().ident if window_only else None)
        act()
        wait(lambda: time.perf_counter() - profiler.entered > REST and not self.works(), self.works)
        check(len(profiler.threads) > 1, "No thread but the window's was seen")
        walk = {
            "files": len(profiler.files),
            "moves": profiler.moves,
            "entered": list(profiler.files),
            "left_out": sorted(code.co_qualname for code in known),
        }
        profiler.start()
        return walk

    def pixels(self) -> set[bytes]:
        """What the image layers show."""
        from napari.layers import Image

        return {layer.data.tobytes() for layer in self.viewer.layers if isinstance(layer, Image)}

    def on_disk(self) -> dict[Path, float]:
        """The files below the user's folder with the time of their last change."""
        return {file: file.stat().st_mtime_ns for file in self.home.rglob("*") if file.is_file()}


def wait(until: Callable[[], bool], why: Callable[[], str] = str) -> None:
    """Let the window work until something is so."""
    from qtpy.QtCore import QEventLoop, QTimer

    loop, timer, deadline = QEventLoop(), QTimer(), time.perf_counter() + PATIENCE
    timer.timeout.connect(lambda: (until() or time.perf_counter() > deadline) and loop.quit())
    timer.start(4)
    loop.exec()
    timer.stop()
    if time.perf_counter() > deadline:
        raise SystemExit(f"No end after {PATIENCE:.0f} s: {why() or 'the window'} is still at work.")


def check(is_so: bool, what: str) -> None:
    if not is_so:
        raise SystemExit(f"{what}: there is nothing to count. Adapt this script.")


def segment(profiler: Profiler, home: Path) -> dict[str, Any]:
    """A press on Segment, for a new image."""
    from napari.layers import Labels

    from napari_wavegms.samples import ultrasound_phantom

    room = Room(profiler, "Wave-GMS Segment", home)
    room.viewer.add_image(ultrasound_phantom(0).image, name="first")
    room.count(lambda: room.click("Segment"))
    room.viewer.add_image(ultrasound_phantom(1).image, name="second")
    walk = room.count(lambda: room.click("Segment"))
    masks = [layer for layer in room.viewer.layers if isinstance(layer, Labels) and layer.data.any()]
    check(len(masks) == 2, "Segment made no mask")
    room.viewer.close()
    return walk


def review(profiler: Profiler, home: Path) -> Room:
    """A window with Review, and more images than are predicted ahead."""
    from PIL import Image

    from napari_wavegms.samples import ultrasound_phantom

    folder = home.with_name("images")
    folder.mkdir(exist_ok=True)
    for number in range(9):
        Image.fromarray(ultrasound_phantom(number).image).save(folder / f"scan_{number}.png")
    room = Room(profiler, "Wave-GMS Review", home)
    room.panel.lists.open_folder(folder)
    room.settle()
    return room


def stroke(profiler: Profiler, home: Path) -> dict[str, Any]:
    """A brush stroke in Review."""
    room = review(profiler, home)
    room.count(lambda: room.paint((20, 20), (20, 60)))
    mask, disk = room.viewer.layers.selection.active, room.on_disk()
    before = mask.data.copy()
    walk = room.count(lambda: room.paint((40, 20), (40, 60)))
    check((mask.data != before).any(), "The stroke painted nothing")
    check(room.on_disk() != disk, "The journal wrote nothing")
    room.viewer.close()
    return walk


def approve(profiler: Profiler, home: Path) -> dict[str, Any]:
    """A press on Approve in Review, after a stroke."""
    room = review(profiler, home)
    for walked in range(2):
        room.paint((20, 20), (20, 60))
        room.settle()
        shown, disk = room.pixels(), room.on_disk()
        walk = room.count(lambda: room.click("Approve"))
        check(room.on_disk() != disk, f"Approval {walked + 1} wrote nothing")
        check(room.pixels() != shown, f"Approval {walked + 1} showed no next image")
    room.viewer.close()
    return walk


def fine_tune(profiler: Profiler, home: Path) -> dict[str, Any]:
    """A press on Fine-tune with four open pairs, until the new version is scored; the window's thread alone."""
    from napari_wavegms.samples import ultrasound_phantom

    room = Room(profiler, "Wave-GMS Fine-tune", home)
    for number in range(4):
        phantom = ultrasound_phantom(number, shape=(128 + 8 * number, 160))  # a mask is proposed where its size fits
        room.viewer.add_image(phantom.image, name=phantom.name)
        room.viewer.add_labels(phantom.mask, name=f"{phantom.name}_truth")
    for walked in range(2):
        models = len(list(home.rglob("*.safetensors")))
        walk = room.count(lambda: room.click("Fine-tune"), window_only=True)
        check(len(list(home.rglob("*.safetensors"))) > models, f"Fine-tuning {walked + 1} made no version")
    room.viewer.close()
    return walk


ACTS = {"segment": segment, "stroke": stroke, "approve": approve, "fine-tune": fine_tune}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("acts", nargs="*", metavar="act", help=f"{', '.join(ACTS)}; by default all")
    parser.add_argument("--list", action="store_true", help="print the files too, in the order of their first entry")
    parser.add_argument("--json", type=Path, help="write the figures to a file")
    options = parser.parse_args()
    if unknown := set(options.acts) - set(ACTS):
        parser.error(f"unknown act {', '.join(sorted(unknown))}; there are {', '.join(ACTS)}")
    os.environ["NAPARI_CONFIG"] = ""  # the user's settings of napari neither matter nor change
    from qtpy.QtWidgets import QApplication

    app = QApplication.instance() or QApplication([])
    profiler = Profiler()
    profiler.install()
    walks: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as temporary:
        for name in options.acts or ACTS:
            home = Path(temporary, name, "home")
            home.mkdir(parents=True)
            os.environ["WAVEGMS_HOME"] = str(home)
            walks[name] = ACTS[name](profiler, home)
            app.processEvents()
            print(f"{name}: {walks[name]['files']} files, {walks[name]['moves']} moves", file=sys.stderr, flush=True)
    print("| act | files | moves |\n| --- | --- | --- |")
    for name, walk in walks.items():
        print(f"| {name} | {walk['files']} | {walk['moves']:,} |")
    for name, walk in walks.items() if options.list else ():
        print(f"\n{name}")
        print("\n".join(f"  {file}" for file in walk["entered"]))
    if options.json:
        options.json.write_text(json.dumps(walks, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
