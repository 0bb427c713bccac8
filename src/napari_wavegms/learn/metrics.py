"""How well a mask agrees with the truth: Dice, intersection over union, and the 95th percentile Hausdorff distance.

Each takes two array-likes of equal shape, with any number of axes, in any order; whatever is true or non-zero is
foreground. Different shapes are an `InputError`.

References
----------
.. [1] Dice, L. R. (1945). Measures of the amount of ecologic association between species. Ecology 26(3), 297-302.
.. [2] Taha, A. A., Hanbury, A. (2015). Metrics for evaluating 3D medical image segmentation. BMC Med. Imaging 15, 29.
.. [3] Maier, O. MedPy, ``medpy.metric.binary.hd95``, https://loli.github.io/medpy/
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt

from napari_wavegms.errors import InputError

Mask = npt.NDArray[np.bool_]


def dice(a: npt.ArrayLike, b: npt.ArrayLike) -> float:
    """Dice similarity coefficient (DSC) [1]_: 0 (disjoint, or just one is empty) to 1 (equal, or both are empty).

    Examples
    --------
    Two pixels each, one of them shared: 2 * 1 / (2 + 2).

    >>> dice([[1, 1, 0]], [[0, 1, 1]])
    0.5
    """
    first, second = _pair(a, b)
    total = np.count_nonzero(first) + np.count_nonzero(second)
    return float(2 * np.count_nonzero(first & second) / total) if total else 1.0


def iou(a: npt.ArrayLike, b: npt.ArrayLike) -> float:
    """Intersection over union (Jaccard index) [2]_: 0 (disjoint, or just one is empty) to 1 (equal, or both are empty).

    Examples
    --------
    Three pixels in the union, one of them shared.

    >>> round(iou([[1, 1, 0]], [[0, 1, 1]]), 4)
    0.3333
    """
    first, second = _pair(a, b)
    union = np.count_nonzero(first | second)
    return float(np.count_nonzero(first & second) / union) if union else 1.0


def hd95(a: npt.ArrayLike, b: npt.ArrayLike, sizes: Sequence[float] | None = None) -> float:
    """95th percentile of the symmetric Hausdorff distance between the surfaces of two masks.

    In pixels, or in the unit of `sizes`, the lengths of a pixel along each axis.

    The surface is the mask minus its erosion with the cross of 1-connectivity; beyond the array lies background. The
    distances from each surface pixel of one mask to the nearest surface pixel of the other, both ways, are pooled, and
    their 95th percentile (linear interpolation) is taken. This is MedPy's definition [3]_. 0 where both masks are
    empty; nan where one of them is, because there is no distance to nothing: count such images apart.

    Examples
    --------
    Single pixels three rows and four columns apart.

    >>> a, b = np.zeros((5, 5)), np.zeros((5, 5))
    >>> a[0, 0] = b[3, 4] = 1
    >>> hd95(a, b), hd95(a, 0 * b)
    (5.0, nan)
    """
    first, second = _pair(a, b)
    if not first.any() and not second.any():
        return 0.0
    if not first.any() or not second.any():
        return float("nan")
    from scipy import ndimage

    # Background lies beyond the smallest window that holds both as beyond the array, so their surfaces stay.
    (window,) = ndimage.find_objects((first | second).astype(np.uint8))
    cross = ndimage.generate_binary_structure(first.ndim, 1)
    one, other = (mask[window] & ~ndimage.binary_erosion(mask[window], cross) for mask in (first, second))
    from_other, from_one = (ndimage.distance_transform_edt(~surface, sampling=sizes) for surface in (other, one))
    return float(np.percentile(np.concatenate([from_other[one], from_one[other]]), 95))


def class_masks(
    predicted: npt.ArrayLike, truth: npt.ArrayLike, known: Collection[int] | None = None
) -> dict[int, tuple[Mask, Mask]]:
    """The two masks of each class that is in one of two label arrays, and among the `known` ones where those are given.

    A class that is in neither says nothing about a model, and would flatter its mean; so the result may be empty.

    Examples
    --------
    >>> found = class_masks([[1, 1, 0, 3]], [[0, 1, 2, 0]], known=[1, 2])
    >>> {label: round(dice(*masks), 2) for label, masks in found.items()}
    {1: 0.67, 2: 0.0}
    """
    first, second = np.asarray(predicted), np.asarray(truth)
    values = {int(value) for value in np.union1d(first, second)} - {0}
    return {
        value: (first == value, second == value) for value in sorted(values if known is None else values & {*known})
    }


def _pair(a: npt.ArrayLike, b: npt.ArrayLike) -> tuple[Mask, Mask]:
    first, second = np.asarray(a), np.asarray(b)
    if first.shape != second.shape:
        raise InputError(
            f"The masks have the shapes {first.shape} and {second.shape}; "
            "masks are compared pixel by pixel, so give both the same shape."
        )
    return np.atleast_1d(first.astype(bool)), np.atleast_1d(second.astype(bool))
