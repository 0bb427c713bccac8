"""TIFF through tifffile, and through Pillow where tifffile would need the large imagecodecs package."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from napari_wavegms.errors import InputError
from napari_wavegms.files.formats.decoded import Decoded, oriented
from napari_wavegms.files.formats.raster import stored_values
from napari_wavegms.files.formats.tiff_spacing import read_spacing
from napari_wavegms.files.provenance import Record, find_line

MAGIC = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")

_PILLOW_COLORS = (tifffile.PHOTOMETRIC.SEPARATED, tifffile.PHOTOMETRIC.YCBCR, tifffile.PHOTOMETRIC.CIELAB)

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
    """The first series of a TIFF as stored: indices of a palette, zero-is-white left alone; only turned upright."""
    with _complaints() as complaints, tifffile.TiffFile(path) as tiff:
        if not tiff.pages or not tiff.series:
            raise ValueError("no image inside")
        found = _values(path, tiff.series[0])
        damage = [text for text in complaints if any(sign in text for sign in _DAMAGE)]
        if damage:
            raise ValueError(damage[0])
        pixels, axes, record = found.pixels, found.axes, _record(tiff)
        if record is not None and record.fits(pixels):
            pixels, axes = record.restore(pixels), record.axes
        else:
            record = None
        return Decoded(
            pixels=np.ascontiguousarray(pixels),
            axes=axes,
            spacing=read_spacing(tiff, axes, record),
            palette=found.palette,
            zero_is_white=found.zero_is_white,
            record=record,
        )


def _values(path: Path, series: tifffile.TiffPageSeries) -> Decoded:
    page: Any = series.keyframe
    if page.photometric in _PILLOW_COLORS:
        return _through_pillow(path, series)
    try:
        stored = series.asarray(maxworkers=1)
    except ValueError as cause:
        if "imagecodecs" not in str(cause) and "not supported" not in str(cause):
            raise
        return _through_pillow(path, series)
    pixels, axes = _samples_last(stored, series.axes)
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
        with Image.open(path, formats=("TIFF",)) as image:
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
    return Decoded(frames.reshape(*lengths, *frames.shape[1:]), f"{letters}YX{samples}", palette=palette)


def _frames(image: Image.Image, numbers: list[int]) -> tuple[NDArray[Any], NDArray[np.uint8] | None]:
    frames, palette = [], None
    for number in numbers:
        image.seek(number)
        image.load()
        values, palette = stored_values(image)
        frames.append(values)
    return np.stack(frames), palette


def _samples_last(pixels: NDArray[Any], axes: str) -> tuple[NDArray[Any], str]:
    """Colour samples as the last axis; one sample with extra (alpha) ones is grey; more than four are channels."""
    if "S" not in axes:
        return pixels, axes
    samples = axes.index("S")
    rest = axes.replace("S", "")
    count = pixels.shape[samples]
    if count <= 2:
        return np.take(pixels, 0, axis=samples), rest
    if count <= 4:
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
