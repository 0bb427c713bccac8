"""A layer that shows something else: its data, name and place are others, and what a person chose for it stays."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Image, Labels

from napari_wavegms.widgets.layers.layer_reuse import fits, refill
from napari_wavegms.widgets.layers.placement import Placement


@pytest.fixture
def mask() -> Labels:
    labels = Labels(np.zeros((20, 30), np.uint8), name="first mask", metadata={"from": "first"})
    labels.brush_size = 3
    return labels


def test_name_metadata_and_place_are_the_new_image_s_and_the_brush_stays(mask: Labels) -> None:
    mask.contour, mask.visible, mask.editable = 2, False, False
    mask.translate, mask.rotate = (5, 6), 30
    place = Placement.plain((0.5, 2), ("pixel", "pixel"))
    refill(mask, np.ones((7, 8), np.uint8), "second mask", place)
    assert (mask.name, mask.metadata, mask.contour, mask.brush_size) == ("second mask", {}, 2, 3)
    assert mask.visible
    assert mask.editable
    assert np.array_equal(mask.data_to_world((2, 3)), (1, 6))


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
    mask: Labels, data: np.ndarray, units: str, expected: bool
) -> None:
    assert fits(mask, data, Placement.plain((1, 1), (units, units))) == expected


def test_a_place_of_any_kind_is_taken(mask: Labels) -> None:
    image = Image(np.zeros((8, 9)), scale=(2, 3), translate=(5, 7), rotate=20, shear=[0.4], axis_labels=("row", "col"))
    Placement.of(image).move(mask)
    for pixel in np.random.default_rng(0).uniform(0, 10, (20, 2)):
        np.testing.assert_allclose(mask.data_to_world(pixel), image.data_to_world(pixel), atol=1e-9)
    assert mask.axis_labels == ("row", "col")
