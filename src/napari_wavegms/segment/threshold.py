"""From probability to mask: cheap enough to run while a slider moves."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_wavegms.errors import InputError


def threshold_probability(probability: npt.ArrayLike, threshold: float) -> npt.NDArray[np.uint8]:
    """Label the pixels whose probability reaches the threshold.

    Parameters
    ----------
    probability : array_like
        Lesion probability in [0, 1], of any shape. NaN is background.
    threshold : float
        Strictly between 0 and 1. A pixel that equals it belongs to the lesion.

    Returns
    -------
    ndarray of uint8
        1 where ``probability >= threshold``, otherwise 0; the shape of `probability`.

    Raises
    ------
    InputError
        If the threshold is not a number strictly between 0 and 1.

    Examples
    --------
    >>> threshold_probability([[0.2, 0.5, float("nan"), 0.9]], 0.5)
    array([[0, 1, 0, 1]], dtype=uint8)
    """
    level = _checked(threshold)
    # A plain Python float is compared in the array's own precision: a float32 0.7 reaches the threshold 0.7.
    return (np.asarray(probability) >= level).astype(np.uint8)


def _checked(threshold: float) -> float:
    try:
        level = float(threshold)
    except (TypeError, ValueError):
        level = float("nan")
    if not 0.0 < level < 1.0:
        raise InputError(
            f"The threshold is {threshold!r}; it is a number between 0 and 1, both left out. If in doubt, take 0.5."
        )
    return level
