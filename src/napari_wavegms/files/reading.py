"""Read images and masks: whatever the file, an array with its axes and spacing, or one sentence."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from napari_wavegms.errors import InputError
from napari_wavegms.files.foreign_masks import labels_of
from napari_wavegms.files.formats import dicom, itk, nifti, ome_zarr, raster, tiff
from napari_wavegms.files.formats.decoded import Decoded, ForeignFile, over_black
from napari_wavegms.files.geometry import Geometry
from napari_wavegms.files.provenance import Provenance
from napari_wavegms.files.spacing import Spacing
from napari_wavegms.storage.user_data import is_web_address

KINDS = "PNG, JPEG, BMP, TIFF, NIfTI, MHA, NRRD or DICOM"


@dataclass(frozen=True, slots=True)
class LoadedImage:
    """An image as stored in its file."""

    # (H, W) grey or (H, W, 3 or 4) colour, further axes before these for a stack; the file's own dtype.
    pixels: NDArray[Any]
    # A letter per axis: Y, X, S samples (always last), Z, T, C channels; I and Q are pages of unknown meaning.
    axes: str
    spacing: Spacing | None  # (row, column) or (slice, row, column), where the file has one
    source: Path
    note: str = ""  # a sentence that names what of the file was left out, if anything
    geometry: Geometry | None = None  # of a volume: how its slices lie in the patient and in the file


@dataclass(frozen=True, slots=True)
class MaskDetails:
    """A mask (H, W) or a stack, its axes, spacing and geometry as in `LoadedImage`, and its provenance if we wrote it.

    `is_ours` tells whether we wrote it, with provenance or without, or it is a DICOM segmentation; `note` what was left
    out, or cut at half. `class_names` are those of the labels, background first, and `class_colors` their "#rrggbb"
    from label 1 up, where the file has some; an empty text where it has none for a label.
    """

    labels: NDArray[Any]
    axes: str
    spacing: Spacing | None
    provenance: Provenance | None
    source: Path
    is_ours: bool = False
    note: str = ""
    geometry: Geometry | None = None
    class_names: tuple[str, ...] = ()
    class_colors: tuple[str, ...] = ()


def read_image(path: str | os.PathLike[str]) -> LoadedImage:
    """Read a PNG, JPEG, BMP or TIFF image, or (with the extra ``medical``) a NIfTI, MHA, NRRD or DICOM image.

    A DICOM series is a folder that holds its slices. The content decides, not the ending. Palettes and CMYK become RGB,
    transparent grey lies over black, pictures are turned upright by their EXIF orientation, and zero-is-white is
    inverted: the array looks like the picture. A volume is cut into the slices of its `Geometry`, the same however it
    is stored. Before it is decoded, what it needs is compared with the memory limit, half of what is free.

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
        No such file, a folder or a pipe, an empty, damaged, foreign or too large file, or pixels that are not real
        numbers.

    Examples
    --------
    >>> import tempfile
    >>> from napari_wavegms import read_image, write_mask
    >>> path = write_mask(Path(tempfile.mkdtemp()) / "scan.tif", [[0, 1, 1], [0, 0, 1]])
    >>> read_image(path).axes
    'YXS'
    """
    return _as_image(*_decode(path))


def read_image_or_mask(path: str | os.PathLike[str], *, expects_mask: bool) -> LoadedImage | MaskDetails:
    """Read a file as what it is: a mask that we wrote, or one that is expected and has labels, or else an image."""
    source, decoded = _decode(path)
    is_ours = decoded.record is not None and decoded.pixels.dtype.kind in "bui"
    if is_ours or expects_mask:
        try:
            return _as_mask(source, decoded)
        except InputError:
            if is_ours:
                raise
    return _as_image(source, decoded)


def _as_image(source: Path, decoded: Decoded) -> LoadedImage:
    pixels, axes = decoded.pixels, decoded.axes
    if decoded.palette is not None:
        pixels, axes = decoded.palette[pixels], f"{axes}S"
    if decoded.zero_is_white and pixels.dtype.kind in "bu":
        pixels = ~pixels
    if axes.endswith("S") and pixels.shape[-1] == 2:
        pixels, axes = over_black(pixels)[..., 0], axes[:-1]
    return LoadedImage(pixels, axes, decoded.spacing, source, _left_out(decoded, source), decoded.geometry)


def read_mask(path: str | os.PathLike[str]) -> NDArray[Any]:
    """Read a mask as labels 0..n; the formats of `read_image`.

    Masks of 0 and 255 (or 0 and 65535) become 0 and 1; soft edges, as of a JPEG or a resized mask, are cut at half. The
    indices of a coloured palette are the labels. One colour on black is a mask, and so is a shape in the alpha channel.

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
        As `read_image`, or values that are not labels: several colours, fractions, negative numbers, a picture.

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
    return _as_mask(*_decode(path))


