"""An image of the list as it was read, and what a model predicts for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_wavegms.errors import InputError
from napari_wavegms.files.reading import read_image
from napari_wavegms.files.spacing import Spacing
from napari_wavegms.segment.planes import Index, StackPlan, plan_stack
from napari_wavegms.storage.content_hash import content_hash
from napari_wavegms.widgets.layers.mask_history import PlaneKey, Probability, Written
from napari_wavegms.worklist.item import Item

if TYPE_CHECKING:
    from napari_wavegms.segment.ood import OODLevel


@dataclass(frozen=True, slots=True, eq=False)
class Pixels:
    """Pixels with what is known about their axes.

    Attributes
    ----------
    data : array-like of shape (..., H, W) or (..., H, W, 3 or 4)
    rgb : bool
    axes : tuple of str
        Labels of the axes that are not colour.
    spacing : Spacing or None
    source : str
        Their file, if any.
    """

    data: Any
    rgb: bool
    axes: tuple[str, ...]
    spacing: Spacing | None
    source: str


@dataclass(frozen=True, slots=True, eq=False)
class LoadedImage:
    """An image in memory.

    Attributes
    ----------
    key, name : str
        Of its item.
    pixels : ndarray
    plan : StackPlan
        All of its planes.
    spacing : Spacing or None
    content : str
        Content hash of the pixels.
    source : str
        Its file, if any.
    """

    key: str
    name: str
    pixels: Any
    plan: StackPlan
    spacing: Spacing | None
    content: str
    source: str = ""

    @property
    def planes(self) -> list[tuple[Index, Index]]:
        """Where each plane lies in the pixels and in the mask."""
        return [(index, self.plan.label_index(number)) for number, index in enumerate(self.plan.indices)]

    @property
    def bytes(self) -> int:
        """Memory it takes together with a prediction."""
        return int(self.pixels.nbytes + 4 * np.prod(self.plan.labels_shape))


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """What a model predicts for an image.

    Attributes
    ----------
    key, content : str
        Of the image.
    model : str
        The model's name.
    threshold : float
    planes : mapping of PlaneKey to ndarray of shape (H, W)
        Probabilities.
    uncertainty : float
    score : float or None
        Mean probability inside the mask; None for an empty one.
    light : OODLevel or None
        None where the model cannot tell how far the image is from its training images.
    """

    key: str
    content: str
    model: str
    threshold: float
    planes: Mapping[PlaneKey, Probability]
    uncertainty: float
    score: float | None
    light: OODLevel | None

    @property
    def written(self) -> dict[PlaneKey, Written]:
        """The planes to write into a mask."""
        return {key: Written(probability, self.threshold) for key, probability in self.planes.items()}


def load_image(item: Item, pixels: Pixels | None = None) -> LoadedImage:
    """Read an item's file, unless its pixels are in memory already."""
    pixels = _read(item) if pixels is None else pixels
    data = np.asarray(pixels.data)
    plan = plan_stack(data.shape, data.dtype, pixels.rgb, pixels.axes, every=True)
    return LoadedImage(item.key, item.name, data, plan, pixels.spacing, content_hash(data), pixels.source)


def _read(item: Item) -> Pixels:
    if item.path is None:
        raise InputError(f"{item.name} is no longer open. Open it again, then press Layers.")
    image = read_image(item.path)
    axes = tuple(image.axes.lower().removesuffix("s"))
    return Pixels(image.pixels, image.axes.endswith("S"), axes, image.spacing, str(item.path))
