"""The spacing in a TIFF: our own record, OME-XML, ImageJ's description, or the plain resolution tags, in this order."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree
from typing import Any

import tifffile

from napari_wavegms.files.provenance import Record
from napari_wavegms.files.spacing import PIXEL, Spacing, from_dots_per_inch, normal_unit

_INCH, _CENTIMETRE = 2, 3


def read_spacing(tiff: tifffile.TiffFile, axes: str, record: Record | None) -> Spacing | None:
    """(row, column), or (slice, row, column) where the file has a Z axis and says how far its slices are apart."""
    if record is not None:
        return record.spacing
    if tiff.is_ome and (found := _from_ome(tiff.ome_metadata, axes)):
        return found
    if tiff.is_imagej and tiff.imagej_metadata:
        return _from_imagej(tiff, axes)
    return _from_tags(tiff)


def _from_ome(xml: str | None, axes: str) -> Spacing | None:
    try:
        pixels = next(node for node in ElementTree.fromstring(xml or "").iter() if node.tag.endswith("}Pixels"))
    except (ElementTree.ParseError, StopIteration):
        return None
    sizes: list[Spacing] = []
    for letter in "ZYX" if "Z" in axes else "YX":
        value = _number(pixels.get(f"PhysicalSize{letter}"))
        unit = pixels.get(f"PhysicalSize{letter}Unit", "um")
        one = Spacing.plausible((value, value), unit)
        if one is not None:
            sizes.append(one)
        elif letter != "Z":
            return None
    common = sizes[-1].unit
    if any(one.unit != common and not (one.is_length and sizes[-1].is_length) for one in sizes):
        return None
    return Spacing.plausible([one.in_unit(common).size[0] for one in sizes], common)


def _from_imagej(tiff: tifffile.TiffFile, axes: str) -> Spacing | None:
    values = tiff.imagej_metadata or {}
    unit = normal_unit(str(values.get("unit", "")))
    plane = _resolution(tiff)
    if unit == PIXEL or plane is None:
        return _from_tags(tiff) if "unit" not in values else None
    tagged = _from_tags(tiff)
    # ImageJ writes pixels per `unit` and no unit tag; where a length is tagged all the same, the tag holds.
    if tagged is not None and Spacing((1, 1), unit).is_length:
        rows, columns = tagged.in_unit(unit).size
        plane = rows, columns
    depth = _number(values.get("spacing"))
    if "Z" in axes and depth > 0 and math.isfinite(depth):
        return Spacing.plausible((depth, *plane), unit)
    return Spacing.plausible(plane, unit)


def _from_tags(tiff: tifffile.TiffFile) -> Spacing | None:
    plane = _resolution(tiff)
    unit = tiff.pages.first.tags.valueof("ResolutionUnit")
    if plane is None or plane == (1.0, 1.0) or unit not in (_INCH, _CENTIMETRE):
        return None
    if unit == _INCH:
        return from_dots_per_inch(1 / plane[1], 1 / plane[0])
    if from_dots_per_inch(2.54 / plane[1], 2.54 / plane[0]) is None:
        return None
    found = Spacing.plausible(plane, "cm")
    return None if found is None else found.in_unit("mm")


def _resolution(tiff: tifffile.TiffFile) -> tuple[float, float] | None:
    """(row, column) size in the file's unit."""
    tags = tiff.pages.first.tags
    sizes = [_inverse(tags.valueof(name)) for name in ("YResolution", "XResolution")]
    return (sizes[0], sizes[1]) if all(0 < size < math.inf for size in sizes) else None


def _inverse(rational: Any) -> float:
    if not isinstance(rational, tuple) or len(rational) != 2 or not rational[0]:
        return 0.0
    return float(rational[1] / rational[0])


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan
