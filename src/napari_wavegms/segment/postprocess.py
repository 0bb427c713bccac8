"""From probability to mask: threshold, fill holes, remove islands, keep the largest piece, smooth, split objects."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from napari_wavegms.errors import InputError

Labels = npt.NDArray[Any]

Mask = npt.NDArray[np.bool_]

Scalar = TypeVar("Scalar", bound=np.generic)

_NECK = 0.9  # of the thickness of the thinner one; a wider neck does not part objects, see benchmarks/objects.py


class _Label(NamedTuple):
    value: Any
    window: tuple[slice, ...]  # its bounding box
    mask: Mask  # within the window


def fill_holes(labels: npt.NDArray[Scalar]) -> npt.NDArray[Scalar]:
    """Fill the holes of each label, in a new array; a hole inside several nested labels goes to the innermost.

    As in all functions here, `labels` is an array of integers or booleans of any shape, in which 0 is background;
    otherwise `InputError` is raised.

    Examples
    --------
    >>> fill_holes(np.array([[2, 2, 2], [2, 0, 2], [2, 2, 2]])).tolist()
    [[2, 2, 2], [2, 2, 2], [2, 2, 2]]
    """
    from scipy import ndimage

    result = _checked(labels).copy()
    filled = [(label, ndimage.binary_fill_holes(label.mask)) for label in _each(labels)]
    # The smaller of two filled outlines lies inside the other or apart from it.
    for label, outline in sorted(filled, key=lambda item: int(np.count_nonzero(item[1]))):
        inside = result[label.window]
        inside[outline & (inside == 0)] = label.value
    return result


def remove_islands(labels: npt.NDArray[Scalar], min_pixels: int) -> npt.NDArray[Scalar]:
    """Remove the pieces of each label that have fewer than `min_pixels` pixels (a whole number), in a new array.

    Examples
    --------
    >>> remove_islands(np.array([[1, 1, 0, 1, 0, 3]]), min_pixels=2).tolist()
    [[1, 1, 0, 0, 0, 0]]
    """
    least = _whole(min_pixels, "The smallest island to keep")
    result = _checked(labels).copy()
    for label in _each(labels):
        pieces, sizes = _pieces(label.mask)
        result[label.window][label.mask & (sizes < least)[pieces]] = 0
    return result


def keep_largest(labels: npt.NDArray[Scalar]) -> npt.NDArray[Scalar]:
    """Keep the largest piece of each label, in a new array; of equal ones the first in reading order.

    Examples
    --------
    >>> keep_largest(np.array([[1, 0, 1, 1, 0, 3]])).tolist()
    [[0, 0, 1, 1, 0, 3]]
    """
    result = _checked(labels).copy()
    for label in _each(labels):
        pieces, sizes = _pieces(label.mask)
        largest = int(np.argmax(sizes[1:])) + 1
        result[label.window][label.mask & (pieces != largest)] = 0
    return result


def smooth(labels: npt.NDArray[Scalar], radius: int) -> npt.NDArray[Scalar]:
    """Round off outlines by a majority vote in the disc (the ball, with three axes) around each pixel, in a new array.

    A background pixel joins a label that fills more than half of its disc, and a labelled pixel becomes background
    where background fills more than half. So the line between two touching labels stays, and what is smaller than half
    the disc disappears. The array is mirrored at its border. `radius` is a whole number of pixels.

    Examples
    --------
    A spur goes and a dent is filled.

    >>> spur_and_dent = np.array([[0, 0, 0], [0, 1, 0], [1, 1, 1], [1, 0, 1], [1, 1, 1]])
    >>> smooth(spur_and_dent, radius=1).tolist()
    [[0, 0, 0], [0, 0, 0], [1, 1, 1], [1, 1, 1], [1, 1, 1]]
    """
    reach = _whole(radius, "The smoothing radius")
    result = _checked(labels).copy()
    if not reach or not labels.any():
        return result
    disc = _disc(reach, labels.ndim)
    half = np.count_nonzero(disc) / 2
    for label in _each(labels):
        window = tuple(slice(max(0, part.start - reach), part.stop + reach) for part in label.window)
        around = labels[window]
        leaves = (around == label.value) & (_votes(around == 0, disc) > half)
        joins = (around == 0) & (_votes(around == label.value, disc) > half)
        result[window][leaves] = 0
        result[window][joins] = label.value
    return result


def split_objects(
    labels: Labels, touching: bool = True, sizes: Sequence[float] | None = None, neck: float = _NECK
) -> Labels:
    """Number the objects of each label from 1 up, in reading order over all labels, in a new array.

    Pieces that do not touch are objects, pixels that touch at a corner are one piece. Those that touch are parted at
    their necks: by a watershed of the distance to the outline, whose basins are joined where the neck between them is
    at least `neck` times as wide as the thinner one, so that an object of any size is parted by its shape alone.

    Parameters
    ----------
    labels : ndarray
        (H, W) or (N, H, W), integers or booleans; which objects there are does not depend on the values of labels.
    touching : bool, optional
        Whether to part those that touch.
    sizes : sequence of float, optional
        Lengths of a pixel along each axis; all alike by default.
    neck : float, optional
        From 0 to 1; the more, the more is parted.

    Returns
    -------
    ndarray
        Of the smallest of uint8, uint16 and uint32 that holds the number of objects.

    Examples
    --------
    Two discs that touch, and one pixel apart from them.

    >>> rows, columns = np.indices((13, 26))
    >>> discs = np.logical_or(*((rows - 6) ** 2 + (columns - middle) ** 2 < 40 for middle in (6, 18)))
    >>> discs[0, 25] = True
    >>> np.unique(split_objects(discs)).tolist(), np.unique(split_objects(discs, touching=False)).tolist()
    ([0, 1, 2, 3], [0, 1, 2])
    """
    steps = np.ones(labels.ndim) if sizes is None else np.asarray(sizes, np.float64)
    found = np.zeros(labels.shape, np.uint32)
    count = 0
    for label in _each(_checked(labels)):
        pieces, _ = _pieces(label.mask)
        pieces = _parted(label.mask, steps, neck) if touching else pieces
        found[label.window][label.mask] = pieces[label.mask] + count
        count += int(pieces.max())
    # Numbers in reading order do not depend on the order of labels, nor on that of the watershed's markers.
    numbers, firsts = np.unique(found[found > 0], return_index=True)
    order = np.zeros(count + 1, np.min_scalar_type(count))
    order[numbers[np.argsort(firsts)]] = np.arange(1, len(numbers) + 1)
    return order[found]


def _parted(mask: Mask, steps: npt.NDArray[np.float64], neck: float) -> Labels:
    """Objects of a mask, as numbers from 1; not all numbers need be there."""
    from scipy import ndimage
    from skimage.segmentation import watershed

    padded = np.pad(mask, 1)
    distance = ndimage.distance_transform_edt(padded, sampling=steps)
    # The steps of an outline give a ridge many tops, and ties, which a little smoothing takes away.
    distance = ndimage.gaussian_filter(distance, steps.min() / steps)[(slice(1, -1),) * mask.ndim]
    around = np.ones((3,) * mask.ndim, bool)
    tops = mask & (distance == ndimage.maximum_filter(np.where(mask, distance, -1), footprint=around))
    markers, count = ndimage.label(tops, around)
    basins = watershed(-distance, markers, connectivity=around, mask=mask)
    heights = np.zeros(count + 1)
    np.maximum.at(heights, basins.ravel(), np.where(mask, distance, 0).ravel())
    joined = np.arange(count + 1)
    for height, one, other in _necks(basins, distance):
        one, other = _root(joined, one), _root(joined, other)
        if one != other and height >= neck * min(heights[one], heights[other]):
            low, high = sorted((one, other), key=lambda number: float(heights[number]))
            joined[low] = high
    roots = np.asarray([_root(joined, number) for number in range(count + 1)], np.int32)
    return np.asarray(roots[basins])


def _necks(basins: Labels, distance: npt.NDArray[np.float64]) -> list[tuple[float, int, int]]:
    """The highest place where two basins touch, for each pair, the highest first."""
    pairs, heights = [], []
    shape = basins.shape
    for step in np.ndindex(*(3,) * basins.ndim):
        offset = np.asarray(step) - 1
        if tuple(offset) <= (0,) * basins.ndim:  # each pair of neighbours once
            continue
        here = tuple(slice(max(0, -by), side - max(0, by)) for by, side in zip(offset, shape, strict=True))
        there = tuple(slice(max(0, by), side + min(0, by)) for by, side in zip(offset, shape, strict=True))
        touch = (basins[here] != basins[there]) & (basins[here] > 0) & (basins[there] > 0)
        pairs.append(np.sort(np.stack([basins[here][touch], basins[there][touch]], axis=1), axis=1))
        heights.append(np.minimum(distance[here][touch], distance[there][touch]))
    each, which = np.unique(np.concatenate(pairs), axis=0, return_inverse=True)
    highest = np.zeros(len(each))
    np.maximum.at(highest, which.ravel(), np.concatenate(heights))
    order = np.argsort(-highest, kind="stable")
    return [(float(highest[at]), int(each[at, 0]), int(each[at, 1])) for at in order]


def _root(joined: npt.NDArray[np.intp], number: int) -> int:
    while joined[number] != number:
        number = int(joined[number])
    return number


def _checked(labels: npt.NDArray[Scalar]) -> npt.NDArray[Scalar]:
    if labels.dtype.kind not in "bui":
        raise InputError(
            f"This mask holds {labels.dtype} values, but labels are whole numbers or booleans. "
            "Threshold the probability first."
        )
    return labels


def _whole(value: Any, what: str) -> int:
    if isinstance(value, (int, np.integer)) and value >= 0:
        return int(value)
    raise InputError(f"{what} is {value!r}. Give a whole number of pixels, 0 or more.")


def _each(labels: Labels) -> Iterator[_Label]:
    """Every label with its bounding box, so that the work grows with the lesion and not with the image."""
    for value in np.unique(labels[labels != 0]):
        mask = labels == value
        window = tuple(slice(int(along.min()), int(along.max()) + 1) for along in np.nonzero(mask))
        yield _Label(value, window, mask[window])


def _pieces(mask: Mask) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.intp]]:
    """Number the connected pieces from 1 and count the pixels of each number (0 is what lies outside)."""
    from scipy import ndimage

    pieces, _ = ndimage.label(mask, np.ones((3,) * mask.ndim, bool))
    return pieces, np.bincount(pieces.ravel())


def _disc(radius: int, ndim: int) -> Mask:
    steps = np.indices((2 * radius + 1,) * ndim) - radius
    return np.sum(steps**2, axis=0) <= radius**2  # type: ignore[no-any-return]


def _votes(mask: Mask, disc: Mask) -> npt.NDArray[np.int32]:
    """How many pixels of the disc around each pixel are in the mask."""
    reach, columns = disc.shape[0] // 2, mask.shape[-1]
    mirrored = np.pad(mask, reach, mode="symmetric")
    sums = np.zeros((*mirrored.shape[:-1], mirrored.shape[-1] + 1), np.int32)  # of what stands before a column
    np.cumsum(mirrored, axis=-1, out=sums[..., 1:])
    counts = np.zeros(mask.shape, np.int32)
    for row in np.ndindex(disc.shape[:-1]):
        if half := (np.count_nonzero(disc[row]) + 1) // 2:
            rows = sums[tuple(slice(at, at + side) for at, side in zip(row, mask.shape[:-1], strict=True))]
            first, last = reach + 1 - half, reach + half
            counts += rows[..., last : last + columns]
            counts -= rows[..., first : first + columns]
    return counts


def strongest(probabilities: Iterable[npt.NDArray[np.float32]]) -> tuple[npt.NDArray[np.float32], Labels]:
    """The highest of the classes' probabilities in each pixel, and which class that is, from 1 up; of equals the first.

    The classes come one after the other, all of one shape, so that no more than two are in memory at a time.

    Examples
    --------
    >>> confidence, classes = strongest(np.array([[0.2, 0.7, 0.4], [0.9, 0.1, 0.4]], np.float32))
    >>> confidence.tolist(), classes.tolist()
    ([0.8999999761581421, 0.699999988079071, 0.4000000059604645], [2, 1, 1])
    """
    each = iter(probabilities)
    confidence = np.array(next(each), np.float32)
    classes = np.ones(confidence.shape, np.uint8)
    for number, probability in enumerate(each, start=2):
        classes[probability > confidence] = number
        np.maximum(confidence, probability, out=confidence)
    return confidence, classes


def threshold_probability(
    probability: npt.ArrayLike, threshold: float, classes: Labels | None = None
) -> npt.NDArray[np.uint8]:
    """1 where a probability of any shape reaches the threshold, otherwise 0; NaN is background.

    Where the probability is that of `classes`, an array of its shape, they are the labels instead of 1. Raises
    `InputError` if the threshold is not a number strictly between 0 and 1.

    Examples
    --------
    >>> threshold_probability([[0.2, 0.5, float("nan"), 0.9]], 0.5)
    array([[0, 1, 0, 1]], dtype=uint8)
    >>> threshold_probability([[0.2, 0.5, 0.9]], 0.5, np.array([[1, 3, 2]], np.uint8)).tolist()
    [[0, 3, 2]]
    """
    try:
        level = float(threshold)
    except (TypeError, ValueError):
        level = float("nan")
    if not 0.0 < level < 1.0:
        raise InputError(f"The threshold is {threshold!r}. Give a number between 0 and 1, for example 0.5.")
    # A plain Python float is compared in the array's own precision: a float32 0.7 reaches the threshold 0.7.
    mask = (np.asarray(probability) >= level).astype(np.uint8)
    return mask if classes is None else mask * classes
