"""Masks between fixed slices: shapes with known answers, and models that know everything or nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from napari_wavegms.errors import InputError
from napari_wavegms.segment.between import carry_on


def disc(row: float, column: float, radius: float, side: int = 80) -> Any:
    rows, columns = np.ogrid[:side, :side]
    return (np.hypot(rows - row, columns - column) <= radius).astype(np.uint8)


def nothing(number: int) -> Any:
    return np.zeros((80, 80), np.float32)


def knows(truth: dict[int, Any]) -> Callable[[int], Any]:
    return lambda number: np.where(truth[number] != 0, np.float32(0.95), np.float32(0.05))


def carried(fixed: dict[int, Any], model: Callable[[int], Any], count: int) -> dict[int, Any]:
    return {one.number: np.where(one.probability >= 0.5, one.labels, 0) for one in carry_on(fixed, model, count)}


def dice(one: Any, other: Any) -> float:
    return float(2 * np.count_nonzero((one != 0) & (other != 0)) / (np.count_nonzero(one) + np.count_nonzero(other)))


def test_a_structure_that_moves_by_more_than_its_width_is_found_on_the_way() -> None:
    found = carried({0: disc(40, 20, 8), 4: disc(40, 52, 8)}, nothing, 5)
    assert sorted(found) == [1, 2, 3]
    assert all(dice(found[number], disc(40, 20 + 8 * number, 8)) > 0.9 for number in found)


def test_a_model_that_knows_nothing_does_no_harm() -> None:
    truth = {number: disc(40, 30 + number, 10 + number) for number in range(9)}
    found = carried({number: truth[number] for number in (0, 4, 8)}, nothing, 9)
    assert min(dice(found[number], truth[number]) for number in found) > 0.95


def test_a_model_that_knows_the_organ_is_followed_where_shapes_mislead() -> None:
    truth = {number: disc(40, 40, 14 if number % 4 == 0 else 20) for number in range(17)}
    fixed = {number: truth[number] for number in (0, 5, 8, 11, 16)}
    found = carried(fixed, knows(truth), 17)
    assert dice(found[6], truth[6]) > dice(disc(40, 40, 17), truth[6])


def test_beyond_the_last_fixed_slice_it_ends_where_the_overlap_breaks() -> None:
    truth = {0: disc(40, 40, 12), 1: disc(40, 41, 12), 2: disc(40, 42, 11), 3: disc(10, 10, 11), 4: disc(10, 10, 11)}
    found = carried({0: truth[0]}, knows(truth), 5)
    assert sorted(found) == [1, 2]
    assert dice(found[2], truth[2]) > 0.95
    assert not carried({0: truth[0]}, nothing, 5)


def test_an_empty_slice_says_that_the_structure_has_ended() -> None:
    found = carried({0: disc(40, 40, 12), 4: nothing(4).astype(np.uint8)}, nothing, 9)
    assert sorted(found) == [1, 2, 3]
    assert dice(found[1], disc(40, 40, 6)) > 0.9
    assert not found[3].any()


def test_labels_stay_apart() -> None:
    two = disc(40, 40, 15)
    two[:, 40:] *= 7
    found = carried({0: two, 2: two}, nothing, 3)
    assert np.array_equal(found[1], two)


def test_the_doubt_is_largest_where_shapes_and_model_differ() -> None:
    truth = {number: disc(40, 40, 12) for number in range(9)}
    model = knows(truth | {5: disc(40, 47, 12)})
    made = list(carry_on({0: truth[0], 2: truth[2], 8: truth[8]}, model, 9))
    assert max(made, key=lambda one: one.doubt).number == 5


def test_without_a_fixed_slice_it_says_what_to_do() -> None:
    with pytest.raises(InputError, match="Nothing is fixed yet"):
        next(carry_on({1: nothing(1)}, nothing, 3))
