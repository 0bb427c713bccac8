"""Read images and masks: whatever the file, an array with its axes and spacing, or one sentence."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_wavegms.errors import InputError
from napari_wavegms.files.formats import nifti, raster, tiff
from napari_wavegms.files.formats.decoded import Decoded, ForeignFile
from napari_wavegms.files.labels import smallest_labels
from napari_wavegms.files.provenance import Provenance
from napari_wavegms.files.spacing import Spacing

_KINDS = "PNG, JPEG, BMP, TIFF or NIfTI"
_JPEG_THRESHOLD = 128


@dataclass(frozen=True, slots=True)
class LoadedImage:
    """An image as stored in its file.

    Attributes
    ----------
    pixels : numpy.ndarray
        (H, W) grey or (H, W, 3 or 4) colour, with further axes before these for a stack; the file's own dtype.
    axes : str
        One letter per axis: Y rows, X columns, S colour samples (always last), Z slices, T times, C channels; I and Q
        are pages of unknown meaning.
    spacing : Spacing or None
        Physical size of a pixel, (row, column) or (slice, row, column), where the file has one.
    source : pathlib.Path
        The file.
    """

    pixels: NDArray[Any]
    axes: str
    spacing: Spacing | None
    source: Path


@dataclass(frozen=True, slots=True)
class MaskDetails:
    """A mask (H, W) or a stack, its axes and spacing as in `LoadedImage`, and its provenance if we wrote it."""

    labels: NDArray[Any]
    axes: str
    spacing: Spacing | None
    provenance: Provenance | None
    source: Path


def read_image(path: str | os.PathLike[str]) -> LoadedImage:
    """Read a PNG, JPEG, BMP, TIFF or (with nibabel) NIfTI image.

    The content decides, not the ending. Palettes and CMYK become RGB, transparency of grey images is dropped, pictures
    are turned upright by their EXIF orientation, and zero-is-white is inverted: the array looks like the picture.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    LoadedImage
        Pixels in the file's own dtype, axes, spacing in the file's unit.

    Raises
    ------
    InputError
        No such file, a folder, an empty, damaged or foreign file, or pixels that are not real numbers.

    Examples
    --------
    >>> import tempfile
    >>> from napari_wavegms import read_image, write_mask
    >>> path = write_mask(Path(tempfile.mkdtemp()) / "scan.tif", [[0, 1, 1], [0, 0, 1]])
    >>> read_image(path).axes
    'YXS'
    """
    source, decoded = _decode(path)
    pixels, axes = decoded.pixels, decoded.axes
    if decoded.palette is not None:
        pixels, axes = decoded.palette[pixels], f"{axes}S"
    if decoded.zero_is_white and pixels.dtype.kind in "bu":
        pixels = ~pixels
    return LoadedImage(pixels=pixels, axes=axes, spacing=decoded.spacing, source=source)


def read_mask(path: str | os.PathLike[str]) -> NDArray[Any]:
    """Read a mask as labels 0..n; the formats of `read_image`.

    Masks of 0 and 255 (or 0 and 65535) become 0 and 1, JPEG masks are cut at 128, the indices of a coloured palette are
    the labels, and colour files must be grey in all channels.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    numpy.ndarray
        (H, W), or a stack; the smallest of uint8, uint16 and uint32.

    Raises
    ------
    InputError
        As `read_image`, or values that are not labels: colours, fractions, negative numbers.

    Examples
    --------
    >>> import tempfile
    >>> from napari_wavegms import read_mask, write_mask
    >>> read_mask(write_mask(Path(tempfile.mkdtemp()) / "mask.tif", [[0, 2]])).tolist()
    [[0, 2]]
    """
    return read_mask_details(path).labels


def read_mask_details(path: str | os.PathLike[str]) -> MaskDetails:
    """Read a mask like `read_mask`, with its axes, spacing and provenance; files that we wrote come back exactly."""
    source, decoded = _decode(path)
    labels, axes = decoded.pixels, decoded.axes
    if decoded.palette is not None and _is_grey(decoded.palette):
        labels = decoded.palette[labels][..., 0]
    if axes.endswith("S"):
        labels, axes = _one_sample(labels, source), axes[:-1]
    if decoded.lossy:
        labels = labels >= _JPEG_THRESHOLD
    labels = smallest_labels(_whole(labels, source))
    # In a file of ours, or behind a coloured palette, 255 is label 255.
    if decoded.record is None and (decoded.palette is None or _is_grey(decoded.palette)):
        labels = _without_full_scale(labels)
    provenance = decoded.record.provenance if decoded.record else None
    return MaskDetails(labels=labels, axes=axes, spacing=decoded.spacing, provenance=provenance, source=source)


def _decode(path: str | os.PathLike[str]) -> tuple[Path, Decoded]:
    source = Path(path)
    decoder = _decoder(source)
    try:
        decoded = decoder(source)
    except InputError:
        raise
    except ForeignFile as cause:
        raise _foreign(source) from cause
    except MemoryError as cause:
        raise InputError(f"{source} does not fit into memory. Crop it or save a part of it.") from cause
    except Exception as cause:  # decoders raise anything over damaged bytes: struct.error, zlib.error, SyntaxError, ...
        raise InputError(f"{source} is damaged or cut short ({_brief(cause)}). Copy or export it again.") from cause
    if decoded.pixels.dtype.kind not in "buif" or decoded.pixels.size == 0:
        raise InputError(
            f"{source} contains {decoded.pixels.dtype} values of shape {decoded.pixels.shape}, but an image has real "
            "numbers and at least one pixel. Export it as grey or RGB."
        )
    return source, decoded


def _decoder(path: Path) -> Callable[[Path], Decoded]:
    try:
        if path.is_dir():
            raise InputError(f"{path} is a folder. Choose an image file in it.")
        with path.open("rb") as file:
            head = file.read(132)
    except InputError:
        raise
    except FileNotFoundError as cause:
        raise InputError(f"There is no file {path}. Check the spelling.") from cause
    except (OSError, ValueError) as cause:
        raise InputError(f"Cannot open {path} ({_brief(cause)}). Check its name and permissions.") from cause
    if not head:
        raise InputError(f"{path} is empty (0 bytes). Copy or export it again.")
    if path.name.lower().endswith(nifti.SUFFIXES):
        return nifti.decode
    if head.startswith(tiff.MAGIC):
        return tiff.decode
    if head.startswith(raster.MAGIC):
        return raster.decode
    if head[128:] == b"DICM":
        raise InputError(f"{path} is a DICOM file, which cannot be read yet. Export it as PNG or TIFF.")
    raise _foreign(path)


def _foreign(path: Path) -> InputError:
    return InputError(f"{path} is not an image of a known format. Convert it to {_KINDS}.")


def _brief(cause: Exception) -> str:
    text = " ".join(str(getattr(cause, "strerror", None) or cause).split())
    return (text[:80] + "…" if len(text) > 80 else text).rstrip(".") or type(cause).__name__


def _is_grey(palette: NDArray[np.uint8]) -> bool:
    """Whether a palette only says how bright: then its colours, not its indices, are the mask."""
    return bool((palette == palette[:, :1]).all())


def _one_sample(values: NDArray[Any], source: Path) -> NDArray[Any]:
    colors = values[..., :3]
    if not (colors == colors[..., :1]).all():
        raise InputError(
            f"{source} is a colour image, but a mask has one label per pixel. Save it as grey levels or with a palette."
        )
    return np.asarray(colors[..., 0])


def _whole(values: NDArray[Any], source: Path) -> NDArray[Any]:
    """Labels that a program stored as floats; fractions are refused."""
    if values.dtype.kind != "f":
        return values
    if not np.isfinite(values).all() or (values != np.rint(values)).any() or np.abs(values).max() >= 2**53:
        raise InputError(f"{source} contains fractions, but a mask has whole numbers. Threshold it first.")
    return np.asarray(values, np.int64)


def _without_full_scale(labels: NDArray[Any]) -> NDArray[Any]:
    """0 and 255 (or 0 and 65535) as 0 and 1."""
    highest = labels.max()
    if highest in (0xFF, 0xFFFF) and ((labels == 0) | (labels == highest)).all():
        return np.asarray(labels == highest, np.uint8)
    return labels
