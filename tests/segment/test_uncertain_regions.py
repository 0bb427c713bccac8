"""Doubtful spots: found where they were put, the heaviest first, and never twice."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from napari_wavegms.errors import InputError
from napari_wavegms.segment.uncertainty import uncertain_regions, uncertainty_map


def two_blobs(shape: tuple[int, int] = (100, 120)) -> np.ndarray:
    probability = np.zeros(shape)
    probability[10:14, 20:26] = 0.5  # 24 px of doubt
    probability[80:86, 90:96] = 0.75  # 36 px of half the doubt
    return probability


def test_spots_lie_where_the_doubt_is_heaviest_first() -> None:
    first, second = uncertain_regions(two_blobs())
    assert (first.top, first.bottom, first.left, first.right, first.weight) == (10, 14, 20, 26, 24)
    assert (first.row, first.col) == (11.5, 22.5)
    assert (second.top, second.bottom, second.left, second.right, second.weight) == (80, 86, 90, 96, 18)


def test_a_large_image_gives_the_same_places() -> None:
    small = uncertain_regions(two_blobs())
    large = uncertain_regions(np.kron(two_blobs(), np.ones((7, 7))))
    assert [(s.top / 7, s.bottom / 7, s.left / 7, s.right / 7) for s in large] == [
        (s.top, s.bottom, s.left, s.right) for s in small
    ]
    assert [s.weight / 49 for s in large] == pytest.approx([s.weight for s in small])


def test_a_crisp_rim_comes_after_a_blurred_one() -> None:
    columns = np.arange(128.0)
    crisp, blurred = np.clip((columns - 64) / 1 + 0.5, 0, 1), np.clip((columns - 64) / 20 + 0.5, 0, 1)
    probability = np.where(np.arange(128)[:, None] < 64, crisp, blurred)
    assert uncertain_regions(probability)[0].row > 64


def test_nothing_doubtful_gives_nothing() -> None:
    assert uncertain_regions(np.eye(30)) == []
    assert uncertain_regions(np.full((5, 5), 0.05)) == []


@pytest.mark.parametrize("shape", [(1, 1), (1, 400), (7, 3), (300, 9)])
def test_small_and_narrow_planes(shape: tuple[int, int]) -> None:
    spots = uncertain_regions(np.full(shape, 0.5))
    assert spots
    assert all(0 <= s.top < s.bottom <= shape[0] and 0 <= s.left < s.right <= shape[1] for s in spots)


PLANES = array_shapes(min_dims=2, max_dims=2, max_side=40)


@given(arrays(np.float32, PLANES, elements=st.sampled_from([0, 0.3, 0.5, 1])))
def test_doubt_is_shared_out_and_never_counted_twice(probability: np.ndarray) -> None:
    spots = uncertain_regions(probability, most=100)
    doubt = uncertainty_map(probability)
    assert sum(spot.weight for spot in spots) <= doubt.sum() + 1e-3
    assert [spot.weight for spot in spots] == sorted((spot.weight for spot in spots), reverse=True)
    assert bool(spots) == bool(doubt.any())
    for spot in spots:
        box = doubt[spot.top : spot.bottom, spot.left : spot.right]
        assert box.any(axis=1)[[0, -1]].all()
        assert box.any(axis=0)[[0, -1]].all()
        assert spot.top <= spot.row < spot.bottom
        assert spot.left <= spot.col < spot.right


def test_at_most_so_many() -> None:
    assert len(uncertain_regions(np.full((200, 200), 0.5), most=3)) == 3


def test_only_planes_have_spots() -> None:
    with pytest.raises(InputError, match=r"shape \(2, 3, 4\), but one plane"):
        uncertain_regions(np.zeros((2, 3, 4)))
