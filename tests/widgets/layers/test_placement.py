"""A mask lies exactly where its image lies, whatever the image's transform; and a layer can show another image."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from napari.layers import Image, Labels

from napari_wavegms.widgets.layers.placement import Placement

TURN = np.array([[0.8, -0.6], [0.6, 0.8]])
SHEAR = np.array([[1.0, 0.3], [0.0, 1.0]])


def embedded(matrix: np.ndarray, ndim: int) -> np.ndarray:
    """Put a 2-D matrix where rows and columns are."""
    whole = np.eye(ndim)
    whole[-2:, -2:] = matrix
    return whole


CASES: dict[str, tuple[tuple[int, ...], bool, list[int], dict[str, Any]]] = {
    "2-D": ((8, 9), False, [], {}),
    "RGB": ((8, 9, 3), True, [], {"scale": (2, 3), "translate": (5, 7)}),
    "TYX": ((4, 8, 9), False, [], {"scale": (10, 2, 3), "translate": (1, 2, 3), "axis_labels": ("t", "y", "x")}),
    "CYX": ((3, 8, 9), False, [0], {"scale": (1, 0.2, 0.3), "axis_labels": ("c", "y", "x")}),
    "TYXC": ((4, 8, 9, 3), False, [3], {"scale": (10, 2, 3, 1), "translate": (1, 2, 3, 0)}),
    "scaled": ((8, 9), False, [], {"scale": (0.25, 0.5)}),
    "flipped": ((8, 9), False, [], {"scale": (-0.25, 0.5), "translate": (3, 0)}),
    "rotated": ((8, 9), False, [], {"rotate": 30, "scale": (2, 3)}),
    "rotated CYX": ((3, 8, 9), False, [0], {"rotate": embedded(TURN, 3), "scale": (1, 2, 3)}),
    "sheared": ((8, 9), False, [], {"shear": SHEAR, "scale": (2, 3)}),
    "sheared and turned": ((8, 9), False, [], {"shear": [0.4], "rotate": TURN, "scale": (2, 3), "translate": (4, 5)}),
    "affine": ((8, 9), False, [], {"affine": [[0.5, 0.1, 4], [0, 2, 5], [0, 0, 1]], "scale": (2, 3)}),
    "affine CYX": ((3, 8, 9), False, [0], {"affine": embedded(TURN, 4) @ np.diag([1, 2, 3, 1]), "scale": (1, 2, 3)}),
    "units": ((8, 9), False, [], {"scale": (0.2, 0.2), "units": ("mm", "mm")}),
    "units TYX": ((4, 8, 9), False, [], {"scale": (1, 0.2, 0.2), "units": ("s", "um", "um")}),
}


@pytest.mark.parametrize(("shape", "rgb", "dropped", "place"), CASES.values(), ids=CASES)
def test_every_pixel_of_the_mask_lies_on_its_pixel_of_the_image(
    shape: tuple[int, ...], rgb: bool, dropped: list[int], place: dict[str, Any]
) -> None:
    image = Image(np.zeros(shape), rgb=rgb, **place)
    kept = [axis for axis in range(image.ndim) if axis not in dropped]
    placement = Placement.of(image).without(dropped)
    mask = Labels(np.zeros([shape[axis] for axis in kept], np.uint8), **placement.as_arguments())
    for pixel in np.random.default_rng(0).uniform(0, 10, (20, image.ndim)):
        pixel[dropped] = 0
        expected = np.asarray(image.data_to_world(pixel))[kept]
        np.testing.assert_allclose(mask.data_to_world(pixel[kept]), expected, atol=1e-9)
    assert mask.units == tuple(image.units[axis] for axis in kept)


def test_axis_labels_travel_and_default_ones_stay_napari_s_own() -> None:
    named = Placement.of(Image(np.zeros((3, 8, 9)), axis_labels=("c", "row", "column"))).without([0])
    assert named.axis_labels == ("row", "column")
    unnamed = Placement.of(Image(np.zeros((8, 9, 3)))).without([2])
    assert Labels(np.zeros((8, 9), np.uint8), **unnamed.as_arguments()).axis_labels == ("-2", "-1")


@pytest.fixture
def mask() -> Labels:
    labels = Labels(np.zeros((20, 30), np.uint8), name="first mask", metadata={"from": "first"})
    labels.brush_size = 3
    return labels


def test_name_metadata_and_place_are_the_new_image_s_and_the_brush_stays(mask: Labels) -> None:
    mask.contour, mask.visible, mask.editable = 2, False, False
    mask.translate, mask.rotate = (5, 6), 30
    place = Placement.plain((0.5, 2), ("pixel", "pixel"))
    place.refill(mask, np.ones((7, 8), np.uint8), "second mask")
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
    assert Placement.plain((1, 1), (units, units)).fits(mask, data) == expected


def test_a_place_of_any_kind_is_taken(mask: Labels) -> None:
    image = Image(np.zeros((8, 9)), scale=(2, 3), translate=(5, 7), rotate=20, shear=[0.4], axis_labels=("row", "col"))
    Placement.of(image).move(mask)
    for pixel in np.random.default_rng(0).uniform(0, 10, (20, 2)):
        np.testing.assert_allclose(mask.data_to_world(pixel), image.data_to_world(pixel), atol=1e-9)
    assert mask.axis_labels == ("row", "col")
