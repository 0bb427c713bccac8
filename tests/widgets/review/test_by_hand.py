"""Review with nothing but keys and the mouse in a shown window: on the canvas, and with the focus in the panel."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QThreadPool
from qtpy.QtGui import QKeySequence
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QWidget

from napari_wavegms.corrections.store import CorrectionStore

KEYS = ("Alt+Right", "Alt+K", "Alt+Left", "Alt+A")  # on, skip and on, back, approve and on


@pytest.fixture
def viewer(make_napari_viewer: Callable[[], Any]) -> Any:
    """One for each test: napari crashes in a shown canvas that becomes empty and is filled again."""
    return make_napari_viewer()


@pytest.fixture
def open_shown(
    open_room: Callable[[], Any], scans: Callable[..., Path], activate: Callable[[QWidget], None]
) -> Callable[[int], Any]:
    """Open Review in a shown window with so many images."""

    def make(count: int) -> Any:
        room = open_room()
        activate(room.widget.window())
        room.open(scans(count))
        room.panel.list.choose(order="folder order")
        return room

    return make


@pytest.fixture
def room(open_shown: Callable[[int], Any]) -> Any:
    return open_shown(5)


@pytest.fixture
def hand(room: Any, hand_over: Callable[[Any], Any]) -> Any:
    return hand_over(room.viewer)


def press(widget: QWidget, key: str) -> None:
    """Press a key while a widget of the panel has the focus."""
    pressed = QKeySequence(key)[0]
    QTest.keyClick(widget, pressed.key(), pressed.keyboardModifiers())


def go(room: Any, press_key: Callable[[str], None], key: str) -> str:
    before = room.item.key
    press_key(key)
    room.wait(lambda: not room.widget.busy and room.widget.shown is not None and room.shown.key != before)
    room.wait_shown()
    return str(room.item.name)


def test_a_day_s_keys_on_the_canvas(room: Any, hand: Any) -> None:
    assert go(room, hand.key, "Alt+Right") == "scan_2"
    assert go(room, hand.key, "Alt+Left") == "scan_1"
    assert go(room, hand.key, "Alt+K") == "scan_2"
    assert room.state_of("scan_1") == "skipped"
    mask = room.stroke((3, 3))
    key = room.item.key
    assert go(room, hand.key, "Alt+A") == "scan_3"
    assert room.state_of("scan_2") == "approved"
    (kept,) = CorrectionStore().corrections()
    assert np.array_equal(CorrectionStore().load(kept).mask, mask)
    assert go(room, hand.key, "Alt+Left") == "scan_2"
    hand.key("Alt+O")  # a locked mask is not tidied
    hand.key("Ctrl+Z")
    assert np.array_equal(room.mask.data, mask)
    hand.key("Alt+Z")
    room.wait(lambda: room.mask.editable)
    assert (room.item.key, room.item.state) == (key, "corrected")
    assert CorrectionStore().corrections() == []
    room.mask.data_setitem((np.array([20]), np.array([2])), 1)
    hand.key("Alt+R")  # keep the largest piece
    assert room.mask.data[20, 2] == 0
    hand.key("Ctrl+Z")
    assert room.mask.data[20, 2] == 1
    hand.key("Alt+Q")
    assert room.widget.tools.changes.shown
    hand.key("Shift+Alt+D")
    assert room.widget.tools.uncertainty.shown


def test_the_keys_work_wherever_the_focus_is_in_the_panel(open_shown: Callable[[int], Any], qtbot: Any) -> None:
    room = open_shown(17)
    panel = room.panel
    fields = {
        "table": panel.list.table,
        "search": room.field("Find"),
        "button": room.button("Next"),
        "threshold": room.field("Threshold"),
        "smallest": room.field("Smallest island"),
        "name": room.field("Your name"),
        "model": panel.model_row.combo,
        "order": room.field("Order"),
    }
    model = panel.model_row.choice
    for number, (where, widget) in enumerate(fields.items()):
        widget.setFocus()
        qtbot.waitUntil(widget.hasFocus)
        second, third = f"scan_{2 * number + 2}", f"scan_{2 * number + 3}"
        went = [go(room, lambda key, at=widget: press(at, key), key) for key in KEYS]
        assert went == [second, third, second, third], where
        assert room.state_of(second) == "approved", where
    assert room.field("Find").text() == ""
    assert (panel.model_row.choice, room.images.order) == (model, "folder order")


def test_a_box_by_hand_is_one_step_and_approve_keeps_it(room: Any, hand: Any) -> None:
    before, content = np.array(room.mask.data), room.shown.content
    room.segmenter.bonus = 60  # the model sees more when it looks again
    hand.key("Alt+B")
    sketch = room.viewer.layers.selection.active
    assert sketch.name == "Box"
    hand.drag(sketch, (1, 1), (20, 12))
    room.wait(lambda: room.widget.tools.box.state == "idle" and not np.array_equal(room.mask.data, before))
    boxed = np.array(room.mask.data)
    rows, columns = np.nonzero(boxed != before)
    assert (rows.max() <= 20, columns.max() <= 12) == (True, True)
    assert room.viewer.layers.selection.active is room.mask
    hand.key("Ctrl+Z")
    assert np.array_equal(room.mask.data, before)
    hand.key("Ctrl+Shift+Z")
    assert np.array_equal(room.mask.data, boxed)
    assert go(room, hand.key, "Alt+A") == "scan_2"
    (kept,) = CorrectionStore().corrections()
    assert np.array_equal(CorrectionStore().load(kept).mask, boxed)
    assert np.array_equal(room.journal.restore(content), boxed)


@pytest.mark.parametrize("leave", ["Alt+Right", "Alt+K", "Alt+A"])
def test_a_box_that_is_open_or_running_is_not_taken_to_the_next_image(room: Any, hand: Any, leave: str) -> None:
    before = np.array(room.mask.data)
    first = room.item.key
    hand.key("Alt+B")
    sketch = room.viewer.layers.selection.active
    assert go(room, hand.key, leave) == "scan_2"
    assert sketch not in room.viewer.layers
    assert np.array_equal(room.mask.data, room.predicted)
    hand.key("Alt+B")
    hand.drag(room.viewer.layers.selection.active, (1, 1), (20, 20))
    room.wait(lambda: room.widget.tools.box.state == "running")
    assert go(room, hand.key, "Alt+Right") == "scan_3"
    room.wait(lambda: QThreadPool.globalInstance().activeThreadCount() == 0)
    assert np.array_equal(room.mask.data, room.predicted)
    room.show(first)
    assert np.array_equal(room.mask.data, before)


def test_painting_by_hand_going_on_and_coming_back(room: Any, hand: Any) -> None:
    room.panel.list.choose(state_filter="all")  # what is corrected has left what is to do
    room.mask.brush_size = 3
    hand.drag(room.mask, (2, 2), (2, 20))
    drawn = np.array(room.mask.data)
    assert drawn[2, 3:18].all()
    assert go(room, hand.key, "Alt+Right") == "scan_2"
    hand.drag(room.mask, (20, 2), (20, 20))
    other = np.array(room.mask.data)
    assert other[20, 3:18].all()
    hand.key("Ctrl+Z")
    assert np.array_equal(room.mask.data, room.predicted)
    hand.key("Ctrl+Shift+Z")
    assert go(room, hand.key, "Alt+Left") == "scan_1"
    assert np.array_equal(room.mask.data, drawn)
    assert go(room, hand.key, "Alt+Right") == "scan_2"
    assert np.array_equal(room.mask.data, other)
