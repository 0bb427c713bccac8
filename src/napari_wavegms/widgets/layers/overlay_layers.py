"""Layers that only show something: probabilities and overlays, marked as ours and never segmented."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING
from weakref import finalize

import numpy as np
from napari.layers import Labels

from napari_wavegms.widgets.layers.mask_history import memory_of, selection
from napari_wavegms.widgets.layers.placement import Placement
from napari_wavegms.widgets.layers.undoable import read_plane

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Layer


_OURS: set[Hashable] = set()


def note_view(layer: Layer) -> None:
    """Note that a layer only shows something; forgotten when the layer is."""
    _OURS.add(layer.unique_id)
    # A plugin may be handed a passing proxy instead of the layer itself.
    finalize(getattr(layer, "__wrapped__", layer), _OURS.discard, layer.unique_id)


def is_view(layer: Layer) -> bool:
    """Whether the layer only shows something of ours."""
    return layer.unique_id in _OURS


# Ids of the probability layers that we made, each with its mask's; only these are ever updated or removed.
_MASK_OF: dict[Hashable, Hashable] = {}


def is_probability_layer(layer: Image) -> bool:
    """Whether we made this image layer, to show something; it is then no image to segment."""
    return layer.unique_id in _MASK_OF or is_view(layer)


def show_probability(viewer: ViewerModel, mask: Labels) -> None:
    """Add the probability of a mask under it, or bring the one that is there up to date."""
    memory = memory_of(mask)
    if memory is None:
        return
    data = np.zeros(mask.data.shape, np.float32)
    for key, plane in memory.planes.items():
        ours = plane.ours(read_plane(mask, key))
        if ours is not None:
            data[selection(key)] = ours.probability
    layer = _of(viewer, mask)
    if layer is not None:
        layer.data = data  # an image layer has no undo history to upset
        return
    active = viewer.layers.selection.active
    name = f"{mask.name} probability".replace(" mask probability", " probability")
    layer = viewer.add_image(
        data,
        name=name,
        contrast_limits=(0, 1),
        colormap="magma",
        blending="additive",
        opacity=0.6,
        **Placement.of(mask).as_arguments(),
    )
    _MASK_OF[layer.unique_id] = mask.unique_id
    finalize(getattr(layer, "__wrapped__", layer), _MASK_OF.pop, layer.unique_id, None)
    viewer.layers.move(len(viewer.layers) - 1, _row(viewer, mask))
    viewer.layers.selection.active = active


def hide_probability(viewer: ViewerModel, mask: Labels) -> None:
    """Remove the probability layer that we made for a mask."""
    layer = _of(viewer, mask)
    if layer is not None:
        viewer.layers.remove(layer)


def has_probability(viewer: ViewerModel, mask: Labels) -> bool:
    """Whether the mask's probability is shown as a layer."""
    return _of(viewer, mask) is not None


def _of(viewer: ViewerModel, mask: Labels) -> Image | None:
    return next((layer for layer in viewer.layers if _MASK_OF.get(layer.unique_id) == mask.unique_id), None)


def _row(viewer: ViewerModel, mask: Labels) -> int:
    return next(row for row, layer in enumerate(viewer.layers) if layer.unique_id == mask.unique_id)
