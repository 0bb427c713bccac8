"""A key goes from one uncertain region to the next, which is then in the middle of the canvas."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from napari.layers import Image, Labels, Points

from napari_wavegms.segment.planes import plan_stack
from napari_wavegms.segment.uncertainty import uncertain_regions
from napari_wavegms.widgets.layers.mask_history import Written
from napari_wavegms.widgets.layers.mask_layers import NO_MASK, NOT_FLAT, add_mask, is_overlay, update_mask
from napari_wavegms.widgets.layers.viewer import camera_of
from napari_wavegms.widgets.tools import uncertainty_tool
from napari_wavegms.widgets.tools.uncertainty_tool import NO_PREDICTION, NO_SPOT, SEARCHING, UncertaintyTool

PLANE = (None, None)
PLACE = {"scale": (0.5, 0.25), "translate": (7.0, -3.0), "units": "mm"}


def uncertain() -> np.ndarray:
    """A sure lesion with three uncertain places, the heaviest at (150, 250)."""
    probability = np.zeros((200, 300), np.float32)
    probability[80:120, 100:160] = 1
    for row, column, side in ((150, 250, 12), (20, 30, 8), (180, 40, 6)):
        probability[row - side : row + side, column - side : column + side] = 0.45
    return probability


@pytest.fixture
def viewer(shared_viewer: Any) -> Iterator[Any]:
    yield shared_viewer
    shared_viewer.layers.clear()
    shared_viewer.dims.ndisplay = 2


@pytest.fixture
def mask(viewer: Any) -> Labels:
    image = viewer.add_image(np.zeros((200, 300), np.uint8), name="lesion", **PLACE)
    plan = plan_stack((200, 300), "uint8", rgb=False)
    layer = add_mask(viewer, image, plan, "tiny", {PLANE: Written(uncertain(), 0.5)})
    viewer.layers.selection.active = layer
    return layer


@pytest.fixture
def tool(viewer: Any, qtbot: Any) -> Iterator[UncertaintyTool]:
    tool = UncertaintyTool(viewer)
    tool.heard = []
    tool.said.connect(lambda *both: tool.heard.append(both))
    yield tool
    tool.close()


def test_spots_come_heaviest_first_and_the_first_again_after_the_last(tool: UncertaintyTool, mask: Labels) -> None:
    spots = uncertain_regions(uncertain())
    assert len(spots) >= 3
    assert (round(spots[0].row), round(spots[0].col)) == (150, 250)
    assert [tool.next() for _ in spots] == spots
    assert tool.next() == spots[0]
    assert tool.heard[0] == (f"Uncertain spot 1 of {len(spots)}, the most uncertain first.", "")


def test_the_spot_is_centred_and_near_and_wholly_in_view(viewer: Any, tool: UncertaintyTool, mask: Labels) -> None:
    spot = tool.next()
    assert spot is not None
    camera, canvas = camera_of(viewer), viewer.window._qt_viewer.canvas.native
    centre = np.asarray(camera.center)[-2:]
    np.testing.assert_allclose(centre, np.array([7.0, -3.0]) + np.array([0.5, 0.25]) * [spot.row, spot.col])
    seen = np.array([canvas.height(), canvas.width()]) / camera.zoom / [0.5, 0.25]  # pixels of the image in view
    assert spot.bottom - spot.top < seen[0] < 200
    assert spot.right - spot.left < seen[1]
    viewer.reset_view()
    assert camera.zoom < canvas.height() / (seen[0] * 0.5)


def test_one_ring_lies_around_the_spot_in_its_plane_and_goes_with_the_mask(
    viewer: Any, tool: UncertaintyTool, mask: Labels
) -> None:
    for spot in [tool.next() for _ in range(2)][1:]:
        assert spot is not None
        (ring,) = (layer for layer in viewer.layers if isinstance(layer, Points))
        np.testing.assert_allclose(ring.data, [[spot.row, spot.col]])
        assert float(ring.size[0]) >= max(spot.bottom - spot.top, spot.right - spot.left)
        assert (tuple(ring.scale), tuple(ring.translate)) == ((0.5, 0.25), (7.0, -3.0))
        assert viewer.layers.selection.active is mask
    tool.rest()
    assert ring not in viewer.layers
    tool.next()
    viewer.layers.remove("lesion uncertain spot")  # a person may remove it
    tool.next()
    tool.close()
    assert list(viewer.layers) == [viewer.layers["lesion"], mask]


def test_a_new_prediction_has_new_spots(tool: UncertaintyTool, mask: Labels) -> None:
    tool.next()
    probability = np.zeros((200, 300), np.float32)
    probability[40:60, 40:60] = 0.5
    update_mask(mask, "tiny", {PLANE: Written(probability, 0.5)}, how="replace")
    spot = tool.next()
    assert spot == tool.next()  # the only one
    assert (spot.top, spot.left) == (40, 40)


def test_the_image_stands_for_its_mask(viewer: Any, tool: UncertaintyTool, mask: Labels) -> None:
    viewer.layers.selection.active = viewer.layers["lesion"]
    assert tool.next() is not None


def test_why_not(viewer: Any, tool: UncertaintyTool, mask: Labels) -> None:
    update_mask(mask, "tiny", {PLANE: Written(np.zeros((200, 300), np.float32), 0.5)}, how="replace")
    assert tool.next() is None
    viewer.dims.ndisplay = 3
    assert tool.next() is None
    viewer.dims.ndisplay = 2
    viewer.add_labels(np.zeros((5, 5), np.uint8))
    assert tool.next() is None
    viewer.layers.selection.clear()
    assert tool.next() is None
    assert [sentence for sentence, _ in tool.heard] == [NO_SPOT, NOT_FLAT, NO_PREDICTION, NO_MASK]


def test_the_uncertainty_is_a_layer_over_the_mask_that_nobody_takes_for_an_image(
    viewer: Any, tool: UncertaintyTool, mask: Labels
) -> None:
    tool.show_layer()
    assert tool.shown
    layer = viewer.layers["lesion uncertainty"]
    assert isinstance(layer, Image)
    assert is_overlay(layer)
    assert list(viewer.layers).index(layer) == list(viewer.layers).index(mask) + 1
    assert viewer.layers.selection.active is mask
    assert tuple(layer.scale) == (0.5, 0.25)
    assert layer.data[100, 130] == 0  # sure
    assert layer.data[150, 250] == pytest.approx(0.9)
    update_mask(mask, "tiny", {PLANE: Written(np.full((200, 300), 0.5, np.float32), 0.5)}, how="replace")
    tool.refresh()
    assert (layer.data == 1).all()
    tool.show_layer(False)
    assert not tool.shown
    assert layer not in viewer.layers
    tool.refresh()
    assert not tool.shown


def test_a_large_plane_is_looked_at_in_the_background(
    viewer: Any, tool: UncertaintyTool, mask: Labels, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uncertainty_tool, "AT_ONCE", 100)
    spots = uncertain_regions(uncertain())
    assert tool.next() is None
    assert tool.next() is None  # a second press asks for nothing new
    tool.show_layer()
    assert not tool.shown
    qtbot.waitUntil(lambda: tool.shown)
    assert [sentence for sentence, _ in tool.heard] == [
        *[SEARCHING] * 3,
        f"Uncertain spot 1 of {len(spots)}, the most uncertain first.",
    ]
    assert tool.next() == spots[1]  # known now
    assert viewer.layers["lesion uncertainty"].data[150, 250] == pytest.approx(0.9)


def test_the_layer_rests_and_is_taken_for_the_next_mask(viewer: Any, tool: UncertaintyTool, mask: Labels) -> None:
    tool.show_layer()
    layer = viewer.layers["lesion uncertainty"]
    tool.rest()
    assert (tool.shown, layer.visible) == (False, False)
    tool.refresh()
    assert not layer.visible
    image = viewer.add_image(np.zeros((100, 90), np.uint8), name="second", **PLACE)
    plan = plan_stack((100, 90), "uint8", rgb=False)
    other = add_mask(viewer, image, plan, "tiny", {PLANE: Written(np.full((100, 90), 0.5, np.float32), 0.5)})
    viewer.layers.selection.active = other
    tool.show_layer()
    assert viewer.layers["second uncertainty"] is layer
    assert (layer.visible, layer.data.shape, (layer.data == 1).all()) == (True, (100, 90), True)
    assert viewer.layers.index(layer) > viewer.layers.index(other)
    tool.close()
    assert layer not in viewer.layers
