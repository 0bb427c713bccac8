"""The layers of an image of a review: they come when it is shown, and the next image takes them over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pint

from napari_wavegms.files.spacing import PIXEL
from napari_wavegms.widgets.layers.layer_reuse import fits, has_begun_shape, reuse
from napari_wavegms.widgets.layers.mask_history import MaskMemory, remember_mask
from napari_wavegms.widgets.layers.mask_layers import hand_to_painter, layer_by_id
from napari_wavegms.widgets.layers.placement import Placement
from napari_wavegms.widgets.layers.stroke_guard import DragWatch
from napari_wavegms.widgets.review.image import OPACITY, ReviewImage, Shown

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Labels, Layer


@dataclass(frozen=True, slots=True, eq=False)
class Spare:
    """The layers of the image before; `image` is None where that was the user's own, or somebody removed it."""

    image: Image | None
    mask: Labels | None

    def hide(self) -> None:
        """Take them out of sight, and out of reach of the brush."""
        for layer in (self.image, self.mask):
            if layer is not None:
                layer.visible = False
        if self.mask is not None:
            self.mask.editable = False


def show_picture(
    viewer: ViewerModel,
    picture: ReviewImage,
    mask: Any = None,
    guest: Image | None = None,
    spare: Spare | None = None,
) -> Shown:
    """Put an image and its mask into the viewer.

    Parameters
    ----------
    viewer : ViewerModel
    picture : ReviewImage
    mask : ndarray, optional
        What a person had drawn before; an empty mask otherwise.
    guest : napari.layers.Image, optional
        The layer that shows the image already.
    spare : Spare, optional
        The layers of the image before, which are taken over where they fit and removed where not.
    """
    spare = _there(viewer, spare)
    image = guest if guest is not None else _image_taken_over(spare.image, picture)
    if image is None or spare.image is not image:
        remove_layer(viewer, spare.image)
    if image is None:
        image = _add_image(viewer, picture)
    dropped = [axis for axis in range(image.ndim) if axis not in picture.plan.kept_axes]
    place = Placement.of(image).without(dropped)
    data = np.zeros(picture.plan.labels_shape, np.uint8) if mask is None else mask
    memory = MaskMemory(image.unique_id, "")
    layer = _mask_taken_over(viewer, spare.mask, image, data, f"{picture.name} mask", place, memory)
    if layer is None:
        remove_layer(viewer, spare.mask)
        layer = viewer.add_labels(data, name=f"{picture.name} mask", opacity=OPACITY, **place.as_arguments())
        remember_mask(layer, memory)
    viewer.reset_view()
    return Shown(picture, image, layer, memory, DragWatch(layer), is_guest=guest is not None, kept=mask is not None)


def put_away(viewer: ViewerModel, shown: Shown) -> Spare:
    """Let go of an image; gives its layers, to be taken over, hidden or removed. The user's own image stays."""
    shown.drag.close()
    remove_layer(viewer, shown.beside)
    image, mask = None if shown.is_guest else shown.image, shown.mask
    if shown.drag.dragging or has_begun_shape(mask):  # what follows of it belongs to no other image
        remove_layer(viewer, mask)
    return _there(viewer, Spare(image, mask))


def remove_spare(viewer: ViewerModel, spare: Spare | None) -> None:
    """Remove layers that no image takes over."""
    if spare is not None:
        remove_layer(viewer, spare.mask)
        remove_layer(viewer, spare.image)


def remove_layer(viewer: ViewerModel, layer: Layer | None) -> None:
    """Remove a layer if it is there."""
    if layer is not None and layer_by_id(viewer, layer.unique_id) is not None:
        viewer.layers.remove(layer)


def hand_over(viewer: ViewerModel, shown: Shown) -> None:
    """Give the brush for a mask that may be painted; select one that is locked."""
    if shown.approved:
        viewer.layers.selection.active = shown.mask
        shown.mask.mode = "pan_zoom"
    else:
        hand_to_painter(viewer, shown.mask)


def _there(viewer: ViewerModel, spare: Spare | None) -> Spare:
    """Leave out what somebody has removed."""
    ids = {layer.unique_id for layer in viewer.layers}
    layers = (None, None) if spare is None else (spare.image, spare.mask)
    return Spare(*(layer if layer is not None and layer.unique_id in ids else None for layer in layers))


def _image_taken_over(layer: Image | None, picture: ReviewImage) -> Image | None:
    place = _placement(picture)
    if layer is None or place is None or bool(layer.rgb) != picture.plan.rgb or not fits(layer, picture.pixels, place):
        return None
    if not reuse(layer, picture.pixels, picture.name, place):
        return None
    if not picture.plan.rgb:
        layer.reset_contrast_limits_range()
        layer.reset_contrast_limits()
    return layer


def _mask_taken_over(
    viewer: ViewerModel,
    layer: Labels | None,
    image: Image,
    data: Any,
    name: str,
    place: Placement,
    memory: MaskMemory,
) -> Labels | None:
    if layer is None or not fits(layer, data, place):
        return None
    order = [each.unique_id for each in viewer.layers]
    if order.index(layer.unique_id) < order.index(image.unique_id):  # the image would cover it
        return None
    if not reuse(layer, data, name, place, memory):
        return None
    if layer.opacity != OPACITY:
        layer.opacity = OPACITY
    return layer


def _add_image(viewer: ViewerModel, picture: ReviewImage) -> Image:
    scale, units = _place(picture)
    common: dict[str, Any] = {"rgb": picture.plan.rgb, "name": picture.name, "scale": scale}
    if _placement(picture) is not None:
        common["units"] = units
    return viewer.add_image(picture.pixels, **common)


def _placement(picture: ReviewImage) -> Placement | None:
    """Where an image lies; None for a unit that napari does not know."""
    try:
        return Placement.plain(*_place(picture))
    except (pint.UndefinedUnitError, ValueError):
        return None


def _place(picture: ReviewImage) -> tuple[Sequence[float], Sequence[str]]:
    """Scale and units of the axes."""
    dimensions = len(picture.plan.shape) - picture.plan.rgb
    spacing = picture.spacing
    known = len(spacing.size) if spacing is not None and len(spacing.size) <= dimensions else 0
    if spacing is None or not known:
        return (1.0,) * dimensions, (PIXEL,) * dimensions
    bare = dimensions - known
    return (1.0,) * bare + tuple(spacing.size), (PIXEL,) * bare + (spacing.unit,) * known
