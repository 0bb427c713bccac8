"""A model file without weights, a segmenter without a network (bright is lesion), and a viewer with our panel in it."""

from __future__ import annotations

import gc
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from threading import Semaphore
from types import SimpleNamespace
from typing import Any

import napari
import numpy as np
import pytest
import torch  # the jobs' first would import it, and every later look through all objects would take twice as long
from napari.layers import Labels
from PIL import Image
from qtpy.QtCore import QEvent, QPointF, QSize, Qt, QThreadPool
from qtpy.QtGui import QKeySequence, QMouseEvent, QResizeEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QAbstractButton, QApplication, QLabel, QSlider, QWidget

from napari_wavegms.journal.journal import Journal
from napari_wavegms.model.card import HEADER_KEY, ModelCard
from napari_wavegms.segment.postprocess import threshold_probability
from napari_wavegms.segment.preprocessing import Preprocessing, scale_intensity
from napari_wavegms.segment.segmenter_cache import SegmenterCache
from napari_wavegms.widgets.layers.viewer import camera_of
from napari_wavegms.widgets.review.layers import Shown
from napari_wavegms.widgets.review.panel import ReviewPanel
from napari_wavegms.widgets.review.widget import ReviewWidget
from napari_wavegms.widgets.segment.panel import SegmentPanel
from napari_wavegms.widgets.segment.widget import SegmentWidget
from napari_wavegms.widgets.worklist.model import WorklistModel
from napari_wavegms.worklist.item import Item

