"""Write masks and probabilities, as files that other programs of their field read."""

from __future__ import annotations

import math
import os
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tifffile
from numpy.typing import ArrayLike, NDArray
from PIL import Image, PngImagePlugin

from napari_wavegms.errors import InputError
from napari_wavegms.files.formats import dicom, dicom_seg, itk, nifti
from napari_wavegms.files.geometry import Geometry
from napari_wavegms.files.labels import checked_axes, output_file, palette_of, smallest_labels, spatial_count
from napari_wavegms.files.provenance import KEY, SOFTWARE, Provenance, Record
from napari_wavegms.files.spacing import Spacing

_TIFF, _PNG = (".tif", ".tiff"), (".png",)
_BYTE_ORDER: Literal[">"] = ">"  # ImageJ's own
_CLASSIC_LIMIT = 2**32 - 2**25  # offsets of a classic TIFF are 32 bits; leave room for the tags
_METRES_PER_INCH = 0.0254


def write_mask(
    path: str | os.PathLike[str],
    labels: ArrayLike,
    spacing: Spacing | None = None,
    axes: str | None = None,
    provenance: Provenance | None = None,
    like: str | os.PathLike[str] | Geometry | None = None,
) -> Path:
    """Write a label mask as TIFF, PNG or (with the extra ``medical``) NIfTI or DICOM, by the ending of `path`.

    A file that is there is replaced in one step.

    Labels up to 255 are stored with a palette, because label 1 of 255 would look black in an ordinary viewer:
    background black, label 1 white, others bright; where `provenance` names several classes, in their colours. tifffile
    and Pillow return the labels; programs that expand palettes, such as OpenCV, see white for label 1, as in any 0/255
    mask, or the colours of several classes. A TIFF is compressed by zlib, carries ImageJ's metadata, and stores higher
    labels as uint16 or uint32.

    Parameters
    ----------
    path : path-like
        Ends in ``.tif``, ``.tiff``, ``.png``, ``.nii``, ``.nii.gz`` or ``.dcm``.
    labels : array-like
        (H, W): bool or integers from 0, up to 255 in a PNG. In a TIFF also a stack of up to five axes, and labels up to
        4,294,967,295.
    spacing : Spacing, optional
        Size of a pixel. It is written both exactly and, in cm, as the format's own resolution.
    axes : str, optional
        One letter per axis ending in YX: ZYX (the default of a stack), TYX, TZYX, TZCYX.
    provenance : Provenance, optional
        Where the mask came from.
    like : path-like or Geometry, optional
        The volume, or its `LoadedImage.geometry`: a NIfTI mask is stored as it is, with the same axes, so that it lies
        on it in every program. Images that are no volumes have no effect. A DICOM segmentation needs its DICOM file, or
        the folder of its series.

    Returns
    -------
    pathlib.Path
        The written file.

    Raises
    ------
    InputError
        Another ending, labels, axes or a spacing that do not fit, or a place that cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> path = write_mask(Path(tempfile.mkdtemp()) / "lesion.png", [[0, 1], [2, 0]])
    >>> from napari_wavegms import read_mask
    >>> read_mask(path).tolist()
    [[0, 1], [2, 0]]
    """
    suffix = Path(path).suffix.lower()
    if suffix not in (*_TIFF, *_PNG, *dicom_seg.SUFFIXES) and not _is_nifti(path):
        raise InputError(
            f"'{Path(path).name}' does not end in .tif, .tiff, .png, .nii, .nii.gz or .dcm; give the mask one of these "
            "endings."
        )
    array = smallest_labels(labels)
    letters = checked_axes(axes, array.ndim)
    if _is_nifti(path):
        return _write_nifti(path, array, spacing, letters, provenance, like)
    if suffix in dicom_seg.SUFFIXES:
        record = Record(letters, array.shape, spacing and spacing.last(spatial_count(letters)), provenance)
        image = None if like is None or isinstance(like, Geometry) else Path(like)
        content = dicom_seg.encode(Path(path), array, record, image)
        with output_file(path, dicom_seg.SUFFIXES) as file:
            file.write_bytes(content)
        return Path(path)
    if suffix in _TIFF:
        return _write_tiff(path, array, spacing, letters, provenance)
    if array.size != array.shape[-2] * array.shape[-1]:
        raise InputError(f"A PNG holds one plane, but the mask has shape {array.shape}. Save it as TIFF (.tif).")
    if array.dtype != np.uint8:
        raise InputError(f"A PNG holds labels up to 255, but the mask has label {array.max()}. Save it as TIFF (.tif).")
    return _write_png(path, array.reshape(array.shape[-2:]), spacing, provenance)


