"""Overlays: colours where the mask is, the image everywhere else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from napari_wavegms.commands.common.pictures import LABEL_COLOR, TRUTH_COLOR, overlay, write_overlay
from napari_wavegms.errors import InputError

GREY = np.random.default_rng(0).integers(0, 256, (20, 24)).astype(np.uint8)
DISC = ((np.indices((20, 24)) - [[[10]], [[12]]]) ** 2).sum(axis=0) < 40


def test_outside_the_mask_the_image_is_untouched() -> None:
    drawn = overlay(GREY, DISC)
    assert (drawn.shape, drawn.dtype) == ((20, 24, 3), np.uint8)
    np.testing.assert_array_equal(drawn[~DISC], GREY[~DISC][:, None].repeat(3, 1))


def test_the_outline_is_the_mask_minus_its_erosion() -> None:
    edge = DISC & ~ndimage.binary_erosion(DISC)
    drawn = overlay(GREY, DISC)
    np.testing.assert_array_equal((drawn == LABEL_COLOR).all(axis=-1), edge)


def test_the_truth_is_outlined_above_the_mask() -> None:
    edge = DISC & ~ndimage.binary_erosion(DISC)
    drawn = overlay(GREY, DISC, truth=DISC * 255)
    np.testing.assert_array_equal((drawn == TRUTH_COLOR).all(axis=-1), edge)


def test_touching_labels_have_a_line_between_them() -> None:
    drawn = overlay(np.zeros((5, 6)), np.repeat([[1, 1, 1, 2, 2, 2]], 5, axis=0))
    assert (drawn[2, 2] == LABEL_COLOR).all()
    assert (drawn[2, 2] != drawn[2, 1]).any()
    assert (drawn[2, 3] != drawn[2, 4]).any()


def test_labels_beyond_the_palette_are_drawn() -> None:
    assert (overlay(np.zeros((3, 3)), np.diag([1000, 70000, 0]))[1, 1] > 0).any()


@pytest.mark.parametrize(
    "image",
    [
        GREY > 100,
        GREY.astype(np.uint16) * 200,
        GREY.astype(np.int16) - 100,
        GREY / 255,
        np.where(GREY > 250, np.nan, GREY),
        np.where(GREY > 250, np.inf, GREY),
        np.full((20, 24), np.nan),
        np.full((20, 24), 7.0),
        GREY[..., None],
        np.dstack([GREY] * 3),
        np.dstack([GREY] * 4),
    ],
)
def test_any_image_can_be_drawn_on(image: NDArray[Any]) -> None:
    assert overlay(image, DISC).shape == (20, 24, 3)


def test_wide_ranges_are_shown_between_their_percentiles() -> None:
    values = np.linspace(1000, 3000, 20 * 24).reshape(20, 24)
    drawn = overlay(values, np.zeros((20, 24), int))
    assert (drawn.min(), drawn.max()) == (0, 255)


@pytest.mark.parametrize(
    ("image", "labels", "message"),
    [
        (GREY, DISC[:5], r"mask of shape \(5, 24\) does not fit an image of \(20, 24\)"),
        (np.zeros((2, 20, 24)), DISC, "Choose one channel"),
        (GREY.astype(complex), DISC, "holds complex128 values; Wave-GMS reads real numbers"),
        (GREY, DISC * 0.5, "whole numbers"),
    ],
)
def test_what_does_not_fit_is_refused(image: NDArray[Any], labels: NDArray[Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        overlay(image, labels)


def test_the_picture_is_written_as_png(tmp_path: Path) -> None:
    path = write_overlay(tmp_path / "o.png", GREY, DISC)
    with Image.open(path) as image:
        np.testing.assert_array_equal(np.asarray(image), overlay(GREY, DISC))
    with pytest.raises(InputError, match=r"'o\.jpg' does not end in \.png"):
        write_overlay(tmp_path / "o.jpg", GREY, DISC)
