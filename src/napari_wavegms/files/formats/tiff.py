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
from PIL.TiffImagePlugin import TiffImageFile

from napari_wavegms.errors import InputError
from napari_wavegms.files.formats.decoded import Decoded, oriented
from napari_wavegms.files.formats.raster import stored_values
from napari_wavegms.files.formats.tiff_spacing import read_spacing
from napari_wavegms.files.provenance import Record, find_line
from napari_wavegms.storage.memory import ask_for_memory

MAGIC = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")

_PILLOW_COLORS = (tifffile.PHOTOMETRIC.SEPARATED, tifffile.PHOTOMETRIC.YCBCR, tifffile.PHOTOMETRIC.CIELAB)

_MOST_PAGES = 20_000  # tifffile takes a millisecond for each, before it reads a pixel
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
    """Colour samples as the last axis; of two the second is alpha or left out; more than four are channels."""
    if "S" not in axes:
        return pixels, axes
    samples = axes.index("S")
    rest = axes.replace("S", "")
    count = pixels.shape[samples]
    if count == 1 or (count == 2 and not has_alpha):
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