def write_probability(
    path: str | os.PathLike[str],
    probability: ArrayLike,
    spacing: Spacing | None = None,
    axes: str | None = None,
    provenance: Provenance | None = None,
    like: str | os.PathLike[str] | Geometry | None = None,
) -> Path:
    """Write probabilities in [0, 1], (H, W) or a stack, as a float32 TIFF or NIfTI; the rest as `write_mask`."""
    array = np.asarray(probability)
    if array.dtype.kind not in "buif" or array.ndim < 2 or array.size == 0:
        raise InputError(
            f"A probability map has rows and columns of real numbers, but this is {array.dtype} of shape {array.shape}."
        )
    if not (array.min() >= 0 and array.max() <= 1):  # NaN fails both
        raise InputError(
            f"Probabilities lie in [0, 1], but these go from {array.min()} to {array.max()}. Rescale them first."
        )
    array, letters = array.astype(np.float32), checked_axes(axes, array.ndim)
    if _is_nifti(path):
        return _write_nifti(path, array, spacing, letters, provenance, like)
    return _write_tiff(path, array, spacing, letters, provenance)


def _is_nifti(path: str | os.PathLike[str]) -> bool:
    return Path(path).name.lower().endswith(nifti.SUFFIXES)


def _write_nifti(
    path: str | os.PathLike[str],
    array: NDArray[Any],
    spacing: Spacing | None,
    axes: str,
    provenance: Provenance | None,
    like: str | os.PathLike[str] | Geometry | None,
) -> Path:
    if like is not None and not isinstance(like, Geometry):
        like = _geometry_of(Path(like))
    record = Record(axes, array.shape, spacing and spacing.last(spatial_count(axes)), provenance)
    content = nifti.encode(Path(path), array, record, like)
    with output_file(path, (".nii", ".gz")) as file:
        file.write_bytes(content)
    return Path(path)


def _geometry_of(image: Path) -> Geometry | None:
    if _is_nifti(image):
        return nifti.read_geometry(image)
    if dicom.is_image(image):
        return dicom.read_geometry(image)
    return itk.read_geometry(image) if image.name.lower().endswith(itk.SUFFIXES) else None


def _write_png(
    path: str | os.PathLike[str], plane: NDArray[np.uint8], spacing: Spacing | None, provenance: Provenance | None
) -> Path:
    spacing = spacing and spacing.last(2)
    image = Image.fromarray(plane)
    image.putpalette(_palette(provenance).tobytes())
    text = PngImagePlugin.PngInfo()
    text.add_text("Software", SOFTWARE)
    text.add_text(KEY, Record("YX", plane.shape, spacing, provenance).as_text())
    with output_file(path, _PNG) as file:
        image.save(file, format="PNG", pnginfo=text, dpi=_dots_per_inch(spacing))
    return Path(path)


def _palette(provenance: Provenance | None) -> NDArray[np.uint8]:
    return palette_of(provenance.class_names, provenance.class_colors) if provenance else palette_of((), ())


def _dots_per_inch(spacing: Spacing | None) -> tuple[float, float] | None:
    """(horizontal, vertical) for the pHYs chunk; None where whole pixels per metre in 31 bits cannot express it."""
    if spacing is None or not spacing.is_length:
        return None
    rows, columns = spacing.in_unit("m").size
    if not all(1 <= 1 / size < 2**31 - 1 for size in (rows, columns)):
        return None
    return _METRES_PER_INCH / columns, _METRES_PER_INCH / rows


