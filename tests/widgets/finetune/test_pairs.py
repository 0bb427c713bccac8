"""The pairs of open layers."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels

from napari_wavegms.files.napari_writers import PROVENANCE_KEY
from napari_wavegms.widgets.finetune.pairs import Decisions, open_pairs
from napari_wavegms.widgets.layers.image_info import ChannelChoice, ImageFacts
from napari_wavegms.widgets.layers.mask_history import Written
from napari_wavegms.widgets.layers.mask_layers import add_mask


@pytest.mark.parametrize("is_ours", [True, False])
def test_a_mask_is_learned_with_its_own_channel_whichever_is_shown(is_ours: bool) -> None:
    rng = np.random.default_rng(0)
    cells = rng.integers(0, 255, (3, 20, 24), np.uint8)
    viewer = ViewerModel()
    image = viewer.add_image(cells, name="cells", axis_labels=("c", "y", "x"))
    plan = ImageFacts.of(image, tuple(viewer.dims.point)).plan(channel=ChannelChoice(0, 2))
    probability = np.zeros((20, 24), np.float32)
    probability[5:15, 6:18] = 1
    if is_ours:
        add_mask(viewer, image, plan, "tiny", {(None, None): Written(probability, 0.5)})
    else:
        kept = {PROVENANCE_KEY: {"channel_axis": 0, "channel": 2}}
        viewer.add_layer(Labels(probability.astype(np.uint8), name="cells mask", metadata=kept))
    viewer.dims.set_current_step(0, 1)
    decisions = Decisions(masks={image.unique_id: viewer.layers[-1].unique_id})
    (pair,) = open_pairs(viewer, decisions)
    (drawn,) = pair.drawn
    np.testing.assert_array_equal(drawn.candidate.image, cells[2])
