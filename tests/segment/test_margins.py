"""Uniform margins are found, and what is no margin stays."""

from __future__ import annotations

import numpy as np
import pytest

from napari_wavegms.segment.margins import content_box


def textured(rows: int, columns: int) -> np.ndarray:
    """An image (rows, columns) none of whose lines is of one colour."""
    return np.random.default_rng(0).uniform(0.2, 0.8, (rows, columns))


@pytest.mark.parametrize("colour", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("bars", [(7, 0, 0, 0), (0, 0, 12, 9), (5, 6, 7, 8)])
def test_bars_of_any_colour_are_found(colour: float, bars: tuple[int, int, int, int]) -> None:
    top, bottom, left, right = bars
    image = np.pad(textured(40, 60), ((top, bottom), (left, right)), constant_values=colour)
    assert content_box(image) == (top, left, 40, 60)
    assert content_box(np.stack([image, 0.5 * image, image], axis=2)) == (top, left, 40, 60)


def test_ripples_of_compression_and_a_speck_of_dust_are_still_margin() -> None:
    rng = np.random.default_rng(1)
    image = np.pad(textured(40, 600), ((10, 10), (0, 0)))
    image[:10] += rng.uniform(0, 0.02, (10, 600))
    image[4, 300] = 1
    assert content_box(image) == (10, 0, 40, 600)


def test_text_in_a_margin_ends_it() -> None:
    image = np.pad(textured(40, 60), ((20, 0), (0, 0)))
    image[8:13, 5:40:2] = 1
    assert content_box(image) == (8, 0, 52, 60)


def test_a_bar_beside_is_found_although_text_stands_above_it() -> None:
    image = np.pad(textured(40, 60), ((0, 0), (20, 0)))
    image = np.pad(image, ((15, 0), (0, 0)))
    assert content_box(image) == (15, 20, 40, 60)


@pytest.mark.parametrize(
    "image", [np.zeros((30, 40)), np.full((1, 1), 0.3), np.pad(textured(8, 40), ((30, 30), (0, 0)))]
)
def test_a_nearly_blank_image_is_left_whole(image: np.ndarray) -> None:
    assert content_box(image) == (0, 0, *image.shape)


def test_an_image_without_margins_is_left_whole() -> None:
    assert content_box(textured(40, 60)) == (0, 0, 40, 60)
