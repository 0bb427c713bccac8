"""The pair of layers, image and mask, that shows one image of a review after another."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pint
from napari.layers import Labels

from napari_wavegms.files.napari_writers import layer_metadata
from napari_wavegms.files.spacing import PIXEL
from napari_wavegms.journal.records import EditTarget
from napari_wavegms.segment.merging import Overwrite
from napari_wavegms.widgets.layers.image_info import ChannelChoice
from napari_wavegms.widgets.layers.mask_history import (
    MaskMemory,
    PlaneKey,
    memory_of,
    plane_key,
    remember_mask,
    selection,
)
from napari_wavegms.widgets.layers.mask_layers import (
    chosen_opacity,
    hand_to_painter,
    mask_place,
    new_mask,
    update_mask,
)
from napari_wavegms.widgets.layers.placement import Placement
from napari_wavegms.widgets.layers.stroke_guard import DragWatch
from napari_wavegms.widgets.layers.undoable import write_planes
from napari_wavegms.widgets.review.prefetch import LoadedImage, Prediction
from napari_wavegms.worklist.item import State

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Layer

_LOCKED = 0.6  # of the opacity that a mask has otherwise


@dataclass(slots=True, eq=False)
class Shown:
    """The image on screen, and the state of its mask.

    Attributes
    ----------
    loaded : LoadedImage
    image : napari.layers.Image
    mask : napari.layers.Labels
    memory : MaskMemory
    drag : DragWatch
        Of the mask.
    approved : bool
    kept : bool
        The mask is one that a person had worked on before.
    edit : int or None
        Number of the last edit since it was opened, for the journal.
    state : State
        The one that was noted last.
    seconds, worked, noted : float
        Time worked on it before, until now, and as it was noted last.
    is_own : bool
        The mask is a layer of the user's.
    is_predicted : bool
        A prediction has come since it was opened.
    beside : napari.layers.Labels or None
        A mask to compare with.
    """

    loaded: LoadedImage
    image: Image
    mask: Labels
    memory: MaskMemory
    drag: DragWatch
    approved: bool = False
    kept: bool = False
    edit: int | None = None
    state: State = "todo"
    seconds: float = 0.0
    worked: float = 0.0
    noted: float = 0.0
    is_own: bool = False
    is_predicted: bool = False
    beside: Labels | None = None

    @property
    def key(self) -> str:
        """Of its item."""
        return self.loaded.key

    @property
    def content(self) -> str:
        """Content hash of the image."""
        return self.loaded.content

    @property
    def target(self) -> EditTarget:
        """What the journal records of it."""
        loaded, mask = self.loaded, self.mask
        shape = tuple(mask.data.shape)
        return EditTarget(loaded.content, loaded.name, shape, loaded.source, str(mask.unique_id))

    @property
    def is_untouched(self) -> bool:
        """Whether nobody has drawn: what the model writes then is where the edits begin."""
        worked_on = self.kept or self.approved or self.edit
        return not worked_on and not self.memory.edited_pixels(self.mask.data, self._keys)

    def write(self, prediction: Prediction, overwrite: Overwrite) -> None:
        """Write a prediction into the mask, as one undo step."""
        update_mask(self.mask, prediction.model, prediction.written, overwrite)

    def note(self, prediction: Prediction) -> None:
        """Remember a prediction without writing it into the mask."""
        if not self.memory.planes:
            self.memory.model = prediction.model
        for key, new in prediction.written.items():
            mask = new.mask()
            self.memory.plane(key).note(new, np.zeros_like(mask), mask)

    def restore(self, mask: Any) -> None:
        """Write a whole mask, as one undo step."""
        write_planes(self.mask, {key: mask[selection(key)] for key in self._keys})

    def lock(self, approved: bool) -> None:
        """Lock the mask, or let it be painted again."""
        self.approved = approved
        self.mask.editable = not approved
        opacity = chosen_opacity() * (_LOCKED if approved else 1)
        if not self.is_own and self.mask.opacity != opacity:  # napari draws everything again at each setting
            self.mask.opacity = opacity

    def select(self, viewer: ViewerModel) -> None:
        """Select the mask, brush in hand unless it is locked."""
        if self.approved:
            viewer.layers.selection.active = self.mask
            self.mask.mode = "pan_zoom"
        else:
            hand_to_painter(viewer, self.mask)

    def drop_beside(self, viewer: ViewerModel) -> None:
        """Remove the mask to compare with."""
        drop(viewer, self.beside)
        self.beside = None

    @property
    def _keys(self) -> list[PlaneKey]:
        return [plane_key(label_index) for _, label_index in self.loaded.planes]


def drop(viewer: ViewerModel, layer: Layer | None) -> None:
    """Remove a layer if it is there."""
    if layer is not None and layer in viewer.layers:
        viewer.layers.remove(layer)


class LayerPair:
    """Two layers that stay in the viewer while the images change.

    To add a layer takes napari a tenth of a second and to remove one several. And napari 0.9 crashes in the canvas when
    a viewer becomes empty after a mask was painted: layers that do not fit the next image are removed only after their
    successors were added.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._image: Image | None = None  # None while the user's own layer shows the image
        self._mask: Labels | None = None
        self._is_fresh = False  # nothing of the image before could come up again in the mask

    def owns(self, layer: Layer) -> bool:
        """Whether a layer is one of the pair."""
        return layer in (self._image, self._mask)

    def show(
        self, loaded: LoadedImage, mask: Any = None, own: Image | None = None, own_mask: Labels | None = None
    ) -> Shown:
        """Show an image with what a person had drawn, in layers of the user's own where there are some."""
        before = [layer for layer in (self._image, self._mask) if layer is not None]
        units = tuple(_placement(loaded).units if own is None else own.units)
        for layer in before:
            # Napari warns as soon as the units of two layers differ, were it only until the old ones are gone.
            agreed = ((pint.Unit(PIXEL),) * layer.ndim + units)[-layer.ndim :]
            if tuple(layer.units) != agreed:
                layer.units = agreed
        image = self._show_image(loaded) if own is None else own
        channel = None if loaded.plan.channel_axis is None else ChannelChoice.of(loaded.plan)
        memory = MaskMemory(image.unique_id, "", channel)
        if own_mask is None:
            data = np.zeros(loaded.plan.labels_shape, np.uint8) if mask is None else mask
            labels = self._show_mask(image, data, f"{loaded.name} mask", mask_place(image, loaded.plan), memory)
        else:
            labels, memory = own_mask, memory_of(own_mask) or memory
            remember_mask(labels, memory)
        self._image, self._mask = image if own is None else None, labels if own_mask is None else None
        for layer in before:
            if layer not in (self._image, labels):
                drop(self._viewer, layer)
        self._viewer.reset_view()
        self._is_fresh = True
        labels.events.mode.connect(self._on_mode)
        is_kept = mask is not None or (own_mask is not None and bool(np.any(own_mask.data)))
        return Shown(loaded, image, labels, memory, DragWatch(labels), kept=is_kept, is_own=own_mask is not None)

    def let_go(self, shown: Shown) -> None:
        """End what is shown; the layers stay for the next image."""
        shown.mask.events.mode.disconnect(self._on_mode)
        self._is_fresh = self._is_fresh and not shown.drag.dragging
        shown.drag.close()
        if shown.is_own:
            shown.mask.editable = True
        shown.drop_beside(self._viewer)

    def hide(self) -> None:
        """Take both layers out of sight, and out of reach of the brush."""
        for layer in (self._image, self._mask):
            if layer is not None:
                layer.visible = False
        if self._mask is not None:
            self._mask.editable = False

    def close(self) -> None:
        """Remove both layers, but not the last one of all."""
        for layer in (self._mask, self._image):
            if len(self._viewer.layers) > 1:
                drop(self._viewer, layer)
            elif layer is not None:
                layer.visible = True

    def _show_image(self, loaded: LoadedImage) -> Image:
        layer, place = self._image, _placement(loaded)
        is_there = layer is not None and layer in self._viewer.layers and bool(layer.rgb) == loaded.plan.rgb
        if layer is None or not (is_there and place.fits(layer, loaded.pixels)):
            arguments = place.as_arguments()
            return self._viewer.add_image(loaded.pixels, rgb=loaded.plan.rgb, name=loaded.name, **arguments)
        place.refill(layer, loaded.pixels, loaded.name)
        if not loaded.plan.rgb:
            layer.reset_contrast_limits_range()
            layer.reset_contrast_limits()
        return layer

    def _show_mask(self, image: Image, data: Any, name: str, place: Placement, memory: MaskMemory) -> Labels:
        layer, layers = self._mask, self._viewer.layers
        is_there = layer is not None and layer in layers and layers.index(layer) > layers.index(image)
        if layer is None or not (is_there and self._is_fresh and place.fits(layer, data)):
            layer = new_mask(data, name, place, memory)
            self._viewer.add_layer(layer)
        else:
            layer.editable = False  # has napari forget the undo steps, whose pixels are those of the image before
            remember_mask(layer, memory)
            place.refill(layer, data, name)
        return layer

    def _on_mode(self, _event: object = None) -> None:
        # napari keeps the corners of a polygon that was begun, whatever the layer shows.
        self._is_fresh = self._is_fresh and self._mask is not None and self._mask.mode != "polygon"


def _placement(loaded: LoadedImage) -> Placement:
    """Where an image lies; in pixels where it does not say, or in a unit that napari does not know."""
    dimensions, spacing = len(loaded.plan.shape) - loaded.plan.rgb, loaded.spacing
    if spacing is not None and 0 < len(spacing.size) <= dimensions:
        bare = dimensions - len(spacing.size)
        scale, units = (1.0,) * bare + tuple(spacing.size), (PIXEL,) * bare + (spacing.unit,) * len(spacing.size)
    else:
        scale, units = (1.0,) * dimensions, (PIXEL,) * dimensions
    metadata = layer_metadata(loaded.geometry, Path(loaded.source) if loaded.source else None)
    try:
        return Placement.plain(scale, units, metadata)
    except (pint.UndefinedUnitError, ValueError):
        return Placement.plain(scale, (PIXEL,) * dimensions, metadata)
