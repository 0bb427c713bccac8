"""What waits for the end of a stroke is a step of its own, whichever tool was taken up first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from napari.layers import Labels

from napari_wavegms.widgets.layers.stroke_guard import DragWatch
from napari_wavegms.widgets.layers.undoable import write_planes


@pytest.mark.parametrize("modes_after", [[], ["paint"], ["erase", "paint"]])
def test_a_write_that_waited_and_the_stroke_are_two_steps(
    shared_viewer: Any, hand_over: Callable[[Any], Any], qtbot: Any, modes_after: list[str]
) -> None:
    viewer = shared_viewer
    mask = viewer.add_labels(np.zeros((40, 60), np.uint8))
    viewer.reset_view()
    viewer.layers.selection.active = mask
    if not modes_after:
        mask.mode = "paint"
    watch = DragWatch(mask)
    for mode in modes_after:  # napari puts the tool's own callback behind ours then
        mask.mode = mode
    hand, model = hand_over(viewer), np.full((40, 60), 7, np.uint8)
    hand.press(mask, (20, 20))
    hand.move(mask, (20, 30))
    watch.when_free(lambda: write_planes(mask, {(None, None): model}))
    assert not (mask.data == 7).any()
    hand.release(mask, (20, 40))
    qtbot.waitUntil(lambda: bool((mask.data == 7).all()))
    mask.undo()
    assert set(np.unique(mask.data)) == {0, 1}  # the stroke, whole
    assert mask.data[20, 25] == 1
    mask.undo()
    assert not mask.data.any()
    watch.close()
    viewer.layers.clear()


def test_what_waits_is_dropped_when_the_layer_is_let_go(qtbot: Any) -> None:
    mask = Labels(np.zeros((4, 4), np.uint8))
    before = list(mask.mouse_drag_callbacks)
    watch, done = DragWatch(mask), []
    watch.dragging = True
    watch.when_free(lambda: done.append("late"))
    watch.close()
    qtbot.wait(20)
    assert not done
    assert mask.mouse_drag_callbacks == before
