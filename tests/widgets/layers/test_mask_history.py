"""A person's pixels are told from ours, also after undo."""

from __future__ import annotations

import copy
import gc
import weakref

import numpy as np
from napari.components import ViewerModel
from napari.layers import Labels

from napari_wavegms.widgets.layers.mask_history import (
    MaskMemory,
    PlaneMemory,
    Written,
    memory_of,
    plane_key,
    remember_mask,
    selection,
)

RAMP = np.broadcast_to(np.linspace(0, 1, 11, dtype=np.float32), (5, 11))


def noted(memory: PlaneMemory, before: np.ndarray, threshold: float) -> np.ndarray:
    """Write a threshold over a plane, edits kept, and note it."""
    written = Written(RAMP, threshold)
    after = memory.merged(before, written)
    memory.note(written, before, after)
    return after


def test_keys_and_indices_are_each_other_s_inverse() -> None:
    index = (3, slice(None), 0, slice(None))
    assert plane_key(index) == (3, None, 0, None)
    assert selection(plane_key(index)) == index


def test_edits_are_what_differs_from_what_we_wrote() -> None:
    memory = PlaneMemory()
    plane = noted(memory, np.zeros((5, 11), np.uint8), 0.5)
    assert not memory.edits(plane).any()
    plane[2, 1], plane[3, 9] = 4, 0
    assert np.argwhere(memory.edits(plane)).tolist() == [[2, 1], [3, 9]]


def test_in_a_plane_that_we_never_wrote_all_is_a_person_s() -> None:
    drawn = np.zeros((5, 11), np.uint8)
    drawn[1, 1] = 3
    assert np.argwhere(PlaneMemory().edits(drawn)).tolist() == [[1, 1]]
    assert PlaneMemory().merged(drawn, Written(RAMP, 0.5))[1, 1] == 3


def test_a_new_threshold_leaves_edits_alone_and_replacing_does_not() -> None:
    memory = PlaneMemory()
    plane = noted(memory, np.zeros((5, 11), np.uint8), 0.5)
    plane[2, 1] = 1
    kept = memory.merged(plane, Written(RAMP, 0.8))
    assert kept[2].tolist() == [0, 1, 0, 0, 0, 0, 0, 0, 1, 1, 1]
    replaced = memory.merged(plane, Written(RAMP, 0.8), "replace")
    assert replaced[2].tolist() == [0] * 8 + [1, 1, 1]


def test_after_an_undo_the_earlier_threshold_counts_as_ours_again() -> None:
    memory = PlaneMemory()
    first = noted(memory, np.zeros((5, 11), np.uint8), 0.5)
    noted(memory, first, 0.8)
    assert memory.ours(first).threshold == 0.5
    assert not memory.edits(first).any()


def test_erasing_by_hand_what_a_higher_threshold_would_leave_out_is_an_edit_all_the_same() -> None:
    memory = PlaneMemory()
    low = noted(memory, np.zeros((5, 11), np.uint8), 0.8)
    high = noted(memory, low, 0.5)
    erased = high.copy()
    erased[:, 5:8] = 0  # all but one pixel of what 0.8 leaves out
    erased[0, 5] = 1
    assert np.count_nonzero(memory.edits(erased)) == 14


def test_a_duplicate_a_stranger_and_a_forgotten_mask_are_not_ours() -> None:
    class Image: ...

    image = Image()
    seen = weakref.ref(image)
    layer = Labels(np.zeros((3, 3), np.uint8), name="mask")
    remember_mask(layer, MaskMemory(image_id=image, model="tiny"))
    assert memory_of(layer) is not None
    data, meta, _ = layer.as_layer_data_tuple()
    duplicate = Labels(copy.deepcopy(data), **copy.deepcopy(meta))
    assert memory_of(duplicate) is None
    assert memory_of(None) is None
    del layer, image
    gc.collect()
    assert seen() is None  # nothing of a layer that is gone is remembered


def test_edited_pixels_are_counted_over_planes() -> None:
    memory = MaskMemory(image_id=1, model="tiny")
    data = np.zeros((2, 5, 11), np.uint8)
    data[0] = noted(memory.plane((0, None, None)), data[0], 0.5)
    data[0, 0, 0] = data[1, 0, :2] = 1
    assert memory.edited_pixels(data, [(0, None, None), (1, None, None)]) == 3


def test_each_way_of_overwriting_is_one_undo_step() -> None:
    from napari_wavegms.segment.planes import plan_stack
    from napari_wavegms.widgets.layers.mask_layers import add_mask, update_mask

    viewer = ViewerModel()
    image = viewer.add_image(np.zeros(RAMP.shape, np.uint8))
    key = (None, None)
    mask = add_mask(viewer, image, plan_stack(RAMP.shape, "uint8", rgb=False), "one", {key: Written(RAMP, 0.5)})
    mask.data_setitem((np.array([0]), np.array([0])), 3)
    drawn = mask.data.copy()
    for how in ("keep mine", "fill empty", "replace"):
        update_mask(mask, "two", {key: Written(1 - RAMP, 0.5)}, how)
        assert (mask.data[0, 0] == 3) == (how != "replace")
        mask.undo()
        np.testing.assert_array_equal(mask.data, drawn)
