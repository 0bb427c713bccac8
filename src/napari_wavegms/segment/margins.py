"""Uniform margins around an image: black bars, letterboxes, the scanner's empty frame."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

TOLERANCE = 0.04
"""Values (of 0 to 1) by which a pixel of a margin may differ from the margin's colour; JPEG's ripples are smaller."""
Box = tuple[int, int, int, int]
"""Top, left, height and width of a part of an image, in pixels."""
_STRAY = 0.002  # share of a line's pixels that may differ by more, such as specks of dust
_LEAST_SIDE = 0.25  # share of either side that must be left, or nothing is cut


def content_box(image: npt.NDArray[Any]) -> Box:
    """The part of an image (H, W) or (H, W, C), in [0, 1], that uniform margins surround.

    The whole image where there are none, or where less than a quarter of either side would be left.
    """
    pixels = image[:, :, None] if image.ndim == 2 else image
    rows, columns = pixels.shape[:2]
    # Columns are judged within the rows that are left, so that text beside a bar above does not keep a bar beside it.
    top, bottom = _uniform_lines(pixels), rows - _uniform_lines(pixels[::-1])
    if bottom - top < _LEAST_SIDE * rows:
        return 0, 0, rows, columns
    across = pixels[top:bottom].swapaxes(0, 1)
    left, right = _uniform_lines(across), columns - _uniform_lines(across[::-1])
    if right - left < _LEAST_SIDE * columns:
        return 0, 0, rows, columns
    return top, left, bottom - top, right - left


def _uniform_lines(lines: npt.NDArray[Any]) -> int:
    """How many of the first lines (N, M, C) are of one colour, the first line's median."""
    colour = np.median(lines[0], axis=0)
    for number, line in enumerate(lines):  # one by one, as most images end it at the first
        if (np.abs(line - colour) > TOLERANCE).any(axis=1).mean() > _STRAY:
            return number
    return len(lines)
