"""The layers that we make for an image: masks, the plane of them on screen, and overlays, which only show something."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from typing import Any
from weakref import finalize

import numpy as np
import numpy.typing as npt
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer

from napari_wavegms.files.napari_writers import PROVENANCE_KEY
from napari_wavegms.segment.merging import Overwrite
from napari_wavegms.segment.planes import StackPlan
from napari_wavegms.widgets.layers.classes import label_colormap, our_colors
from napari_wavegms.widgets.layers.image_info import ChannelChoice
from napari_wavegms.widgets.layers.mask_history import (
    MaskMemory,
    PlaneKey,
    Written,
    memory_of,
    read_plane,
    remember_mask,
    selection,
)
from napari_wavegms.widgets.layers.placement import Placement
from napari_wavegms.widgets.layers.undoable import write_planes
from napari_wavegms.widgets.layers.viewer import remove_layers

SHOWN_BY_US = "wavegms_held_out"
"""Key in the metadata of layers that we show for comparison; they are no images or masks of the user's."""

NO_MASK = "No mask is selected. Select a Labels layer, or press Segment to make one."
NOT_FLAT = "This works in the 2-D view only. Press Ctrl+Y to leave the 3-D view."


def layer_by_id(viewer: ViewerModel, layer_id: Hashable | None) -> Any:
    """Find a layer by napari's id; None where it is not, or no longer, in the viewer."""
    return next((layer for layer in viewer.layers if layer.unique_id == layer_id), None)


def open_images(viewer: ViewerModel) -> list[Image]:
    """The image layers that may be segmented, topmost first."""
    return [layer for layer in reversed(viewer.layers) if isinstance(layer, Image) and not is_overlay(layer)]


# Masks


def masks_of(viewer: ViewerModel, image_id: Hashable | None) -> Iterator[tuple[Labels, MaskMemory]]:
    """Yield the masks in the viewer that we made for an image, the newest first."""
    for layer in reversed(viewer.layers):
        memory = memory_of(layer) if isinstance(layer, Labels) else None
        if memory is not None and memory.image_id == image_id:
            yield layer, memory


def mask_for(viewer: ViewerModel, image_id: Hashable | None, plan: StackPlan) -> Labels | None:
    """Find the mask that a run with this plan would update; None if it would make a new one."""
    channel = ChannelChoice.of(plan)
    for layer, memory in masks_of(viewer, image_id):
        if layer.data.shape == plan.labels_shape and memory.channel == channel:
            return layer
    return None


def mask_place(image: Image, plan: StackPlan) -> Placement:
    """Where the mask of an image lies in the world."""
    return Placement.of(image).without([axis for axis in range(image.ndim) if axis not in plan.kept_axes])


def channel_of(mask: Labels) -> ChannelChoice | None:
    """The channel of its image that a mask belongs to, as we remember it or as its file says; None where none does."""
    memory = memory_of(mask)
    if memory is not None:
        return memory.channel
    kept = mask.metadata.get(PROVENANCE_KEY)
    axis, channel = (kept.get(name) for name in ("channel_axis", "channel")) if isinstance(kept, dict) else (None, None)
    return ChannelChoice(axis, channel) if isinstance(axis, int) and isinstance(channel, int) else None


def mask_name(image: Image, channel: ChannelChoice | None) -> str:
    """What the mask of an image, or of one of its channels, is called."""
    return f"{image.name} mask" if channel is None else f"{image.name} channel {channel.channel + 1} mask"


# How a new mask looks: as a person last made another one look in this session.
_LOOK: dict[str, Any] = {"opacity": 0.4, "contour": 0}


def new_mask(data: npt.NDArray[Any], name: str, place: Placement, memory: MaskMemory) -> Labels:
    """Make a mask layer of ours, which is in no viewer yet."""
    layer = Labels(data, name=name, opacity=_LOOK["opacity"], **place.as_arguments())
    layer.contour = _LOOK["contour"]
    layer.colormap = label_colormap(our_colors(layer.colormap.colors))
    layer.events.opacity.connect(_remember_look)
    layer.events.contour.connect(_remember_look)
    remember_mask(layer, memory)  # before anybody hears of it
    return layer


