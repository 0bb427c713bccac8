"""Review with nothing but keys and the mouse in a shown window: on the canvas, and with the focus in the panel."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtGui import QKeySequence
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QWidget

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
        went = [room.go(lambda key, at=widget: press(at, key), key) for key in KEYS]
        assert went == [second, third, second, third], where
        assert room.state_of(second) == "approved", where
    assert room.field("Find").text() == ""
    assert (panel.model_row.choice, room.images.order) == (model, "folder order")


def test_painting_by_hand_going_on_and_coming_back_and_a_box(room: Any, hand: Any) -> None:
    room.panel.list.choose(state_filter="all")  # what is corrected has left what is to do
    room.mask.brush_size = 3
    hand.drag(room.mask, (2, 2), (2, 20))
    drawn = np.array(room.mask.data)
    assert drawn[2, 3:18].all()
    assert room.go(hand.key, "Alt+Right") == "scan_2"
    hand.drag(room.mask, (20, 2), (20, 20))
    other = np.array(room.mask.data)
    assert other[20, 3:18].all()
    hand.key("Ctrl+Z")
    assert np.array_equal(room.mask.data, room.predicted)
    hand.key("Ctrl+Shift+Z")
    assert room.go(hand.key, "Alt+Left") == "scan_1"
    assert np.array_equal(room.mask.data, drawn)
    assert room.go(hand.key, "Alt+Right") == "scan_2"
    assert np.array_equal(room.mask.data, other)
    room.segmenter.bonus = 60  # the model sees more when it looks again
    hand.key("Alt+B")
    hand.drag(room.viewer.layers.selection.active, (1, 1), (20, 12))
    room.wait(lambda: room.widget.tools.box.state == "idle" and not np.array_equal(room.mask.data, other))
    hand.key("Ctrl+Z")
    assert np.array_equal(room.mask.data, other)
