"""MHA, MHD and NRRD volumes, where SimpleITK is installed."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from napari_wavegms.errors import InputError
from napari_wavegms.files.formats.decoded import Decoded
from napari_wavegms.files.geometry import LEFT_BACK_HEAD, Geometry, checked_geometry
from napari_wavegms.storage.memory import ask_for_memory

SUFFIXES: tuple[str, ...] = (".mha", ".mhd", ".nrrd")

_VOXEL = 12  # bytes, as of NIfTI


def decode(path: Path) -> Decoded:
    """Decode a volume as (slice, row, column) or (time, slice, row, column) of its `Geometry`."""
    reader, geometry = _reader(path)
    components = reader.GetNumberOfComponents()
    if components != 1:
        raise InputError(f"{path} has {components} numbers per voxel. Convert it to one.")
    ask_for_memory(path, _VOXEL * math.prod(geometry.shape))
    import SimpleITK

    try:
        values = SimpleITK.GetArrayFromImage(reader.Execute()).T
    except RuntimeError as cause:
        raise _damaged(path) from cause
    if values.dtype == np.float64:
        values = values.astype(np.float32)
    axes = {2: "YX", 3: "ZYX", 4: "TZYX"}[values.ndim]
    return Decoded(pixels=geometry.slices(values), axes=axes, spacing=geometry.spacing, geometry=geometry)


def read_geometry(path: Path) -> Geometry:
    """The geometry of a volume, without its voxels."""
    return _reader(path)[1]


def _reader(path: Path) -> tuple[Any, Geometry]:
    try:
        import SimpleITK
    except ImportError as cause:
        raise InputError(
            f"{path} is an MHA or NRRD volume, which needs SimpleITK. Install it with: pip install "
            "napari-wavegms[medical]"
        ) from cause
    reader = SimpleITK.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as cause:
        raise _damaged(path) from cause
    count = reader.GetDimension()
    directions = np.reshape(reader.GetDirection(), (count, count))
    affine, spatial = np.eye(4), min(3, count)
    affine[:spatial, :spatial] = (directions * reader.GetSpacing())[:spatial, :spatial]
    affine[:spatial, 3] = reader.GetOrigin()[:spatial]
    # A plane alone does not say how it lies.
    return reader, checked_geometry(path, LEFT_BACK_HEAD @ affine, tuple(reader.GetSize()), oriented=count > 2)


def _damaged(path: Path) -> InputError:
    return InputError(f"{path} is not a volume that SimpleITK can read, or is cut short. Copy or export it again.")
