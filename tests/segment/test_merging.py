"""What a person drew stays, unless they say otherwise; what is approved stays whatever they say."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_wavegms.errors import InputError
from napari_wavegms.segment.merging import DEFAULT, EXPLAINED, Overwrite, merged

MODES = get_args(Overwrite)
planes = hnp.arrays(np.uint8, (4, 5), elements=st.integers(0, 2))


#      was ours  ->  mine  ->  predicted anew
TABLE = {
    (0, 0, 1): {"keep mine": 1, "fill empty": 1, "replace": 1},  # untouched, and the model finds more
    (1, 1, 0): {"keep mine": 0, "fill empty": 1, "replace": 0},  # untouched, and the model takes it back
    (0, 2, 1): {"keep mine": 2, "fill empty": 2, "replace": 1},  # drawn by hand
    (1, 0, 1): {"keep mine": 0, "fill empty": 1, "replace": 1},  # erased by hand
    (1, 1, 1): {"keep mine": 1, "fill empty": 1, "replace": 1},
}


@pytest.mark.parametrize("how", MODES)
def test_every_case_by_hand(how: Overwrite) -> None:
    ours, mine, predicted = (np.array([case[i] for case in TABLE], np.uint8) for i in range(3))
    assert merged(mine, predicted, ours, how).tolist() == [row[how] for row in TABLE.values()]


def test_keeping_is_the_default_and_every_mode_is_explained() -> None:
    assert DEFAULT == "keep mine"
    assert tuple(EXPLAINED) == MODES


def test_without_an_earlier_prediction_everything_drawn_is_a_person_s() -> None:
    mine, predicted = np.array([0, 2, 0], np.uint8), np.array([1, 0, 0], np.uint8)
    assert merged(mine, predicted, None).tolist() == [1, 2, 0]


@given(planes, planes, planes)
def test_laws(mine: np.ndarray, predicted: np.ndarray, ours: np.ndarray) -> None:
    before = mine.copy()
    np.testing.assert_array_equal(merged(mine, predicted, ours, "replace"), predicted)
    np.testing.assert_array_equal(merged(ours, predicted, ours, "keep mine"), predicted)  # nobody has drawn
    filled = merged(mine, predicted, ours, "fill empty")
    np.testing.assert_array_equal(filled[mine != 0], mine[mine != 0])
    kept = merged(mine, predicted, ours, "keep mine")
    np.testing.assert_array_equal(kept[mine != ours], mine[mine != ours])
    # The same prediction once more changes nothing, when what it drew is known.
    np.testing.assert_array_equal(merged(kept, predicted, np.where(mine != ours, ours, predicted), "keep mine"), kept)
    np.testing.assert_array_equal(mine, before)


def test_what_does_not_fit_is_refused() -> None:
    plane = np.zeros((2, 3), np.uint8)
    with pytest.raises(InputError, match="Segment the image again"):
        merged(plane, plane.T, None)
    with pytest.raises(InputError, match="Segment the image again"):
        merged(plane, plane, plane[:1])
    with pytest.raises(InputError, match="label 300, which a mask of uint8 cannot hold"):
        merged(plane, plane + np.uint16(300), None)
    with pytest.raises(InputError, match="There is no mode 'ask'"):
        merged(plane, plane, None, "ask")  # type: ignore[arg-type]
