"""Which open mask belongs to which open image: by who made it, then by size, and by name where sizes leave a choice."""

from __future__ import annotations

import math
import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

_MASK_WORD = re.compile(r"[ _-](mask|truth|segmentation|seg|labels?|annotation)( \[\d+\])?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ImageLayer:
    """An open image, described without napari."""

    layer_id: Hashable
    name: str
    shape: tuple[int, ...]  # without the colours of an RGB image
    scale: tuple[float, ...] = ()  # world units per pixel along each axis; empty where it is not known
    translate: tuple[float, ...] = ()  # world position of pixel 0, likewise


@dataclass(frozen=True, slots=True)
class LabelsLayer(ImageLayer):
    """An open mask, described without napari."""

    made_from: Hashable | None = None  # the image that Wave-GMS made the mask from; None for one from elsewhere


@dataclass(frozen=True, slots=True)
class Matching:
    """The mask proposed for each image, by id, and for each layer without a partner the sentence that says why."""

    proposals: dict[Hashable, Hashable]
    leftovers: dict[Hashable, str]


def match_layers(images: Sequence[ImageLayer], masks: Sequence[LabelsLayer]) -> Matching:
    """Propose which masks belong to which images.

    A mask that Wave-GMS made belongs to its image. Any other belongs to an image if it is the only such mask of that
    image's size and place, and the image the only one of the mask's, those that are matched already included: a
    question is better than a wrong guess. Where several fit, the only one that is called after the image, such as
    "scan mask" after "scan", is its mask. Layers come in the order of the layer list, the topmost last; each ends in
    one proposal or one leftover.
    """
    known = {image.layer_id for image in images}
    # Of several masks of an image, the topmost.
    made = {mask.made_from: mask.layer_id for mask in masks if mask.made_from is not None and mask.made_from in known}
    found = made | _by_size(images, masks, made)
    proposals = {image.layer_id: found[image.layer_id] for image in images if image.layer_id in found}
    taken = set(proposals.values())
    leftovers = {image.layer_id: _why_image(image, masks) for image in images if image.layer_id not in proposals}
    leftovers |= {mask.layer_id: _why_mask(mask, images, masks, made) for mask in masks if mask.layer_id not in taken}
    return Matching(proposals, leftovers)


def _by_size(
    images: Sequence[ImageLayer], masks: Sequence[LabelsLayer], made: dict[Hashable, Hashable]
) -> dict[Hashable, Hashable]:
    found = {}
    for image in images:
        fitting = _fitting(image, masks)
        named = [mask for mask in fitting if _is_named_after(image, mask)]
        for belongs, chosen in ((_same_place, fitting), (_is_named_after, named)):
            if image.layer_id not in made and len(chosen) == 1:
                rivals = [other for other in images if _same_place(other, chosen[0]) and belongs(other, chosen[0])]
                if len(rivals) == 1:
                    found[image.layer_id] = chosen[0].layer_id
    return found


def _is_named_after(image: ImageLayer, mask: LabelsLayer) -> bool:
    """Whether a mask has its image's name and a word for what it is; napari counts layers of one name in brackets."""
    rest = mask.name.removeprefix(image.name)
    return rest != mask.name and _MASK_WORD.fullmatch(rest) is not None


def _fitting(image: ImageLayer, masks: Sequence[LabelsLayer]) -> list[LabelsLayer]:
    return [mask for mask in masks if mask.made_from is None and _same_place(image, mask)]


def _same_place(image: ImageLayer, mask: LabelsLayer) -> bool:
    if image.shape != mask.shape:
        return False
    if not image.scale or not mask.scale:
        return True
    if len(image.scale) != len(mask.scale):
        return False
    same_scale = all(math.isclose(a, b, rel_tol=1e-6) for a, b in zip(image.scale, mask.scale, strict=True))
    # Half a pixel apart is how programs differ on where a pixel begins; more is another part of the slide.
    shifts = zip(image.translate, mask.translate, image.scale, strict=False)
    return same_scale and all(abs(a - b) <= 0.51 * abs(size) for a, b, size in shifts)


def _why_image(image: ImageLayer, masks: Sequence[LabelsLayer]) -> str:
    fitting = _fitting(image, masks)
    if not fitting:
        return f"{image.name} has no mask. Segment it, or draw one."
    if len(fitting) == 1:
        return f"{image.name}: the mask {fitting[0].name} fits other images too. Choose its mask."
    return f"{image.name}: {len(fitting)} open masks fit. Choose one."


def _why_mask(
    mask: LabelsLayer, images: Sequence[ImageLayer], masks: Sequence[LabelsLayer], made: dict[Hashable, Hashable]
) -> str:
    names = {layer.layer_id: layer.name for layer in (*images, *masks)}
    if mask.made_from in made:
        chosen = names[made[mask.made_from]]
        return f"{mask.name} was made from {names[mask.made_from]}, like {chosen}, which is above it and is proposed."
    if mask.made_from is not None:
        return f"{mask.name} was made from an image that is no longer open. Choose its image."
    fitting = sum(_same_place(image, mask) for image in images)
    if not fitting:
        return f"{mask.name} fits no open image: none has its size, scale and position. Open its image."
    if fitting == 1:
        return f"{mask.name}: another mask fits its image too. Choose one of the two."
    return f"{mask.name}: {fitting} open images have its size. Choose its image."
