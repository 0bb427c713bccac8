"""The mask that a person works on now, whoever made it, and the plane of it that is on screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image, Labels  # type: ignore[import-untyped]

from napari_wavegms.widgets.clean_up import CleanUp, cleaned, in_words
from napari_wavegms.widgets.labels_writing import read_plane, write_planes
from napari_wavegms.widgets.mask_layers import masks_of
from napari_wavegms.widgets.mask_memory import PlaneKey

if TYPE_CHECKING:
    from napari.components import ViewerModel  # type: ignore[import-untyped]

NO_MASK = "No mask is selected. Select a Labels layer, or press Segment to make one."
NOT_FLAT = "This works in the 2-D view. Switch napari back from 3-D with Ctrl+Y."


def active_mask(viewer: ViewerModel) -> Labels | None:
    """Give the selected Labels layer, or the newest mask that we made for the selected image."""
    active = viewer.layers.selection.active
    if isinstance(active, Labels):
        return active
    if isinstance(active, Image):
        return next((layer for layer, _ in masks_of(viewer, active.unique_id)), None)
    return None


def plane_on_screen(viewer: ViewerModel, mask: Labels) -> PlaneKey:
    """Give the key of the plane that a flat view shows, whichever way the axes are turned."""
    missing = viewer.dims.ndim - mask.ndim  # a viewer with deeper layers has more axes in front
    shown = {axis - missing for axis in viewer.dims.displayed}
    point = mask.world_to_data(np.asarray(viewer.dims.point, float)[missing:])
    place = np.clip(np.rint(np.nan_to_num(point)), 0, np.asarray(mask.data.shape) - 1).astype(int)
    return tuple(None if axis in shown else int(place[axis]) for axis in range(mask.ndim))


def why_not_write(viewer: ViewerModel, mask: Labels | None) -> str:
    """Say why a plane of a mask cannot be written to; empty where it can."""
    if mask is None:
        return NO_MASK
    if mask.multiscale or not mask.editable:
        return f"{mask.name} is locked or has several resolutions, so nothing is written to it. Select another mask."
    if viewer.dims.ndisplay != 2:
        return NOT_FLAT
    return ""


def clean_up_active(viewer: ViewerModel, request: CleanUp) -> str:
    """Tidy the active mask's plane on screen, as one undo step.

    Returns
    -------
    str
        What it did, or why it could not.
    """
    mask = active_mask(viewer)
    if mask is None or (sentence := why_not_write(viewer, mask)):
        return NO_MASK if mask is None else sentence
    key = plane_on_screen(viewer, mask)
    before = np.array(read_plane(mask, key))
    after = cleaned(before, request)
    write_planes(mask, {key: after})
    return in_words(request, before, after)
