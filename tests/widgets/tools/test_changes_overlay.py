"""The overlay says by colour and pattern what differs from the prediction, and follows every way of changing a mask."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from napari.layers import Image, Labels

from napari_wavegms.segment.planes import plan_stack
from napari_wavegms.widgets.layers.mask_history import Written
from napari_wavegms.widgets.layers.mask_layers import add_mask, is_overlay, update_mask
from napari_wavegms.widgets.layers.undoable import write_planes
from napari_wavegms.widgets.tools.changes_overlay import (
    ADDED,
    NO_PREDICTION,
    RELABELLED,
    REMOVED,
    ChangesOverlay,
    changes,
    patterned,
)

PLANE = (None, None)


@pytest.fixture
def viewer(shared_viewer: Any) -> Iterator[Any]:
    yield shared_viewer
    shared_viewer.layers.clear()


@pytest.fixture
def mask(viewer: Any, disc: np.ndarray) -> Labels:
    """A mask of ours: the disc as predicted."""
    image = viewer.add_image(disc, name="lesion", scale=(0.5, 0.5), units="mm")
    plan = plan_stack(disc.shape, disc.dtype, rgb=False)
    return add_mask(viewer, image, plan, "tiny", {PLANE: Written(disc.astype(np.float32) / 255, 0.5)})


@pytest.fixture
def overlay(viewer: Any, qtbot: Any) -> Any:
    overlay = ChangesOverlay(viewer)
    yield overlay
    overlay.close()


def shown(viewer: Any) -> Image:
    (layer,) = [layer for layer in viewer.layers if "changes" in layer.name]
    return layer


def test_the_codes_by_hand() -> None:
    mask, prediction = np.array([[0, 1, 0, 1, 2]]), np.array([[0, 0, 1, 1, 1]])
    assert changes(mask, prediction).tolist() == [[0, ADDED, REMOVED, 0, RELABELLED]]


def test_each_kind_has_a_pattern_of_its_own() -> None:
    added, removed, relabelled = (patterned(np.full((8, 8), code, np.uint8)) != 0 for code in (1, 2, 3))
    assert added.all()
    assert removed.mean() == 0.5
    assert (removed == np.roll(removed, (1, -1), (0, 1))).all()  # stripes along the diagonal
    assert relabelled.mean() == 0.25


def test_it_follows_paint_undo_and_redo(viewer: Any, mask: Labels, overlay: ChangesOverlay, qtbot: Any) -> None:
    counts: list[tuple[int, int]] = []
    overlay.counted.connect(lambda *both: counts.append(both))
    assert overlay.show(mask) == ""
    assert counts == [(0, 0)]
    mask.brush_size = 1
    for step, expected in (
        (lambda: mask.paint((0, 0), 1), (1, 0)),
        (lambda: mask.paint((20, 30), 0), (1, 1)),
        (mask.undo, (1, 0)),
        (mask.redo, (1, 1)),
        (lambda: write_planes(mask, {PLANE: np.zeros((40, 60), np.uint8)}), (0, 305)),
        (mask.undo, (1, 1)),
    ):
        with qtbot.waitSignal(overlay.counted):
            step()
        assert counts[-1] == expected
    assert shown(viewer).data[0, 0] == ADDED
    assert set(np.unique(shown(viewer).data)) <= {0, ADDED, REMOVED}


def test_another_threshold_is_no_change_of_a_person(mask: Labels, overlay: ChangesOverlay) -> None:
    counts: list[tuple[int, int]] = []
    overlay.counted.connect(lambda *both: counts.append(both))
    probability = np.zeros((40, 60), np.float32)
    probability[:5] = 0.9
    update_mask(mask, "tiny", {PLANE: Written(probability, 0.8)}, how="keep mine")
    overlay.show(mask)
    assert counts[-1] == (0, 0)


def test_a_given_prediction_serves_a_mask_of_anybody(viewer: Any, overlay: ChangesOverlay) -> None:
    counts: list[tuple[int, int]] = []
    overlay.counted.connect(lambda *both: counts.append(both))
    stranger = viewer.add_labels(np.eye(10, dtype=np.uint8), name="stranger")
    assert overlay.show(stranger) == NO_PREDICTION
    assert not overlay.shown
    assert overlay.show(stranger, {PLANE: np.ones((10, 10), np.uint8)}) == ""
    assert counts == [(0, 90)]


def test_the_layer_is_in_place_and_taken_for_nothing_else(viewer: Any, mask: Labels, overlay: ChangesOverlay) -> None:
    viewer.layers.selection.active = mask
    overlay.show(mask)
    layer = shown(viewer)
    assert isinstance(layer, Image)
    assert tuple(layer.scale) == (0.5, 0.5)
    assert layer.units == mask.units
    assert is_overlay(layer)  # so that no panel offers it as an image to segment
    assert viewer.layers.selection.active is mask
    # Each code has its own colour, and 0 none.
    colours = layer.colormap.map((np.arange(4) + 0.5) / 4)
    assert colours[0, 3] == 0
    assert len({tuple(np.round(colour, 3)) for colour in colours}) == 4


@pytest.mark.parametrize("which", ["overlay", "mask", "close"])
def test_it_goes_with_its_mask_and_lets_go_of_it(
    viewer: Any, mask: Labels, overlay: ChangesOverlay, qtbot: Any, which: str
) -> None:
    overlay.show(mask)
    connected = len(mask.events.paint.callbacks), len(mask.events.set_data.callbacks)
    with qtbot.waitSignal(overlay.hidden):
        if which == "close":
            overlay.close()
        else:
            viewer.layers.remove(shown(viewer) if which == "overlay" else mask)
    assert not overlay.shown
    assert not any("changes" in layer.name for layer in viewer.layers)
    if which != "mask":
        after = len(mask.events.paint.callbacks), len(mask.events.set_data.callbacks)
        assert after == (connected[0] - 1, connected[1] - 1)
        overlay.show(mask)
        assert overlay.shown


def test_a_stack_shows_the_frame_on_screen(viewer: Any, overlay: ChangesOverlay, qtbot: Any) -> None:
    stack = viewer.add_labels(np.zeros((3, 10, 10), np.uint8), name="stack")
    stack.data[2, :2] = 1
    viewer.dims.set_current_step(0, 0)
    predictions = {(frame, None, None): np.zeros((10, 10), np.uint8) for frame in range(3)}
    overlay.show(stack, predictions)
    assert not shown(viewer).data.any()
    with qtbot.waitSignal(overlay.counted, check_params_cb=lambda added, removed: (added, removed) == (20, 0)):
        viewer.dims.set_current_step(0, 2)
    assert (shown(viewer).data[2] == ADDED).sum() == 20


def test_the_layer_rests_and_is_taken_for_the_next_mask(viewer: Any, mask: Labels, overlay: ChangesOverlay) -> None:
    overlay.show(mask)
    layer = shown(viewer)
    overlay.rest()
    mask.paint((0, 0), 1)  # nobody follows any more
    assert (overlay.shown, layer.visible) == (False, False)
    other = viewer.add_labels(np.ones((30, 20), np.uint8), name="other mask", scale=(0.5, 0.5), units="mm")
    overlay.show(other, {PLANE: np.zeros((30, 20), np.uint8)})
    assert shown(viewer) is layer
    assert viewer.layers.index(layer) > viewer.layers.index(other)
    third = viewer.add_labels(np.zeros((30, 21), np.uint8), name="third mask", scale=(0.5, 0.5), units="mm")
    viewer.layers.move(viewer.layers.index(third), 0)
    overlay.show(third, {PLANE: np.ones((30, 21), np.uint8)})
    assert (shown(viewer), layer.name, layer.visible) == (layer, "third changes", True)
    assert layer.data.shape == (30, 21)
    overlay.hide()
    assert layer not in viewer.layers