PATIENCE = 30_000  # ms; a busy machine is no reason to fail
LEFT, NONE = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Try a test of a shown window once more when it fails, which the summary counts as "1 rerun".

    Between two events of ours the window server sends its own: its pointer enters the window, the focus goes.
    """
    for item in items:
        if {"activate", "hand_over", "shown_viewer"}.intersection(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.flaky(reruns=1))


@dataclass
class BrightnessSegmenter:
    """Probability = brightness / 255; counts its calls, and waits for `steps` where a test wants to look in between."""

    calls: list[tuple[int, ...]] = field(default_factory=list)
    loads: int = 0
    steps: Semaphore | None = None
    failure: Exception | None = None
    broken: Exception | None = None  # why it cannot be loaded
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    device = SimpleNamespace(name="cpu", reason="the processor (no NVIDIA support installed)")

    def load(self, model: Path, device: str) -> BrightnessSegmenter:
        self.loads += 1
        if self.broken is not None:
            raise self.broken
        return self

    def for_volume(self, planes: Any) -> Any:
        return self if self.preprocessing.window else self.with_window(self.preprocessing.for_volume(planes).window)

    @property
    def window(self) -> Any:
        return self.preprocessing.window

    def with_window(self, window: Any) -> Any:
        return self if window is None else replace(self, preprocessing=self.preprocessing.with_window(window))

    def segment(self, image: Any) -> Any:
        image = np.asarray(image)
        if self.preprocessing.window is not None:
            image = 255 * scale_intensity(image, (0, 100), self.preprocessing.window)[0]
        if self.steps is not None:
            assert self.steps.acquire(timeout=20), "the test never let this step go"
        if self.failure is not None:
            raise self.failure
        self.calls.append(image.shape)
        grey = image if image.ndim == 2 else image[..., :3].mean(axis=-1)
        is_uniform = bool((grey == grey.flat[0]).all())
        return SimpleNamespace(
            classes=None, confidence=np.asarray(grey, np.float32) / 255 * (not is_uniform), is_uniform=is_uniform
        )


class Form:
    """What a person finds in a panel; has a `panel`."""

    def field(self, name: str) -> Any:
        """The field with this accessible name."""
        (field,) = (each for each in self.panel.findChildren(QWidget) if each.accessibleName() == name)
        return field

    def choose(self, name: str, entry: str) -> None:
        """Choose an entry of a drop-down list."""
        field = self.field(name)
        field.setCurrentIndex(field.findText(entry))
        field.activated.emit(field.currentIndex())

    def button(self, label: str) -> QAbstractButton:
        """The button whose text begins so."""
        (button,) = (each for each in self.panel.findChildren(QAbstractButton) if each.text().startswith(label))
        return button

    def says(self, words: str) -> bool:
        """Whether words are to be read in the panel."""
        return any(words in label.text() for label in self.panel.findChildren(QLabel) if label.isVisibleTo(self.panel))


@dataclass
class Desk(Form):
    """A viewer with our panel, and what a person does with them."""

    viewer: Any
    widget: SegmentWidget
    segmenter: BrightnessSegmenter
    qtbot: Any

    @property
    def panel(self) -> SegmentPanel:
        return self.widget.panel

    @property
    def masks(self) -> list[Labels]:
        return [layer for layer in self.viewer.layers if isinstance(layer, Labels)]

    @property
    def mask(self) -> Labels:
        (mask,) = self.masks
        return mask

    def run(self) -> None:
        """Press Segment and wait for the answer."""
        self.widget.segment()
        self.finish()

    def finish(self) -> None:
        self.qtbot.waitUntil(lambda: not self.widget.busy, timeout=PATIENCE)

    def wait_for(self, calls: int) -> None:
        """Wait until so many planes have come back to the window."""
        self.qtbot.waitUntil(lambda: len(self.segmenter.calls) >= calls, timeout=PATIENCE)
        self.qtbot.wait(50)

    def every_frame(self) -> None:
        self.button("all").click()

    @property
    def slider(self) -> QSlider:
        return self.field("Threshold")

    def drag(self, *thresholds: float) -> None:
        """Drag the threshold slider over these values and let it go."""
        self.slider.setSliderDown(True)
        for threshold in thresholds:
            self.slider.setSliderPosition(round(threshold * 100))
        self.slider.setSliderDown(False)

    def let_threads_end(self) -> None:
        if self.segmenter.steps is not None:
            self.segmenter.steps.release(1000)
        self.qtbot.waitUntil(lambda: QThreadPool.globalInstance().activeThreadCount() == 0, timeout=PATIENCE)


class Hand:
    """A mouse over a viewer, and keys."""

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer
        self._canvas = viewer.window._qt_viewer.canvas
        native = self._canvas.native
        if not native.isVisible():  # so that its size is still to be told
            QApplication.sendEvent(native, QResizeEvent(native.size(), QSize()))

    def press(self, layer: Any, place: tuple[float, ...]) -> None:
        self.move(layer, place, NONE)
        self._send(QEvent.Type.MouseButtonPress, layer, place, LEFT, LEFT)

    def move(self, layer: Any, place: tuple[float, ...], buttons: Qt.MouseButton = LEFT) -> None:
        """Go there and stay until the viewer knows: of movements within 10 ms, whosesoever, vispy drops all but one."""
        world = np.asarray(layer.data_to_world(place))[-2:]
        for _ in range(100):
            QTest.qWait(25)
            self._send(QEvent.Type.MouseMove, layer, place, NONE, buttons)
            QTest.qWait(0)  # napari may keep a movement until the next event of the loop
            if np.abs(self._viewer.cursor.position[-2:] - world).max() * camera_of(self._viewer).zoom <= 1:
                return
        raise AssertionError(f"the viewer did not follow the mouse to {place} in {layer}")

    def release(self, layer: Any, place: tuple[float, ...]) -> None:
        self._send(QEvent.Type.MouseButtonRelease, layer, place, LEFT, NONE)

    def drag(self, layer: Any, start: tuple[float, ...], end: tuple[float, ...], steps: int = 4) -> None:
        self.press(layer, start)
        for part in np.linspace(0, 1, steps + 1)[1:]:
            self.move(layer, tuple(np.add(start, np.multiply(part, np.subtract(end, start)))))
        self.release(layer, end)

    def key(self, key: str) -> None:
        """Press a key such as ``"Alt+B"`` while the canvas has the focus."""
        pressed = QKeySequence(key)[0]
        QTest.keyClick(self._canvas.native, pressed.key(), pressed.keyboardModifiers())

    def _send(self, kind: QEvent.Type, layer: Any, place: tuple[float, ...], button: Any, buttons: Any) -> None:
        camera, native = camera_of(self._viewer), self._canvas.native
        world = np.asarray(layer.data_to_world(place))[-2:]
        y, x = (world - np.asarray(camera.center)[-2:]) * camera.zoom + np.array([native.height(), native.width()]) / 2
        at = QPointF(float(x), float(y))
        event = QMouseEvent(kind, at, native.mapToGlobal(at), button, buttons, Qt.KeyboardModifier.NoModifier)
        QApplication.sendEvent(native, event)


def write_model(path: Path, **card: Any) -> Path:
    """Write a file that carries a model card and no tensors."""
    text = json.dumps(ModelCard(path.stem, **card).as_dict())
    header = json.dumps({"__metadata__": {HEADER_KEY: text}}).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    return path


@pytest.fixture
def make_model() -> Callable[..., Path]:
    return write_model


@pytest.fixture
def model_file(tmp_data_home: Path) -> Path:
    """A model in the user's folder, so that it is listed by name."""
    return write_model(tmp_data_home / "models" / "tiny.safetensors", title="A tiny model", threshold=0.5)


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of the real network with random weights."""
    from napari_wavegms.model.checkpoint import save_checkpoint
    from napari_wavegms.model.network import WaveGMS

    torch.manual_seed(7)
    path = tmp_path_factory.mktemp("model") / "random.safetensors"
    save_checkpoint(path, WaveGMS(), ModelCard("random"))
    return path


@pytest.fixture
def segmenter() -> BrightnessSegmenter:
    return BrightnessSegmenter()


@pytest.fixture
def slow(segmenter: BrightnessSegmenter) -> Semaphore:
    """Hold the segmenter before each plane until the test lets it go."""
    segmenter.steps = Semaphore(0)
    return segmenter.steps


@pytest.fixture(scope="module")
def shared_viewer(qapp: Any) -> Iterator[Any]:
    """One viewer for a module's tests, of which none closes it; to open and close one takes a second."""
    from app_model import Application
    from napari import Viewer
    from napari._app_model._app import NapariApplication, _napari_names
    from napari._qt._qapp_model.qactions import init_qactions
    from napari._qt.threads.status_checker import StatusChecker
    from napari.plugins import _initialize_plugins

    # What `make_napari_viewer` does for one test.
    app = NapariApplication("shared_app")
    app.injection_store.namespace = _napari_names
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(NapariApplication, "get_app_model", lambda: app)
        patch.setattr(StatusChecker, "start", lambda _self: None)
        _initialize_plugins.cache_clear()
        init_qactions.cache_clear()
        patch.setattr(gc, "get_freeze_count", lambda: 1)  # as it is in tests, and to count takes a tenth of a second
        viewer = Viewer(show=False, show_welcome_screen=False)
        yield viewer
        viewer.close()
        del viewer
    Application.destroy("shared_app")
    _initialize_plugins.cache_clear()
    init_qactions.cache_clear()
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    gc.unfreeze()
    gc.collect()
    gc.freeze()


