"""How certain a prediction is, and the regions where it is least so."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_wavegms.errors import InputError
from napari_wavegms.segment.postprocess import threshold_probability

BAND = 0.2  # less is left out of the map: with a threshold of 0.5, probabilities below 0.1 and above 0.9
_GRID = 128  # longest side of the coarse map that is searched; keeps large images quick
_WINDOW = 15  # side of a region in its cells: an eighth of the image, what an eye takes in at once
_FAINTEST = 0.15  # regions lighter than this share of the heaviest one are left out


def image_uncertainty(probability: npt.ArrayLike, threshold: float = 0.5) -> float:
    """How uncertain a predicted mask is, from 0 to 1, to sort images by; 1 for an empty mask.

    One minus the Dice that the model itself expects: with the mask M and probabilities p (H, W) or of a whole stack,
    ``1 - 2 Σ_M p / (|M| + Σ p)``. On images of the kind that the model was trained on, nothing that costs more ranked
    them clearly better (`benchmarks/uncertainty.py`, docs/lab/review.md); on images of another kind the model does not
    know how wrong it is. It is not a probability of an error. Raises `InputError` for a threshold outside (0, 1).

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
    """Uncertainty of each pixel: 1 at the threshold, falling linearly to 0 at probabilities 0 and 1; 0 below `BAND`.

    Raises `InputError` for a threshold outside (0, 1).

    Examples
    --------
    >>> uncertainty_map([[0.05, 0.25, 0.5, 0.75]]).tolist()
    [[0.0, 0.5, 1.0, 0.5]]
    """
    values = np.nan_to_num(np.asarray(probability, np.float32), nan=0.0)
    drawn = threshold_probability(values, threshold).astype(bool)
    doubt = np.where(drawn, (1 - values) / np.float32(1 - threshold), values / np.float32(threshold))
    return np.where(doubt < BAND, np.float32(0), doubt.clip(0, 1)).astype(np.float32)


@dataclass(frozen=True, slots=True)
class UncertainRegion:
    """An uncertain part of a mask: centre and box (rows ``top:bottom``, columns ``left:right``) in pixels.

    `weight` is its area in pixels, each counted by its uncertainty in [0, 1].
    """

    row: float
    col: float
    top: int
    bottom: int
    left: int
    right: int
    weight: float


def uncertain_regions(probability: npt.ArrayLike, threshold: float = 0.5, most: int = 12) -> list[UncertainRegion]:
    """Find at most `most` regions where a mask is most likely to be wrong, heaviest first.

    Every contour has a thin uncertain rim. A region is where much uncertainty lies within one window, so that a blurred
    border or a faint second structure comes before a crisp edge. Windows are chosen one after the other, the heaviest
    first, and what is in one does not count again. Raises `InputError` unless the probability is (H, W) with pixels.

    Examples
    --------
    >>> probability = np.zeros((64, 64)); probability[30:34, 10:14] = 0.5
    >>> [region] = uncertain_regions(probability)
    >>> (region.row, region.col, region.top, region.bottom, region.left, region.right, region.weight)
    (31.5, 11.5, 30, 34, 10, 14, 16.0)
    """
    doubt = uncertainty_map(probability, threshold)
    if doubt.ndim != 2 or not doubt.size:
        raise InputError(f"The probability has shape {doubt.shape}, but one plane (rows, columns) is needed.")
    cell = -(-max(doubt.shape) // _GRID)
    coarse = _sums(doubt, cell)
    regions: list[UncertainRegion] = []
    while len(regions) < most:
        row, col, weight = _heaviest_window(coarse)
        if weight <= 0 or (regions and weight < _FAINTEST * regions[0].weight):
            break
        cells = (slice(row, row + _WINDOW), slice(col, col + _WINDOW))
        regions.append(_region(doubt, cells, cell))
        coarse[cells] = 0
        doubt[_pixels(cells, cell)] = 0
    return sorted(regions, key=lambda region: -region.weight)


def _sums(doubt: npt.NDArray[np.float32], cell: int) -> npt.NDArray[np.float64]:
    """Sums over squares of `cell` pixels, the last ones cut at the border."""
    rows, columns = (np.arange(0, side, cell) for side in doubt.shape)
    return np.add.reduceat(np.add.reduceat(doubt, rows, axis=0, dtype=np.float64), columns, axis=1)


def _heaviest_window(coarse: npt.NDArray[np.float64]) -> tuple[int, int, float]:
    """First row and column of the window that holds most, and how much; a window never leaves the map."""
    table = np.pad(coarse, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)  # sums of all that is above and to the left
    height, width = (min(_WINDOW, side) for side in coarse.shape)
    held = table[height:, width:] - table[:-height, width:] - table[height:, :-width] + table[:-height, :-width]
    row, col = np.unravel_index(held.argmax(), held.shape)
    # Differences of sums leave a rest of rounding where nothing is held.
    return int(row), int(col), float(held[row, col]) if held[row, col] > 1e-6 else 0.0


def _pixels(cells: tuple[slice, slice], cell: int) -> tuple[slice, slice]:
    rows, columns = (slice(part.start * cell, part.stop * cell) for part in cells)
    return rows, columns


def _region(doubt: npt.NDArray[np.float32], cells: tuple[slice, slice], cell: int) -> UncertainRegion:
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
