"""Uniform margins are found, and what is no margin stays."""

from __future__ import annotations

import numpy as np
import pytest

from napari_wavegms.learn.metrics import dice
from napari_wavegms.model.card import ModelCard
from napari_wavegms.model.codec import load_codec
from napari_wavegms.model.device import choose_device
from napari_wavegms.model.network import WaveGMS
from napari_wavegms.segment.preprocessing import (
    Preprocessing,
    content_box,
    in_whole_frame,
    prepare,
    prepare_mask,
    restore,
)
from napari_wavegms.segment.segmenter import Segmenter


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


RULES = Preprocessing(size=32, margins=True)
BARS = ((12, 7), (0, 20))


def test_an_image_is_framed_as_if_its_margins_were_not_there() -> None:
    content = (255 * textured(40, 60)).astype(np.uint8)
    padded = np.pad(content, BARS)
    with_bars, without = prepare(padded, RULES), prepare(content, RULES)
    np.testing.assert_array_equal(with_bars.pixels, without.pixels)
    assert (with_bars.box, without.box) == ((12, 0, 40, 60), None)
    probability = np.linspace(0, 1, 32 * 32, dtype=np.float32).reshape(32, 32)
    back = restore(probability, with_bars)
    np.testing.assert_array_equal(back, np.pad(restore(probability, without), BARS))


def test_a_mask_is_framed_as_its_image() -> None:
    image, mask = np.pad(textured(40, 60), BARS), np.zeros((59, 80), bool)
    mask[20:40, 10:30] = True
    prepared = prepare(image, RULES)
    framed = prepare_mask(mask, RULES, prepared.box)
    back = restore(framed.astype(np.float32), prepared) >= 0.5
    assert dice(back, mask) > 0.95
    # Scores compare whole frames, margins included, so that they mean the same for every model.
    whole = in_whole_frame(framed.astype(np.float32), prepared, RULES) >= 0.5
    assert dice(whole, prepare_mask(mask, RULES)) > 0.95
    assert not whole[:5].any()


def test_the_rule_is_the_cards_and_old_cards_keep_their_margins() -> None:
    old = {"size": 32, "aspect": "squash", "percentiles": [0.1, 99.9]}
    assert not Preprocessing.from_dict(old).margins
    assert Preprocessing.from_dict(RULES.as_dict()) == RULES
    padded = np.pad(textured(40, 60), BARS)
    kept = prepare(padded, Preprocessing.from_dict(old))
    assert kept.box is None
    assert not kept.pixels[:, :5].any(), "the bar is still in the frame"


def test_a_model_with_the_rule_answers_alike_with_and_without_bars() -> None:
    codec = load_codec("mask-codec")
    segmenter = Segmenter(WaveGMS(), ModelCard("tiny", preprocessing=RULES.as_dict()), codec, choose_device("cpu"))
    content = (255 * textured(40, 60)).astype(np.uint8)
    found, padded = segmenter.segment(content), segmenter.segment(np.pad(content, BARS))
    np.testing.assert_array_equal(padded.probability, np.pad(found.probability, BARS))
    np.testing.assert_array_equal(padded.mask, np.pad(found.mask, BARS))
    assert segmenter.frame_probability(np.pad(content, BARS)).shape == (32, 32)
