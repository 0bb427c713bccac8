"""Show the uncertainty as a layer, and go to the next uncertain region."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
from napari.components import ViewerModel
from napari.layers import Labels, Points
from qtpy.QtCore import QObject, Signal

from napari_wavegms.widgets.jobs import JobRunner, Outcome
from napari_wavegms.widgets.layers.mask_history import PlaneKey, Written, memory_of, read_plane
from napari_wavegms.widgets.layers.mask_layers import NO_MASK, NOT_FLAT, active_mask, plane_on_screen
from napari_wavegms.widgets.layers.overlay_layers import Overlay
from napari_wavegms.widgets.layers.placement import Placement
from napari_wavegms.widgets.layers.viewer import look_at, remove_layers

if TYPE_CHECKING:
    from napari_wavegms.segment.uncertainty import UncertainRegion

AT_ONCE = 1 << 20
"""Pixels up to which the window's thread can compute the uncertainty itself: some 30 ms."""
NO_PREDICTION = "There is no prediction of this plane yet. Press Segment first."
SEARCHING = "Looking for uncertain spots…"
NO_SPOT = "The model has no uncertain spot here."

_SURROUNDINGS = 2.0  # the view is this many times as wide as the region
_RING, _LEAST_RING = 1.5, 12  # times the region's longer side, and pixels
_LEAST_VIEW = 64  # pixels; closer than that nobody knows where in the image they are


@dataclass(frozen=True, slots=True, eq=False)
class Uncertainty:
    """What is uncertain in a plane: a map of shape (H, W) in [0, 1], and its regions, the heaviest first."""

    map: npt.NDArray[np.float32]
    regions: tuple[UncertainRegion, ...]

    @classmethod
    def of(cls, written: Written) -> Uncertainty:
        """Compute it from a plane's probability and threshold."""
        from napari_wavegms.segment.uncertainty import uncertain_regions, uncertainty_map

        probability, threshold = written.probability, written.threshold
        return cls(uncertainty_map(probability, threshold), tuple(uncertain_regions(probability, threshold)))


def uncertainty_job(written: Written) -> Generator[None, None, Uncertainty]:
    """Compute the uncertainty in a worker's thread."""
    yield
    return Uncertainty.of(written)


class _Plane(NamedTuple):
    mask: Labels
    key: PlaneKey
    written: Written


_LOOK: dict[str, Any] = {"contrast_limits": (0, 1), "colormap": "magma", "blending": "additive", "opacity": 0.8}


