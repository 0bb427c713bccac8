"""napari's own undo brings back exactly what was there, whatever we wrote in between."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from napari.layers import Labels

from napari_wavegms.widgets.layers.undoable import OneStep, write_planes

PLANE = (None, None)


def hand_drawn(shape: tuple[int, ...] = (20, 30)) -> Labels:
    layer = Labels(np.zeros(shape, np.uint8))
    layer.brush_size = 5
    layer.paint((*(0,) * (len(shape) - 2), 10, 12), 2)
    return layer


def test_one_undo_restores_the_hand_drawn_state_and_redo_the_prediction() -> None:
    layer = hand_drawn()
    drawn = layer.data.copy()
    prediction = np.zeros((20, 30), np.uint8)
    prediction[5:15, 5:25] = 1
    assert write_planes(layer, {PLANE: prediction}) == np.count_nonzero(drawn != prediction)
    np.testing.assert_array_equal(layer.data, prediction)
    layer.undo()
    np.testing.assert_array_equal(layer.data, drawn)
    layer.redo()
    np.testing.assert_array_equal(layer.data, prediction)
    layer.undo()
    layer.undo()
    assert not layer.data.any()


def test_planes_of_a_stack_are_one_step_together() -> None:
    layer = hand_drawn((4, 20, 30))
    drawn = layer.data.copy()
    ones = np.ones((20, 30), np.uint8)
    write_planes(layer, {(0, None, None): ones, (3, None, None): ones})
    assert [int(plane.sum()) for plane in layer.data] == [600, 0, 0, 600]
    layer.undo()
    np.testing.assert_array_equal(layer.data, drawn)


def test_planes_need_not_be_the_last_axes() -> None:
    layer = Labels(np.zeros((20, 3, 30), np.uint8))
    write_planes(layer, {(None, 1, None): np.ones((20, 30), np.uint8)})
    assert layer.data[:, 1].all()
    assert not layer.data[:, [0, 2]].any()


def test_what_changes_nothing_leaves_no_step() -> None:
    layer = hand_drawn()
    assert write_planes(layer, {PLANE: layer.data.copy()}) == 0
    layer.undo()
    assert not layer.data.any()  # the stroke itself was the newest step


@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 3)), st.data())
def test_any_plane_over_any_plane_can_be_taken_back(before: np.ndarray, data: st.DataObject) -> None:
    after = data.draw(hnp.arrays(np.uint8, before.shape, elements=st.integers(0, 3)))
    layer = Labels(before.copy())
    write_planes(layer, {PLANE: after})
    np.testing.assert_array_equal(layer.data, after)
    layer.undo()
    np.testing.assert_array_equal(layer.data, before)


def test_writes_of_one_step_are_undone_together() -> None:
    layer = hand_drawn()
    drawn = layer.data.copy()
    step = OneStep(layer)
    for columns in (5, 10, 20, 15):
        plane = np.zeros((20, 30), np.uint8)
        plane[:, :columns] = 1
        step.write(lambda plane=plane: {PLANE: plane})
        np.testing.assert_array_equal(layer.data, plane)
    layer.undo()
    np.testing.assert_array_equal(layer.data, drawn)


@pytest.mark.parametrize("between", ["end", "paint", "undo"])
def test_a_step_ends_when_it_is_told_or_somebody_else_works(between: str) -> None:
    layer = hand_drawn()
    drawn = layer.data.copy()
    step = OneStep(layer)
    step.write(lambda: {PLANE: np.ones((20, 30), np.uint8)})
    {"end": step.end, "paint": lambda: layer.paint((2, 2), 3), "undo": layer.undo}[between]()
    seen = layer.data.copy()
    step.write(lambda: {PLANE: np.full((20, 30), 2, np.uint8)})
    layer.undo()
    np.testing.assert_array_equal(layer.data, seen)
    if between == "undo":
        np.testing.assert_array_equal(seen, drawn)


def test_a_step_that_came_back_to_where_it_began_leaves_no_trace() -> None:
    layer = hand_drawn()
    drawn = layer.data.copy()
    step = OneStep(layer)
    step.write(lambda: {PLANE: np.ones((20, 30), np.uint8)})
    step.write(lambda: {PLANE: drawn})
    step.write(lambda: {PLANE: drawn})
    layer.undo()
    assert not layer.data.any()  # only the stroke was there to undo