def chosen_opacity() -> float:
    """The opacity of masks that a person chose last."""
    return float(_LOOK["opacity"])


def _remember_look(event: Any) -> None:
    if event.source.editable:  # a locked mask is paler, which nobody chose
        _LOOK.update(opacity=event.source.opacity, contour=event.source.contour)


def toggle_mask(viewer: ViewerModel) -> None:
    """Show or hide the selected mask, or that of the selected image, or else the newest one."""
    ours = (layer for layer in reversed(viewer.layers) if isinstance(layer, Labels) and memory_of(layer) is not None)
    mask = active_mask(viewer) or next(ours, None)
    if mask is not None:
        mask.visible = not mask.visible


def add_mask(
    viewer: ViewerModel, image: Image, plan: StackPlan, model: str, planes: Mapping[PlaneKey, Written]
) -> Labels:
    """Make a mask layer at the image's place in the world, with its first planes written."""
    data = np.zeros(plan.labels_shape, np.uint8)  # untouched pages of a large stack take no memory
    memory = MaskMemory(image.unique_id, model, ChannelChoice.of(plan))
    for key, written in planes.items():
        mask = written.mask()
        data[selection(key)] = mask
        memory.plane(key).note(written, np.zeros_like(mask), mask)
    layer = new_mask(data, mask_name(image, memory.channel), mask_place(image, plan), memory)
    viewer.add_layer(layer)
    return layer


def fill_plane(viewer: ViewerModel, layer: Labels, key: PlaneKey, written: Written) -> None:
    """Write one more plane into a mask that this very run has made; what a person drew there meanwhile stays.

    An empty plane takes no undo step, for there is nothing to go back to.
    """
    memory = memory_of(layer)
    if memory is None:
        return
    before = np.array(read_plane(layer, key))
    after = memory.plane(key).merged(before, written)
    memory.plane(key).note(written, before, after)
    if before.any():
        write_planes(layer, {key: after})
    else:
        layer.data[selection(key)] = after
        if viewer.dims.ndisplay == 3 or shown_key(viewer, layer, memory) == key:
            layer.refresh()


def update_mask(layer: Labels, model: str, planes: Mapping[PlaneKey, Written], how: Overwrite) -> int:
    """Write a run's results into a mask that an earlier run made, as one undo step; return the edited pixels kept."""
    memory = memory_of(layer)
    if memory is None:
        return 0
    memory.model = model
    kept = memory.edited_pixels(layer.data, planes) if how == "keep mine" else 0
    befores = {key: np.array(read_plane(layer, key)) for key in planes}
    afters = {key: memory.plane(key).merged(befores[key], planes[key], how) for key in planes}
    write_planes(layer, afters)
    for key, written in planes.items():
        memory.plane(key).note(written, befores[key], afters[key])
    return kept


def hand_to_painter(viewer: ViewerModel, layer: Labels) -> None:
    """Select a mask with the brush in hand and label 1 active: what comes next is painting."""
    if not layer.visible:  # napari draws all anew at each setting
        layer.visible = True
    layer.selected_label = 1
    viewer.layers.selection.active = layer
    layer.mode = "paint"


def active_mask(viewer: ViewerModel) -> Labels | None:
    """Find the selected Labels layer, or the newest mask that we made for the selected image."""
    active = viewer.layers.selection.active
    if isinstance(active, Labels):
        return active
    if isinstance(active, Image):
        return next((layer for layer, _ in masks_of(viewer, active.unique_id)), None)
    return None


def why_not_write(viewer: ViewerModel, mask: Labels | None) -> str:
    """Say why a plane of a mask cannot be written to; empty where it can."""
    if mask is None:
        return NO_MASK
    if mask.multiscale or not mask.editable:
        return f"{mask.name} is locked or has several resolutions, so it cannot be changed. Select another mask."
    if viewer.dims.ndisplay != 2:
        return NOT_FLAT
    return ""


