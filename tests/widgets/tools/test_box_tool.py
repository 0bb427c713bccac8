"""A box drawn with the mouse: one undo step, the brush back in hand, and nothing of ours left in the viewer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.layers import Labels, Shapes
from qtpy.QtCore import QThreadPool

from napari_wavegms.errors import CheckpointError
from napari_wavegms.segment.planes import plan_stack
from napari_wavegms.segment.segmenter_cache import SegmenterCache
from napari_wavegms.widgets.layers.mask_history import Written, memory_of
from napari_wavegms.widgets.layers.mask_layers import add_mask
from napari_wavegms.widgets.tools.box_tool import DRAW, LOST, NOTHING, BoxChoices, BoxTool

PATIENCE = 30_000  # ms
PLANE = (None, None)


@dataclass
class Room:
    """A viewer with a disc, and the tool."""

    viewer: Any
    tool: BoxTool
    segmenter: Any
    qtbot: Any
    hand: Any
    image: Any
    locked: str = ""
    has_model: bool = True
    sentences: list[tuple[str, str]] = field(default_factory=list)

    @property
    def sketches(self) -> list[Shapes]:
        return [layer for layer in self.viewer.layers if isinstance(layer, Shapes)]

    def mask(self, data: np.ndarray | None = None) -> Labels:
        layer = self.viewer.add_labels(np.zeros((40, 60), np.uint8) if data is None else data, name="mask")
        layer.mode = "paint"
        layer.brush_size = 3
        return layer

    def draw(self, start: tuple[float, ...] = (5, 15), end: tuple[float, ...] = (35, 45)) -> None:
        self.tool.start()
        (sketch,) = self.sketches
        self.hand.drag(sketch, start, end)
        self.qtbot.waitUntil(lambda: self.tool.state == "running", timeout=PATIENCE)

    def wait_for_threads(self) -> None:
        self.qtbot.waitUntil(lambda: QThreadPool.globalInstance().activeThreadCount() == 0, timeout=PATIENCE)

    def finish(self) -> None:
        self.qtbot.waitUntil(lambda: self.tool.state == "idle", timeout=PATIENCE)


@pytest.fixture
def room(
    shared_viewer: Any, qtbot: Any, segmenter: Any, model_file: Path, disc: np.ndarray, hand_over: Any
) -> Iterator[Room]:
    viewer = shared_viewer
    image = viewer.add_image(disc, name="lesion")
    rooms: list[Room] = []
    tool = BoxTool(
        viewer,
        lambda: BoxChoices("tiny", model_file, "cpu") if rooms[0].has_model else None,
        why_not=lambda _mask: rooms[0].locked,
        load=segmenter.load,
        cache=SegmenterCache(),
    )
    room = Room(viewer, tool, segmenter, qtbot, hand_over(viewer), image)
    rooms.append(room)
    tool.said.connect(lambda sentence, kind: room.sentences.append((sentence, kind)))
    yield room
    if segmenter.steps is not None:
        segmenter.steps.release(100)
    tool.close()
    room.wait_for_threads()
    viewer.layers.clear()
    viewer.dims.ndisplay = 2


def test_a_box_is_one_undo_step_and_the_hand_drawn_state_comes_back(room: Room, disc: np.ndarray) -> None:
    mask = room.mask()
    room.hand.drag(mask, (20, 5), (20, 50))  # a stroke of the brush, through the disc
    drawn = mask.data.copy()
    assert drawn.any()
    room.draw()
    room.finish()
    expected = drawn.copy()
    expected[5:36, 15:46] = disc[5:36, 15:46] == 200
    np.testing.assert_array_equal(mask.data, expected)
    mask.undo()
    np.testing.assert_array_equal(mask.data, drawn)
    mask.redo()
    np.testing.assert_array_equal(mask.data, expected)
    mask.undo()
    mask.undo()
    assert not mask.data.any()


def test_the_brush_is_back_in_hand_and_the_sketch_is_gone(room: Room) -> None:
    mask = room.mask()
    mask.mode = "erase"
    before = list(room.viewer.layers)
    room.draw()
    assert list(room.viewer.layers) == before  # while the model works
    assert room.viewer.layers.selection.active is mask
    assert mask.mode == "erase"
    room.finish()
    assert room.sentences[0] == (DRAW, "")
    assert room.sentences[-1][0].endswith("px added. Press Ctrl+Z to undo.")


@pytest.mark.parametrize("way", ["escape", "again", "another layer", "removed", "3-D", "close"])
def test_a_cancelled_box_changes_nothing(room: Room, way: str) -> None:
    mask = room.mask()
    room.tool.start()
    (sketch,) = room.sketches
    room.viewer.window._qt_viewer.canvas.native.setFocus()
    {
        "escape": lambda: room.hand.key("Escape"),
        "again": room.tool.start,
        "another layer": lambda: setattr(room.viewer.layers.selection, "active", room.image),
        "removed": lambda: room.viewer.layers.remove(sketch),
        "3-D": lambda: setattr(room.viewer.dims, "ndisplay", 3),
        "close": room.tool.close,
    }[way]()
    room.finish()
    assert room.sketches == []
    assert not mask.data.any()
    assert room.segmenter.calls == []
    assert room.viewer.layers.selection.active is (room.image if way == "another layer" else mask)
    room.viewer.dims.ndisplay = 2
    room.viewer.layers.selection.active = mask
    room.draw()
    room.finish()
    assert mask.data.any()


def test_a_click_is_no_box_and_the_next_drag_is_one(room: Room) -> None:
    mask = room.mask()
    room.tool.start()
    (sketch,) = room.sketches
    room.hand.drag(sketch, (10, 10), (10, 10))
    room.qtbot.waitUntil(lambda: room.sentences[-1][1] == "problem", timeout=PATIENCE)
    assert "needs 4 x 4 inside" in room.sentences[-1][0]
    assert room.tool.state == "drawing"
    room.hand.drag(sketch, (5, 15), (35, 45))
    room.qtbot.waitUntil(lambda: bool(mask.data.any()), timeout=PATIENCE)


def test_a_stroke_that_goes_on_is_not_torn_apart(room: Room, slow: Any) -> None:
    mask = room.mask()
    room.draw()
    room.hand.press(mask, (2, 2))
    room.hand.move(mask, (2, 10))
    slow.release(10)
    room.wait_for_threads()
    room.qtbot.wait(20)
    assert not mask.data[20, 30]  # the answer is there and waits
    room.hand.move(mask, (2, 20))
    room.hand.release(mask, (2, 20))
    room.finish()
    assert mask.data[20, 30] == 1
    mask.undo()
    assert not mask.data[20, 30]
    assert mask.data[2, 2:20].all()
    mask.undo()
    assert not mask.data.any()


def test_other_labels_and_the_brush_s_own(room: Room, disc: np.ndarray) -> None:
    data = np.zeros((40, 60), np.uint8)
    data[18:22, 28:32] = 7
    mask = room.mask(data)
    mask.selected_label = 3
    mask.data_setitem((np.array([0]), np.array([0])), 3)  # so that 7 is not the only label there
    room.draw()
    room.finish()
    assert set(np.unique(mask.data)) == {0, 3, 7}
    assert (mask.data[18:22, 28:32] == 7).all()
    assert mask.data[20, 24] == 3


def test_a_mask_of_one_other_label_keeps_it(room: Room) -> None:
    mask = room.mask(np.where(np.arange(60) < 20, np.uint8(255), np.uint8(0)) * np.ones((40, 1), np.uint8))
    room.draw((5, 25), (35, 45))
    room.finish()
    assert set(np.unique(mask.data)) == {0, 255}
    assert mask.data[20, 30] == 255


def test_nothing_found_erases_nothing(room: Room) -> None:
    room.image.data = np.zeros((40, 60), np.uint8)
    mask = room.mask(np.ones((40, 60), np.uint8))
    room.draw()
    room.finish()
    assert room.sentences[-1] == (NOTHING, "problem")
    assert mask.data.all()


def test_a_locked_mask_is_not_written_to(room: Room, slow: Any) -> None:
    mask = room.mask()
    room.locked = "benign_12 is approved. Take the approval back to change it."
    room.tool.start()
    assert room.tool.state == "idle"
    assert room.sentences == [(room.locked, "problem")]
    locked, room.locked = room.locked, ""
    room.draw()
    room.locked = locked  # approved while the model works
    slow.release(10)
    room.finish()
    assert room.sentences[-1] == (locked, "problem")
    assert not mask.data.any()


def test_a_mask_that_is_gone_or_another_gets_no_answer(room: Room, slow: Any) -> None:
    mask = room.mask()
    room.draw()
    mask.data = np.zeros((20, 20), np.uint8)
    slow.release(10)
    room.finish()
    assert room.sentences[-1] == (LOST, "problem")
    assert not mask.data.any()


def test_a_second_start_drops_the_answer(room: Room, slow: Any) -> None:
    mask = room.mask()
    room.draw()
    room.tool.start()
    assert room.tool.state == "idle"
    slow.release(10)
    room.wait_for_threads()
    room.qtbot.wait(20)
    assert not mask.data.any()


def test_a_failure_is_a_sentence(room: Room) -> None:
    room.mask()
    room.segmenter.failure = CheckpointError("The model tiny is damaged. Choose another model.")
    room.draw()
    room.finish()
    assert room.sentences[-1] == ("The model tiny is damaged. Choose another model.", "problem")


@pytest.mark.parametrize(
    ("break_it", "sentence"),
    [
        (lambda room: room.viewer.layers.selection.clear(), "No mask is selected"),
        (lambda room: setattr(room.viewer.dims, "ndisplay", 3), "2-D view"),
        (lambda room: room.viewer.layers.remove(room.image), "No open image has the size of mask"),
        (lambda room: setattr(room, "has_model", False), "No model is installed"),
    ],
)
def test_why_not(room: Room, break_it: Any, sentence: str) -> None:
    room.mask()
    break_it(room)
    room.tool.start()
    assert room.tool.state == "idle"
    assert sentence in room.sentences[-1][0]


def test_a_scaled_stack_is_written_in_the_plane_on_screen(room: Room, disc: np.ndarray) -> None:
    stack = np.stack([np.zeros_like(disc), disc, disc])
    place = {"scale": (5, 0.2, 0.2), "translate": (0, 3, -4), "units": ("s", "mm", "mm")}
    room.image.units = ("mm", "mm")
    room.viewer.add_image(stack, name="loop", **place)
    room.viewer.layers.remove(room.image)
    mask = room.mask(np.zeros(stack.shape, np.uint8))
    mask.scale, mask.translate, mask.units = place["scale"], place["translate"], place["units"]
    room.viewer.dims.set_current_step(0, 1)
    room.viewer.reset_view()
    room.draw((1, 5, 15), (1, 35, 45))
    room.viewer.dims.set_current_step(0, 2)  # the person has gone on
    room.finish()
    expected = np.zeros((40, 60), bool)
    expected[5:36, 15:46] = disc[5:36, 15:46] == 200
    np.testing.assert_array_equal(mask.data[1], expected)
    assert not mask.data[[0, 2]].any()


def test_our_own_mask_brings_its_probability_and_keeps_the_box_as_an_edit(room: Room, disc: np.ndarray) -> None:
    plan = plan_stack(disc.shape, disc.dtype, rgb=False)
    whole = np.zeros(disc.shape, np.float32)
    mask = add_mask(room.viewer, room.image, plan, "tiny", {PLANE: Written(whole, 0.5)})
    room.viewer.layers.selection.active = room.image  # the image stands for its mask
    room.draw()
    room.finish()
    # (200 / 255 + 0) / 2 is below a half, and the box's share lowers the threshold to it.
    assert mask.data[20, 30] == 1
    memory = memory_of(mask)
    assert memory is not None
    assert memory.edited_pixels(mask.data, [PLANE]) == np.count_nonzero(mask.data)
