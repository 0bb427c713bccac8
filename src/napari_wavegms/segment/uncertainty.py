"""How certain a prediction is, and the regions where it is least so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_wavegms.errors import InputError
from napari_wavegms.segment.postprocess import threshold_probability

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


GRID = 128
"""Longest side, in cells, of the coarse map in which spots are sought; keeps large images quick."""

WINDOW = 15
"""Side of a spot in cells: about an eighth of the image, what an eye takes in at once."""

FAINTEST = 0.15
"""Spots lighter than this share of the heaviest one are left out."""


@dataclass(frozen=True, slots=True)
class UncertainRegion:
    """A place where the mask is doubtful, in pixels of the image.

    Attributes
    ----------
    row, col : float
        Centre of the doubt.
    top, bottom, left, right : int
        The box around it: rows ``top:bottom`` and columns ``left:right``.
    weight : float
        Doubtful area, in pixels, each counted by its doubt in [0, 1].
    """

    row: float
    col: float
    top: int
    bottom: int
    left: int
    right: int
    weight: float


def uncertain_regions(probability: npt.ArrayLike, threshold: float = 0.5, most: int = 12) -> list[UncertainRegion]:
    """Find where the mask is most likely to be wrong.

    Every contour has a thin doubtful rim. A spot is where much doubt gathers within one window, so that a blurred
    border or a faint second structure comes before a crisp edge. Windows are taken one after the other, the heaviest
    first, and what one has taken the next does not count again.

    Parameters
    ----------
    probability : array_like of shape (H, W)
        Lesion probability in [0, 1].
    threshold : float
        Strictly between 0 and 1: what the mask is drawn with.
    most : int
        At most so many spots.

    Returns
    -------
    list of Spot
        Heaviest first; empty where nothing is doubtful.

    Raises
    ------
    InputError
        If there are not two axes with pixels, or the threshold is no such number.

    Examples
    --------
    >>> probability = np.zeros((64, 64)); probability[30:34, 10:14] = 0.5
    >>> [spot] = uncertain_regions(probability)
    >>> (spot.row, spot.col, spot.top, spot.bottom, spot.left, spot.right, spot.weight)
    (31.5, 11.5, 30, 34, 10, 14, 16.0)
    """
    doubt = uncertainty_map(probability, threshold)
    if doubt.ndim != 2 or not doubt.size:
        raise InputError(f"A probability of shape {doubt.shape} came; spots are sought in one plane (rows, columns).")
    cell = -(-max(doubt.shape) // GRID)
    coarse = _sums(doubt, cell)
    spots: list[UncertainRegion] = []
    while len(spots) < most:
        row, col, weight = _heaviest_window(coarse)
        if weight <= 0 or (spots and weight < FAINTEST * spots[0].weight):
            break
        cells = (slice(row, row + WINDOW), slice(col, col + WINDOW))
        spots.append(_spot(doubt, cells, cell))
        coarse[cells] = 0
        doubt[_pixels(cells, cell)] = 0
    return sorted(spots, key=lambda spot: -spot.weight)


def next_spot(spots: Sequence[UncertainRegion], current: UncertainRegion | None = None) -> UncertainRegion | None:
    """The spot to go to next: the heaviest at first, then the next lighter one, then the heaviest again.

    Parameters
    ----------
    spots : sequence of UncertainRegion
        As `uncertain_regions` gives them.
    current : UncertainRegion, optional
        Where we are. A spot that is no longer among them, because the mask was changed meanwhile, counts as none.

    Returns
    -------
    UncertainRegion or None
        None where there is no spot.
    """
    if not spots:
        return None
    return spots[(spots.index(current) + 1) % len(spots)] if current in spots else spots[0]


def _sums(doubt: npt.NDArray[np.float32], cell: int) -> npt.NDArray[np.float64]:
    """Sums over squares of `cell` pixels, the last ones cut at the border."""
    rows, columns = (np.arange(0, side, cell) for side in doubt.shape)
    return np.add.reduceat(np.add.reduceat(doubt, rows, axis=0, dtype=np.float64), columns, axis=1)


def _heaviest_window(coarse: npt.NDArray[np.float64]) -> tuple[int, int, float]:
    """First row and column of the window that holds most, and how much; a window never leaves the map."""
    table = np.pad(coarse, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)  # sums of all that is above and to the left
    height, width = (min(WINDOW, side) for side in coarse.shape)
    held = table[height:, width:] - table[:-height, width:] - table[height:, :-width] + table[:-height, :-width]
    row, col = np.unravel_index(held.argmax(), held.shape)
    # Differences of sums leave a rest of rounding where nothing is held.
    return int(row), int(col), float(held[row, col]) if held[row, col] > 1e-6 else 0.0


def _pixels(cells: tuple[slice, slice], cell: int) -> tuple[slice, slice]:
    rows, columns = (slice(part.start * cell, part.stop * cell) for part in cells)
    return rows, columns


def _spot(doubt: npt.NDArray[np.float32], cells: tuple[slice, slice], cell: int) -> UncertainRegion:
    """The doubt inside a window: its centre of mass, its tight box, its sum."""
    rows, columns = _pixels(cells, cell)
    inside = doubt[rows, columns].astype(np.float64)
    down, across = inside.sum(axis=1), inside.sum(axis=0)
    weight = float(inside.sum())
    lines, stripes = np.flatnonzero(down), np.flatnonzero(across)
    return UncertainRegion(
        row=rows.start + float(down @ np.arange(len(down))) / weight,
        col=columns.start + float(across @ np.arange(len(across))) / weight,
        top=rows.start + int(lines[0]),
        bottom=rows.start + int(lines[-1]) + 1,
        left=columns.start + int(stripes[0]),
        right=columns.start + int(stripes[-1]) + 1,
        weight=weight,
    )
