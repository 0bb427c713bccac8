"""A layer that shows something else is another layer: another id, no step of the one before, the brush as it was."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from napari.layers import Image, Labels

from napari_wavegms.widgets.layers.layer_reuse import fits, has_begun_shape, reuse
from napari_wavegms.widgets.layers.mask_history import _OURS, MaskMemory, memory_of, remember_mask
from napari_wavegms.widgets.layers.placement import Placement

PLAIN = Placement.plain((1, 1), ("pixel", "pixel"))


@pytest.fixture
def painted() -> Labels:
    """A mask with strokes, one of them taken back, and things that belong to its image."""
    labels = Labels(np.zeros((20, 30), np.uint8), name="first mask", metadata={"from": "first"})
    remember_mask(labels, MaskMemory("first", "model"))
    labels.brush_size = 3
    for place in ((4, 4), (10, 10), (15, 20)):
        labels.paint(place, 1)
    labels.undo()
    return labels


def test_nothing_of_the_image_before_comes_back_by_undo_or_redo(painted: Labels) -> None:
    data = np.random.default_rng(0).integers(0, 3, (24, 18)).astype(np.uint8)  # where old steps would not fit
    assert reuse(painted, data, "second mask", PLAIN, MaskMemory("second", "model"))
    for _ in range(5):
        painted.undo()
    for _ in range(5):
        painted.redo()
    assert painted.data is data
    expected = data.copy()
    painted.paint((12, 9), 5)
    assert not np.array_equal(painted.data, expected)
    painted.undo()
    assert np.array_equal(painted.data, expected)


def test_who_asks_for_the_old_id_does_not_find_the_new_image(painted: Labels) -> None:
    old, before = painted.unique_id, memory_of(painted)
    memory = MaskMemory("second", "model")
    reuse(painted, np.zeros((5, 5), np.uint8), "second mask", PLAIN, memory)
    assert painted.unique_id != old
    assert memory_of(painted) is memory
    assert memory_of(painted) is not before
    assert old not in _OURS


def test_of_a_day_s_images_only_the_last_is_remembered(painted: Labels) -> None:
    known = len(_OURS)
    for number in range(20):
        reuse(painted, np.zeros((5, 5), np.uint8), f"mask {number}", PLAIN, MaskMemory(number, "model"))
    assert len(_OURS) == known


def test_name_metadata_and_place_are_the_new_image_s_and_the_brush_stays(painted: Labels) -> None:
    painted.contour, painted.visible, painted.editable = 2, False, False
    painted.translate, painted.rotate = (5, 6), 30
    place = Placement.plain((0.5, 2), ("pixel", "pixel"))
    reuse(painted, np.ones((7, 8), np.uint8), "second mask", place)
    assert (painted.name, painted.metadata, painted.contour, painted.brush_size) == ("second mask", {}, 2, 3)
    assert painted.visible
    assert painted.editable
    assert np.array_equal(painted.data_to_world((2, 3)), (1, 6))


@pytest.mark.parametrize(
    ("data", "units", "expected"),
    [
        (np.zeros((9, 9), np.uint8), "pixel", True),
        (np.zeros((9, 9), np.int32), "pixel", False),
        (np.zeros((2, 9, 9), np.uint8), "pixel", False),
        (np.zeros((9, 9), np.uint8), "mm", False),
    ],
)
def test_another_kind_of_data_or_unit_needs_a_new_layer(
    painted: Labels, data: np.ndarray, units: str, expected: bool
) -> None:
    assert fits(painted, data, Placement.plain((1, 1), (units, units))) == expected


def test_a_place_of_any_kind_is_taken(painted: Labels) -> None:
    image = Image(np.zeros((8, 9)), scale=(2, 3), translate=(5, 7), rotate=20, shear=[0.4], axis_labels=("row", "col"))
    Placement.of(image).move(painted)
    for pixel in np.random.default_rng(0).uniform(0, 10, (20, 2)):
        np.testing.assert_allclose(painted.data_to_world(pixel), image.data_to_world(pixel), atol=1e-9)
    assert painted.axis_labels == ("row", "col")


def test_a_polygon_or_a_circling_stroke_that_is_begun_is_seen(make_napari_viewer: Callable[..., Any]) -> None:
    labels = make_napari_viewer().add_labels(np.zeros((20, 30), np.uint8))
    assert not has_begun_shape(labels)
    labels.mode = "polygon"
    labels._overlays["polygon"].points = [[1, 1], [2, 2]]
    assert has_begun_shape(labels)
    labels._overlays["polygon"].points = []
    labels._overlays["brush_stroke"].active = True
    assert has_begun_shape(labels)
