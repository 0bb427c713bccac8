"""Clean-up steps change what they say."""

from __future__ import annotations

import numpy as np
from napari.layers import Labels

from napari_wavegms.widgets.forms.clean_up import CleanUp, clean_up


def test_a_clean_up_says_what_it_changed() -> None:
    ring = np.ones((5, 5), np.uint8)
    ring[2, 2] = 0
    request = CleanUp("fill_holes")
    mask = Labels(ring.copy())
    assert clean_up(mask, (None, None), request) == "Fill holes: 1 px added. Press Ctrl+Z to undo."
    assert mask.data.all()
    assert clean_up(mask, (None, None), request) == "Fill holes: nothing to change."
    mask.undo()
    assert not mask.data[2, 2]
    speck = np.zeros((5, 5), np.uint8)
    speck[0, 0] = 1
    assert not CleanUp("remove_islands", 50).apply(speck).any()
    for step in ("keep_largest", "smooth"):
        assert CleanUp(step).apply(ring).shape == ring.shape


def test_objects_are_numbered_after_the_classes_and_undo_brings_those_back() -> None:
    plane = np.zeros((9, 30), np.uint8)
    plane[2:7, 2:7], plane[2:7, 10:15], plane[2:7, 15:20] = 1, 1, 2
    mask = Labels(plane.copy())
    assert clean_up(mask, (None, None), CleanUp("split_objects")) == "Split objects: 3 objects. Press Ctrl+Z to undo."
    np.testing.assert_array_equal(mask.data[4, [4, 12, 17]], [1, 2, 3])
    assert clean_up(mask, (None, None), CleanUp("split_objects")) == "Split objects: 3 objects."
    mask.undo()
    np.testing.assert_array_equal(mask.data, plane)
    np.testing.assert_array_equal(CleanUp("split_objects", classes=4).apply(plane)[4, [4, 12, 17, 0]], [5, 6, 7, 0])


def test_more_objects_than_a_mask_holds_are_refused() -> None:
    grid = np.zeros((33, 33), np.uint8)
    grid[::2, ::2] = 1
    mask = Labels(grid.copy())
    said = clean_up(mask, (None, None), CleanUp("split_objects"))
    assert said.startswith("There are 289 objects, and this mask holds labels up to 255.")
    np.testing.assert_array_equal(mask.data, grid)
