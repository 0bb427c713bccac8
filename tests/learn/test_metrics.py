"""Overlap and surface distance: numbers worked out by hand, laws, and a brute-force oracle."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_wavegms.errors import InputError
from napari_wavegms.learn.metrics import dice, hd95, iou

# No deadline: the first call imports, and the machine may be busy.
steady = settings(deadline=None, derandomize=True)
small_shapes = hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=5)
pairs = small_shapes.flatmap(lambda shape: st.tuples(*[hnp.arrays(np.bool_, shape)] * 2))


def brute_surface(mask: np.ndarray) -> list[tuple[int, ...]]:
    """Foreground pixels with at least one face neighbour that is background or outside."""
    pixels = {tuple(int(i) for i in pixel) for pixel in np.argwhere(mask)}
    steps = [sign * step for step in np.eye(mask.ndim, dtype=int) for sign in (-1, 1)]
    return [pixel for pixel in pixels if any(tuple((pixel + step).tolist()) not in pixels for step in steps)]


def brute_hd95(a: np.ndarray, b: np.ndarray) -> float:
    one, other = brute_surface(a), brute_surface(b)
    there = [min(math.dist(p, q) for q in other) for p in one]
    back = [min(math.dist(p, q) for q in one) for p in other]
    ordered = sorted(there + back)
    place = 0.95 * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def disc(centre: tuple[int, int], radius: float, shape: tuple[int, int] = (64, 64)) -> np.ndarray:
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 <= radius**2


def test_overlap_by_hand() -> None:
    a = np.array([[1, 1, 1, 0], [1, 1, 1, 0]])
    b = np.array([[0, 1, 1, 1], [0, 0, 0, 0]])
    assert dice(a, b) == pytest.approx(2 * 2 / (6 + 3))
    assert iou(a, b) == pytest.approx(2 / 7)


def test_distance_by_hand() -> None:
    # One pixel against a row of three: pooled distances 0 | 0, 1, 2; 95 % of the way is 1.85.
    assert hd95([[1, 0, 0]], [[1, 1, 1]]) == pytest.approx(1.85)


def test_surface_leaves_out_the_inside() -> None:
    square = np.ones((5, 5), bool)
    ring = square.copy()
    ring[1:4, 1:4] = False
    # A full square and its rim have the same outer surface; only the rim pixels of both count.
    assert hd95(square, ring) == 0.0


def test_any_non_zero_value_is_foreground() -> None:
    a = np.array([[0, 255, -1]], dtype=np.int16)
    b = np.array([[0.0, 0.25, 3.0]])
    assert (dice(a, b), iou(a, b), hd95(a, b)) == (1.0, 1.0, 0.0)


@pytest.mark.parametrize("shape", [(4, 5), (3, 4, 5), (0, 7), ()])
def test_both_empty_agree(shape: tuple[int, ...]) -> None:
    empty = np.zeros(shape)
    assert (dice(empty, empty), iou(empty, empty), hd95(empty, empty)) == (1.0, 1.0, 0.0)


def test_one_empty_has_no_distance() -> None:
    full, empty = disc((20, 20), 5), np.zeros((64, 64))
    for a, b in [(full, empty), (empty, full)]:
        assert (dice(a, b), iou(a, b)) == (0.0, 0.0)
        assert math.isnan(hd95(a, b))


@pytest.mark.parametrize("metric", [dice, iou, hd95])
def test_shapes_must_agree(metric) -> None:
    with pytest.raises(InputError, match=r"\(4, 5\) and \(5, 4\).*same shape"):
        metric(np.ones((4, 5)), np.ones((5, 4)))


@steady
@given(pairs)
def test_overlap_laws(pair: tuple[np.ndarray, np.ndarray]) -> None:
    a, b = pair
    assert dice(a, b) == dice(b, a)
    assert iou(a, b) == iou(b, a)
    assert 0.0 <= iou(a, b) <= dice(a, b) <= 1.0
    assert dice(a, b) == pytest.approx(2 * iou(a, b) / (1 + iou(a, b)))
    assert dice(a, a) == iou(a, a) == 1.0


@steady
@given(pairs)
def test_overlap_counts_pixels(pair: tuple[np.ndarray, np.ndarray]) -> None:
    one, other = ({tuple(p) for p in np.argwhere(mask)} for mask in pair)
    if one or other:
        assert dice(*pair) == pytest.approx(2 * len(one & other) / (len(one) + len(other)))
        assert iou(*pair) == pytest.approx(len(one & other) / len(one | other))


@steady
@given(pairs)
def test_distance_against_brute_force(pair: tuple[np.ndarray, np.ndarray]) -> None:
    a, b = pair
    if a.any() and b.any():
        assert hd95(a, b) == pytest.approx(brute_hd95(a, b), abs=1e-9)
        assert hd95(a, b) == hd95(b, a)
    assert hd95(a, a) == 0.0


@pytest.mark.parametrize("shift", [0, 1, 3, 7])
def test_a_moved_line_is_as_far_as_it_was_moved(shift: int) -> None:
    line = np.zeros((40, 30), bool)
    line[8, 5:25] = True
    assert hd95(line, np.roll(line, shift, axis=0)) == shift


def test_a_disc_grown_by_k_is_k_away() -> None:
    assert hd95(disc((32, 32), 10), disc((32, 32), 15)) == pytest.approx(5.0, abs=0.5)


@pytest.mark.parametrize("move", list(itertools.product((0, 9), (0, 17))))
def test_margins_and_place_change_nothing(move: tuple[int, int]) -> None:
    a, b = disc((20, 18), 9), disc((23, 20), 11)
    moved = [np.roll(np.pad(mask, 20), move, axis=(0, 1)) for mask in (a, b)]
    assert hd95(*moved) == hd95(a, b)


def test_touching_the_border_is_surface_too() -> None:
    # MedPy erodes with background beyond the array: the whole image against its rim is no distance at all.
    full, rim = np.ones((6, 6), bool), np.ones((6, 6), bool)
    rim[1:-1, 1:-1] = False
    assert hd95(full, rim) == 0.0
