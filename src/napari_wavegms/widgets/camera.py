"""The camera of the flat view: how large a pixel is on screen, and going to a place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from napari.components import ViewerModel  # type: ignore[import-untyped]


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
