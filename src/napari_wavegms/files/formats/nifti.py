"""NIfTI volumes, where nibabel is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from napari_wavegms.errors import InputError
from napari_wavegms.files.formats.decoded import Decoded
from napari_wavegms.files.spacing import Spacing

SUFFIXES = (".nii", ".nii.gz")

_UNITS = {"meter": "m", "mm": "mm", "micron": "um"}


def decode(path: Path) -> Decoded:
    """Decode a volume as (slice, row, column) or (time, slice, row, column); spacing in the file's unit, or mm."""
    try:
        import nibabel
        from nibabel.filebasedimages import ImageFileError
    except ImportError as cause:
        raise InputError(
            f"{path.name} is a NIfTI volume, which needs nibabel. Install it with: pip install napari-wavegms[medical]"
        ) from cause
    try:
        image: Any = nibabel.load(path)
    except ImageFileError as cause:
        raise InputError(f"{path} is not a NIfTI volume, or is cut short. Copy or export it again.") from cause
    values = np.asanyarray(image.dataobj)
    if values.dtype.kind not in "buif":
        raise InputError(f"{path.name} has {values.dtype} voxels. Convert it to one number per voxel.")
    if values.dtype == np.float64:  # nibabel's scaling widens; scanners do not measure so finely
        values = values.astype(np.float32)
    axes = {2: "YX", 3: "ZYX", 4: "TZYX"}.get(values.ndim)
    if axes is None:
        raise InputError(f"{path.name} has {values.ndim} axes, but two to four can be read. Save one volume of it.")
    sizes = [float(size) for size in image.header.get_zooms()[:3]]
    unit = _UNITS.get(image.header.get_xyzt_units()[0], "mm")
    return Decoded(pixels=values.T, axes=axes, spacing=Spacing.plausible(sizes[::-1], unit))
