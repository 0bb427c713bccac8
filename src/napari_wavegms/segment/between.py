"""Carry on: masks for the slices around some that a person has fixed, from their shapes and from a model. No torch.

Between two fixed slices lies the mean of two opinions: the shapes themselves, interpolated, and the model's
probability. How much each of them counts is found on the fixed slices, whose masks are known. Beyond the first and the
last fixed slice only the model knows anything; it is followed as long as a slice resembles its neighbour.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_wavegms.errors import InputError

Field = npt.NDArray[np.floating[Any]]
Mask = npt.NDArray[Any]
Box = tuple[slice, slice]

NONE_FIXED = (
    "Nothing is fixed yet: correct some slices or frames by hand, every fifth for example, or call them right; then "
    "carry on."
)

_SHARES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)  # how much the model may count
_BLUR = 0.18  # of a structure's radius: over this distance an interpolated outline goes from sure to unsure
_REACH = 1.0  # of the radius: so far from the interpolated outline the model may draw
# Over half the gap, interpolation has 0.3 of the error: between a half (straight changes) and a quarter (smooth ones).
_ERROR_POWER = 1.74
_AGE = 0.1  # of the radius' square, in pixels: how much the doubt grows with each slice from the next fixed one
_USEFUL = 0.6  # Dice on the fixed slices below which a model is not followed beyond them
_OVERLAP = 0.5  # Dice of two neighbouring slices below which it is not followed further
_GROWTH = 0.3  # of the radius: so much a structure may grow from slice to slice there


@dataclass(frozen=True, slots=True, eq=False)
class Carried:
    """A slice that was not fixed.

    Attributes
    ----------
    number : int
    probability : ndarray of shape (H, W), float32
        The mask is where it reaches the threshold.
    labels : ndarray of shape (H, W)
        Which label each pixel has where it is in the mask.
    doubt : float
        How many pixels may be wrong; where it is largest is the next slice worth correcting.
    """

    number: int
    probability: npt.NDArray[np.float32]
    labels: Mask
    doubt: float


def carry_on(
    fixed: Mapping[int, Mask],
    probability_of: Callable[[int], Field],
    count: int,
    threshold: float = 0.5,
) -> Generator[Carried, None, None]:
    """Draw the slices between the fixed ones, then those beyond them; closing the generator stops it.

    Parameters
    ----------
    fixed : mapping of int to ndarray of shape (H, W)
        Masks by the number of their slice; 0 is background. An empty one says that a structure has ended.
    probability_of : callable
        The model's probability of a slice, (H, W), in [0, 1]; asked at most once for each.
    count : int
        Number of slices.
    threshold : float
        Of the model's probability and of the one that is yielded, in (0, 1).

    Raises
    ------
    InputError
        If no fixed slice has anything in it.

    Examples
    --------
    >>> disc = np.hypot(*np.ogrid[-20:20, -20:20]) < 10
    >>> [one.number for one in carry_on({0: disc, 3: disc}, lambda number: disc * 0.9, 4)]
    [1, 2]
    """
    if not any(mask.any() for mask in fixed.values()):
        raise InputError(NONE_FIXED)
    box = _surroundings(fixed.values())
    size = next(iter(fixed.values())).shape
    shapes = {number: Shape(fixed[number][box]) for number in sorted(fixed)}
    known = {number: probability_of(number)[box] for number, shape in shapes.items() if shape.radius}

    def carried(number: int, probability: Field, labels: Mask, doubt: float) -> Carried:
        whole, named = np.zeros(size, np.float32), np.zeros(size, labels.dtype)
        whole[box], named[box] = probability, labels
        return Carried(number, whole, named, doubt)

    numbers = list(shapes)
    quality = _quality(shapes, known, threshold)
    for first, last in pairwise(numbers):
        a, b = shapes[first], shapes[last]
        # Where no fixed slice lies between two others: by the model's error, and by how much changes over the gap.
        change = quality * (1 - _dice(a.mask != 0, b.mask != 0)) / 2
        share = _share(shapes, known, last - first, threshold, change / max(1 - quality + change, 1e-9))
        for number in range(first + 1, last) if a.radius or b.radius else ():
            part = (number - first) / (last - first)
            line = interpolate(a, b, part)
            opinion, radius = probability_of(number)[box], max(a.radius, b.radius)
            mean = _blend(line, opinion, share, radius, threshold)
            differ = ((opinion >= threshold) & (line > -_REACH * radius)) != (line > 0)
            doubt = max(0, 2 * quality - 1) * np.count_nonzero(differ) + _AGE * radius**2 * min(
                number - first, last - number
            )
            yield carried(number, mean, _labels(a, b, part), doubt)
    for beyond in (range(max(known) + 1, count), range(min(known) - 1, -1, -1)) if quality >= _USEFUL else ():
        before = shapes[beyond.start - beyond.step]
        for number in beyond:
            if number in shapes:  # an empty one
                break
            near = before.distance > -_GROWTH * before.radius
            probability = np.where(near, probability_of(number)[box], 0)
            if _dice(probability >= threshold, before.mask != 0) < _OVERLAP:
                break
            labels = _labels(before, before, 0)
            yield carried(number, probability, labels, float(np.minimum(probability, 1 - probability).sum()))
            before = Shape(np.where(probability >= threshold, labels, 0))


class Shape:
    """A mask (H, W) and where its outline lies."""

    def __init__(self, mask: Mask) -> None:
        self.mask = mask
        self.radius = float(np.sqrt(np.count_nonzero(mask) / np.pi))  # in pixels, of a disc as large; 0 if empty

    @cached_property
    def distance(self) -> Field:
        """Of each pixel to the outline, in pixels, positive inside; endless where there is no outline."""
        inside = self.mask != 0
        if not self.radius or inside.all():
            return np.full(inside.shape, np.inf if self.radius else -np.inf)
        within, outside = ndimage.distance_transform_edt(inside), ndimage.distance_transform_edt(~inside)
        distance: Field = np.where(inside, within - 0.5, 0.5 - outside)
        return distance

    @cached_property
    def centre(self) -> npt.NDArray[np.float64]:
        """Its centre of mass."""
        return np.array(ndimage.center_of_mass(self.mask != 0), np.float64)

    def at(self, centre: npt.NDArray[np.float64]) -> Field:
        """The distances once the shape has moved there."""
        moved: Field = ndimage.shift(self.distance, centre - self.centre, order=1, mode="nearest")
        return moved


def interpolate(a: Shape, b: Shape, part: float) -> Field:
    """Signed distance to the outline at a part of the way from one shape to another, 0 to 1.

    Shapes are brought to a common centre first, which moves evenly from one to the other; otherwise a thin structure
    that moves by its own width would vanish halfway. Where one of them is empty, the other has shrunk to nothing
    halfway.
    """
    if a.radius and b.radius:
        centre = (1 - part) * a.centre + part * b.centre
        line: Field = (1 - part) * a.at(centre) + part * b.at(centre)
        return line
    filled, part = (a, part) if a.radius else (b, 1 - part)
    shrunk: Field = filled.distance - 2 * part * filled.distance.max()
    return shrunk


def _surroundings(masks: Iterable[Mask]) -> Box:
    """What surrounds all masks by as much as they measure, so that no work is done elsewhere."""
    union = np.any([mask != 0 for mask in masks], axis=0)
    box = []
    for places, length in zip(np.nonzero(union), union.shape, strict=True):
        first, last = int(places.min()), int(places.max())
        margin = last - first + 1
        box.append(slice(max(0, first - margin), min(length, last + 1 + margin)))
    return box[0], box[1]


def _blend(line: Field, opinion: Field, share: float, radius: float, threshold: float) -> Field:
    """The mean of an interpolated outline and the model's probability, which counts for `share`."""
    drawn = 1 / (1 + np.exp(-line / (_BLUR * radius)) * (1 - threshold) / threshold)  # the threshold on the outline
    return np.where(line > -_REACH * radius, (1 - share) * drawn + share * opinion, 0)


