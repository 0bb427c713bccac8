"""The spots of a mask that are worth a look, heaviest first, and the way from one to the next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_wavegms.errors import InputError
from napari_wavegms.segment.uncertainty import uncertainty_map

GRID = 128
"""Longest side, in cells, of the coarse map in which spots are sought; keeps large images quick."""
WINDOW = 15
"""Side of a spot in cells: about an eighth of the image, what an eye takes in at once."""
FAINTEST = 0.15
"""Spots lighter than this share of the heaviest one are left out."""


@dataclass(frozen=True, slots=True)
class Spot:
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


def doubtful_spots(probability: npt.ArrayLike, threshold: float = 0.5, most: int = 12) -> list[Spot]:
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
    >>> [spot] = doubtful_spots(probability)
    >>> (spot.row, spot.col, spot.top, spot.bottom, spot.left, spot.right, spot.weight)
    (31.5, 11.5, 30, 34, 10, 14, 16.0)
    """
    doubt = uncertainty_map(probability, threshold)
    if doubt.ndim != 2 or not doubt.size:
        raise InputError(f"A probability of shape {doubt.shape} came; spots are sought in one plane (rows, columns).")
    cell = -(-max(doubt.shape) // GRID)
    coarse = _sums(doubt, cell)
    spots: list[Spot] = []
    while len(spots) < most:
        row, col, weight = _heaviest_window(coarse)
        if weight <= 0 or (spots and weight < FAINTEST * spots[0].weight):
            break
        cells = (slice(row, row + WINDOW), slice(col, col + WINDOW))
        spots.append(_spot(doubt, cells, cell))
        coarse[cells] = 0
        doubt[_pixels(cells, cell)] = 0
    return sorted(spots, key=lambda spot: -spot.weight)


def next_spot(spots: Sequence[Spot], current: Spot | None = None) -> Spot | None:
    """The spot to go to next: the heaviest at first, then the next lighter one, then the heaviest again.

    Parameters
    ----------
    spots : sequence of Spot
        As `doubtful_spots` gives them.
    current : Spot, optional
        Where we are. A spot that is no longer among them, because the mask was changed meanwhile, counts as none.

    Returns
    -------
    Spot or None
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


def _spot(doubt: npt.NDArray[np.float32], cells: tuple[slice, slice], cell: int) -> Spot:
    """The doubt inside a window: its centre of mass, its tight box, its sum."""
    rows, columns = _pixels(cells, cell)
    inside = doubt[rows, columns].astype(np.float64)
    down, across = inside.sum(axis=1), inside.sum(axis=0)
    weight = float(inside.sum())
    lines, stripes = np.flatnonzero(down), np.flatnonzero(across)
    return Spot(
        row=rows.start + float(down @ np.arange(len(down))) / weight,
        col=columns.start + float(across @ np.arange(len(across))) / weight,
        top=rows.start + int(lines[0]),
        bottom=rows.start + int(lines[-1]) + 1,
        left=columns.start + int(stripes[0]),
        right=columns.start + int(stripes[-1]) + 1,
        weight=weight,
    )