@pytest.fixture
def open_desk(model_file: Path, segmenter: BrightnessSegmenter, qtbot: Any) -> Iterator[Callable[[Any], Desk]]:
    """Put our panel into a viewer: `open_desk(viewer)`."""
    desks: list[Desk] = []

    def make(viewer: Any) -> Desk:
        widget = SegmentWidget(viewer, load=segmenter.load, cache=SegmenterCache())
        viewer.window.add_dock_widget(widget, name="Wave-GMS Segment")
        widget.panel.model_row.open_file(model_file)
        desks.append(Desk(viewer, widget, segmenter, qtbot))
        return desks[-1]

    yield make
    for desk in desks:
        desk.let_threads_end()


@pytest.fixture
def desk(open_desk: Callable[[Any], Desk], shared_viewer: Any) -> Iterator[Desk]:
    desk = open_desk(shared_viewer)
    yield desk
    desk.let_threads_end()
    shared_viewer.window.remove_dock_widget("all")
    shared_viewer.layers.clear()


@pytest.fixture
def qtbot(qtbot: Any) -> Any:
    """pytest-qt's, which on a busy machine gives up too soon."""
    for name in ("waitUntil", "waitSignal", "waitSignals", "waitExposed"):
        setattr(qtbot, name, partial(getattr(qtbot, name), timeout=PATIENCE))
    return qtbot


@pytest.fixture
def activate(qtbot: Any) -> Callable[[QWidget], None]:
    """Show a window and give it the focus: `activate(window)`."""

    def is_active(window: QWidget) -> bool:
        window.activateWindow()  # another window that closes just now may take the focus with it
        return window.isActiveWindow()

    def show(window: QWidget) -> None:
        window.show()
        qtbot.waitUntil(lambda: is_active(window))

    return show


@pytest.fixture
def shown_viewer(make_napari_viewer: Callable[..., Any]) -> Any:
    """A viewer in a shown window, for one test: with other layers, a canvas that was drawn into may crash."""
    return make_napari_viewer(show=True)


