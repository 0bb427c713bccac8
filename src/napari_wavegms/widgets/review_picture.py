"""An image of a review as it was read, and what a model says of it: plain values that any thread may hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_wavegms.errors import InputError
from napari_wavegms.files.reading import read_image
from napari_wavegms.files.spacing import Spacing
from napari_wavegms.review.content import content_hash
from napari_wavegms.review.items import Item
from napari_wavegms.segment.stacks import Index, StackPlan, plan_stack
from napari_wavegms.widgets.mask_memory import PlaneKey, Probability, Written

if TYPE_CHECKING:
    from napari_wavegms.review.familiarity import Light


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """An image as it was read.

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
        plan = self.plan
        return [(index, plan.label_index(number)) for number, index in enumerate(plan.indices)]

    @property
    def bytes(self) -> int:
        """What it takes in memory, with a prediction."""
        return int(self.pixels.nbytes + 4 * np.prod(self.plan.labels_shape))


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """What a model says of an image.

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
    light : Light or None
        None where the segmenter is of a kind that knows no light.
    """

    key: str
    content: str
    model: str
    threshold: float
    planes: Mapping[PlaneKey, Probability]
    uncertainty: float
    score: float | None
    light: Light | None

    @property
    def written(self) -> dict[PlaneKey, Written]:
        """What is to be written into a mask."""
        return {key: Written(probability, self.threshold) for key, probability in self.planes.items()}


def read_picture(item: Item) -> Picture:
    """Read an item's file.

    Raises
    ------
    InputError
        If it has none, or one that cannot be read or segmented.
    """
    if item.path is None:
        raise InputError(f"{item.name} is no longer open. Open it again, and press Open layers.")
    loaded = read_image(item.path)
    rgb = loaded.axes.endswith("S")
    axes = loaded.axes.lower().removesuffix("s")
    return picture_of(item, loaded.pixels, rgb, tuple(axes), loaded.spacing, str(item.path))


def picture_of(
    item: Item,
    pixels: Any,
    rgb: bool,
    axes: Sequence[str] | None = None,
    spacing: Spacing | None = None,
    source: str = "",
) -> Picture:
    """Look at pixels that are in memory.

    Raises
    ------
    InputError
        If they are no image that can be segmented.
    """
    plan = plan_stack(pixels.shape, pixels.dtype, rgb, axes, every=True)
    return Picture(item.key, item.name, pixels, plan, spacing, content_hash(pixels), source)
