"""One layer for one image after the other: to add a layer takes napari a tenth of a second, to remove one several.

A layer that shows something else is another layer to everybody who asks: its id, name, place and metadata are new, and
the undo steps of what it showed before are gone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Labels

from napari_wavegms.widgets.layers.mask_history import MaskMemory, forget_mask, remember_mask
from napari_wavegms.widgets.layers.placement import Placement

if TYPE_CHECKING:
    from napari.layers import Layer


def fits(layer: Layer, data: Any, place: Placement) -> bool:
    """Whether a layer could show other data as if it were made for them."""
    same = (layer.data.ndim, layer.data.dtype) == (data.ndim, data.dtype)
    # Layers of one viewer whose units differ lose them all, were it only for a moment.
    return same and not layer.multiscale and tuple(layer.units) == place.units


def reuse(layer: Layer, data: Any, name: str, place: Placement, memory: MaskMemory | None = None) -> bool:
    """Let a layer show other data; what a person chose for it, such as the brush or the colours, stays.

    Parameters
    ----------
    layer : napari.layers.Image or napari.layers.Labels
    data : ndarray
        See `fits`.
    name : str
    place : Placement
    memory : MaskMemory, optional
        What is known about a mask.

    Returns
    -------
    bool
        False where napari gives the layer no other id: then nothing has changed, and a new layer is needed.
    """
    old = layer.unique_id
    forget_mask(layer)
    if not _renewed(layer, old):
        return False
    if memory is not None:
        remember_mask(layer, memory)
    if isinstance(layer, Labels):
        _forget_steps(layer)
    refill(layer, data, name, place)
    return True


def refill(layer: Layer, data: Any, name: str, place: Placement) -> None:
    """Let a layer that only shows something of ours show other data; nobody knows it by its id."""
    layer.data = data
    layer.metadata = {}
    place.move(layer)
    if not layer.visible:  # napari draws all anew at each setting
        layer.visible = True
    layer.name = name  # last, because it tells everybody to look again


def has_begun_shape(labels: Labels) -> bool:
    """Whether a polygon or an encircling stroke of napari's has been begun and not ended."""
    overlays = getattr(_itself(labels), "_overlays", {})
    polygon, stroke = overlays.get("polygon"), overlays.get("brush_stroke")
    return bool(getattr(polygon, "points", ())) or bool(getattr(stroke, "active", False))


def _renewed(layer: Layer, old: object) -> bool:
    # Nothing in napari goes by the id, so it may change while the layer is in a viewer.
    _itself(layer)._unique_id = None
    return bool(layer.unique_id != old)


def _itself(layer: Layer) -> Any:
    """The layer behind the passing proxy that a plugin is handed."""
    return getattr(layer, "__wrapped__", layer)


def _forget_steps(labels: Labels) -> None:
    """Have napari drop its undo steps, whose pixels are those of the data before: it does for what is locked."""
    labels.editable = True
    labels.editable = False
    labels.editable = True
