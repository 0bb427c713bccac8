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
from napari_wavegms.files.provenance import KEY, Record, as_written, find_line
from napari_wavegms.files.spacing import Spacing
from napari_wavegms.storage.memory import ask_for_memory

SUFFIXES = (".nii", ".nii.gz")

_UNITS = {"meter": "m", "mm": "mm", "micron": "um"}
_VOXEL = 12  # bytes: nibabel scales to float64, which becomes float32
_COMMENT = 6  # the code of a header extension that is a comment


def decode(path: Path) -> Decoded:
    """Decode a volume as (slice, row, column) or (time, slice, row, column); spacing in the file's unit, or mm."""
    image = _open(path)
    ask_for_memory(path, _VOXEL * math.prod(image.shape))
    values = np.asanyarray(image.dataobj)
    if values.dtype.kind not in "buif":
        raise InputError(f"{path} has {values.dtype} voxels. Convert it to one number per voxel.")
    if values.dtype == np.float64:  # nibabel's scaling widens; scanners do not measure so finely
        values = values.astype(np.float32)
    axes = {2: "YX", 3: "ZYX", 4: "TZYX"}.get(values.ndim)
    if axes is None:
        raise InputError(f"{path} has {values.ndim} axes, but two to four can be read. Save one volume of it.")
    sizes = [float(size) for size in image.header.get_zooms()[:3]]
    unit = _UNITS.get(image.header.get_xyzt_units()[0], "mm")
    record, pixels, axes = as_written(_record(image), values.T, axes)
    return Decoded(pixels=pixels, axes=axes, spacing=Spacing.plausible(sizes[::-1], unit), record=record)


def encode(path: Path, labels: NDArray[Any], record: Record, like: Path | None) -> bytes:
    """Labels (..., row, column) as a file, with the geometry of the volume `like` or else that of their spacing."""
    nibabel = _nibabel(path)
    sizes = record.spacing.in_unit("mm").size[::-1] if record.spacing and record.spacing.is_length else ()
    affine, header = np.diag([*sizes, *[1.0] * (4 - len(sizes))]), None
    if like is not None and like.name.lower().endswith(SUFFIXES):
        source = _open(like)
        affine, header = source.affine, source.header.copy()
        header.set_slope_inter(1, 0)
        header["cal_min"] = header["cal_max"] = 0
        header.extensions.clear()
    image = nibabel.Nifti1Image(labels.T, affine, header, dtype=labels.dtype)
    if header is None:
        image.header.set_xyzt_units("mm" if sizes else "unknown")
    text = f"{KEY}={record.as_text()}".encode()
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension(_COMMENT, text))
    content: bytes = image.to_bytes()
    return gzip.compress(content, mtime=0) if path.name.lower().endswith(".gz") else content


def _open(path: Path) -> Any:
    nibabel = _nibabel(path)
    try:
        return nibabel.load(path)
    except nibabel.filebasedimages.ImageFileError as cause:
        raise InputError(f"{path} is not a NIfTI volume, or is cut short. Copy or export it again.") from cause


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
