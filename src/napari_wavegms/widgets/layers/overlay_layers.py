"""A layer that shows something about a mask, plane by plane."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from napari.components import ViewerModel
from napari.layers import Image, Labels

from napari_wavegms.widgets.layers.mask_history import PlaneKey, selection
from napari_wavegms.widgets.layers.mask_layers import add_overlay
from napari_wavegms.widgets.layers.placement import Placement
from napari_wavegms.widgets.layers.viewer import remove_layers


class Overlay:
    """An image layer over a mask, which hides while it rests and is used again for the next mask.

    It is no Labels layer, so that nobody paints into it and nothing of ours takes it for a mask.

    Parameters
    ----------
    viewer : ViewerModel
    what : str
        The end of its name.
    **look
        How napari shows it.
    """

    def __init__(self, viewer: ViewerModel, what: str, **look: Any) -> None:
        self._viewer = viewer
        self._what, self._look = what, look
        self._mask: Labels | None = None
        self.layer: Image | None = None

    @property
    def shown(self) -> bool:
        """Whether the layer is in the viewer and does not rest."""
        return self._mask is not None and self.layer is not None and self.layer in self._viewer.layers

    def put(self, mask: Labels, key: PlaneKey, plane: npt.NDArray[Any]) -> None:
        """Show a plane, (H, W), of a mask's overlay."""
        layer = self.layer if self.shown and self._mask is mask else None
        if layer is None or layer.data.shape != mask.data.shape:
            layer = self._layer_for(mask, plane.dtype)
        layer.data[selection(key)] = plane
        layer.refresh()

    def rest(self) -> None:
        """Hide the layer, and let go of the mask."""
        if self.shown and self.layer is not None:
            self.layer.visible = False
        self._mask = None

    def remove(self) -> None:
        """Remove the layer."""
        layer, self.layer, self._mask = self.layer, None, None
        remove_layers(self._viewer, layer)

    def _layer_for(self, mask: Labels, dtype: npt.DTypeLike) -> Image:
        """An empty layer over the mask: the one that is there, where it fits."""
        layers, layer = self._viewer.layers, self.layer
        data, place = np.zeros(mask.data.shape, dtype), Placement.of(mask)
        if layer is None or layer not in layers or not place.fits(layer, data):
            self.remove()
            layer = add_overlay(self._viewer, mask, self._what, data, **self._look)
        else:
            place.refill(layer, data, f"{str(mask.name).removesuffix(' mask')} {self._what}")
        row, its_row, active = layers.index(layer), layers.index(mask), layers.selection.active
        if row < its_row:
            layers.move(row, its_row + 1)
            layers.selection.active = active
        self.layer, self._mask = layer, mask
        return layer
