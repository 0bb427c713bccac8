"""The place of a layer in the world, carried from an image to the mask made from it.

Since napari 0.7 one layer without units makes every layer lose its units, and a mask without its image's transform
covers the wrong pixels; so all seven properties travel together, and with them what readers of volumes keep in the
metadata, such as the affine, for writers to use.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt
import pint
from napari.layers import Layer

from napari_wavegms.files.geometry import GEOMETRY_KEY
from napari_wavegms.files.napari_writers import DICOM_KEY

Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Placement:
    """Where the pixels of a layer of N dimensions lie in the world.

    Attributes
    ----------
    scale, translate : ndarray of shape (N,)
        World units per pixel, and the world position of pixel 0.
    rotate, shear : ndarray of shape (N, N)
        Matrices; `shear` is triangular with ones on its diagonal.
    affine : ndarray of shape (N + 1, N + 1)
        Applied after the four above.
    units : tuple
        One pint unit per axis.
    axis_labels : tuple of str, or None
        None where the layer has napari's own default labels, which are numbers that depend on N.
    metadata : dict
        The layer's, without what is ours but the geometry of a volume, and which DICOM image it is.
    """

    scale: Matrix
    translate: Matrix
    rotate: Matrix
    shear: Matrix
    affine: Matrix
    units: tuple[Any, ...]
    axis_labels: tuple[str, ...] | None
    metadata: dict[str, Any]

    @classmethod
    def of(cls, layer: Layer) -> Placement:
        """Read where a napari layer lies; colours are no dimension of it."""
        labels = tuple(layer.axis_labels)
        return cls(
            scale=np.array(layer.scale, float),
            translate=np.array(layer.translate, float),
            rotate=np.array(layer.rotate, float),
            shear=_shear_matrix(np.asarray(layer.shear, float), layer.ndim),
            affine=np.array(layer.affine, float),
            units=tuple(layer.units),
            axis_labels=None if labels == _default_labels(layer.ndim) else labels,
            metadata={key: value for key, value in layer.metadata.items() if not _is_ours(key)},
        )

    @classmethod
    def plain(cls, scale: Sequence[float], units: Sequence[str], metadata: dict[str, Any] | None = None) -> Placement:
        """The place of a new layer with this scale, these units and what is known of its volume."""
        count = len(scale)
        return cls(
            scale=np.array(scale, float),
            translate=np.zeros(count),
            rotate=np.eye(count),
            shear=np.eye(count),
            affine=np.eye(count + 1),
            units=tuple(pint.Unit(unit) for unit in units),
            axis_labels=None,
            metadata=metadata or {},
        )

    def move(self, layer: Layer) -> None:
        """Bring a layer of N dimensions here; what is right already is not set, for each setting redraws."""
        now = Placement.of(layer)
        for field in fields(self):
            wanted = getattr(self, field.name)
            # Metadata tells what the layer is, not where.
            if field.name != "metadata" and not np.array_equal(getattr(now, field.name), wanted):
                setattr(layer, field.name, wanted)

    def fits(self, layer: Layer, data: Any) -> bool:
        """Whether a layer could show other data here as if it were made for them."""
        same = (layer.data.ndim, layer.data.dtype) == (data.ndim, data.dtype)
        # Layers of one viewer whose units differ lose them all, were it only for a moment.
        return same and not layer.multiscale and tuple(layer.units) == self.units

    def refill(self, layer: Layer, data: Any, name: str) -> None:
        """Let a layer show other data here; what a person chose for it, such as the brush or the colours, stays.

        It is quicker than a new layer: to add one takes napari a tenth of a second, to remove one several.
        """
        layer.data = data
        layer.metadata = dict(self.metadata)
        self.move(layer)
        if not layer.visible:  # napari redraws at each setting
            layer.visible = True
        layer.name = name  # last, because it emits an event to everybody

    def without(self, axes: Collection[int]) -> Placement:
        """Drop axes, counted from 0, that a mask does not have, such as channels.

        Exact as long as they are not rotated or sheared into the others, as a channel axis cannot be.
        """
        kept = [axis for axis in range(len(self.scale)) if axis not in axes]
        square = np.ix_(kept, kept)
        homogeneous = [*kept, len(self.scale)]
        return Placement(
            scale=self.scale[kept],
            translate=self.translate[kept],
            rotate=self.rotate[square],
            shear=self.shear[square],
            affine=self.affine[np.ix_(homogeneous, homogeneous)],
            units=tuple(self.units[axis] for axis in kept),
            axis_labels=None if self.axis_labels is None else tuple(self.axis_labels[axis] for axis in kept),
            metadata=self.metadata,
        )

    def as_arguments(self) -> dict[str, Any]:
        """The keyword arguments with which a napari layer takes this place."""
        return {field.name: getattr(self, field.name) for field in fields(self)} | {"metadata": dict(self.metadata)}


def _is_ours(key: object) -> bool:
    return str(key).startswith("wavegms") and key not in (GEOMETRY_KEY, DICOM_KEY)


def _default_labels(ndim: int) -> tuple[str, ...]:
    return tuple(str(axis) for axis in range(-ndim, 0))


def _shear_matrix(shear: Matrix, ndim: int) -> Matrix:
    """Write napari's vector of upper-triangular values as the matrix it stands for."""
    if shear.ndim == 2:
        return shear.copy()
    matrix = np.eye(ndim)
    if shear.size == ndim * (ndim - 1) // 2:
        matrix[np.triu_indices(ndim, 1)] = shear
    return matrix
