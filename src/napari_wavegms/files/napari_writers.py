"""The npe2 writer: File > Save Selected Layers saves a Labels layer as a TIFF, PNG, NIfTI or DICOM mask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from napari_wavegms.errors import InputError
from napari_wavegms.files.formats import dicom, dicom_seg
from napari_wavegms.files.geometry import Geometry, geometry_of_layer
from napari_wavegms.files.labels import checked_axes
from napari_wavegms.files.mask_writer import write_mask
from napari_wavegms.files.provenance import Provenance
from napari_wavegms.files.spacing import PIXEL, Spacing, normal_unit

PROVENANCE_KEY = "wavegms"
"""Where a layer's metadata keeps the provenance of its mask: a `Provenance` or its dictionary."""

DICOM_KEY = "wavegms_dicom"
"""Where a layer's metadata keeps the DICOM file, or the folder of a series, that it shows or is the mask of."""

_NAMES = {"T": "t time frame", "Z": "z slice plane depth", "C": "c channel", "Y": "y row", "X": "x column col"}
_LETTERS = {name: letter for letter, names in _NAMES.items() for name in names.split()}


def write_labels(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write a Labels layer as a mask with its spacing, axes and provenance, by the ending of `path`.

    Of a multiscale layer the finest level is written. Of the layer's attributes `meta`, ``scale``, ``units``,
    ``axis_labels`` and ``metadata`` are used: its provenance, and for a NIfTI or DICOM file what it is to lie on.
    """
    labels = np.asarray(data[0] if meta.get("multiscale") else data)
    if labels.ndim < 2:  # the writer has the sentence for it
        return [str(write_mask(path, labels))]
    axes = axes_from_names(meta.get("axis_labels") or (), labels.ndim)
    spacing = spacing_from_scale(meta.get("scale"), meta.get("units"), checked_axes(axes, labels.ndim))
    like = drawn_on(Path(path), meta.get("metadata") or {}, labels.shape)
    return [str(write_mask(path, labels, spacing, axes, _provenance(meta), like))]


def layer_metadata(geometry: Geometry | None, image: Path | None) -> dict[str, Any]:
    """What the layer of a volume, or of an image file, tells its writers and those of its masks."""
    metadata = {} if geometry is None else geometry.metadata
    return metadata | ({DICOM_KEY: str(image)} if image is not None and dicom.is_image(image) else {})


def drawn_on(path: Path, metadata: Mapping[str, Any], shape: tuple[int, ...]) -> Geometry | Path | None:
    """What the mask of a layer of `shape` is to lie on in the file `path`, by the layer's metadata."""
    if path.suffix.lower() in dicom_seg.SUFFIXES:
        return Path(metadata[DICOM_KEY]) if DICOM_KEY in metadata else None
    return geometry_of_layer(metadata, shape)


def axes_from_names(names: Sequence[object], ndim: int) -> str | None:
    """Letters for a layer's axis labels; None unless every one is a known name, and rows and columns come last.

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
    """A layer's scale and units as a spacing in the unit of its columns; None for plain pixels of size 1.

    Slices whose unit cannot be converted to that of the columns are left out.
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
    except InputError:  # another program may use the key
        return None
