"""MHA, MHD and NRRD volumes, where SimpleITK is installed."""

from __future__ import annotations

import math
import mmap
import os
import re
from pathlib import Path
from typing import Any

import numpy as np

from napari_wavegms.errors import InputError
from napari_wavegms.files.formats.decoded import Decoded
from napari_wavegms.files.geometry import LEFT_BACK_HEAD, Geometry, checked_geometry
from napari_wavegms.storage.memory import ask_for_memory

_LONGEST_HEADER = 2**20  # bytes, of NRRD
_NRRD_DATA = re.compile(rb"(?im)^\s*data ?file\s*:=?\s*(.*?)\s*$")
_META_DATA = re.compile(rb"ElementDataFile\s*[=:]?[ \t]*([^\r\n]*?)[ \t]*(?=[\r\n]|\Z)")
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
    try:
        _refuse_other_files(path)
    except (OSError, ValueError) as cause:  # an empty file has no map
        raise cause if isinstance(cause, InputError) else _damaged(path) from cause
    reader = SimpleITK.ImageFileReader()
    reader.SetImageIO("NrrdImageIO" if path.name.lower().endswith(".nrrd") else "MetaImageIO")
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


def _refuse_other_files(path: Path) -> None:
    """Raise `InputError` for a header whose voxels lie anywhere but behind it, or in one file beside it."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        if path.name.lower().endswith(".nrrd"):
            header = re.split(rb"\n\r?\n", content[:_LONGEST_HEADER], maxsplit=1)
            if len(header) == 1 and len(content) > _LONGEST_HEADER:
                raise _damaged(path)
            named = _NRRD_DATA.findall(header[0])
        else:
            named = [one for one in _META_DATA.findall(content) if one.lower() != b"local"]
    for name in map(os.fsdecode, named):
        beside = path.parent / name
        is_one_name = not re.search(r"^LIST|[/\\%:]", name)
        if not is_one_name or beside.resolve().parent != path.parent.resolve() or not beside.is_file():
            raise InputError(
                f"{path} takes its voxels from '{name}', which is not one file beside it. Convert it to a volume in "
                "one file, such as .mha, .nrrd or .nii.gz."
            )


def _damaged(path: Path) -> InputError:
    return InputError(f"{path} is not a volume that SimpleITK can read, or is cut short. Copy or export it again.")
