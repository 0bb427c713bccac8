"""What every decoder returns: the stored values of a file, before they are used as an image or as a mask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_wavegms.files.geometry import Geometry
from napari_wavegms.files.provenance import Record
from napari_wavegms.files.spacing import Spacing


class ForeignFile(Exception):
    """Raised by a decoder for bytes that are not its format at all; never leaves this package."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """Stored values and their meaning.

    `axes` has one letter per axis of `pixels`, colour samples S always last; 2 samples are grey and alpha. `palette` is
    (N, 3 or 4) uint8 where the values are its indices. `zero_is_white` and `lossy` (JPEG) matter to images and masks in
    different ways. `left_out` says which other pictures the file holds. `geometry` is that of a volume,
    `class_names` are those of labels, from 0 up, and `class_colors`, "#rrggbb", from 1 up.
    """

    pixels: NDArray[Any]
    axes: str
    spacing: Spacing | None = None
    palette: NDArray[np.uint8] | None = None
    zero_is_white: bool = False
    lossy: bool = False
    record: Record | None = None
    left_out: str = ""
    geometry: Geometry | None = None
    class_names: tuple[str, ...] = ()
    class_colors: tuple[str, ...] = ()


def oriented(pixels: NDArray[Any], axes: str, orientation: object) -> NDArray[Any]:
    """Turn and mirror as the EXIF/TIFF orientation tag (1 to 8) says; anything else means upright."""
    rows, columns = axes.index("Y"), axes.index("X")
    if orientation in (5, 6, 7, 8):
        pixels = np.swapaxes(pixels, rows, columns)
    flips = {2: (columns,), 3: (rows, columns), 4: (rows,), 6: (columns,), 7: (rows, columns), 8: (rows,)}
    turns = flips.get(orientation) if isinstance(orientation, int) else None
    return pixels if turns is None else np.flip(pixels, turns)


def alpha_of(pixels: NDArray[Any]) -> NDArray[np.float32]:
    """The opacity of pixels (..., 2 or 4), 0 to 1; integers are opaque at the largest value of their type."""
    alpha = pixels[..., -1]
    full = float(np.iinfo(alpha.dtype).max) if alpha.dtype.kind in "ui" else 1.0
    return np.asarray(np.clip(np.nan_to_num(alpha), 0, full) / full, np.float32)


def over_black(pixels: NDArray[Any]) -> NDArray[Any]:
    """Colours (..., 1 or 3) of pixels with an alpha sample, (..., 2 or 4), as a viewer shows them on its black canvas.

    Examples
    --------
    >>> over_black(np.array([[[200, 100, 0, 255], [200, 100, 0, 0]]], np.uint8)).tolist()
    [[[200, 100, 0], [0, 0, 0]]]
    """
    colours, alpha = pixels[..., :-1], alpha_of(pixels)
    if (alpha == 1).all():
        return colours
    with np.errstate(invalid="ignore"):  # an infinite colour that cannot be seen
        seen = np.where(alpha[..., np.newaxis] == 0, 0, colours * alpha[..., np.newaxis])
    return np.rint(seen).astype(pixels.dtype) if pixels.dtype.kind in "bui" else seen.astype(pixels.dtype)
