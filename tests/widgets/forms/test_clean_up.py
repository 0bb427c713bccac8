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
