"""Which open mask belongs to which open image: by who made it, then by size where only one fits, never by name."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal

Why = Literal["made from it", "only one that fits"]


@dataclass(frozen=True, slots=True)
class ImageLayer:
    """An open image, described without napari.

    Attributes
    ----------
    layer_id : hashable
        napari's `unique_id`.
    name : str
        Only for the sentences.
    shape : tuple of int
        Of its places: an RGB image without its colours.
    scale : tuple of float
        World units per pixel along each of them; empty where it is not known.
    """

    layer_id: Hashable
    name: str
    shape: tuple[int, ...]
    scale: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class LabelsLayer:
    """An open mask, described without napari.

    Attributes
    ----------
    layer_id, name, shape, scale
        As in `ImageLayer`.
    made_from : hashable or None
        The `layer_id` of the image that Wave-GMS made the mask from; None for a mask that came from elsewhere.
    """

    layer_id: Hashable
    name: str
    shape: tuple[int, ...]
    scale: tuple[float, ...] = ()
    made_from: Hashable | None = None


@dataclass(frozen=True, slots=True)
class Proposal:
    """An image and the mask that seems to be its own; the user sees and can change it."""

    image_id: Hashable
    labels_id: Hashable
    why: Why


@dataclass(frozen=True, slots=True)
class Leftover:
    """A layer without a partner, and the sentence that says why."""

    layer_id: Hashable
    sentence: str


@dataclass(frozen=True, slots=True)
class Matching:
    """Proposals in the order of the images, and what is left."""

    proposals: tuple[Proposal, ...]
    leftovers: tuple[Leftover, ...]


def match_layers(images: Sequence[ImageLayer], masks: Sequence[LabelsLayer]) -> Matching:
    """Propose which masks belong to which images.

    A mask that Wave-GMS made belongs to its image. Any other belongs to an image if it is the only such mask of that
    image's size and place, and the image the only one of the mask's, those that are matched already included: a
    question is better than a wrong guess.

    Parameters
    ----------
    images, masks : sequence of ImageLayer, LabelsLayer
        In the order of the layer list, the topmost last.

    Returns
    -------
    Matching
        Each layer in one proposal or in one leftover.
    """
    made = _by_maker(images, masks)
    fitting = _by_size(images, masks, made)
    matched = made | fitting
    proposals = tuple(
        Proposal(
            image.layer_id, matched[image.layer_id], "made from it" if image.layer_id in made else "only one that fits"
        )
        for image in images
        if image.layer_id in matched
    )
    taken = set(matched.values())
    leftovers = [
        Leftover(image.layer_id, _why_image(image, masks)) for image in images if image.layer_id not in matched
    ]
    leftovers += [
        Leftover(mask.layer_id, _why_mask(mask, images, masks, made)) for mask in masks if mask.layer_id not in taken
    ]
    return Matching(proposals, tuple(leftovers))


def _by_maker(images: Sequence[ImageLayer], masks: Sequence[LabelsLayer]) -> dict[Hashable, Hashable]:
    """Image to mask; of several masks of an image, the topmost."""
    known = {image.layer_id for image in images}
    return {mask.made_from: mask.layer_id for mask in masks if mask.made_from is not None and mask.made_from in known}


def _by_size(
    images: Sequence[ImageLayer], masks: Sequence[LabelsLayer], made: dict[Hashable, Hashable]
) -> dict[Hashable, Hashable]:
    found = {}
    foreign = [mask for mask in masks if mask.made_from is None]
    for image in images:
        fitting = [mask for mask in foreign if _same_place(image, mask)]
        if image.layer_id in made or len(fitting) != 1:
            continue
        if sum(_same_place(other, fitting[0]) for other in images) == 1:
            found[image.layer_id] = fitting[0].layer_id
    return found


def _same_place(image: ImageLayer, mask: LabelsLayer) -> bool:
    if image.shape != mask.shape:
        return False
    if not image.scale or not mask.scale:
        return True
    return len(image.scale) == len(mask.scale) and all(
        math.isclose(a, b, rel_tol=1e-6) for a, b in zip(image.scale, mask.scale, strict=True)
    )


def _why_image(image: ImageLayer, masks: Sequence[LabelsLayer]) -> str:
    fitting = [mask.name for mask in masks if mask.made_from is None and _same_place(image, mask)]
    if not fitting:
        return f"{image.name} has no mask. Segment it, or draw one."
    if len(fitting) == 1:
        return f"{image.name}: the mask {fitting[0]} fits other images as well. Choose its mask."
    return f"{image.name}: {len(fitting)} open masks fit. Choose one."


def _why_mask(
    mask: LabelsLayer, images: Sequence[ImageLayer], masks: Sequence[LabelsLayer], made: dict[Hashable, Hashable]
) -> str:
    names = {image.layer_id: image.name for image in images} | {other.layer_id: other.name for other in masks}
    if mask.made_from in made:
        chosen = names[made[mask.made_from]]
        return f"{mask.name} was made from {names[mask.made_from]} like {chosen}, which lies above it and is proposed."
    if mask.made_from is not None:
        return f"{mask.name} was made from an image that is no longer open. Choose its image."
    fitting = sum(_same_place(image, mask) for image in images)
    if not fitting:
        return f"{mask.name} fits no open image: none has its size and scale. Open its image."
    if fitting == 1:
        return f"{mask.name}: its image has another mask that fits as well. Choose one of the two."
    return f"{mask.name}: {fitting} open images have its size. Choose its image."
