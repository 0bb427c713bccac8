"""The viewer's events, camera and notifications."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from napari.components import ViewerModel
from napari.layers import Layer
from napari.utils.notifications import show_error
from qtpy.QtWidgets import QWidget

Callback = Callable[[], object]


class ViewerEvents:
    """Follows a viewer between `open` and `close`.

    Parameters
    ----------
    viewer : ViewerModel
    layers, active, view : callable, optional
        Called when a layer came, went, or has another name or row; when another layer is the active one; when the
        sliders moved or the watched layer changed. Bound methods are held weakly, as napari does.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        *,
        layers: Callback | None = None,
        active: Callback | None = None,
        view: Callback | None = None,
    ) -> None:
        self._viewer = viewer
        self._layers, self._active, self._view = layers, active, view
        self._watched: Layer | None = None
        self.is_open = False

    def open(self) -> None:
        """Begin to follow."""
        if not self.is_open:
            self.is_open = True
            self._connect(self._sources(), True)

    def close(self) -> None:
        """Stop following."""
        if self.is_open:
            self.watch(None)
            self.is_open = False
            self._connect(self._sources(), False)

    def watch(self, layer: Layer | None) -> None:
        """Follow another layer's data and place, instead of the previous one's."""
        if layer is self._watched:
            return
        for watched, connect in ((self._watched, False), (layer, True)):
            if watched is not None:
                events = watched.events
                names = ("data", "axis_labels", "scale", "translate", "units", "contrast_limits")
                emitters = [getattr(events, name) for name in names if hasattr(events, name)]
                self._connect([(emitter, self._view) for emitter in emitters], connect)
        self._watched = layer

    def _sources(self) -> list[tuple[Any, Callback | None]]:
        layers, dims = self._viewer.layers.events, self._viewer.dims.events
        lists = (layers.inserted, layers.removed, layers.reordered, layers.renamed)
        return [
            *((emitter, self._layers) for emitter in lists),
            (self._viewer.layers.selection.events.active, self._active),
            *((emitter, self._view) for emitter in (dims.point, dims.order, dims.ndisplay)),
        ]

    def _connect(self, sources: list[tuple[Any, Callback | None]], connect: bool) -> None:
        for emitter, callback in sources:
            if callback is not None:
                (emitter.connect if connect else emitter.disconnect)(callback)


def remove_layers(viewer: ViewerModel, *layers: Layer | None) -> None:
    """Remove layers of ours, those that are there, in a fraction of the time.

    For each one napari has the garbage collector look through all objects, half a second of them with PyTorch loaded.
    Here it sees only what is new meanwhile; what a small layer leaves is collected in its time.
    """
    # Counted only where a layer goes: it takes long where somebody has frozen half a million objects.
    spared = any(layer in viewer.layers for layer in layers) and gc.get_freeze_count() == 0
    if spared:
        gc.freeze()
    try:
        for layer in layers:
            if layer is not None and layer in viewer.layers:
                viewer.layers.remove(layer)
    finally:
        if spared:
            gc.unfreeze()


def refresh_status(viewer: ViewerModel) -> None:
    """Let the status bar tell what is under the cursor now, which napari does only once the cursor moves."""
    viewer.status = "Ready"
    # napari 0.8 does not offer it; there the bar is ready until the cursor moves.
    getattr(viewer, "update_status_from_cursor", lambda: None)()


def camera_of(viewer: ViewerModel) -> Any:
    """The camera, which napari 0.9 has moved."""
    scene = getattr(viewer, "scene", None)
    return viewer.camera if scene is None else scene.camera


def look_at(viewer: ViewerModel, middle: npt.NDArray[np.float64], size: npt.NDArray[np.float64]) -> None:
    """Centre a place, and zoom in as far as its surroundings stay in view.

    Parameters
    ----------
    viewer : ViewerModel
        In its 2-D view.
    middle : ndarray of shape (N,)
        In the world, with all the viewer's axes.
    size : ndarray of shape (N,)
        Of the surroundings along each axis; axes that are not on screen do not count.
    """
    shown = list(viewer.dims.displayed)
    viewer.reset_view()  # the one public way to learn how large the canvas is: now everything just fits
    least, most = np.asarray(viewer.layers.extent.world, float)
    whole = (most - least)[shown]
    camera = camera_of(viewer)
    camera.zoom *= max(1.0, float(np.min(whole / np.maximum(size[shown], 1e-12))))
    camera.center = (0.0, *(float(place) for place in middle[shown]))


def notify_if_hidden(panel: QWidget, sentence: str) -> None:
    """Let napari show a problem that a closed tab or a hidden dock would keep to itself."""
    if not panel.isVisible():
        show_error(sentence)
