"""Clean-up of label arrays: drawings, laws, and brute force on small arrays."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_wavegms.errors import InputError
from napari_wavegms.segment.postprocess import fill_holes, keep_largest, remove_islands, smooth, split_objects

CleanUp = Callable[[np.ndarray], np.ndarray]
REPEATABLE: list[CleanUp] = [fill_holes, keep_largest, partial(remove_islands, min_pixels=3)]
ALL: list[CleanUp] = [*REPEATABLE, partial(smooth, radius=1), partial(smooth, radius=3)]

# No deadline: the first call imports, and the machine may be busy.
steady = settings(deadline=None, derandomize=True)
planes = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.integers(0, 2))
arrays = planes | hnp.arrays(np.int16, hnp.array_shapes(min_dims=3, max_dims=3, max_side=4), elements=st.integers(0, 2))


def drawing(text: str) -> np.ndarray:
    return np.array([[int(c) for c in row.replace(".", "0")] for row in text.split()], dtype=np.uint8)


def pieces(mask: np.ndarray, corners: bool = True) -> list[set[tuple[int, ...]]]:
    """Connected pieces by flooding, the slow and obvious way, in reading order."""
    left = {tuple(p) for p in np.argwhere(mask).tolist()}
    around = itertools.product((-1, 0, 1), repeat=mask.ndim)
    steps = [step for step in around if any(step) and (corners or sum(map(abs, step)) == 1)]
    found = []
    for start in sorted(left):
        piece, front = set(), [start] if start in left else []
        while front:
            here = front.pop()
            if here in left:
                left.remove(here)
                piece.add(here)
                front += [tuple(a + b for a, b in zip(here, step, strict=True)) for step in steps]
        found += [piece] if piece else []
    return found


def brute_vote(mask: np.ndarray, radius: int) -> np.ndarray:
    """Majority in the disc, pixel by pixel, on the mirrored array."""
    wide = np.pad(mask, radius, mode="symmetric")
    steps = itertools.product(range(-radius, radius + 1), repeat=mask.ndim)
    disc = [np.array(step) for step in steps if sum(s * s for s in step) <= radius**2]
    votes = [sum(bool(wide[tuple(np.array(p) + radius + step)]) for step in disc) for p in np.ndindex(mask.shape)]
    return np.reshape([2 * vote > len(disc) for vote in votes], mask.shape)


@pytest.mark.parametrize("clean", ALL)
@given(labels=arrays)
@steady
def test_shape_and_dtype_stay_and_no_label_takes_from_another(clean: CleanUp, labels: np.ndarray) -> None:
    before = labels.copy()
    after = clean(labels)
    assert (after.shape, after.dtype) == (labels.shape, labels.dtype)
    assert not np.any((labels != 0) & (after != 0) & (after != labels))
    assert np.array_equal(labels, before)


@pytest.mark.parametrize("clean", REPEATABLE)
@given(labels=arrays)
@steady
def test_a_second_time_changes_nothing(clean: CleanUp, labels: np.ndarray) -> None:
    once = clean(labels)
    assert np.array_equal(clean(once), once)


@pytest.mark.parametrize("clean", ALL)
@given(labels=arrays)
@steady
def test_names_of_labels_do_not_matter(clean: CleanUp, labels: np.ndarray) -> None:
    names = np.array([0, 7, 3], dtype=labels.dtype)
    assert np.array_equal(clean(names[labels]), names[clean(labels)])


@given(arrays)
@steady
def test_filling_only_adds_and_removing_only_takes_away(labels: np.ndarray) -> None:
    assert np.all((fill_holes(labels) == labels) | (labels == 0))
    for fewer in (keep_largest(labels), remove_islands(labels, 3)):
        assert np.all((fewer == labels) | (fewer == 0))
    assert np.array_equal(remove_islands(labels, 1), labels)


@given(arrays, st.integers(0, 6))
@steady
def test_islands_against_flooding(labels: np.ndarray, min_pixels: int) -> None:
    expected = labels.copy()
    for value in (1, 2):
        for piece in pieces(labels == value):
            if len(piece) < min_pixels:
                expected[tuple(np.transpose(sorted(piece)))] = 0
    assert np.array_equal(remove_islands(labels, min_pixels), expected)


@given(arrays)
@steady
def test_largest_against_flooding(labels: np.ndarray) -> None:
    expected = np.zeros_like(labels)
    for value in (1, 2):
        largest = max(pieces(labels == value), key=len, default=set())
        for pixel in largest:
            expected[pixel] = value
    assert np.array_equal(keep_largest(labels), expected)


@given(arrays)
@steady
def test_holes_against_flooding(labels: np.ndarray) -> None:
    filled = fill_holes(labels)
    enclosed = np.zeros(labels.shape, bool)
    for value in (1, 2):
        for piece in pieces(labels != value, corners=False):
            if not any(at in (0, side - 1) for p in piece for at, side in zip(p, labels.shape, strict=True)):
                enclosed[tuple(np.transpose(sorted(piece)))] = True
                assert value == 3 - value or all(filled[p] != 0 for p in piece)
    assert np.array_equal(filled != 0, (labels != 0) | enclosed)


@given(planes, st.integers(1, 3))
@steady
def test_smoothing_against_counting(labels: np.ndarray, radius: int) -> None:
    expected = np.where((labels != 0) & brute_vote(labels == 0, radius), 0, labels)
    for value in (1, 2):
        expected[(labels == 0) & brute_vote(labels == value, radius)] = value
    assert np.array_equal(smooth(labels, radius), expected)


@given(planes, st.integers(0, 3))
@steady
def test_smoothing_treats_lesion_and_background_alike(labels: np.ndarray, radius: int) -> None:
    mask = labels > 0
    assert np.array_equal(smooth(~mask, radius), ~smooth(mask, radius))


def test_a_hole_goes_to_the_innermost_ring() -> None:
    nested = drawing("""1111111
                        1.....1
                        1.222.1
                        1.2.2.1
                        1.222.1
                        1.....1
                        1111111""")
    filled = drawing("""1111111
                        1111111
                        1122211
                        1122211
                        1122211
                        1111111
                        1111111""")
    assert np.array_equal(fill_holes(nested), filled)


def test_a_dent_and_a_gap_between_two_labels_are_no_holes() -> None:
    open_shapes = drawing("""111.222
                             1.1.2.2
                             1.111.2
                             1..22.2
                             1111222""")
    assert np.array_equal(fill_holes(open_shapes), open_shapes)


def test_a_diagonal_holds_an_island_together() -> None:
    diagonal = drawing("1.. .1. ..1")
    assert np.array_equal(remove_islands(diagonal, 3), diagonal)
    assert not remove_islands(diagonal, 4).any()


def test_of_equal_pieces_the_first_stays() -> None:
    assert keep_largest(drawing("1.1.2.2")).tolist() == [[1, 0, 0, 0, 2, 0, 0]]


def test_smoothing_keeps_straight_lines_and_the_line_between_labels() -> None:
    halves = np.zeros((20, 20), np.int32)
    halves[8:, :11] = 5
    halves[8:, 11:] = 9
    for radius in (0, 1, 2, 5):
        assert np.array_equal(smooth(halves, radius), halves)


def test_smoothing_calms_a_ragged_disc_without_shrinking_it() -> None:
    rows, columns = np.ogrid[:80, :80]
    disc = (rows - 40) ** 2 + (columns - 40) ** 2 <= 25**2
    noisy = disc ^ (np.random.default_rng(0).random(disc.shape) < 0.1)
    calm = smooth(noisy, 3)
    assert np.count_nonzero(calm ^ disc) < 0.1 * np.count_nonzero(noisy ^ disc)
    assert calm.sum() == pytest.approx(disc.sum(), rel=0.02)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.uint64])
@pytest.mark.parametrize("clean", ALL)
def test_every_label_dtype_and_nothing_at_all(clean: CleanUp, dtype: type) -> None:
    for shape in [(6, 7), (1, 1), (0, 4)]:
        assert not clean(np.zeros(shape, dtype)).any()
    full = np.ones((6, 7), dtype)
    assert clean(full).dtype == full.dtype
    assert clean(full).all()


@pytest.mark.parametrize("clean", ALL)
def test_probabilities_are_no_labels(clean: CleanUp) -> None:
    with pytest.raises(InputError, match=r"float32 values, but labels are whole numbers.*Threshold"):
        clean(np.zeros((3, 3), np.float32))


@pytest.mark.parametrize("size", [-1, 2.5, "big", None])
def test_sizes_are_whole_numbers(size) -> None:
    with pytest.raises(InputError, match=r"smallest island to keep is .* whole number of pixels"):
        remove_islands(np.zeros((3, 3), np.uint8), size)
    with pytest.raises(InputError, match=r"smoothing radius is .* whole number of pixels"):
        smooth(np.zeros((3, 3), np.uint8), size)


def discs(shape: tuple[int, ...], *places: tuple[float, ...]) -> np.ndarray:
    """A mask of discs or balls: the coordinates of each middle, and its radius."""
    at = np.indices(shape)
    away = [np.sqrt(sum((axis - middle) ** 2 for axis, middle in zip(at, one[:-1], strict=True))) for one in places]
    return np.logical_or.reduce([distance <= one[-1] for distance, one in zip(away, places, strict=True)])


def partition(labels: np.ndarray) -> list[set[tuple[int, ...]]]:
    """The pixels of each label, whatever its number."""
    each = [{tuple(place) for place in np.argwhere(labels == one).tolist()} for one in np.unique(labels[labels > 0])]
    return sorted(each, key=min)


@steady
@given(labels=arrays, touching=st.booleans())
def test_every_labelled_pixel_is_in_a_connected_object_of_its_label(labels: np.ndarray, touching: bool) -> None:
    objects = split_objects(labels, touching)
    np.testing.assert_array_equal(objects > 0, labels > 0)
    numbers = np.unique(objects[objects > 0])
    assert numbers.tolist() == list(range(1, len(numbers) + 1))
    firsts = [int(np.flatnonzero(objects == number)[0]) for number in numbers]
    assert firsts == sorted(firsts), "numbered in reading order"
    for number in numbers:
        assert len(pieces(objects == number)) == 1
        assert len(np.unique(labels[objects == number])) == 1
    if not touching:
        wanted = [piece for value in np.unique(labels[labels > 0]) for piece in pieces(labels == value)]
        assert partition(objects) == sorted(wanted, key=min)


@steady
@given(labels=arrays)
def test_objects_do_not_depend_on_the_values_of_labels(labels: np.ndarray) -> None:
    others = np.array([0, 200, 7], np.uint16)[labels]
    np.testing.assert_array_equal(split_objects(others), split_objects(labels))


@pytest.mark.parametrize("radius", [2, 5, 9])
def test_separate_discs_are_as_many_objects(radius: int) -> None:
    step = 2 * radius + 2
    places = [(radius + 1 + step * i, radius + 1 + step * j, radius) for i, j in np.ndindex(3, 4)]
    objects = split_objects(discs((4 * step, 5 * step), *places))
    assert objects.max() == len(places)
    for place in places:
        np.testing.assert_array_equal(objects == objects[place[:2]], discs(objects.shape, place))


@pytest.mark.parametrize("radius", [5, 8, 20, 40])
@pytest.mark.parametrize("apart", [2, 1.9, 1.7])  # radii
@pytest.mark.parametrize("angle", [0, 0.4, 0.8, 1.3])
def test_touching_discs_of_equal_size_are_told_apart_at_their_neck(radius: int, apart: float, angle: float) -> None:
    step = np.rint(np.multiply(radius * apart, (np.sin(angle), np.cos(angle))))
    first = np.array([radius + 2, radius + 2])
    mask = discs((4 * radius + 5,) * 2, (*first, radius), (*(first + step), radius))
    objects = split_objects(mask)
    assert objects.max() == 2
    rows, columns = np.nonzero(mask)
    nearer = np.stack([rows, columns], axis=1) @ step > (first + step / 2) @ step
    wrong = (objects[mask] == objects[tuple((first + step).astype(int))]) != nearer
    assert wrong.mean() < 0.04


@pytest.mark.parametrize("axes", [(30, 30), (30, 10), (40, 6), (12, 9)])
@pytest.mark.parametrize("angle", [0, 0.3, 0.8])
def test_an_ellipse_is_one_object(axes: tuple[int, int], angle: float) -> None:
    rows, columns = np.indices((90, 90)) - 45
    along, across = rows * np.cos(angle) + columns * np.sin(angle), columns * np.cos(angle) - rows * np.sin(angle)
    assert split_objects((along / axes[0]) ** 2 + (across / axes[1]) ** 2 <= 1).max() == 1


@steady
@given(
    places=st.lists(st.tuples(st.floats(6, 44), st.floats(6, 54), st.floats(2, 12)), min_size=1, max_size=6),
    axis=st.sampled_from([0, 1, (0, 1)]),
)
def test_flips_give_flipped_objects(places: list[tuple[float, float, float]], axis: int | tuple[int, int]) -> None:
    mask = discs((51, 61), *places)
    one, other = split_objects(mask), np.flip(split_objects(np.flip(mask, axis)), axis)
    assert one.max() == other.max()
    # Pixels in the middle between two objects belong to one of them, which a symmetric mask cannot tell.
    pairs, counts = np.unique(np.stack([one[mask], other[mask]]), axis=1, return_counts=True)
    same = sum(int(counts[pairs[0] == number].max()) for number in range(1, int(one.max()) + 1))
    assert same >= 0.97 * np.count_nonzero(mask)


def test_touching_balls_are_told_apart_by_lengths_not_by_voxels() -> None:
    balls = discs((26, 14, 14), (7, 7, 7, 6), (18, 7, 7, 6))
    assert split_objects(balls).max() == 2
    assert split_objects(balls[::2], sizes=(2, 1, 1)).max() == 2


def test_objects_beyond_255_need_sixteen_bits() -> None:
    grid = np.zeros((33, 33), np.uint8)
    grid[::2, ::2] = 1
    assert (split_objects(grid).dtype, split_objects(grid).max()) == (np.uint16, 289)
    assert split_objects(grid[:10, :10]).dtype == np.uint8
    assert split_objects(np.zeros((3, 3), bool)).tolist() == [[0] * 3] * 3
    assert split_objects(np.ones((9, 9), bool)).max() == 1
