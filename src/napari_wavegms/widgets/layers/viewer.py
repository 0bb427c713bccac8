"""The viewer's events and camera."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QObject, Signal

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer


class ViewerEvents(QObject):
    """Listens to a viewer between `open` and `close`.

    Signals
    -------
    layers_changed()
        A layer came, went, or has another name or row.
    active_changed()
        Another layer is the active one.
    view_changed()
        The sliders moved, or the watched layer changed.
    """

    layers_changed = Signal()
    active_changed = Signal()
    view_changed = Signal()

    def __init__(self, viewer: ViewerModel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._watched: Layer | None = None
        self.is_open = False

    def open(self) -> None:
        """Begin to listen."""
        if not self.is_open:
            self.is_open = True
            for emitter, slot in self._sources():
                emitter.connect(slot)

    def close(self) -> None:
        """Stop listening."""
        if self.is_open:
            self.is_open = False
            self.watch(None)
            for emitter, slot in self._sources():
                emitter.disconnect(slot)

    def watch(self, layer: Layer | None) -> None:
        """Listen to another layer's data and place, instead of the one before."""
        for was, connect in ((self._watched, False), (layer, True)):
            if was is not None:
                for emitter in (was.events.data, was.events.axis_labels, was.events.scale, was.events.units):
                    (emitter.connect if connect else emitter.disconnect)(self._on_view)
        self._watched = layer

    def _sources(self) -> list[tuple[Any, Any]]:
        layers = self._viewer.layers.events
        lists = (layers.inserted, layers.removed, layers.reordered, layers.renamed)
        return [
            *((emitter, self._on_layers) for emitter in lists),
            (self._viewer.layers.selection.events.active, self._on_active),
            (self._viewer.dims.events.point, self._on_view),
        ]

    def _on_layers(self, _event: object = None) -> None:
        self.layers_changed.emit()

    def _on_active(self, _event: object = None) -> None:
        self.active_changed.emit()

    def _on_view(self, _event: object = None) -> None:
        self.view_changed.emit()


def camera_of(viewer: ViewerModel) -> Any:
    """Give the camera, which napari 0.9 has moved."""
    scene = getattr(viewer, "scene", None)
    return viewer.camera if scene is None else scene.camera


def look_at(viewer: ViewerModel, middle: npt.NDArray[np.float64], size: npt.NDArray[np.float64]) -> None:
    """Centre a place, and come as near as shows all of its surroundings.

    Parameters
    ----------
    viewer : ViewerModel
        In its 2-D view.
    middle : ndarray of shape (N,)
        Of the place, in the world, with all the viewer's axes.
    size : ndarray of shape (N,)
        Of the surroundings along each axis; those that are not on screen do not count.
    """
    shown = list(viewer.dims.displayed)
    viewer.reset_view()  # the one public way to learn how large the canvas is: now everything just fits
    least, most = np.asarray(viewer.layers.extent.world, float)
    whole = (most - least)[shown]
    camera = camera_of(viewer)
    camera.zoom *= max(1.0, float(np.min(whole / np.maximum(size[shown], 1e-12))))
    camera.center = (0.0, *(float(place) for place in middle[shown]))
