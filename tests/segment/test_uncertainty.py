"""How sure the model is: worked out on paper, and its laws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from napari_wavegms.errors import InputError
from napari_wavegms.learn.metrics import dice
from napari_wavegms.segment.uncertainty import BAND, image_uncertainty, uncertainty_map

PROBABILITIES = arrays(np.float32, array_shapes(max_dims=3, max_side=6), elements=st.floats(0, 1, width=32))
THRESHOLDS = st.floats(0.05, 0.95)


def test_a_sure_mask_is_certain_and_a_half_sure_one_is_not() -> None:
    mask = np.zeros((8, 8))
    mask[2:5, 2:5] = 1
    assert image_uncertainty(mask) == 0
    # Nine pixels of 0.6 drawn: 1 - 2 * 5.4 / (9 + 5.4).
    assert image_uncertainty(mask * 0.6) == pytest.approx(0.25)


def test_nothing_drawn_is_to_be_looked_at_first() -> None:
    assert image_uncertainty(np.zeros((4, 4))) == 1
    assert image_uncertainty(np.full((4, 4), 0.49)) == 1


def test_a_faint_second_structure_and_a_blurred_border_raise_it() -> None:
    sure = np.zeros((20, 20))
    sure[4:10, 4:10] = 1
    faint, blurred = sure.copy(), sure.copy()
    faint[14:18, 14:18] = 0.4
    blurred[4:10, 9:12] = 0.5
    assert image_uncertainty(faint) > image_uncertainty(sure)
    assert image_uncertainty(blurred) > image_uncertainty(sure)


def test_it_is_the_expected_error_where_pixels_are_drawn_by_their_probability() -> None:
    # An independent oracle: draw truths from the probability and average 1 - DSC with the mask.
    rng = np.random.default_rng(0)
    probability = rng.random((60, 60))
    mask = probability >= 0.5
    errors = [1 - dice(rng.random(probability.shape) < probability, mask) for _ in range(50)]
    assert image_uncertainty(probability) == pytest.approx(np.mean(errors), abs=0.005)


def test_what_is_no_number_counts_as_background() -> None:
    assert image_uncertainty([[0.9, 0.7, 0.4, np.nan]]) == pytest.approx(0.2)
    assert uncertainty_map([[np.nan]])[0, 0] == 0


@given(PROBABILITIES, THRESHOLDS)
def test_both_stay_in_their_range(probability: np.ndarray, threshold: float) -> None:
    assert 0 <= image_uncertainty(probability, threshold) <= 1
    doubt = uncertainty_map(probability, threshold)
    assert (doubt.dtype, doubt.shape) == (np.float32, probability.shape)
    assert ((doubt == 0) | ((doubt >= np.float32(BAND)) & (doubt <= 1))).all()


@given(PROBABILITIES, THRESHOLDS)
def test_order_of_pixels_does_not_matter(probability: np.ndarray, threshold: float) -> None:
    backwards = np.ascontiguousarray(probability[::-1])
    assert image_uncertainty(backwards, threshold) == pytest.approx(image_uncertainty(probability, threshold))
    np.testing.assert_array_equal(uncertainty_map(backwards, threshold)[::-1], uncertainty_map(probability, threshold))


def test_the_map_peaks_at_the_threshold_and_leaves_the_sure_out() -> None:
    doubt = uncertainty_map([0.0, 0.05, 0.2, 0.4, 0.7, 0.95, 1.0], threshold=0.4)
    np.testing.assert_allclose(doubt, [0, 0, 0.5, 1, 0.5, 0, 0], atol=1e-6)


@pytest.mark.parametrize("threshold", [0, 1, float("nan")])
def test_senseless_thresholds_have_their_sentence(threshold: float) -> None:
    for function in (image_uncertainty, uncertainty_map):
        with pytest.raises(InputError, match="The threshold is"):
            function([[0.5]], threshold)
