"""Where to look: the model's doubtful spots one after the other, centred and zoomed, and its doubt as a layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]

from napari_wavegms.widgets.active_mask import NO_MASK, NOT_FLAT, active_mask, plane_on_screen
from napari_wavegms.widgets.camera import look_at
from napari_wavegms.widgets.labels_writing import read_plane
from napari_wavegms.widgets.mask_memory import PlaneKey, Written, memory_of, selection
from napari_wavegms.widgets.placement import Placement
from napari_wavegms.widgets.view_layers import note_view

if TYPE_CHECKING:
    from napari.components import ViewerModel  # type: ignore[import-untyped]
    from napari.layers import Image, Labels  # type: ignore[import-untyped]

    from napari_wavegms.segment.doubt import Spot

NO_PROBABILITY = "The model has not looked at this image yet. Press Segment first."
NO_SPOT = "The model has no doubtful spot here."
_SURROUNDINGS = 2.0  # the view is this many times as wide as the spot
_LEAST_VIEW = 64  # pixels; closer than that nobody knows where in the image they are


class _Plane(NamedTuple):
    mask: Labels
    key: PlaneKey
    written: Written


class DoubtTool(QObject):
    """Looks at the active mask's plane on screen.

    Parameters
    ----------
    viewer : ViewerModel

    Signals
    -------
    said(str, str)
        A sentence for the status line, and ``"problem"`` where it is one.
    """

    said = Signal(str, str)

    def __init__(self, viewer: ViewerModel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._spots: list[Spot] = []
        self._at = -1
        # Whose spots these are; kept alive, so that no other array can take its place in memory.
        self._of: Written | None = None
        self._layer: Image | None = None

    @property
    def shown(self) -> bool:
        """Whether the doubt is shown as a layer."""
        return self._layer is not None and self._layer in self._viewer.layers

    def next(self) -> Spot | None:
        """Go to the next doubtful spot, the heaviest first, and after the last one to the first again."""
        return self._step(1)

    def previous(self) -> Spot | None:
        """Go back to the spot before."""
        return self._step(-1)

    def spots(self) -> list[Spot]:
        """Give the doubtful spots of the plane on screen, heaviest first."""
        plane = self._plane()
        return [] if isinstance(plane, str) else self._spots_of(plane)

    def show_layer(self, wanted: bool = True) -> None:
        """Show the doubt of the plane on screen as a layer under the mask, or remove it."""
        if not wanted:
            self.close()
            return
        plane = self._plane()
        if isinstance(plane, str):
            self.said.emit(plane, "problem")
            return
        from napari_wavegms.segment.uncertainty import uncertainty_map

        self._put(plane, uncertainty_map(plane.written.probability, plane.written.threshold))

    def refresh(self) -> None:
        """Bring a layer that is shown up to date, as after a new prediction or a step to another frame."""
        if self.shown:
            plane = self._plane()
            if isinstance(plane, str):
                self.close()
            else:
                self.show_layer()

    def close(self) -> None:
        """Remove the layer."""
        layer, self._layer = self._layer, None
        if layer is not None and layer in self._viewer.layers:
            self._viewer.layers.remove(layer)

    def _plane(self) -> _Plane | str:
        """Give the plane on screen with its probability, or say why there is none."""
        mask = active_mask(self._viewer)
        if mask is None:
            return NO_MASK
        if self._viewer.dims.ndisplay != 2:
            return NOT_FLAT
        key, memory = plane_on_screen(self._viewer, mask), memory_of(mask)
        known = None if memory is None else memory.planes.get(key)
        ours = None if known is None else known.ours(read_plane(mask, key))
        return NO_PROBABILITY if ours is None else _Plane(mask, key, ours)

    def _spots_of(self, plane: _Plane) -> list[Spot]:
        now, before = plane.written, self._of
        if before is None or now.probability is not before.probability or now.threshold != before.threshold:
            from napari_wavegms.segment.doubt import doubtful_spots

            self._spots = doubtful_spots(now.probability, now.threshold)
            self._of, self._at = now, -1
        return self._spots

    def _step(self, by: int) -> Spot | None:
        plane = self._plane()
        if isinstance(plane, str):
            self.said.emit(plane, "problem")
            return None
        spots = self._spots_of(plane)
        if not spots:
            self.said.emit(NO_SPOT, "")
            return None
        self._at = max(self._at, 0 if by < 0 else -1) + by
        self._at %= len(spots)
        spot = spots[self._at]
        self._centre(plane, spot)
        self.said.emit(f"Doubtful spot {self._at + 1} of {len(spots)}, the most doubtful first.", "")
        return spot

    def _centre(self, plane: _Plane, spot: Spot) -> None:
        """Move and zoom so that the spot and its surroundings fill the view."""
        height, width = (
            max(_SURROUNDINGS * side, _LEAST_VIEW) for side in (spot.bottom - spot.top, spot.right - spot.left)
        )
        middle = self._world(plane, spot.row, spot.col)
        corner = self._world(plane, spot.row - height / 2, spot.col - width / 2)
        look_at(self._viewer, middle, 2 * np.abs(middle - corner))

    def _world(self, plane: _Plane, row: float, column: float) -> npt.NDArray[np.float64]:
        """Bring a place in the plane to the viewer's world, with all its axes."""
        in_plane = iter((row, column))
        place = [next(in_plane) if at is None else at for at in plane.key]
        world = np.array(self._viewer.dims.point, float)
        world[self._viewer.dims.ndim - plane.mask.ndim :] = plane.mask.data_to_world(place)
        return world

    def _put(self, plane: _Plane, doubt: npt.NDArray[np.float32]) -> None:
        viewer, mask = self._viewer, plane.mask
        layer = self._layer
        if layer is not None and layer in viewer.layers and layer.data.shape == mask.data.shape:
            layer.data[:] = 0
            layer.data[selection(plane.key)] = doubt
            layer.refresh()
            return
        self.close()
        data = np.zeros(mask.data.shape, np.float32)
        data[selection(plane.key)] = doubt
        active = viewer.layers.selection.active
        layer = viewer.add_image(
            data,
            name=f"{mask.name} doubt".replace(" mask doubt", " doubt"),
            contrast_limits=(0, 1),
            colormap="magma",
            blending="additive",
            opacity=0.8,
            **Placement.of(mask).as_arguments(),
        )
        note_view(layer)
        viewer.layers.move(viewer.layers.index(layer), viewer.layers.index(mask))
        viewer.layers.selection.active = active
        self._layer = layer