class UncertaintyTool(QObject):
    """Works on the active mask's plane on screen.

    Signals
    -------
    said(str, str)
        A sentence for the status line, and ``"problem"`` where it is one.
    """

    said = Signal(str, str)

    def __init__(self, viewer: ViewerModel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._of: Written | None = None  # kept alive, so that no other array can take its place in memory
        self._known: Uncertainty | None = None
        self._at = -1  # the region that was centred last
        self._next_wanted = self._layer_wanted = False  # once the uncertainty is known
        self._overlay: Overlay | None = None  # made when it is first wanted
        self._ring: Points | None = None
        self._runner = JobRunner(self)
        self._runner.ended.connect(self._on_end)

    @property
    def shown(self) -> bool:
        """Whether the uncertainty is shown as a layer."""
        return self._overlay is not None and self._overlay.shown

    def next(self) -> UncertainRegion | None:
        """Go to the next uncertain region, the heaviest first, and after the last one to the first again."""
        plane = self._plane()
        if isinstance(plane, str):
            self.said.emit(plane, "problem")
            return None
        uncertainty = self._uncertainty(plane.written)
        self._next_wanted = uncertainty is None
        if uncertainty is None:
            self.said.emit(SEARCHING, "")
            return None
        if not uncertainty.regions:
            self.said.emit(NO_SPOT, "")
            return None
        count = len(uncertainty.regions)
        self._at = (self._at + 1) % count
        region = uncertainty.regions[self._at]
        self._centre(plane, region)
        self._ring_around(plane, region)
        self.said.emit(f"Uncertain spot {self._at + 1} of {count}, the most uncertain first.", "")
        return region

    def show_layer(self, wanted: bool = True) -> None:
        """Show the uncertainty of the plane on screen as a layer over the mask, or remove it."""
        if not wanted:
            self.close()
            return
        plane = self._plane()
        if isinstance(plane, str):
            self.said.emit(plane, "problem")
            return
        uncertainty = self._uncertainty(plane.written)
        self._layer_wanted = uncertainty is None
        if uncertainty is None:
            self.said.emit(SEARCHING, "")
        else:
            self._overlay = self._overlay or Overlay(self._viewer, "uncertainty", **_LOOK)
            self._overlay.put(plane.mask, plane.key, uncertainty.map)

    def refresh(self) -> None:
        """Bring a layer that is shown up to date, as after a new prediction or a step to another frame."""
        if self.shown:
            self.show_layer(wanted=not isinstance(self._plane(), str))

    def rest(self) -> None:
        """Let go of the mask; a layer that is shown is hidden, and used again for the next mask."""
        self._runner.abandon()
        self._of = self._known = None
        self._next_wanted = self._layer_wanted = False
        if self._overlay is not None:
            self._overlay.rest()
        self._remove_ring()

    def close(self) -> None:
        """Remove the layers."""
        self._layer_wanted = False
        if self._overlay is not None:
            self._overlay.remove()
        self._remove_ring()

    def _plane(self) -> _Plane | str:
        """The plane on screen with its probability, or why there is none."""
        mask = active_mask(self._viewer)
        if mask is None:
            return NO_MASK
        if self._viewer.dims.ndisplay != 2:
            return NOT_FLAT
        key, memory = plane_on_screen(self._viewer, mask), memory_of(mask)
        known = None if memory is None else memory.planes.get(key)
        ours = None if known is None else known.ours(read_plane(mask, key))
        return NO_PREDICTION if ours is None else _Plane(mask, key, ours)

    def _uncertainty(self, written: Written) -> Uncertainty | None:
        """The uncertainty of a plane; None while it is being computed."""
        of = self._of
        if of is None or of.probability is not written.probability or of.threshold != written.threshold:
            self._runner.abandon()
            self._of, self._known, self._at = written, None, -1
            if written.probability.size <= AT_ONCE:
                self._known = Uncertainty.of(written)
            else:
                self._runner.start(partial(uncertainty_job, written))
        return self._known

    def _on_end(self, outcome: Outcome) -> None:
        if not isinstance(outcome.result, Uncertainty):
            self._of = None
            return
        self._known = outcome.result
        if self._next_wanted:
            self.next()
        if self._layer_wanted:
            self.show_layer()

    def _centre(self, plane: _Plane, region: UncertainRegion) -> None:
        """Move and zoom so that the region and its surroundings fill the view."""
        height, width = (
            max(_SURROUNDINGS * side, _LEAST_VIEW) for side in (region.bottom - region.top, region.right - region.left)
        )
        middle = self._world(plane, region.row, region.col)
        corner = self._world(plane, region.row - height / 2, region.col - width / 2)
        look_at(self._viewer, middle, 2 * np.abs(middle - corner))

    def _ring_around(self, plane: _Plane, region: UncertainRegion) -> None:
        """Ring the region; the active layer stays active."""
        place, name = Placement.of(plane.mask), f"{str(plane.mask.name).removesuffix(' mask')} uncertain spot"
        size = max(_RING * max(region.bottom - region.top, region.right - region.left), _LEAST_RING)
        middle, ring = np.array([_in_layer(plane, region.row, region.col)]), self._ring
        if ring is not None and ring in self._viewer.layers and place.fits(ring, middle):
            place.refill(ring, middle, name)  # several times as quick as another layer
            ring.size = size
            return
        self._remove_ring()
        active = self._viewer.layers.selection.active
        self._ring = Points(
            middle,
            name=name,
            size=size,
            face_color="transparent",
            border_color="yellow",
            border_width=0.06,  # of the size
            **place.as_arguments(),
        )
        self._viewer.add_layer(self._ring)
        self._viewer.layers.selection.active = active

    def _remove_ring(self) -> None:
        ring, self._ring = self._ring, None
        remove_layers(self._viewer, ring)

    def _world(self, plane: _Plane, row: float, column: float) -> npt.NDArray[np.float64]:
        """Bring a place in the plane to the viewer's world, with all its axes."""
        world = np.array(self._viewer.dims.point, float)
        world[self._viewer.dims.ndim - plane.mask.ndim :] = plane.mask.data_to_world(_in_layer(plane, row, column))
        return world


def _in_layer(plane: _Plane, row: float, column: float) -> list[float]:
    """Write a place in the plane with all axes of the mask."""
    in_plane = iter((row, column))
    return [next(in_plane) if at is None else at for at in plane.key]
