"""TIFF through tifffile, and through Pillow where tifffile would need the large imagecodecs package."""

from __future__ import annotations

import logging
import math
import threading
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL.TiffImagePlugin import TiffImageFile

from napari_wavegms.errors import InputError
from napari_wavegms.files.formats.decoded import Decoded, oriented
from napari_wavegms.files.formats.raster import stored_values
from napari_wavegms.files.provenance import Record, as_written, find_line
from napari_wavegms.files.spacing import PIXEL, Spacing, from_dots_per_inch, normal_unit
from napari_wavegms.storage.memory import ask_for_memory

MAGIC = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")

_PILLOW_COLORS = (tifffile.PHOTOMETRIC.SEPARATED, tifffile.PHOTOMETRIC.YCBCR, tifffile.PHOTOMETRIC.CIELAB)

_MOST_PAGES = 20_000  # tifffile takes a millisecond for each, before it reads a pixel
_INCH, _CENTIMETRE = 2, 3  # resolution units
_COPIES = 2  # the decoded pixels, and those that are turned upright or made contiguous

# What tifffile logs, rather than raises, about files that are cut short.
_DAMAGE = (
    "corrupted",
    "invalid offset",
    "invalid page offset",
    "invalid circular",
    "missing",
    "out of range",
    "failed to re",
    "does not match",
    "<TiffTag.fromfile>",
)


def decode(path: Path) -> Decoded:
    """The first full picture of a TIFF as stored: palette indices and zero-is-white left alone, only turned upright."""
    # Without `_multifile`, an OME-TIFF's references to other files are not followed, wherever they lead.
    with _complaints() as complaints, tifffile.TiffFile(path, _multifile=False) as tiff:
        if len(tiff.pages) > _MOST_PAGES:
            raise InputError(
                f"{path} has {len(tiff.pages):,} pages; up to {_MOST_PAGES:,} are read. Save a part of it."
            )
        if not tiff.pages or not tiff.series:
            raise ValueError("no image inside")
        series, left_out = _chosen(tiff)
        ask_for_memory(path, _COPIES * series.nbytes)
        found = _values(path, series)
        damage = [text for text in complaints if any(sign in text for sign in _DAMAGE)]
        if damage:
            raise ValueError(damage[0])
        record, pixels, axes = as_written(_record(tiff), found.pixels, found.axes)
        return Decoded(
            pixels=np.ascontiguousarray(pixels),
            axes=axes,
            spacing=_spacing(tiff, axes, record),
            palette=found.palette,
            zero_is_white=found.zero_is_white,
            lossy=found.lossy,
            record=record,
            left_out=left_out,
        )


def _chosen(tiff: tifffile.TiffFile) -> tuple[tifffile.TiffPageSeries, str]:
    """The first series that is not a reduced copy of another, and what else there is."""
    full = [series for series in tiff.series if not series.keyframe.is_reduced] or list(tiff.series[:1])
    others = [f"{' x '.join(map(str, series.shape))}" for series in full[1:]]
    if others:
        more = ", …" if len(others) > 3 else ""
        return full[0], f"{len(others)} more picture{'s' if len(others) > 1 else ''} ({', '.join(others[:3])}{more})"
    return full[0], "the planes that are in other files" if _is_part(tiff) else ""


def _is_part(tiff: tifffile.TiffFile) -> bool:
    """Whether an OME-TIFF says that some of its planes are elsewhere."""
    return bool(tiff.is_ome) and (tiff.ome_metadata or "").count("FileName=") > (tiff.ome_metadata or "").count(
        f'FileName="{tiff.filename}"'
    )


