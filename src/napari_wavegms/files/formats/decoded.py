"""What every decoder returns: the stored values of a file, before they are used as an image or as a mask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_wavegms.files.provenance import Record
from napari_wavegms.files.spacing import Spacing


class ForeignFile(Exception):
    """Raised by a decoder for bytes that are not its format at all; never leaves this package."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """Stored values and their meaning.

    `axes` has one letter per axis of `pixels`, colour samples S always last. `palette` is (N, 3) uint8 where the values
    are its indices. `zero_is_white` and `lossy` (JPEG) matter to images and masks in different ways.
    """

    pixels: NDArray[Any]
    axes: str
    spacing: Spacing | None = None
    palette: NDArray[np.uint8] | None = None
    zero_is_white: bool = False
    lossy: bool = False
    record: Record | None = None


def oriented(pixels: NDArray[Any], axes: str, orientation: object) -> NDArray[Any]:
    """Turn and mirror as the EXIF/TIFF orientation tag (1 to 8) says; anything else means upright."""
    rows, columns = axes.index("Y"), axes.index("X")
    if orientation in (5, 6, 7, 8):
        pixels = np.swapaxes(pixels, rows, columns)
    flips = {2: (columns,), 3: (rows, columns), 4: (rows,), 6: (columns,), 7: (rows, columns), 8: (rows,)}
    turns = flips.get(orientation) if isinstance(orientation, int) else None
    return pixels if turns is None else np.flip(pixels, turns)
