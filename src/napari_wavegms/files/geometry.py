"""How a volume lies in the patient, and the slices that it is cut into: the same however its file stores them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_wavegms.errors import InputError
from napari_wavegms.files.spacing import Spacing
from napari_wavegms.wording import sides

Matrix = npt.NDArray[np.float64]

GEOMETRY_KEY = "wavegms_geometry"
"""Where a napari layer's metadata keeps the `Geometry` of its volume."""

LEFT_BACK_HEAD = np.diag([-1.0, -1.0, 1.0, 1.0])
"""To our right, front and head, from the left, back and head of ITK and DICOM; and back."""

# Where columns, rows and slices go, for slices along left-right, front-back and feet-head: as a radiologist sees them.
_VIEWS = ("PIL", "LIP", "LPS")
_AXIAL = 2
_AS_STORED = ""
_THICK = 1.999  # times the other two sides of a voxel, from which it was acquired in slices along its long side
_MOST_SHEAR = math.sin(math.radians(1.0))
_PLANES = {"S": "axial", "I": "axial", "P": "coronal", "A": "coronal", "L": "sagittal", "R": "sagittal"}
_DIRECTIONS = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}


@dataclass(frozen=True, slots=True, eq=False)
class Geometry:
    """Where the voxels of a volume lie, as its file stores them, and which slices they make; see `checked_geometry`.

    Slices are axial, unless voxels are at least twice as long along another axis as along both others, or there is one
    voxel only along it: then they are slices along that axis. Axial slices go from feet to head, their rows from front
    to back and their columns from the patient's right to left. Coronal slices go from front to back and sagittal ones
    from right to left, with rows from head to feet and columns from right to left or from front to back.

    Attributes
    ----------
    affine : ndarray of shape (4, 4)
        From stored indices (i, j, k) to the patient's right, front and head, in `unit`.
    shape : tuple of int
        As stored: (i, j), (i, j, k) or (i, j, k, time).
    view : str
        Where columns, rows and slices go, such as LPS: left, back (posterior), head (superior). Empty where the file
        does not say how it lies: then they are i, j and k.
    unit : str
        Of length.
    header : object
        nibabel's, of a NIfTI file.
    """

    affine: Matrix
    shape: tuple[int, ...]
    view: str
    unit: str = "mm"
    header: Any = None

    @property
    def spacing(self) -> Spacing:
        """The size of a voxel, (slice, row, column), or (row, column) of a plane."""
        # A float32 holds seven digits: 0.7 comes as 0.699999988.
        return Spacing(self._spatial(float(f"{size:.6g}") for size in _sizes(self.slice_affine)), self.unit)

    @property
    def origin(self) -> tuple[float, ...]:
        """Where the first voxel lies in the directions in which slices, rows and columns go."""
        if not self.view:
            return self._spatial((0.0, 0.0, 0.0))
        first = self.slice_affine[:3, 3]
        return self._spatial(float(first[axis] * sign) for axis, sign in map(_DIRECTIONS.__getitem__, self.view))

    @property
    def slice_affine(self) -> Matrix:
        """Like `affine`, from (column, row, slice) of our slices."""
        from nibabel.orientations import inv_ornt_aff

        return np.asarray(self.affine @ inv_ornt_aff(self._turn(), (*self.shape, 1)[:3]), np.float64)

    @property
    def slices_shape(self) -> tuple[int, ...]:
        """The shape of our slices."""
        order = np.argsort(self._turn()[:, 0])
        return (*self.shape[3:], *self._spatial((*self.shape, 1)[int(axis)] for axis in order))

    @property
    def metadata(self) -> dict[str, Any]:
        """What a layer of slices tells its writers: ours, and those that write its transpose with an affine."""
        return {
            GEOMETRY_KEY: self,
            "affine": self.slice_affine,
            "coordinate_system": "RAS+",
            "header": self.header,
        }

    def plane(self, axis: int) -> str:
        """What slices along an axis of `slices_shape` are called; empty where the file does not say how it lies."""
        place = axis - len(self.slices_shape)
        return _PLANES[self.view[::-1][place]] if self.view and place >= -len(self.view) else ""

    def slices(self, voxels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Stored voxels as ([time,] slice, row, column), or (row, column)."""
        from nibabel.orientations import apply_orientation

        turned = apply_orientation(voxels.reshape((*self.shape, 1)[: max(3, voxels.ndim)]), self._turn())
        return np.ascontiguousarray(turned.T).reshape(self.slices_shape)

    def stored(self, slices: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The inverse of `slices`; raises `InputError` for an array of another shape."""
        from nibabel.orientations import apply_orientation

        if slices.shape != self.slices_shape:
            raise InputError(
                f"The mask is {sides(slices.shape)}, but the volume that it is to lie on is "
                f"{sides(self.slices_shape)}. Save it as TIFF."
            )
        volume = slices if slices.ndim > 2 else slices[np.newaxis]
        return np.asarray(apply_orientation(volume.T, self._turn(back=True))).reshape(self.shape)

    def _spatial(self, values: Any) -> tuple[Any, ...]:
        """Of columns, rows and slices as (slice, row, column), or (row, column) of a plane."""
        return tuple(values)[::-1][-len(self.shape) :]

    def _turn(self, *, back: bool = False) -> Matrix:
        """Array of nibabel's: how stored axes become columns, rows and slices, or back."""
        from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform

        as_stored = np.array([[0, 1], [1, 1], [2, 1]])
        ends = (io_orientation(self.affine), axcodes2ornt(self.view)) if self.view else (as_stored, as_stored)
        return np.asarray(ornt_transform(*(ends[::-1] if back else ends)), np.float64)


def checked_geometry(
    path: Path, affine: Matrix, shape: tuple[int, ...], *, oriented: bool, unit: str = "mm", header: Any = None
) -> Geometry:
    """The geometry that a file declares; `oriented` is whether it says how it lies in the patient.

    Raises `InputError`, which names the file, for voxels without a size or without right angles, or one or more than
    four axes.
    """
    if not 2 <= len(shape) <= 4:
        raise InputError(f"{path} has {len(shape)} axes, but two to four can be read. Save one volume of it.")
    sizes = _sizes(affine)
    if not np.isfinite(affine).all() or not (sizes > 0).all():
        raise without_size(path, sizes, unit)
    directions = affine[:3, :3] / sizes
    shear = np.abs(directions.T @ directions - np.eye(3)).max()
    if shear > _MOST_SHEAR:
        tilt = math.degrees(math.asin(min(1.0, shear)))
        raise InputError(
            f"{path} has axes that are {tilt:.0f}° from right angles, as of a tilted gantry. Resample it to an upright "
            "grid first."
        )
    return Geometry(affine, shape, _view(affine, shape) if oriented else _AS_STORED, unit, header)


def without_size(path: Path, sizes: Iterable[float], unit: str = "mm") -> InputError:
    """What to say of a file whose voxels have no size."""
    declared = " x ".join(f"{size:g}" for size in sizes)
    return InputError(f"{path} says that a voxel is {declared} {unit} large. Give its header sizes above zero.")


def geometry_of_layer(metadata: Mapping[str, Any], shape: tuple[int, ...]) -> Geometry | None:
    """The geometry of a layer (slice, row, column), by its metadata: ours, or another reader's affine; or None."""
    found = metadata.get(GEOMETRY_KEY)
    if isinstance(found, Geometry):
        return found if found.slices_shape == shape else None
    affine = np.asarray(metadata.get("affine", ()))
    is_usual = affine.shape == (4, 4) and affine.dtype.kind in "fiu" and len(shape) == 3
    if not is_usual or str(metadata.get("coordinate_system") or "RAS+") != "RAS+":
        return None
    return Geometry(affine.astype(np.float64), shape[::-1], _AS_STORED)


def _view(affine: Matrix, shape: tuple[int, ...]) -> str:
    from nibabel.orientations import io_orientation

    axes, sizes = io_orientation(affine)[:, 0].astype(int), _sizes(affine)
    single = [2] if len(shape) == 2 else [axis for axis in range(3) if shape[axis] == 1]
    if len(single) == 1:
        return _VIEWS[axes[single[0]]]
    _, second, thickest = np.argsort(sizes)
    return _VIEWS[axes[thickest] if sizes[thickest] >= _THICK * sizes[second] else _AXIAL]


def _sizes(affine: Matrix) -> Matrix:
    return np.asarray(np.linalg.norm(affine[:3, :3], axis=0), np.float64)
