"""Masks and probabilities as TIFF files that ImageJ, tifffile, Pillow and scikit-image all read."""

from __future__ import annotations

import math
import os
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tifffile
from numpy.typing import ArrayLike, NDArray

from napari_wavegms.errors import InputError
from napari_wavegms.files.labels import checked_axes, label_colors, output_file, smallest_labels, spatial_count
from napari_wavegms.files.provenance import KEY, SOFTWARE, Provenance, Record
from napari_wavegms.files.spacing import Spacing

SUFFIXES = (".tif", ".tiff")

_BYTE_ORDER: Literal[">"] = ">"  # ImageJ's own
_CLASSIC_LIMIT = 2**32 - 2**25  # offsets of a classic TIFF are 32 bits; leave room for the tags


def write_mask_tiff(
    path: str | os.PathLike[str],
    labels: ArrayLike,
    spacing: Spacing | None = None,
    axes: str | None = None,
    provenance: Provenance | None = None,
) -> Path:
    """Write a label mask as a zlib-compressed TIFF; replaces the file in one step.

    Labels up to 255 are stored as uint8 with a palette (background black, label 1 white), because label 1 of 255 would
    look black in an ordinary viewer. tifffile, scikit-image and Pillow give the labels back, ImageJ shows them with the
    palette as lookup table; a program that expands palettes (OpenCV, ITK) sees white for label 1. Higher labels are
    stored as uint16 or uint32 with a display range for ImageJ.

    Parameters
    ----------
    path : path-like
        Ends in ``.tif`` or ``.tiff``.
    labels : array-like
        (H, W), or a stack of up to five axes: bool or integers from 0 to 4,294,967,295.
    spacing : Spacing, optional
        Lengths are written in centimetres, the one unit that the TIFF tags and ImageJ's description share; the exact
        sizes and unit stand in our own line of the description.
    axes : str, optional
        One letter per axis ending in YX: ZYX (the default of a stack), TYX, TZYX, TZCYX.
    provenance : Provenance, optional
        Written into the image description and into ImageJ's Image > Show Info.

    Returns
    -------
    pathlib.Path
        The written file.

    Raises
    ------
    InputError
        Labels, axes or spacing that do not fit, or a place that cannot be written.
    """
    array = smallest_labels(labels)
    return _write(path, array, spacing, axes, provenance)


def write_probability_tiff(
    path: str | os.PathLike[str],
    probability: ArrayLike,
    spacing: Spacing | None = None,
    axes: str | None = None,
    provenance: Provenance | None = None,
) -> Path:
    """Write a lesion probability as a float32 TIFF, shown from 0 to 1; the other parameters as `write_mask_tiff`.

    Parameters
    ----------
    path : path-like
        Ends in ``.tif`` or ``.tiff``.
    probability : array-like
        (H, W) or a stack, real numbers in [0, 1].
    spacing, axes, provenance
        As in `write_mask_tiff`.

    Returns
    -------
    pathlib.Path
        The written file.

    Raises
    ------
    InputError
        Values outside [0, 1] or not finite, or what `write_mask_tiff` refuses.
    """
    array = np.asarray(probability)
    if array.dtype.kind not in "buif" or array.ndim < 2 or array.size == 0:
        raise InputError(
            f"A probability map is an array of (H, W) or more real numbers; {array.dtype} {array.shape} came."
        )
    if not (array.min() >= 0 and array.max() <= 1):  # NaN fails both
        raise InputError(
            f"Probabilities lie in [0, 1]; {array.min()} to {array.max()} came. Apply a sigmoid or rescale first."
        )
    return _write(path, array.astype(np.float32), spacing, axes, provenance)


