"""A box is cut where the image ends, shown with its surroundings, and pasted without touching anything else."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_wavegms.errors import InputError
from napari_wavegms.segment.box_prompt import FAINTEST, SMALLEST, Box, BoxResult, pasted, segment_box
from napari_wavegms.segment.preprocessing import Preprocessing


@dataclass
class Brightness:
    """Probability = brightness / 255, and what it was shown."""

    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    seen: list[np.ndarray] = field(default_factory=list)

    def segment(self, image: Any) -> Any:
        self.seen.append(image)
        return SimpleNamespace(classes=None, confidence=np.asarray(image, np.float32) / 255)


def result_of(mask: np.ndarray, box: Box) -> BoxResult:
    return BoxResult(mask.astype(np.uint8), mask.astype(np.float32), box.rows, box.columns, 0.5)


def test_a_box_takes_every_pixel_that_the_rectangle_touches() -> None:
    # Pixel 3 reaches from 2.5 to 3.5.
    assert Box.around([[2.6, 4.4], [9.2, 12.0]], (40, 60)) == Box(3, 10, 4, 13)
    assert Box.around([[9.2, 12.0], [2.6, 4.4]], (40, 60)) == Box(3, 10, 4, 13)  # drawn from the other corner


def test_a_box_is_cut_where_the_image_ends() -> None:
    assert Box.around([[-30, 50], [6, 90]], (40, 60)) == Box(0, 7, 50, 60)


@pytest.mark.parametrize("corners", [[[5, 5], [5, 5]], [[5, 5], [30, 6]], [[-20, -20], [-5, 30]], [[0, 59], [30, 90]]])
def test_a_box_without_room_is_refused(corners: list[list[float]]) -> None:
    with pytest.raises(InputError, match=rf"needs {SMALLEST} x {SMALLEST} inside"):
        Box.around(corners, (40, 60))


def test_a_box_outside_the_image_is_refused_before_the_network_runs() -> None:
    segmenter = Brightness()
    with pytest.raises(InputError, match="extends beyond the image of 40 x 60"):
        segment_box(segmenter, np.zeros((40, 60), np.uint8), Box(0, 50, 0, 10))
    assert segmenter.seen == []


def test_the_window_is_square_around_the_box_and_ends_with_the_image() -> None:
    # 20 x 40 with a quarter of 40 on each side is 60 x 60.
    assert Box(100, 120, 200, 240).window((400, 400), 0.25) == Box(80, 140, 190, 250)
    assert Box(100, 120, 200, 240).window((130, 400), 0.25) == Box(80, 130, 190, 250)
    assert Box(100, 120, 200, 220).window((400, 400), 0) == Box(100, 120, 200, 220)


@st.composite
def images_and_boxes(draw: st.DrawFn) -> tuple[tuple[int, int], Box]:
    shape = draw(st.integers(SMALLEST, 50)), draw(st.integers(SMALLEST, 50))
    top, left = (draw(st.integers(0, side - SMALLEST)) for side in shape)
    bottom, right = draw(st.integers(top + SMALLEST, shape[0])), draw(st.integers(left + SMALLEST, shape[1]))
    return shape, Box(top, bottom, left, right)


@given(images_and_boxes(), st.floats(0, 3))
def test_the_answer_lies_exactly_over_the_box(drawn: tuple[tuple[int, int], Box], context: float) -> None:
    shape, box = drawn
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    result = segment_box(Brightness(), image, box, context=context, least_share=0)
    np.testing.assert_array_equal(result.probability, image[box.rows, box.columns].astype(np.float32) / 255)
    np.testing.assert_array_equal(result.mask, result.probability >= 0.5)


def test_the_whole_image_s_probability_is_averaged_in() -> None:
    image, whole = np.full((20, 20), 255, np.uint8), np.full((20, 20), 0.5, np.float32)
    result = segment_box(Brightness(), image, Box(2, 10, 3, 9), whole=whole)
    assert result.probability.shape == (8, 6)
    assert (result.probability == 0.75).all()
    with pytest.raises(InputError, match="the probability has shape"):
        segment_box(Brightness(), image, Box(2, 10, 3, 9), whole=whole[:5])


def test_greys_mean_what_they_mean_in_the_whole_image() -> None:
    image = np.zeros((50, 40), np.uint16)
    image[:25] = 4000
    image[30:40, 10:20] = 2000
    segmenter = Brightness()
    segment_box(segmenter, image, Box(30, 40, 10, 20), context=0.0)
    (seen,) = segmenter.seen
    # 2000 of 0 to 4000 is half way, though it is all that the window holds.
    assert seen.dtype == np.uint8
    assert set(np.unique(seen)) == {128}


@pytest.mark.parametrize(
    ("channels", "seen"), [((), (10, 10)), ((1,), (10, 10)), ((3,), (10, 10, 3)), ((4,), (10, 10, 3))]
)
def test_grey_and_colour(channels: tuple[int, ...], seen: tuple[int, ...]) -> None:
    shown = []
    segmenter = SimpleNamespace(
        preprocessing=Preprocessing(),
        segment=lambda image: (
            shown.append(image.shape) or SimpleNamespace(classes=None, confidence=np.ones(image.shape[:2]))
        ),
    )
    assert segment_box(segmenter, np.zeros((30, 30, *channels), np.uint8), Box(5, 15, 5, 15), context=0).mask.all()
    assert shown == [seen]


def test_an_almost_empty_box_lowers_the_threshold_until_its_share_is_filled() -> None:
    image = np.arange(100, dtype=np.uint8).reshape(10, 10)  # probabilities 0 to 99 / 255, all below a half
    box = Box(0, 10, 0, 10)
    assert not segment_box(Brightness(), image, box, least_share=0).mask.any()
    result = segment_box(Brightness(), image, box, least_share=0.4)
    np.testing.assert_array_equal(result.mask, image >= 60)
    assert result.threshold < 0.5
    # A box that is full enough is left alone, and what is all but impossible is never labelled.
    assert segment_box(Brightness(), np.full((10, 10), 200, np.uint8), box, least_share=0.4).threshold == 0.5
    empty = segment_box(Brightness(), np.ones((10, 10), np.uint8), box, least_share=0.4)
    assert not empty.mask.any()
    assert empty.threshold == FAINTEST


def test_a_paste_changes_one_label_inside_the_box_alone() -> None:
    plane = np.array([[1, 1, 1, 1], [1, 1, 2, 0], [1, 0, 0, 1], [0, 0, 0, 3]], np.uint16)
    found = np.array([[0, 1], [1, 1]])
    after = pasted(plane, result_of(found, Box(1, 3, 1, 3)), 1)
    assert after.tolist() == [[1, 1, 1, 1], [1, 0, 2, 0], [1, 1, 1, 1], [0, 0, 0, 3]]
    assert after.dtype == np.uint16
    assert plane[1, 1] == 1  # the given one is as it was


def test_the_real_network_sees_a_box_as_it_sees_the_window() -> None:
    from napari_wavegms.segment.segmenter import Segmenter

    segmenter = Segmenter.from_checkpoint("default", device="cpu")
    image = np.random.default_rng(1).integers(0, 256, (90, 80), np.uint8)
    box = Box(20, 50, 30, 60)
    window = box.window(image.shape)
    found = segmenter.segment(np.ascontiguousarray(image[window.rows, window.columns])).probability
    result = segment_box(segmenter, image, box)
    inside = slice(20 - window.top, 50 - window.top), slice(30 - window.left, 60 - window.left)
    np.testing.assert_array_equal(result.probability, found[inside])
