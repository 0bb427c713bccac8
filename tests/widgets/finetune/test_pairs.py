"""The pairs of open layers."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels

from napari_wavegms.corrections.store import CorrectionStore
from napari_wavegms.files.napari_writers import PROVENANCE_KEY
from napari_wavegms.finetune.preflight import Remedy, Trouble
from napari_wavegms.widgets.finetune.pairs import Decisions, not_stored, open_pairs
from napari_wavegms.widgets.layers.image_info import ChannelChoice, ImageFacts
from napari_wavegms.widgets.layers.mask_history import Written
from napari_wavegms.widgets.layers.mask_layers import add_mask


@pytest.mark.parametrize("is_ours", [True, False])
def test_a_mask_is_learned_with_its_own_channel_whichever_is_shown(is_ours: bool) -> None:
    rng = np.random.default_rng(0)
    cells = rng.integers(0, 255, (3, 20, 24), np.uint8)
    viewer = ViewerModel()
    image = viewer.add_image(cells, name="cells", axis_labels=("c", "y", "x"))
    plan = ImageFacts.of(image, viewer.dims).plan(channel=ChannelChoice(0, 2))
    probability = np.zeros((20, 24), np.float32)
    probability[5:15, 6:18] = 1
    if is_ours:
        add_mask(viewer, image, plan, "tiny", {(None, None): Written(probability, 0.5)})
    else:
        kept = {PROVENANCE_KEY: {"channel_axis": 0, "channel": 2}}
        viewer.add_layer(Labels(probability.astype(np.uint8), name="cells mask", metadata=kept))
    viewer.dims.set_current_step(0, 1)
    decisions = Decisions(masks={image.unique_id: viewer.layers[-1].unique_id})
    (pair,) = open_pairs(viewer, decisions, CorrectionStore())
    (drawn,) = pair.drawn
    np.testing.assert_array_equal(drawn.image, cells[2])


def segmented(viewer: ViewerModel, name: str = "scan") -> Labels:
    """An open image with the mask that the model drew, and nobody has touched."""
    image = viewer.add_image(np.random.default_rng(0).integers(0, 255, (20, 24), np.uint8), name=name)
    probability = np.zeros((20, 24), np.float32)
    probability[5:15, 6:18] = 1
    plan = ImageFacts.of(image, viewer.dims).plan()
    return add_mask(viewer, image, plan, "tiny", {(None, None): Written(probability, 0.5)})


def test_a_prediction_that_nobody_corrected_is_no_correction() -> None:
    viewer, store, decisions = ViewerModel(), CorrectionStore(), Decisions()
    mask = segmented(viewer)
    (pair,) = open_pairs(viewer, decisions, store)
    assert (pair.row.included, pair.row.ready) == (False, True)
    assert pair.row.aside == "not corrected, approve it first"
    assert not_stored(store, pair) == []
    mask.paint((2, 2), 1)
    (pair,) = open_pairs(viewer, decisions, store)
    assert (pair.row.included, pair.row.summary) == (True, "12 % changed, ready")
    mask.undo()
    (pair,) = open_pairs(viewer, decisions, store)
    assert not pair.row.included
    # Approved, by a tick or in Review, it is one.
    decisions.remedies[pair.row.key, Trouble.UNTOUCHED] = Remedy.KEEP
    (ticked,) = open_pairs(viewer, decisions, store)
    assert ticked.row.ready
    (drawn,) = not_stored(store, ticked)
    store.approve(drawn.approval())
    (pair,) = open_pairs(viewer, Decisions(), store)
    assert (pair.row.included, pair.row.summary) == (True, "0 % changed, ready")


def test_an_image_without_a_mask_is_listed_and_several_labels_are_told() -> None:
    viewer, store = ViewerModel(), CorrectionStore()
    viewer.add_image(np.arange(480, dtype=np.uint16).reshape(20, 24), name="scan")
    (pair,) = open_pairs(viewer, Decisions(), store)
    assert (pair.row.summary, pair.row.problem) == ("no mask", "scan has no mask. Segment it, or draw one.")
    labels = np.zeros((20, 24), np.uint8)
    labels[3:9, 4:8], labels[12:15, 4:8] = 1, 3
    viewer.add_labels(labels, name="scan mask")
    (pair,) = open_pairs(viewer, Decisions(), store)
    assert (pair.row.ready, pair.row.note) == (True, "Labels 1, 3.")