def _write(
    path: str | os.PathLike[str],
    array: NDArray[Any],
    spacing: Spacing | None,
    axes: str | None,
    provenance: Provenance | None,
) -> Path:
    letters = checked_axes(axes, array.ndim)
    if spacing is not None:
        spacing = spacing.last(spatial_count(letters))
    record = Record(letters, array.shape, spacing, provenance)
    indexed = array.dtype == np.uint8
    options: dict[str, Any] = {
        "photometric": "palette" if indexed else "minisblack",
        "colormap": _colormap() if indexed else None,
        "compression": "zlib",
        "metadata": None,
        **_resolution(spacing),
    }
    first = {
        "description": _description(record, array),
        "software": SOFTWARE,
        "extratags": tifffile.imagej_metadata_tag({"Info": f"{KEY}={record.as_text()}"}, _BYTE_ORDER),
    }
    with (
        output_file(path, SUFFIXES) as neighbour,
        tifffile.TiffWriter(neighbour, bigtiff=array.nbytes > _CLASSIC_LIMIT, byteorder=_BYTE_ORDER) as writer,
    ):
        # Plane by plane with our own description: tifffile's ImageJ mode merges the pages of one-column stacks.
        for number, plane in enumerate(array.reshape(-1, *array.shape[-2:])):
            writer.write(plane, **options, **(first if number == 0 else {"software": ""}))
    return Path(path)


def _colormap() -> NDArray[np.uint16]:
    return np.ascontiguousarray(label_colors().T).astype(np.uint16) * 257


def _resolution(spacing: Spacing | None) -> dict[str, Any]:
    tagged = _tagged(spacing)
    if tagged is None:
        return {}
    rows, columns = tagged.size[-2:]
    return {
        "resolution": (_rational(1 / columns), _rational(1 / rows)),
        "resolutionunit": "CENTIMETER" if tagged.is_length else "NONE",
    }


def _rational(value: float) -> tuple[int, int]:
    """The closest fraction of two 32-bit numbers; older tifffile is off by a thousandth for nanometres."""
    fraction = Fraction(value).limit_denominator(int((2**32 - 1) / max(value, 1)))
    return fraction.numerator, fraction.denominator


def _tagged(spacing: Spacing | None) -> Spacing | None:
    """The spacing as tags hold it, in centimetres; None where fractions of 32 bits cannot say it well."""
    if spacing is None:
        return None
    stored = spacing.in_unit("cm") if spacing.is_length else spacing
    return stored if all(1e-8 < size < 1e4 for size in stored.size) else None


def _description(record: Record, array: NDArray[Any]) -> str:
    """ImageJ's description: ``key=value`` lines, read by `FileOpener.decodeDescriptionString`."""
    counts = dict(zip(_imagej_axes(record.axes), record.shape[:-2], strict=True))
    lines = ["ImageJ=1.54f", f"images={math.prod(record.shape[:-2])}"]
    names = {"C": "channels", "Z": "slices", "T": "frames"}
    lines += [f"{name}={counts[letter]}" for letter, name in names.items() if counts.get(letter, 1) > 1]
    if sum(count > 1 for count in counts.values()) > 1:
        lines.append("hyperstack=true")
    tagged = _tagged(record.spacing)
    if tagged is not None:
        lines.append(f"unit={_ascii(tagged.unit)}")
        lines += [f"spacing={tagged.size[0]!r}"] if len(tagged.size) == 3 else []
    if array.dtype != np.uint8:
        lines += ["min=0.0", f"max={1.0 if array.dtype.kind == 'f' else max(1.0, float(array.max()))}"]
    lines += [f"{KEY}={record.as_text()}", ""]
    return "\n".join(lines)


def _imagej_axes(axes: str) -> str:
    """Letters for the leading axes in ImageJ's order TZC; letters that it does not know are replaced by position."""
    leading = axes[:-2]
    ordered = [letter for letter in "TZC" if letter in leading]
    return leading if "".join(ordered) == leading else {1: "Z", 2: "TZ", 3: "TZC"}[len(leading)]


def _ascii(text: str) -> str:
    return text.encode("ascii", "replace").decode("ascii").replace("\n", " ")