@pytest.fixture(scope="session")
def forked_window() -> Iterator[Callable[..., Iterator[str]]]:
    """Run a script that opens a window in a process of its own: `forked_window(script, *arguments)`.

    Gives the lines it prints: first the number of its process, last "ended" and its exit code.
    """
    command = [sys.executable, str(Path(__file__).with_name("forked_windows.py"))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as forks:
        asked, told = forks.stdin, forks.stdout
        assert asked is not None
        assert told is not None

        def run(script: Path, *arguments: object) -> Iterator[str]:
            home = {"WAVEGMS_HOME": os.environ["WAVEGMS_HOME"]}
            asked.write(json.dumps([home, [str(script), *map(str, arguments)]]) + "\n")
            asked.flush()
            yield (process := told.readline().rstrip())
            line = ""
            try:
                while not line.startswith("ended "):
                    yield (line := told.readline().rstrip())
            finally:
                if not line.startswith("ended "):  # the test has failed before
                    os.kill(int(process), signal.SIGKILL)
                    while not told.readline().startswith("ended "):
                        pass

        yield run


@pytest.fixture
def hand_over() -> type[Hand]:
    """Give a mouse and keys over a viewer: `hand_over(viewer)`."""
    return Hand


@pytest.fixture
def disc() -> np.ndarray:
    """A bright disc on dark ground, (40, 60)."""
    rows, columns = np.ogrid[:40, :60]
    return np.where((rows - 20) ** 2 + (columns - 30) ** 2 < 100, 200, 20).astype(np.uint8)


@pytest.fixture
def ramp() -> np.ndarray:
    """Brightness that grows from left to right, so that each threshold gives another mask, (40, 60)."""
    return np.broadcast_to(np.linspace(0, 255, 60).astype(np.uint8), (40, 60)).copy()


def write_images(folder: Path, count: int, seed: int = 0) -> Path:
    """Write grey images of 24 x 32 with a bright patch each, no two alike: scan_1.png and on."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    for number in range(1, count + 1):
        pixels = rng.integers(0, 90, (24, 32)).astype(np.uint8)
        top, left = rng.integers(8, 12, 2)
        pixels[top : top + 8, left : left + 12] = 150 + rng.integers(0, 90, (8, 12))
        Image.fromarray(pixels).save(folder / f"scan_{number}.png")
    return folder


class Prejudiced:
    """The brightness segmenter, which may change its mind."""

    def __init__(self, segmenter: Any) -> None:
        self._segmenter = segmenter
        self.device, self.preprocessing = segmenter.device, segmenter.preprocessing
        self.bonus = 0

    def load(self, model: Path, device: str) -> Prejudiced:
        return self

    def for_volume(self, planes: Any) -> Any:
        return self

    def with_window(self, window: Any) -> Any:
        return self

    def segment(self, image: Any) -> Any:
        return self._segmenter.segment(np.minimum(image.astype(int) + self.bonus, 255))


@dataclass
class ReviewRoom(Form):
    """A viewer with Wave-GMS Review, and what a person does in it."""

    viewer: Any
    widget: ReviewWidget
    segmenter: Prejudiced
    qtbot: Any

    @classmethod
    def of(cls, viewer: Any, segmenter: Any, qtbot: Any) -> ReviewRoom:
        mind = Prejudiced(segmenter)
        widget = ReviewWidget(viewer, load=mind.load, cache=SegmenterCache())
        viewer.window.add_dock_widget(widget, name="Wave-GMS Review")
        models = widget.panel.model_row
        models.combo.setCurrentIndex([choice.name for choice in models.combo.values].index("tiny"))
        widget.prefetch.use_model()
        room = cls(viewer, widget, mind, qtbot)
        room.wait(lambda: not widget.recovery.busy)
        return room

    @property
    def panel(self) -> ReviewPanel:
        return self.widget.panel

    @property
    def shown(self) -> Shown:
        assert self.widget.shown is not None
        return self.widget.shown

    @property
    def mask(self) -> Labels:
        return self.shown.mask

    @property
    def images(self) -> WorklistModel:
        return self.panel.list.model

    @property
    def item(self) -> Item:
        item = self.images.item(self.shown.key)
        assert item is not None
        return item

    @property
    def journal(self) -> Journal:
        return self.widget.journal.writer.journal

    @property
    def predicted(self) -> np.ndarray:
        """What the model draws on the image on screen."""
        grey = self.shown.loaded.pixels.astype(int) + self.segmenter.bonus
        return threshold_probability(np.minimum(grey, 255).astype(np.float32) / 255, 0.5)

    @property
    def asks(self) -> bool:
        """Whether the panel asks about edits that were left behind."""
        return self.panel.question.isVisibleTo(self.panel)

    def wait(self, until: Callable[[], bool]) -> None:
        self.qtbot.waitUntil(until, timeout=PATIENCE)

    def wait_shown(self) -> None:
        """Wait until an image is on screen and has been predicted."""
        self.wait(lambda: not self.widget.busy and self.widget.shown is not None)
        self.wait(lambda: bool(self.shown.memory.planes))

    def open(self, folder: Path) -> None:
        self.widget.open_folder(folder)
        self.wait(lambda: self.panel.list.worklist is not None)
        self.wait_shown()

    def show(self, key: str) -> None:
        self.widget.current.show_item(key)
        self.wait_shown()

    def next(self) -> None:
        self.widget.lists.next()
        self.wait_shown()

    def go(self, press: Callable[[str], None], key: str) -> str:
        """Press a key that brings another image, and give its name."""
        before = self.item.key
        press(key)
        self.wait(lambda: not self.widget.busy and self.widget.shown is not None and self.shown.key != before)
        self.wait_shown()
        return str(self.item.name)

    def skip(self) -> None:
        self.widget.lists.skip()
        self.wait_shown()

    def stroke(self, place: tuple[int, int], label: int = 1) -> np.ndarray:
        """Paint a spot, and give the mask as it is then."""
        self.mask.paint(place, label)
        return np.array(self.mask.data)

    def approve(self) -> None:
        """Approve, and wait until the next image is there."""
        key = self.shown.key
        last = self.images.next_key() is None
        self.widget.approvals.approve()
        self.wait(lambda: not self.widget.busy)
        assert self.images.item(key).state == "approved"
        if not last:
            self.wait(lambda: self.widget.shown is not None and self.shown.key != key)
        self.wait_shown()

    def withdraw(self) -> None:
        self.widget.approvals.withdraw()
        self.wait(lambda: not self.widget.busy)

    def state_of(self, name: str) -> str:
        return next(item.state for item in self.images.items() if item.name == name)

    def kill(self) -> None:
        """Leave what is on disk as a killed program does: the next window works on a copy, which nobody owns."""
        self.widget.journal.settle()
        assert self.widget.journal.writer.flush(20)
        home = Path(os.environ["WAVEGMS_HOME"])
        copy = home.with_name(f"{home.name}-killed")
        shutil.copytree(home, copy)
        self.close()
        os.environ["WAVEGMS_HOME"] = str(copy)

    def close(self) -> None:
        """Close the panel, unless that is done."""
        if self.widget.parent() is not None:
            self.viewer.window.remove_dock_widget(self.widget)
        self.wait(lambda: not self.widget.prefetch.busy)


@pytest.fixture
def scans(tmp_path: Path) -> Callable[..., Path]:
    """Write a folder of images: `scans(count, seed=0)`."""
    return lambda count, seed=0: write_images(tmp_path / "scans", count, seed)


@pytest.fixture(scope="module")
def viewer(qapp: QApplication) -> Iterator[napari.Viewer]:
    """One viewer for all tests of a file that open rooms, one room at a time; it takes a second to make."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gc, "get_freeze_count", lambda: 1)  # as it is in tests, and to count takes a tenth of a second
        viewer = napari.Viewer(show=False)
        yield viewer
        viewer.close()
    gc.unfreeze()
    gc.collect()  # napari's own fixture refuses to begin while a viewer is left
    gc.freeze()
    qapp.processEvents()


@pytest.fixture
def open_room(
    model_file: Path, qtbot: Any, viewer: napari.Viewer, segmenter: BrightnessSegmenter
) -> Iterator[Callable[[], ReviewRoom]]:
    """Open Wave-GMS Review in a viewer without layers, one panel after another over the same data."""
    rooms: list[ReviewRoom] = []

    def make() -> ReviewRoom:
        for room in rooms:
            room.close()
        viewer.layers.clear()
        rooms.append(ReviewRoom.of(viewer, segmenter, qtbot))
        return rooms[-1]

    yield make
    for room in rooms:
        room.close()
    # A thread that outlives its window may bring the interpreter down with it.
    qtbot.waitUntil(lambda: QThreadPool.globalInstance().activeThreadCount() == 0, timeout=PATIENCE)
