"""NIfTI volumes, where nibabel is installed."""

from __future__ import annotations

import gzip
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_wavegms.errors import InputError
from napari_wavegms.files.formats.decoded import Decoded
from napari_wavegms.files.geometry import Geometry, checked_geometry, without_size
from napari_wavegms.files.provenance import KEY, Record, as_written, find_line
from napari_wavegms.storage.memory import ask_for_memory

SUFFIXES: tuple[str, ...] = (".nii", ".nii.gz")

_UNITS = {"meter": "m", "mm": "mm", "micron": "um"}
_VOXEL = 12  # bytes: nibabel scales to float64, which becomes float32
_COMMENT = 6  # the code of a header extension that is a comment
_SCANNER = 1  # the code of a position in the scanner


def decode(path: Path) -> Decoded:
    """Decode a volume as (slice, row, column) or (time, slice, row, column) of its `Geometry`."""
    image = _open(path)
    geometry = _geometry(path, image)
    ask_for_memory(path, _VOXEL * math.prod(image.shape))
    if image.get_data_dtype().fields is not None:
        raise InputError(f"{path} is in colour. Convert it to one number per voxel.")
    values = np.asanyarray(image.dataobj)
    if values.dtype.kind not in "buif":
        raise InputError(f"{path} has {values.dtype} voxels. Convert it to one number per voxel.")
    if values.dtype == np.float64:  # nibabel's scaling widens; scanners do not measure so finely
        values = values.astype(np.float32)
    axes = {2: "YX", 3: "ZYX", 4: "TZYX"}[values.ndim]
    record, pixels, axes = as_written(_record(image), geometry.slices(values), axes)
    return Decoded(pixels=pixels, axes=axes, spacing=geometry.spacing, record=record, geometry=geometry)


def read_geometry(path: Path) -> Geometry:
    """The geometry of a volume, without its voxels."""
    return _geometry(path, _open(path))


def encode(path: Path, values: NDArray[Any], record: Record, geometry: Geometry | None) -> bytes:
    """Slices (..., row, column) as a file: stored as the volume of this geometry, or else with their spacing alone."""
    nibabel = _nibabel(path)
    affine, header, voxels = None, nibabel.Nifti1Header(), values.T
    if geometry is not None:
        affine, voxels = geometry.affine, geometry.stored(values)
        if geometry.header is not None:  # its extensions may name the patient
            header = type(geometry.header)(geometry.header.binaryblock, geometry.header.endianness, check=False)
            header.set_slope_inter(1, 0)
            header["cal_min"] = header["cal_max"] = 0
        else:
            header.set_xyzt_units(geometry.unit)
            header.set_qform(affine, _SCANNER)
            header.set_sform(affine, _SCANNER)
    header.set_data_shape(voxels.shape)
    header.set_intent("label" if values.dtype.kind == "u" else "none")
    if geometry is None and record.spacing is not None and record.spacing.is_length:
        sizes = record.spacing.in_unit("mm").size[::-1]
        header.set_zooms((*sizes, *[1.0] * 4)[: voxels.ndim])
        header.set_xyzt_units("mm")
    kind = nibabel.Nifti2Image if isinstance(header, nibabel.Nifti2Header) else nibabel.Nifti1Image
    image = kind(voxels, affine, header, dtype=values.dtype)
    text = f"{KEY}={record.as_text()}".encode()
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension(_COMMENT, text))
    content: bytes = image.to_bytes()
    return gzip.compress(content, mtime=0) if path.name.lower().endswith(".gz") else content


def _geometry(path: Path, image: Any) -> Geometry:
    header = image.header
    oriented = bool(header["qform_code"] > 0 or header["sform_code"] > 0)
    unit = _UNITS.get(header.get_xyzt_units()[0], "mm")
    return checked_geometry(path, image.affine, image.shape, oriented=oriented, unit=unit, header=header)


def _open(path: Path) -> Any:
    nibabel = _nibabel(path)
    try:
        _check_sizes(path, nibabel)
        return nibabel.load(path)
    except nibabel.filebasedimages.ImageFileError as cause:
        raise InputError(f"{path} is not a NIfTI volume, or is cut short. Copy or export it again.") from cause


def _check_sizes(path: Path, nibabel: Any) -> None:
    """Refuse voxels without a size, which nibabel would mend with a line on the terminal."""
    with nibabel.openers.Opener(path) as file:
        head = file.read(nibabel.Nifti2Header.sizeof_hdr)
    for kind in (nibabel.Nifti1Header, nibabel.Nifti2Header):
        if int(kind.sizeof_hdr) in (int.from_bytes(head[:4], order) for order in ("little", "big")):
            header = kind(head[: kind.sizeof_hdr], check=False)
            sizes = header["pixdim"][1 : 1 + min(3, int(header["dim"][0]))]
            if not (sizes > 0).all():
                raise without_size(path, sizes)


def _nibabel(path: Path) -> Any:
    try:
        import nibabel
    except ImportError as cause:
        raise InputError(
            f"{path} is a NIfTI volume, which needs nibabel. Install it with: pip install napari-wavegms[medical]"
        ) from cause
    return nibabel


def _record(image: Any) -> Record | None:
    """Our own line, where we wrote the file."""
    for extension in getattr(image.header, "extensions", ()):
        if extension.get_code() == _COMMENT:
            text = bytes(extension.get_content()).decode("utf-8", "replace")
            if (line := find_line(text)) is not None:
                return Record.from_text(line)
    return None