def _share(
    shapes: Mapping[int, Shape], known: Mapping[int, Field], gap: int, threshold: float, untried: float
) -> float:
    """How much the model counts over a gap: the share with which the fixed slices would have been drawn best.

    Each fixed slice is interpolated from the ones before and after it, whose gap is wider. So only that part of the
    error is kept which is to be expected over `gap`.
    """
    scores = np.zeros((len(_SHARES), 2))
    for before, number, after in zip(known, list(known)[1:], list(known)[2:], strict=False):
        a, truth, b = shapes[before], shapes[number], shapes[after]
        error = min(1.0, gap / (after - before)) ** _ERROR_POWER
        wrong = interpolate(a, b, (number - before) / (after - before))
        line, radius = error * wrong + (1 - error) * truth.distance, max(a.radius, b.radius)
        for place, share in enumerate(_SHARES):
            mask = _blend(line, known[number], share, radius, threshold) >= threshold
            scores[place] += 2 * np.count_nonzero(mask & (truth.mask != 0)), mask.sum() + np.count_nonzero(truth.mask)
    return _SHARES[int(np.argmax(scores[:, 0] / scores[:, 1]))] if scores.any() else untried


def _quality(shapes: Mapping[int, Shape], known: Mapping[int, Field], threshold: float) -> float:
    """The model's Dice on the fixed slices, as far as it may draw there."""
    near = [
        (known[number] >= threshold) & (shapes[number].distance > -_REACH * shapes[number].radius) for number in known
    ]
    return _dice(np.array(near), np.array([shapes[number].mask != 0 for number in known]))


def _labels(a: Shape, b: Shape, part: float) -> Mask:
    """Which of the labels of two shapes each pixel would have between them."""
    names = np.union1d(a.mask, b.mask)
    names = names[names != 0]
    if len(names) == 1:
        return np.full(a.mask.shape, names[0])
    lines = [interpolate(Shape(a.mask == name), Shape(b.mask == name), part) for name in names]
    between: Mask = names[np.argmax(lines, axis=0)]
    return between


def _dice(one: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_]) -> float:
    both = int(one.sum() + other.sum())
    return 2 * np.count_nonzero(one & other) / both if both else 1.0
