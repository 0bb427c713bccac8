"""Masks as indexed PNG files."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image, PngImagePlugin

from napari_wavegms.errors import InputError
from napari_wavegms.files.labels import checked_axes, label_colors, output_file, smallest_labels
from napari_wavegms.files.provenance import KEY, SOFTWARE, Provenance, Record
from napari_wavegms.files.spacing import Spacing

SUFFIXES = (".png",)

_METRES_PER_INCH = 0.0254


def write_mask_png(
    path: str | os.PathLike[str],
    labels: ArrayLike,
    spacing: Spacing | None = None,
    axes: str | None = None,
    provenance: Provenance | None = None,
) -> Path:
    """Write a label mask as an indexed PNG; replaces the file in one step.

    The palette's indices are the labels; the background is black, label 1 white, the others bright colours. Pillow
    gives the indices back as they are; scikit-image and OpenCV expand palettes, so that label 1 reads 255 there as in
    any 0/255 mask. Provenance stands in a tEXt chunk, the spacing in pHYs (to a whole pixel per metre) and exactly in
    the tEXt chunk.

    Parameters
    ----------
    path : path-like
        Ends in ``.png``.
    labels : array-like
        (H, W) bool or integers from 0 to 255; leading axes of length one are dropped.
    spacing : Spacing, optional
        Size of a pixel.
    axes : str, optional
        One letter per axis ending in YX.
    provenance : Provenance, optional
        Where the mask came from.

    Returns
    -------
    pathlib.Path
        The written file.

    Raises
    ------
    InputError
        More than one plane or a label above 255 (save as TIFF), or what `write_mask_tiff` refuses.
    """
    array = smallest_labels(labels)
    checked_axes(axes, array.ndim)
    if array.size != array.shape[-2] * array.shape[-1]:
        raise InputError(f"A PNG holds one plane; a stack of shape {array.shape} came. Save it as TIFF (.tif).")
    if array.dtype != np.uint8:
        raise InputError(f"A PNG mask holds labels up to 255; label {array.max()} came. Save it as TIFF (.tif).")
    plane = array.reshape(array.shape[-2:])
    spacing = None if spacing is None else spacing.last(2)
    image = Image.fromarray(plane)
    image.putpalette(label_colors().tobytes())
    text = PngImagePlugin.PngInfo()
    text.add_text("Software", SOFTWARE)
    text.add_text(KEY, Record("YX", plane.shape, spacing, provenance).as_text())
    with output_file(path, SUFFIXES) as neighbour:
        image.save(neighbour, format="PNG", pnginfo=text, dpi=_dots_per_inch(spacing))
    return Path(path)


def _dots_per_inch(spacing: Spacing | None) -> tuple[float, float] | None:
    """(horizontal, vertical) for Pillow's pHYs chunk; None where whole pixels per metre in 31 bits cannot say it."""
    if spacing is None or not spacing.is_length:
        return None
    rows, columns = spacing.in_unit("m").size
    if not all(1 <= 1 / size < 2**31 - 1 for size in (rows, columns)):
        return None
    return _METRES_PER_INCH / columns, _METRES_PER_INCH / rows