def _write_tiff(
    path: str | os.PathLike[str],
    array: NDArray[Any],
    spacing: Spacing | None,
    axes: str,
    provenance: Provenance | None,
) -> Path:
    record = Record(axes, array.shape, spacing and spacing.last(spatial_count(axes)), provenance)
    tagged = _tagged(record.spacing)
    indexed = array.dtype == np.uint8
    options: dict[str, Any] = {
        "photometric": "palette" if indexed else "minisblack",
        "colormap": _palette(provenance).T.astype(np.uint16) * 257 if indexed else None,
        "compression": "zlib",
        "metadata": None,
    }
    if tagged is not None:
        rows, columns = tagged.size[-2:]
        options["resolution"] = _rational(1 / columns), _rational(1 / rows)
        options["resolutionunit"] = "CENTIMETER" if tagged.is_length else "NONE"
    first = {
        "description": _description(record, tagged, array),
        "software": SOFTWARE,
        "extratags": tifffile.imagej_metadata_tag({"Info": f"{KEY}={record.as_text()}"}, _BYTE_ORDER),
    }
    with (
        output_file(path, _TIFF) as file,
        tifffile.TiffWriter(file, bigtiff=array.nbytes > _CLASSIC_LIMIT, byteorder=_BYTE_ORDER) as writer,
    ):
        # Plane by plane with our own description: tifffile's ImageJ mode merges the pages of one-column stacks.
        for number, plane in enumerate(array.reshape(-1, *array.shape[-2:])):
            writer.write(plane, **options, **(first if number == 0 else {"software": ""}))
    return Path(path)


def _rational(value: float) -> tuple[int, int]:
    """The closest fraction of two 32-bit numbers; older tifffile is off by a thousandth for nanometres."""
    fraction = Fraction(value).limit_denominator(int((2**32 - 1) / max(value, 1)))
    return fraction.numerator, fraction.denominator


def _tagged(spacing: Spacing | None) -> Spacing | None:
    """The spacing as tags hold it, in centimetres; None where fractions of 32 bits cannot express it."""
    if spacing is None:
        return None
    stored = spacing.in_unit("cm") if spacing.is_length else spacing
    return stored if all(1e-8 < size < 1e4 for size in stored.size) else None


def _description(record: Record, tagged: Spacing | None, array: NDArray[Any]) -> str:
    """ImageJ's description: ``key=value`` lines, read by `FileOpener.decodeDescriptionString`."""
    counts = dict(zip(_imagej_axes(record.axes), record.shape[:-2], strict=True))
    lines = ["ImageJ=1.54f", f"images={math.prod(record.shape[:-2])}"]
    names = {"C": "channels", "Z": "slices", "T": "frames"}
    lines += [f"{name}={counts[letter]}" for letter, name in names.items() if counts.get(letter, 1) > 1]
    if sum(count > 1 for count in counts.values()) > 1:
        lines.append("hyperstack=true")
    if tagged is not None:
        lines.append(f"unit={tagged.unit.encode('ascii', 'replace').decode().replace(chr(10), ' ')}")
        lines += [f"spacing={tagged.size[0]!r}"] if len(tagged.size) == 3 else []
    if array.dtype != np.uint8:
        lines += ["min=0.0", f"max={1.0 if array.dtype.kind == 'f' else max(1.0, float(array.max()))}"]
    return "\n".join([*lines, f"{KEY}={record.as_text()}", ""])


def _imagej_axes(axes: str) -> str:
    """Letters for the leading axes in ImageJ's order TZC; letters that it does not know are replaced by position."""
    leading = axes[:-2]
    ordered = [letter for letter in "TZC" if letter in leading]
    return leading if "".join(ordered) == leading else {1: "Z", 2: "TZ", 3: "TZC"}[len(leading)]
