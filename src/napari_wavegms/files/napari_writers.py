"""npe2 writers: File > Save Selected Layers offers a Labels layer as our TIFF or PNG mask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from napari_wavegms.errors import InputError
from napari_wavegms.files.formats.mask_png import write_mask_png
from napari_wavegms.files.formats.mask_tiff import write_mask_tiff
from napari_wavegms.files.labels import checked_axes
from napari_wavegms.files.provenance import Provenance
from napari_wavegms.files.spacing import PIXEL, Spacing, normal_unit

PROVENANCE_KEY = "wavegms"
"""Where a layer's metadata keeps the provenance of its mask: a `Provenance` or its dictionary."""

_LETTERS = {
    "t": "T",
    "time": "T",
    "frame": "T",
    "z": "Z",
    "slice": "Z",
    "plane": "Z",
    "depth": "Z",
    "c": "C",
    "channel": "C",
    "y": "Y",
    "row": "Y",
    "x": "X",
    "column": "X",
    "col": "X",
}


def write_labels_tiff(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write a Labels layer as TIFF with its spacing, axes and provenance.

    Parameters
    ----------
    path : str
        Ends in ``.tif`` or ``.tiff``.
    data : array-like
        The layer's labels; of a multiscale layer the finest level is written.
    meta : dict
        The layer's attributes: ``scale``, ``units``, ``axis_labels`` and ``metadata[PROVENANCE_KEY]`` are used.

    Returns
    -------
    list of str
        The written path.

    Raises
    ------
    InputError
        What `write_mask_tiff` refuses.
    """
    labels, spacing, axes, provenance = _parts(data, meta)
    return [str(write_mask_tiff(path, labels, spacing, axes, provenance))]


def write_labels_png(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write a Labels layer as an indexed PNG with its spacing and provenance; parameters as `write_labels_tiff`.

    Raises
    ------
    InputError
        What `write_mask_png` refuses: stacks and labels above 255.
    """
    labels, spacing, axes, provenance = _parts(data, meta)
    return [str(write_mask_png(path, labels, spacing, axes, provenance))]


def _parts(data: Any, meta: Mapping[str, Any]) -> tuple[Any, Spacing | None, str | None, Provenance | None]:
    labels = np.asarray(data[0] if meta.get("multiscale") else data)
    axes = axes_from_names(meta.get("axis_labels") or (), labels.ndim)
    if labels.ndim < 2:  # the writer has the sentence for it
        return labels, None, None, None
    spacing = spacing_from_scale(meta.get("scale"), meta.get("units"), checked_axes(axes, labels.ndim))
    return labels, spacing, axes, _provenance(meta)


def axes_from_names(names: Sequence[object], ndim: int) -> str | None:
    """Letters for a layer's axis labels, where every one is a known name and rows and columns come last; else None.

    Examples
    --------
    >>> axes_from_names(("time", "y", "x"), 3)
    'TYX'
    >>> axes_from_names(("-2", "-1"), 2) is None
    True
    """
    letters = [_LETTERS.get(str(name).strip().lower(), "") for name in names]
    axes = "".join(letters)
    known = len(axes) == len(set(axes)) == len(letters) == ndim
    return axes if known and axes.endswith("YX") else None


def spacing_from_scale(scale: Any, units: Any, axes: str) -> Spacing | None:
    """The spacing that a layer's scale and units say, in the unit of its columns; None for bare pixels of size 1.

    Slices whose unit cannot be converted into that of the columns are left out.
    """
    if scale is None or len(scale) != len(axes):
        return None
    names = [normal_unit(str(unit)) for unit in units] if units is not None else [PIXEL] * len(axes)
    places = [number for number, letter in enumerate(axes) if letter in "ZYX"]
    sizes = {axes[number]: (abs(float(scale[number])), names[number]) for number in places}
    unit = sizes["X"][1]
    values = [_converted(size, own, unit) for size, own in sizes.values()]
    if values[-2] is None or values[-1] is None:
        return None
    found = [value for value in values if value is not None]
    if unit == PIXEL and all(value == 1 for value in found):
        return None
    return Spacing.plausible(found, unit)


def _converted(size: float, unit: str, wanted: str) -> float | None:
    try:
        return Spacing((size, size), unit).in_unit(wanted).size[0]
    except InputError:
        return None


def _provenance(meta: Mapping[str, Any]) -> Provenance | None:
    kept = (meta.get("metadata") or {}).get(PROVENANCE_KEY)
    if kept is None or isinstance(kept, Provenance):
        return kept
    try:
        return Provenance.from_dict(kept)
    except InputError:  # another program's use of the key must not stop the saving
        return None