def _as_mask(source: Path, decoded: Decoded) -> MaskDetails:
    labels, axes, note = labels_of(decoded, source)
    record = decoded.record
    provenance = record.provenance if record else None
    return MaskDetails(
        labels=labels,
        axes=axes,
        spacing=decoded.spacing,
        provenance=provenance,
        source=source,
        is_ours=record is not None,
        note=" ".join(filter(None, (f"{source.name}: {note}" if note else "", _left_out(decoded, source)))),
        geometry=decoded.geometry,
        class_names=decoded.class_names or (provenance.class_names if provenance else ()),
        class_colors=decoded.class_colors or (provenance.class_colors if provenance else ()),
    )


def _left_out(decoded: Decoded, source: Path) -> str:
    verb = "was" if decoded.left_out.startswith("1 ") else "were"
    return f"Of {source.name}, {decoded.left_out} {verb} left out." if decoded.left_out else ""


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
            if ome_zarr.is_image(path):
                return ome_zarr.decode
            if dicom.is_series(path):
                return dicom.decode
            raise InputError(f"{path} is a folder. Choose an image file in it.")
        if path.exists() and not path.is_file():  # reading a pipe would wait for ever
            raise InputError(f"{path} is a pipe or a device, not a file. Choose an image file.")
        with path.open("rb") as file:
            head = file.read(dicom.PREAMBLE + len(dicom.MAGIC))
    except InputError:
        raise
    except FileNotFoundError as cause:
        raise InputError(no_such_file(path)) from cause
    except (OSError, ValueError) as cause:
        raise InputError(f"Cannot open {path} ({_brief(cause)}). Check its name and permissions.") from cause
    if not head:
        raise InputError(f"{path} is empty (0 bytes). Copy or export it again.")
    if path.name.lower().endswith(nifti.SUFFIXES):
        return nifti.decode
    if path.name.lower().endswith(itk.SUFFIXES):
        return itk.decode
    if head[dicom.PREAMBLE :] == dicom.MAGIC:  # its preamble may be that of a TIFF
        return dicom.decode
    if head.startswith(tiff.MAGIC):
        return tiff.decode
    if head.startswith(raster.MAGIC):
        return raster.decode
    raise _foreign(path)


def no_such_file(path: object, what: str = "file") -> str:
    """The sentence on a path where nothing is."""
    if is_web_address(str(path)):
        address = re.sub(r":/+", "://", str(path), count=1)  # a path has one slash
        return f"{address} is a web address. Download it, and give the file."
    return f"There is no {what} {path}. Check the spelling."


def _foreign(path: Path) -> InputError:
    return InputError(f"{path} is not an image of a known format. Convert it to {KINDS}.")


def _brief(cause: Exception) -> str:
    text = " ".join(str(getattr(cause, "strerror", None) or cause).split())
    return (text[:80] + "…" if len(text) > 80 else text).rstrip(".") or type(cause).__name__
