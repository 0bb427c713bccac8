"""A model file without weights, a segmenter without a network (bright is lesion), and a viewer with our panel in it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Semaphore
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from napari.layers import Labels
from qtpy.QtCore import QEvent, QPointF, Qt, QThreadPool
from qtpy.QtGui import QKeySequence, QMouseEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_wavegms.model.card import HEADER_KEY, ModelCard
from napari_wavegms.segment.images import Preprocessing
from napari_wavegms.widgets.camera import camera_of
from napari_wavegms.widgets.segment_job import SegmenterShelf
from napari_wavegms.widgets.segment_panel import ALL_FRAMES, THIS_FRAME, SegmentPanel
from napari_wavegms.widgets.segment_widget import SegmentWidget

PATIENCE = 30_000  # ms; a busy machine is no reason to fail
LEFT, NONE = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton


@dataclass
class BrightnessSegmenter:
    """Probability = brightness / 255; counts its calls, and waits for `steps` where a test wants to look in between."""

    calls: list[tuple[int, ...]] = field(default_factory=list)
    loads: int = 0
    steps: Semaphore | None = None
    failure: Exception | None = None
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    device = SimpleNamespace(name="cpu", reason="CPU: this build of torch has no CUDA")

    def load(self, model: Path, device: str) -> BrightnessSegmenter:
        self.loads += 1
        return self

    def segment(self, image: Any) -> Any:
        if self.steps is not None:
            assert self.steps.acquire(timeout=20), "the test never let this step go"
        if self.failure is not None:
            raise self.failure
        self.calls.append(image.shape)
        grey = image if image.ndim == 2 else image[..., :3].mean(axis=-1)
        return SimpleNamespace(probability=np.asarray(grey, np.float32) / 255)


@dataclass
class Desk:
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

    def every_frame(self, every: bool = True) -> None:
        self.panel._frames.value = ALL_FRAMES if every else THIS_FRAME

    def drag(self, *thresholds: float) -> None:
        """Drag the threshold slider over these values and let it go."""
        slider = self.panel.threshold_row._slider
        slider.setSliderDown(True)
        for threshold in thresholds:
            slider.setSliderPosition(round(threshold * 100))
        slider.setSliderDown(False)

    def let_threads_end(self) -> None:
        if self.segmenter.steps is not None:
            self.segmenter.steps.release(1000)
        self.qtbot.waitUntil(lambda: QThreadPool.globalInstance().activeThreadCount() == 0, timeout=PATIENCE)


class Hand:
    """A mouse over a viewer that is shown."""

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer
        self._canvas = viewer.window._qt_viewer.canvas

    def press(self, layer: Any, place: tuple[float, ...]) -> None:
        self._send(QEvent.Type.MouseMove, layer, place, NONE, NONE)
        self._send(QEvent.Type.MouseButtonPress, layer, place, LEFT, LEFT)

    def move(self, layer: Any, place: tuple[float, ...]) -> None:
        QTest.qWait(12)  # vispy drops movements that follow each other within 10 ms; no hand is as quick
        self._send(QEvent.Type.MouseMove, layer, place, NONE, LEFT)

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
    import torch

    from napari_wavegms.model.checkpoint import save_checkpoint
    from napari_wavegms.model.wave_gms import WaveGMS

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


@pytest.fixture
def desk(
    model_file: Path, segmenter: BrightnessSegmenter, qtbot: Any, make_napari_viewer: Callable[..., Any]
) -> Iterator[Desk]:
    viewer = make_napari_viewer()
    widget = SegmentWidget(viewer, load=segmenter.load, shelf=SegmenterShelf())
    viewer.window.add_dock_widget(widget, name="Wave-GMS Segment")
    widget.panel.model_row.open_file(model_file)
    desk = Desk(viewer, widget, segmenter, qtbot)
    yield desk
    desk.let_threads_end()


@pytest.fixture
def hand_over() -> type[Hand]:
    """Give a mouse and keys over a viewer that is shown: `hand_over(viewer)`."""
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
