"""Write masks: the one doorway, which picks the format by the file's ending."""

from __future__ import annotations

import os
from pathlib import Path

from numpy.typing import ArrayLike

from napari_wavegms.errors import InputError
from napari_wavegms.files.formats import mask_png, mask_tiff
from napari_wavegms.files.formats.mask_png import write_mask_png
from napari_wavegms.files.formats.mask_tiff import write_mask_tiff, write_probability_tiff
from napari_wavegms.files.provenance import Provenance
from napari_wavegms.files.spacing import Spacing

__all__ = ["write_mask", "write_mask_png", "write_mask_tiff", "write_probability_tiff"]


def write_mask(
    path: str | os.PathLike[str],
    labels: ArrayLike,
    spacing: Spacing | None = None,
    axes: str | None = None,
    provenance: Provenance | None = None,
) -> Path:
    """Write a label mask as TIFF or PNG, by the ending of `path`; replaces the file in one step.

    Parameters
    ----------
    path : path-like
        Ends in ``.tif``, ``.tiff`` or ``.png``.
    labels : array-like
        (H, W), or for TIFF a stack of up to five axes: bool or integers from 0 up.
    spacing : Spacing, optional
        Size of a pixel.
    axes : str, optional
        One letter per axis ending in YX, such as ZYX.
    provenance : Provenance, optional
        Where the mask came from.

    Returns
    -------
    pathlib.Path
        The written file.

    Raises
    ------
    InputError
        Another ending, or what `write_mask_tiff` and `write_mask_png` refuse.

    Examples
    --------
    >>> import tempfile
    >>> path = write_mask(Path(tempfile.mkdtemp()) / "lesion.png", [[0, 1], [2, 0]])
    >>> from napari_wavegms.files.reading import read_mask
    >>> read_mask(path).tolist()
    [[0, 1], [2, 0]]
    """
    suffix = Path(path).suffix.lower()
    if suffix in mask_tiff.SUFFIXES:
        return write_mask_tiff(path, labels, spacing, axes, provenance)
    if suffix in mask_png.SUFFIXES:
        return write_mask_png(path, labels, spacing, axes, provenance)
    raise InputError(f"Masks are saved as .tif, .tiff or .png; {Path(path).name!r} came. Give it one of these endings.")
