"""The npe2 reader: File > Open gives images and masks as the command line reads them, masks as Labels."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from napari_wavegms.files.discovery import SUFFIXES, looks_like_mask, stem_of
from napari_wavegms.files.formats import dicom
from napari_wavegms.files.formats.raster import is_deep
from napari_wavegms.files.labels import class_colors_over_image
from napari_wavegms.files.napari_writers import PROVENANCE_KEY, layer_metadata
from napari_wavegms.files.provenance import KEY
from napari_wavegms.files.reading import LoadedImage, read_image_or_mask
from napari_wavegms.files.spacing import PIXEL, Spacing

_PHOTOMETRIC, _DESCRIPTION, _ORIENTATION, _ZERO_IS_WHITE = 262, 270, 274, 0

LayerData = tuple[Any, dict[str, Any], str]


def get_reader(path: str | list[str]) -> Callable[[str], list[LayerData]] | None:
    """The reader for a file or the folder of a DICOM series; None for web addresses, and for files to be stacked."""
    if isinstance(path, list) or "://" in path or not (Path(path).is_file() or dicom.is_image(Path(path))):
        return None
    return read_layers


def read_layers(path: str) -> list[LayerData]:
    """Read a file as one layer, with its name, scale, units and axis labels.

    Its metadata has the `Geometry` of a volume, and the provenance of a mask of ours, whose labels have colours and, as
    features, names.
    """
    found = read_image_or_mask(path, expects_mask=looks_like_mask(Path(path)))
    if found.note:
        warnings.warn(found.note, stacklevel=2)  # which napari shows
    axes, geometry = found.axes.removesuffix("S"), found.geometry
    meta: dict[str, Any] = {"name": stem_of(path), "axis_labels": tuple(axes.lower()), **_scaled(found.spacing, axes)}
    meta["metadata"] = layer_metadata(geometry, Path(path) if isinstance(found, LoadedImage) else None)
    if geometry is not None and len(geometry.origin) <= len(axes):
        meta["translate"] = (0.0,) * (len(axes) - len(geometry.origin)) + geometry.origin
    if isinstance(found, LoadedImage):
        return [(found.pixels, meta | {"rgb": found.axes.endswith("S")}, "image")]
    if found.provenance is not None:
        meta["metadata"][PROVENANCE_KEY] = found.provenance.as_dict()
    if found.is_ours:
        # In turn, as new masks have them; for a dictionary napari would have numba compile for a second first.
        meta["colormap"] = np.insert(class_colors_over_image(found.class_colors) / 255, 3, 1.0, axis=1)
    if found.class_names:
        meta["features"] = {"index": range(len(found.class_names)), "name": list(found.class_names)}
    return [(found.labels, meta, "labels")]


def differs_in_napari(path: Path) -> bool:
    """Whether napari's own reader gives another array or layer than `read_layers`, by the file's header alone."""
    if not path.name.lower().endswith(SUFFIXES) or not path.is_file():
        return False
    try:
        with Image.open(path) as image:
            tags = getattr(image, "tag_v2", {})
            is_ours = KEY in image.info or f"{KEY}=" in str(tags.get(_DESCRIPTION, ""))
            return (
                is_ours
                or is_deep(image)
                or image.getexif().get(_ORIENTATION, 1) != 1
                or tags.get(_PHOTOMETRIC) == _ZERO_IS_WHITE
            )
    except Exception:  # whatever is wrong with it, napari has opened it
        return False


def _scaled(spacing: Spacing | None, axes: str) -> dict[str, Any]:
    """Scale and units of the axes: a spacing's sizes belong to the last of Z, Y and X."""
    if spacing is None or not (spacing.is_length or spacing.unit == PIXEL):
        return {}
    sizes = dict(zip("ZYX"[-len(spacing.size) :], spacing.size, strict=True))
    return {
        "scale": tuple(sizes.get(letter, 1.0) for letter in axes),
        "units": tuple(spacing.unit if letter in sizes else PIXEL for letter in axes),
    }
