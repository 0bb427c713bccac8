"""Which open mask belongs to which open image: by who made it, then by size, and by name where sizes leave a choice."""

from __future__ import annotations

import math
import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_wavegms.widgets.layers.mask_history import memory_of
from napari_wavegms.wording import sides

if TYPE_CHECKING:
    from napari.layers import Image, Labels

_MASK_WORD = re.compile(
    r"[ _-](masks?|truth|ground[ _-]?truth|gt|segmentations?|seg|labels?|annotations?)([ _-]?\(?\d+\)?)?", re.IGNORECASE
)
_COUNTED = re.compile(r" \[\d+\]$")  # napari's number of a layer whose name was taken


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
    """The mask proposed for each image, by id, and for each layer without a partner the sentence that says why.

    Of the images without a partner, `undecided` are those that masks would fit.
    """

    proposals: dict[Hashable, Hashable]
    leftovers: dict[Hashable, str]
    undecided: frozenset[Hashable] = frozenset()


def match_layers(images: Sequence[ImageLayer], masks: Sequence[LabelsLayer]) -> Matching:
    """Propose which masks belong to which images.

    A mask that Wave-GMS made belongs to its image. Any other belongs to an image if it is the only such mask of that
    image's size and place, and the image the only one of the mask's, those that are matched already included: a
    question is better than a wrong guess. Where several fit, the topmost that is called after the image, such as
    "scan mask" after "scan", is its mask, if it is called after no other. Layers come in the order of the layer list,
    the topmost last; each ends in one proposal or one leftover.
    """
    known = {image.layer_id for image in images}
    # Of several masks of an image, the topmost.
    made = {mask.made_from: mask.layer_id for mask in masks if mask.made_from is not None and mask.made_from in known}
    found = made | _by_size(images, masks, made)
    proposals = {image.layer_id: found[image.layer_id] for image in images if image.layer_id in found}
    taken = set(proposals.values())
    leftovers = {image.layer_id: _why_image(image, masks) for image in images if image.layer_id not in proposals}
    leftovers |= {mask.layer_id: _why_mask(mask, images, masks, found) for mask in masks if mask.layer_id not in taken}
    open_questions = (image for image in images if image.layer_id not in proposals and _fitting(image, masks))
    return Matching(proposals, leftovers, frozenset(image.layer_id for image in open_questions))


def _by_size(
    images: Sequence[ImageLayer], masks: Sequence[LabelsLayer], made: dict[Hashable, Hashable]
) -> dict[Hashable, Hashable]:
    found = {}
    for image in images:
        fitting = _fitting(image, masks)
        for belongs in (_same_place, _is_exactly_named_after, _is_named_after):
            chosen = [mask for mask in fitting if belongs(image, mask)]
            is_choice = image.layer_id in made or not chosen or (belongs is _same_place and len(chosen) > 1)
            if not is_choice and [o for o in images if _same_place(o, chosen[-1]) and belongs(o, chosen[-1])] == [
                image
            ]:
                found[image.layer_id] = chosen[-1].layer_id
                break
    return found


def _is_named_after(image: ImageLayer, mask: LabelsLayer) -> bool:
    """Whether a mask has its image's name and a word for what it is."""
    name = _COUNTED.sub("", image.name)
    return mask.name.startswith(name) and _MASK_WORD.fullmatch(_COUNTED.sub("", mask.name)[len(name) :]) is not None


def _is_exactly_named_after(image: ImageLayer, mask: LabelsLayer) -> bool:
    """The same, and of several images and masks of one name both are the same one: "scan [1]", "scan mask [1]"."""
    return _COUNTED.findall(image.name) == _COUNTED.findall(mask.name) and _is_named_after(image, mask)


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
    if len(fitting) == 1:
        return f"{image.name}: the mask {fitting[0].name} fits other images too. Choose its mask."
    if fitting:
        return f"{image.name}: {len(fitting)} open masks fit. Choose one."
    other = next((mask for mask in reversed(masks) if mask.made_from is None and _is_named_after(image, mask)), None)
    if other is None:
        return f"{image.name} has no mask. Segment it, or draw one."
    if other.shape == image.shape:
        return f"{image.name} and {other.name} differ in scale or position. Choose another mask, or align the two."
    sizes = f"{image.name} is {sides(image.shape)} pixels and {other.name} {sides(other.shape)}"
    return f"{sizes}. Choose another mask, or resize this one to its image."


def _why_mask(
    mask: LabelsLayer, images: Sequence[ImageLayer], masks: Sequence[LabelsLayer], found: dict[Hashable, Hashable]
) -> str:
    names = {layer.layer_id: layer.name for layer in (*images, *masks)}
    if mask.made_from in found:
        chosen = names[found[mask.made_from]]
        return f"{mask.name} was made from {names[mask.made_from]}, like {chosen}, which is above it and is proposed."
    if mask.made_from is not None:
        return f"{mask.name} was made from an image that is no longer open. Choose its image."
    fitting = [image for image in images if _same_place(image, mask)]
    if not fitting:
        return f"{mask.name} fits no open image: none has its size, scale and position. Open its image."
    if len(fitting) > 1:
        return f"{mask.name}: {len(fitting)} open images have its size. Choose its image."
    if fitting[0].layer_id in found:
        chosen = names[found[fitting[0].layer_id]]
        return f"{mask.name} fits {fitting[0].name}, like {chosen}, which is proposed. Choose one of the two."
    return f"{mask.name}: another mask fits its image too. Choose one of the two."


def match_open_layers(images: Sequence[Image], masks: Sequence[Labels]) -> Matching:
    """Propose which of napari's Labels layers belong to which images; by `unique_id`."""
    return match_layers([_image_of(image) for image in images], [_mask_of(mask) for mask in masks])


def _image_of(image: Image) -> ImageLayer:
    pixels = image.data[0] if image.multiscale else image.data
    shape = tuple(int(side) for side in pixels.shape)
    lengths, place = shape[:-1] if image.rgb else shape, (tuple(image.scale), tuple(image.translate))
    return ImageLayer(image.unique_id, str(image.name), lengths, *place)


def _mask_of(mask: Labels) -> LabelsLayer:
    memory = memory_of(mask)
    shape, place = tuple(int(side) for side in mask.data.shape), (tuple(mask.scale), tuple(mask.translate))
    return LabelsLayer(mask.unique_id, str(mask.name), shape, *place, None if memory is None else memory.image_id)
