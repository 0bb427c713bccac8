"""A moving threshold changes the mask without the network, spares a person's pixels, and is one undo step."""

from __future__ import annotations

import numpy as np
from napari.layers import Labels

from napari_wavegms.widgets.layers.mask_history import MaskMemory, PlaneKey, Written, selection
from napari_wavegms.widgets.layers.undoable import write_planes
from napari_wavegms.widgets.tools.live_threshold import LiveThreshold

RAMP = np.broadcast_to(np.linspace(0, 1, 21, dtype=np.float32), (10, 21))
PLANE: PlaneKey = (None, None)


def at(threshold: float) -> np.ndarray:
    """What the mask should be."""
    return np.greater_equal(RAMP, np.float32(threshold))


def written_mask(shape: tuple[int, ...] = (10, 21), keys: tuple[PlaneKey, ...] = (PLANE,)) -> tuple[Labels, MaskMemory]:
    layer, memory = Labels(np.zeros(shape, np.uint8)), MaskMemory(1, "tiny")
    for key in keys:
        written = Written(RAMP, 0.5)
        memory.plane(key).note(written, layer.data[selection(key)].copy(), written.mask())
        layer.data[selection(key)] = written.mask()
    return layer, memory


def test_every_position_shows_its_mask_and_one_undo_takes_the_movement_back() -> None:
    layer, memory = written_mask()
    before = layer.data.copy()
    live = LiveThreshold(layer, memory)
    for threshold in (0.6, 0.9, 0.3, 0.7):
        live.move(threshold, [PLANE])
        np.testing.assert_array_equal(layer.data, at(threshold))
    live.end()
    layer.undo()
    np.testing.assert_array_equal(layer.data, before)


def test_two_movements_are_two_steps() -> None:
    layer, memory = written_mask()
    live = LiveThreshold(layer, memory)
    for threshold in (0.6, 0.8):
        live.move(threshold, [PLANE])
        live.end()
    layer.undo()
    np.testing.assert_array_equal(layer.data, at(0.6))


def test_strokes_stay_wherever_the_threshold_goes() -> None:
    layer, memory = written_mask()
    layer.brush_size = 1
    layer.paint((4, 2), 3)
    layer.paint((4, 18), 0)
    drawn = layer.data.copy()
    live = LiveThreshold(layer, memory)
    for threshold in (0.05, 0.95, 0.5):
        live.move(threshold, [PLANE])
        assert layer.data[4, 2] == 3
        assert layer.data[4, 18] == 0
    np.testing.assert_array_equal(layer.data, drawn)


def test_a_stroke_in_the_middle_of_a_movement_is_its_own_step_and_stays() -> None:
    layer, memory = written_mask()
    layer.brush_size = 1
    live = LiveThreshold(layer, memory)
    live.move(0.6, [PLANE])
    layer.paint((4, 2), 3)
    live.move(0.8, [PLANE])
    assert layer.data[4, 2] == 3
    layer.undo()
    assert layer.data[4].tolist() == [0, 0, 3] + [0] * 9 + [1] * 9  # 0.6 and the stroke
    layer.undo()
    np.testing.assert_array_equal(layer.data, at(0.6))


def test_an_undone_movement_is_not_taken_for_a_person_s_work() -> None:
    layer, memory = written_mask()
    live = LiveThreshold(layer, memory)
    live.move(0.9, [PLANE])
    live.end()
    layer.undo()
    live.move(0.7, [PLANE])
    np.testing.assert_array_equal(layer.data, at(0.7))


def test_a_clean_up_counts_as_a_person_s_work() -> None:
    layer, memory = written_mask()
    cleaned = layer.data.copy()
    cleaned[0] = 0
    write_planes(layer, {PLANE: cleaned})
    LiveThreshold(layer, memory).move(0.3, [PLANE])
    assert layer.data[0, 10:].tolist() == [0] * 11
    assert layer.data[1, 10:].all()


def test_the_other_planes_follow_within_the_same_step() -> None:
    keys: tuple[PlaneKey, ...] = ((0, None, None), (2, None, None))
    layer, memory = written_mask((3, 10, 21), keys)
    before = layer.data.copy()
    live = LiveThreshold(layer, memory)
    live.move(0.7, keys[:1])
    np.testing.assert_array_equal(layer.data[2], before[2])
    live.move(0.8, keys)
    for plane in (0, 2):
        np.testing.assert_array_equal(layer.data[plane], at(0.8))
    assert not layer.data[1].any()
    live.end()
    layer.undo()
    np.testing.assert_array_equal(layer.data, before)


def test_moving_on_to_another_plane_leaves_the_first_as_it_is() -> None:
    keys: tuple[PlaneKey, ...] = ((0, None, None), (1, None, None))
    layer, memory = written_mask((2, 10, 21), keys)
    live = LiveThreshold(layer, memory)
    live.move(0.7, keys[:1])
    live.move(0.8, keys[1:])
    np.testing.assert_array_equal(layer.data[0], at(0.7))
    np.testing.assert_array_equal(layer.data[1], at(0.8))


def test_a_plane_without_a_probability_is_left_alone() -> None:
    layer, memory = written_mask((2, 10, 21), ((0, None, None),))
    assert LiveThreshold(layer, memory).move(0.7, [(1, None, None)]) == 0
    assert not layer.data[1].any()