def _values(path: Path, series: tifffile.TiffPageSeries) -> Decoded:
    page: Any = series.keyframe
    if page.photometric in _PILLOW_COLORS:
        return _through_pillow(path, series)
    try:
        stored = series.asarray(maxworkers=1)
    except (ValueError, NotImplementedError) as cause:
        if not any(words in str(cause) for words in ("imagecodecs", "not supported", "not implemented")):
            raise
        return _through_pillow(path, series)
    pixels, axes = _samples_last(stored, series.axes, has_alpha=any(sample in (1, 2) for sample in page.extrasamples))
    pixels = oriented(pixels, axes, page.tags.valueof("Orientation"))
    indexed = page.photometric == tifffile.PHOTOMETRIC.PALETTE and page.colormap is not None
    palette = _eight_bit(page.colormap.T) if indexed else None
    if indexed and pixels.dtype == np.bool_:
        pixels = pixels.astype(np.uint8)
    return Decoded(pixels, axes, palette=palette, zero_is_white=page.photometric == tifffile.PHOTOMETRIC.MINISWHITE)


def _through_pillow(path: Path, series: tifffile.TiffPageSeries) -> Decoded:
    """Decode with libtiff, which knows most compressions; Pillow turns the pictures upright itself."""
    page: Any = series.keyframe
    try:
        with TiffImageFile(path) as image:
            frames, palette = _frames(image, [part.index for part in series.pages if part is not None])
    except Exception as cause:  # libtiff's complaints arrive as many types
        raise InputError(
            f"{path.name} has {page.photometric.name} pixels in {page.compression.name} compression, which needs the "
            "package imagecodecs. Install it with pip, or save the file without compression."
        ) from cause
    samples = "S" if frames.ndim == 4 else ""
    leading = [(n, a) for n, a in zip(series.shape, series.axes, strict=True) if a not in "YXS"]
    lengths, letters = [n for n, _ in leading], "".join(a for _, a in leading)
    if np.prod(lengths, dtype=int) != len(frames):
        lengths, letters = [len(frames)], "Q"
    pixels = frames.reshape(*lengths, *frames.shape[1:])
    lossy = page.compression.name in ("JPEG", "OJPEG")
    return Decoded(pixels, f"{letters}YX{samples}", palette=palette, lossy=lossy)


def _frames(image: TiffImageFile, numbers: list[int]) -> tuple[NDArray[Any], NDArray[np.uint8] | None]:
    frames, palette = [], None
    for number in numbers:
        image.seek(number)
        image.load()
        values, palette = stored_values(image)
        frames.append(values)
    return np.stack(frames), palette


def _samples_last(pixels: NDArray[Any], axes: str, *, has_alpha: bool) -> tuple[NDArray[Any], str]:
    """Colour samples as the last axis; two of which none is alpha, and more than four, are channels."""
    if "S" not in axes:
        return pixels, axes
    samples = axes.index("S")
    rest = axes.replace("S", "")
    count = pixels.shape[samples]
    if count == 1:
        return np.take(pixels, 0, axis=samples), rest
    if count in (3, 4) or (count == 2 and has_alpha):
        return np.moveaxis(pixels, samples, -1), f"{rest}S"
    return np.moveaxis(pixels, samples, 0), f"C{rest}"


def _eight_bit(colors: NDArray[Any]) -> NDArray[np.uint8]:
    """TIFF colour maps hold 16 bits; some writers put 8 into them."""
    return (colors >> 8 if colors.max() > 255 else colors).astype(np.uint8)


def _record(tiff: tifffile.TiffFile) -> Record | None:
    """Our own line of the description; ImageJ drops it from there when it saves, but keeps it among its notes."""
    info = str((tiff.imagej_metadata or {}).get("Info", "")) if tiff.is_imagej else ""
    line = find_line(tiff.pages.first.description) or find_line(info)
    return None if line is None else Record.from_text(line)


@contextmanager
def _complaints() -> Iterator[list[str]]:
    """Capture what tifffile logs in this thread."""
    texts: list[str] = []
    thread = threading.get_ident()

    def capture(record: logging.LogRecord) -> bool:
        if record.thread == thread:
            texts.append(record.getMessage())
        return record.thread != thread

    logger = logging.getLogger("tifffile")
    logger.addFilter(capture)
    try:
        yield texts
    finally:
        logger.removeFilter(capture)


def _spacing(tiff: tifffile.TiffFile, axes: str, record: Record | None) -> Spacing | None:
    """(row, column), or (slice, row, column) where the file has a Z axis and says how far its slices are apart.

    From our own record, OME-XML, ImageJ's description, or the plain resolution tags, in this order.
    """
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
