"""One layer for one image after another: to add a layer takes napari a tenth of a second, to remove one several."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_wavegms.widgets.layers.placement import Placement

if TYPE_CHECKING:
    from napari.layers import Layer


def fits(layer: Layer, data: Any, place: Placement) -> bool:
    """Whether a layer could show other data as if it were made for them."""
    same = (layer.data.ndim, layer.data.dtype) == (data.ndim, data.dtype)
    # Layers of one viewer whose units differ lose them all, were it only for a moment.
    return same and not layer.multiscale and tuple(layer.units) == place.units


def refill(layer: Layer, data: Any, name: str, place: Placement) -> None:
    """Show other data; what a person chose for the layer, such as the brush or the colours, stays.

    Parameters
    ----------
    layer : napari.layers.Image or napari.layers.Labels
    data : ndarray
        See `fits`.
    name : str
    place : Placement
    """
    layer.data = data
    layer.metadata = {}
    place.move(layer)
    if not layer.visible:  # napari draws everything again at each setting
        layer.visible = True
    layer.name = name  # last, because it tells everybody to look again
