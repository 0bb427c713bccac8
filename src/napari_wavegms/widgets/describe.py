"""One line about an image, which proves to its owner that it was understood."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def describe_image(
    shape: Sequence[int], dtype: object, rgb: bool = False, scale: Sequence[float] = (), units: Sequence[object] = ()
) -> str:
    """Say in a line what an image is.

    Parameters
    ----------
    shape : sequence of int
        The whole array's shape: (..., rows, columns), or (..., rows, columns, colours) with `rgb`.
    dtype : dtype-like
        Its element type.
    rgb : bool
        The last axis holds 3 or 4 colour values.
    scale : sequence of float
        World units per pixel for each axis that is not colour; empty where unknown.
    units : sequence
        The unit's name for each of those axes. Pixels are no news and are left out.

    Returns
    -------
    str
        Such as ``"244 x 320, grey, uint8, 0.2 mm/px"`` or ``"12 x 512 x 512, grey, uint16"``.

    Examples
    --------
    >>> describe_image((244, 320), "uint8")
    '244 x 320, grey, uint8'
    >>> describe_image((12, 512, 512, 3), "uint8", rgb=True)
    '12 x 512 x 512, RGB, uint8'
    """
    spatial = tuple(shape[:-1]) if rgb else tuple(shape)
    lengths = " x ".join(str(length) for length in spatial)
    colours = ("RGBA" if shape[-1] == 4 else "RGB") if rgb else "grey"
    parts = [lengths, colours, np.dtype(dtype).name]  # type: ignore[call-overload]
    spacing = _spacing(scale, units)
    return ", ".join([*parts, spacing] if spacing else parts)


def _spacing(scale: Sequence[float], units: Sequence[object]) -> str:
    """Give the pixel's size in words, or nothing where it is only pixels."""
    names = [_short_unit(unit) for unit in units][-2:]
    sizes = [float(size) for size in scale][-2:]
    if len(names) < 2 or len(sizes) < 2 or names[0] != names[1] or names[0] in ("px", "pixel"):
        return ""
    if np.isclose(sizes[0], sizes[1]):
        return f"{sizes[0]:.3g} {names[0]}/px"
    return f"{sizes[0]:.3g} x {sizes[1]:.3g} {names[0]}/px"


def _short_unit(unit: object) -> str:
    # pint writes its short symbols under the format code "~"; a plain string has no such code.
    try:
        return f"{unit:~}"
    except ValueError:
        return str(unit)
