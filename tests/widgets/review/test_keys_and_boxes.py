"""A day's keys on the canvas, and boxes with the mouse; the window need not be shown for them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QThreadPool

from napari_wavegms.corrections.store import CorrectionStore


@pytest.fixture
def room(open_room: Callable[[], Any], scans: Callable[..., Path]) -> Any:
    room = open_room()
    room.open(scans(5))
    room.panel.list.choose(order="folder order")
    return room


@pytest.fixture
def hand(room: Any, hand_over: Callable[[Any], Any]) -> Any:
    return hand_over(room.viewer)


def test_a_day_s_keys_on_the_canvas(room: Any, hand: Any) -> None:
    assert room.go(hand.key, "Alt+Right") == "scan_2"
    assert room.go(hand.key, "Alt+Left") == "scan_1"
    assert room.go(hand.key, "Alt+K") == "scan_2"
    assert room.state_of("scan_1") == "skipped"
    mask = room.stroke((3, 3))
    key = room.item.key
    assert room.go(hand.key, "Alt+A") == "scan_3"
    assert room.state_of("scan_2") == "approved"
    (kept,) = CorrectionStore().corrections()
    assert np.array_equal(CorrectionStore().load(kept).mask, mask)
    assert room.go(hand.key, "Alt+Left") == "scan_2"
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
    assert room.go(hand.key, "Alt+A") == "scan_2"
    (kept,) = CorrectionStore().corrections()
    assert np.array_equal(CorrectionStore().load(kept).mask, boxed)
    assert np.array_equal(room.journal.restore(content), boxed)


def test_a_box_that_is_open_or_running_is_not_taken_to_the_next_image(room: Any, hand: Any) -> None:
    left = {}
    for number, leave in enumerate(("Alt+Right", "Alt+K", "Alt+A"), start=2):
        left[room.item.key] = np.array(room.mask.data)
        hand.key("Alt+B")
        sketch = room.viewer.layers.selection.active
        assert sketch.name == "Box"
        assert room.go(hand.key, leave) == f"scan_{number}"
        assert sketch not in room.viewer.layers
        assert np.array_equal(room.mask.data, room.predicted)
    left[room.item.key] = np.array(room.mask.data)
    hand.key("Alt+B")
    hand.drag(room.viewer.layers.selection.active, (1, 1), (20, 20))
    room.wait(lambda: room.widget.tools.box.state == "running")
    assert room.go(hand.key, "Alt+Right") == "scan_5"
    room.wait(lambda: QThreadPool.globalInstance().activeThreadCount() == 0)
    assert np.array_equal(room.mask.data, room.predicted)
    for key, mask in left.items():
        room.show(key)
        assert np.array_equal(room.mask.data, mask)