# The plane on screen


def shown_key(viewer: ViewerModel, layer: Labels, memory: MaskMemory) -> PlaneKey | None:
    """Find which of the planes that we wrote the viewer shows; None where it is none of them."""
    place = _place(viewer, layer)
    for key in memory.planes:
        if all(at is None or at == here for at, here in zip(key, place, strict=True)):
            return key
    return None


def plane_on_screen(viewer: ViewerModel, mask: Labels) -> PlaneKey:
    """Make the key of the plane that a flat view shows, whichever way the axes are turned."""
    missing = viewer.dims.ndim - mask.ndim  # a viewer with deeper layers has more axes in front
    shown = {axis - missing for axis in viewer.dims.displayed}
    return tuple(None if axis in shown else at for axis, at in enumerate(_place(viewer, mask)))


def go_to(viewer: ViewerModel, mask: Labels, key: PlaneKey) -> None:
    """Move the sliders to a plane of a mask."""
    missing = viewer.dims.ndim - mask.ndim
    world = mask.data_to_world([0 if at is None else at for at in key])
    for axis, at in enumerate(key):
        if at is not None:
            viewer.dims.set_point(axis + missing, world[axis])


def _place(viewer: ViewerModel, layer: Labels) -> list[int]:
    """Find the pixel under the viewer's sliders, which may stand beside the layer."""
    point = layer.world_to_data(np.asarray(viewer.dims.point, float)[-layer.ndim :])
    pixel = np.clip(np.rint(np.nan_to_num(point)), 0, np.asarray(layer.data.shape) - 1)
    return [int(at) for at in pixel]


# Overlays


# Ids of the layers of ours that only show something, each with its mask's id where it shows a mask's probability.
_OVERLAYS: dict[Hashable, Hashable | None] = {}


def add_overlay(
    viewer: ViewerModel, mask: Labels, what: str, data: npt.NDArray[Any], mask_id: Hashable | None = None, **look: Any
) -> Image:
    """Add an image layer that only shows something at a mask's place; the active layer stays active.

    It is named after the image: "scan mask" gives "scan probability".
    """
    name = f"{str(mask.name).removesuffix(' mask')} {what}"
    layer = Image(data, rgb=False, name=name, **look, **Placement.of(mask).as_arguments())
    _OVERLAYS[layer.unique_id] = mask_id  # before anybody hears of it
    finalize(layer, _OVERLAYS.pop, layer.unique_id, None)
    active = viewer.layers.selection.active
    viewer.add_layer(layer)
    viewer.layers.selection.active = active
    return layer


def is_overlay(layer: Layer) -> bool:
    """Whether a layer only shows something of ours; it is then no image to segment."""
    return layer.unique_id in _OVERLAYS or SHOWN_BY_US in layer.metadata


def has_probability(viewer: ViewerModel, mask: Labels) -> bool:
    """Whether the mask's probability is shown as a layer."""
    return _probability_of(viewer, mask) is not None


def show_probability(viewer: ViewerModel, mask: Labels, wanted: bool = True) -> None:
    """Show the probability behind a mask as a layer, up to date, or remove the layer."""
    layer, memory = _probability_of(viewer, mask), memory_of(mask)
    if not wanted:
        remove_layers(viewer, layer)
    if memory is None or not wanted:
        return
    data = np.zeros(mask.data.shape, np.float32)
    for key, plane in memory.planes.items():
        ours = plane.ours(read_plane(mask, key))
        if ours is not None:
            data[selection(key)] = ours.probability
    if layer is not None:
        layer.data = data  # an image layer has no undo history to upset
        return
    look = {"contrast_limits": (0, 1), "colormap": "magma", "blending": "additive", "opacity": 0.6}
    add_overlay(viewer, mask, "probability", data, mask.unique_id, **look)


def _probability_of(viewer: ViewerModel, mask: Labels) -> Image | None:
    return next((layer for layer in viewer.layers if _OVERLAYS.get(layer.unique_id) == mask.unique_id), None)
