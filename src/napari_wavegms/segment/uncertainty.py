"""How sure the model is: one number for an image, and a map of where to look.

Both come from the probability that the segmenter gives anyway, so they cost no pass through the network.

References
----------
.. [1] Borges, B. L. C., et al. (2024). Soft Dice Confidence: a near-optimal confidence estimator for selective
   prediction in semantic segmentation. arXiv:2402.10665.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_wavegms.segment.threshold import threshold_probability

BAND = 0.2
"""Doubt below this is left out of the map: with a threshold of 0.5, probabilities below 0.1 and above 0.9."""


def image_uncertainty(probability: npt.ArrayLike, threshold: float = 0.5) -> float:
    """How little the model trusts the mask it draws, to put images in order.

    One minus the Dice that the model itself expects of its mask: with the mask M and probabilities p,
    ``1 - 2 Σ_M p / (|M| + Σ p)`` (one minus the soft Dice confidence [1]_). On images of the kind that the model
    learned from, nothing that costs more ranked them clearly better: `benchmarks/uncertainty.py` compares it with
    entropy, the four heads, latent samples and flips, and docs/lab/review.md has the figures. On images of another
    kind the model does not know how wrong it is. It is no probability of an error, and is not to be shown as one.

    Parameters
    ----------
    probability : array_like
        Lesion probability in [0, 1], (H, W) or a stack of planes, which is taken as a whole. NaN counts as 0.
    threshold : float
        Strictly between 0 and 1: what the mask is drawn with.

    Returns
    -------
    float
        From 0, certain, to 1. An empty mask is 1: what the model has missed altogether is to be looked at first.

    Raises
    ------
    InputError
        If the threshold is no such number.

    Examples
    --------
    Two pixels drawn, of 0.9 and 0.7: 1 - 2 * 1.6 / (2 + 2).

    >>> round(image_uncertainty([[0.9, 0.7, 0.4, 0.0]]), 6)
    0.2
    """
    values = np.nan_to_num(np.asarray(probability, np.float32), nan=0.0)
    mask = threshold_probability(values, threshold).astype(bool)
    # float64 sums, so that a large stack does not drown its own small probabilities.
    inside, everywhere = values.sum(where=mask, dtype=np.float64), values.sum(dtype=np.float64)
    drawn = np.count_nonzero(mask)
    return float(np.clip(1 - 2 * inside / (drawn + everywhere), 0, 1)) if drawn else 1.0


def uncertainty_map(probability: npt.ArrayLike, threshold: float = 0.5) -> npt.NDArray[np.float32]:
    """How near each pixel is to changing sides, limited to the doubtful band.

    Parameters
    ----------
    probability : array_like
        Lesion probability in [0, 1], of any shape. NaN counts as 0.
    threshold : float
        Strictly between 0 and 1: where doubt is greatest.

    Returns
    -------
    ndarray of float32
        1 at the threshold, falling linearly to 0 at probabilities of 0 and 1; 0 wherever it would be below `BAND`.

    Raises
    ------
    InputError
        If the threshold is no such number.

    Examples
    --------
    >>> uncertainty_map([[0.05, 0.25, 0.5, 0.75]]).tolist()
    [[0.0, 0.5, 1.0, 0.5]]
    """
    values = np.nan_to_num(np.asarray(probability, np.float32), nan=0.0)
    drawn = threshold_probability(values, threshold).astype(bool)
    doubt = np.where(drawn, (1 - values) / np.float32(1 - threshold), values / np.float32(threshold))
    return np.where(doubt < BAND, np.float32(0), doubt.clip(0, 1)).astype(np.float32)
