"""Probability to mask."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_wavegms.errors import InputError
from napari_wavegms.segment.postprocess import threshold_probability

# No deadline: the first call imports, and the machine may be busy.
steady = settings(deadline=None, derandomize=True)
probabilities = hnp.arrays(np.float32, (3, 4), elements=st.floats(0, 1, width=32, allow_nan=False))
levels = st.floats(0.01, 0.99)


def test_equal_belongs_to_the_lesion_and_nan_does_not() -> None:
    mask = threshold_probability(np.array([0.49, 0.5, np.nan, 1.0]), 0.5)
    assert mask.dtype == np.uint8
    assert mask.tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize("level", [0.1, 0.3, 0.7, 0.9])
def test_float32_equals_its_own_threshold(level: float) -> None:
    for threshold in (level, np.float64(level), np.float32(level)):
        assert threshold_probability(np.float32([level]), threshold).tolist() == [1]


@steady
@given(probabilities, levels, levels)
def test_a_higher_threshold_never_adds_pixels(probability: np.ndarray, one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert np.all(threshold_probability(probability, high) <= threshold_probability(probability, low))


@steady
@given(probabilities, levels)
def test_every_pixel_is_judged_alone(probability: np.ndarray, level: float) -> None:
    expected = [[int(value >= np.float32(level)) for value in row] for row in probability]
    assert threshold_probability(probability, level).tolist() == expected


@pytest.mark.parametrize("threshold", [0.0, 1.0, -0.1, 1.5, float("nan"), float("inf"), "half", None])
def test_a_threshold_outside_is_refused(threshold) -> None:
    with pytest.raises(InputError, match=r"threshold is .*between 0 and 1"):
        threshold_probability(np.zeros((2, 2)), threshold)
