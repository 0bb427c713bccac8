"""Show the uncertainty layer and go to the next uncertain region."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QObject, Signal

from napari_wavegms.widgets.jobs import JobRunner, Outcome
from napari_wavegms.widgets.layers.layer_reuse import fits, refill
from napari_wavegms.widgets.layers.mask_history import PlaneKey, Written, memory_of, selection
from napari_wavegms.widgets.layers.mask_layers import NO_MASK, NOT_FLAT, active_mask, plane_on_screen
from napari_wavegms.widgets.layers.overlay_layers import note_view
from napari_wavegms.widgets.layers.placement import Placement
from napari_wavegms.widgets.layers.undoable import read_plane
from napari_wavegms.widgets.layers.viewer import look_at

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Labels

    from napari_wavegms.segment.uncertainty import UncertainRegion


AT_ONCE = 1 << 20
"""Pixels up to which the window can afford to look itself: some 30 ms."""


@dataclass(frozen=True, slots=True, eq=False)
class Uncertainty:
    """What is doubtful in a plane.

    Attributes
    ----------
    map : ndarray of shape (H, W), float32
        In [0, 1].
    spots : tuple of UncertainRegion
        Heaviest first.
    """

    map: npt.NDArray[np.float32]
    spots: tuple[UncertainRegion, ...]


def uncertainty_of(written: Written) -> Uncertainty:
    """Look for it."""
    from napari_wavegms.segment.uncertainty import uncertain_regions, uncertainty_map

    map_ = uncertainty_map(written.probability, written.threshold)
    return Uncertainty(map_, tuple(uncertain_regions(written.probability, written.threshold)))


def uncertainty_job(written: Written) -> Generator[None, None, Uncertainty]:
    """Look for it in a worker's thread."""
    yield
    return uncertainty_of(written)


class DoubtFinder(QObject):
    """Knows one plane at a time.

    Signals
    -------
    found()
        What `get` was asked for is there.
    """

    found = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        # Kept alive, so that no other array can take its place in memory.
        self._of: Written | None = None
        self._doubt: Uncertainty | None = None
        self._runner = JobRunner(self)
        self._runner.ended.connect(self._on_end)

    def get(self, written: Written) -> Uncertainty | None:
        """Give the doubt of a plane; None while it is being looked for."""
        of = self._of
        if of is None or of.probability is not written.probability or of.threshold != written.threshold:
            self._runner.abandon()
            self._of, self._doubt = written, None
            if written.probability.size <= AT_ONCE:
                self._doubt = uncertainty_of(written)
            else:
                self._runner.start(partial(uncertainty_job, written))
        return self._doubt

    def forget(self) -> None:
        """Stop looking, and let go of the plane."""
        self._runner.abandon()
        self._of = self._doubt = None

    def _on_end(self, outcome: Outcome) -> None:
        if isinstance(outcome.result, Uncertainty):
            self._doubt = outcome.result
            self.found.emit()
        else:
            self._of = None


NO_PROBABILITY = "The model has not looked at this image yet. Press Segment first."

LOOKING = "Looking for doubtful spots…"

NO_SPOT = "The model has no doubtful spot here."

_SURROUNDINGS = 2.0  # the view is this many times as wide as the spot

_LEAST_VIEW = 64  # pixels; closer than that nobody knows where in the image they are


class _Plane(NamedTuple):
    mask: Labels
    key: PlaneKey
    written: Written


class UncertaintyTool(QObject):
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
        self._at = -1
        self._doubt: Uncertainty | None = None  # whose spots we go through
        self._layer: Image | None = None
        self._rests = False  # the layer waits, hidden, for the next mask
        self._step_wanted, self._layer_wanted = 0, False  # once the doubt is found
        self._finder = DoubtFinder(self)
        self._finder.found.connect(self._on_found)

    @property
    def shown(self) -> bool:
        """Whether the doubt is shown as a layer."""
        return self._layer is not None and not self._rests and self._layer in self._viewer.layers

    def next(self) -> UncertainRegion | None:
        """Go to the next doubtful spot, the heaviest first, and after the last one to the first again."""
        return self._step(1)

    def previous(self) -> UncertainRegion | None:
        """Go back to the spot before."""
        return self._step(-1)

    def spots(self) -> list[UncertainRegion]:
        """Give the doubtful spots of the plane on screen, heaviest first; none while they are being looked for."""
        plane = self._plane()
        doubt = None if isinstance(plane, str) else self._finder.get(plane.written)
        return [] if doubt is None else list(doubt.spots)

    def show_layer(self, wanted: bool = True) -> None:
        """Show the doubt of the plane on screen as a layer under the mask, or remove it."""
        if not wanted:
            self.close()
            return
        plane = self._plane()
        if isinstance(plane, str):
            self.said.emit(plane, "problem")
            return
        doubt = self._finder.get(plane.written)
        self._layer_wanted = doubt is None
        if doubt is None:
            self.said.emit(LOOKING, "")
        else:
            self._put(plane, doubt.map)

    def refresh(self) -> None:
        """Bring a layer that is shown up to date, as after a new prediction or a step to another frame."""
        if self.shown:
            plane = self._plane()
            if isinstance(plane, str):
                self.close()
            else:
                self.show_layer()

    def rest(self) -> None:
        """Let go of the mask; a layer that is shown is hidden, and taken for the next mask."""
        self._finder.forget()
        self._doubt, self._step_wanted, self._layer_wanted = None, 0, False
        if self.shown and self._layer is not None:
            self._layer.visible = False
        self._rests = self._layer is not None

    def close(self) -> None:
        """Remove the layer."""
        self._layer_wanted = self._rests = False
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

    def _on_found(self) -> None:
        step, layer = self._step_wanted, self._layer_wanted
        self._step_wanted, self._layer_wanted = 0, False
        if step:
            self._step(step)
        if layer:
            self.show_layer()

    def _step(self, by: int) -> UncertainRegion | None:
        plane = self._plane()
        if isinstance(plane, str):
            self.said.emit(plane, "problem")
            return None
        doubt = self._finder.get(plane.written)
        if doubt is None:
            self._step_wanted = by
            self.said.emit(LOOKING, "")
            return None
        if doubt is not self._doubt:
            self._doubt, self._at = doubt, -1
        spots = doubt.spots
        if not spots:
            self.said.emit(NO_SPOT, "")
            return None
        self._at = max(self._at, 0 if by < 0 else -1) + by
        self._at %= len(spots)
        spot = spots[self._at]
        self._centre(plane, spot)
        self.said.emit(f"Doubtful spot {self._at + 1} of {len(spots)}, the most doubtful first.", "")
        return spot

    def _centre(self, plane: _Plane, spot: UncertainRegion) -> None:
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
        viewer, mask, layer = self._viewer, plane.mask, self._layer
        if layer is not None and self.shown and layer.data.shape == mask.data.shape:
            layer.data[:] = 0
            layer.data[selection(plane.key)] = doubt
            layer.refresh()
            return
        data = np.zeros(mask.data.shape, np.float32)
        data[selection(plane.key)] = doubt
        name, place = f"{mask.name} doubt".replace(" mask doubt", " doubt"), Placement.of(mask)
        active = viewer.layers.selection.active
        if layer is None or layer not in viewer.layers or not fits(layer, data, place):
            self.close()
            layer = viewer.add_image(
                data,
                name=name,
                contrast_limits=(0, 1),
                colormap="magma",
                blending="additive",
                opacity=0.8,
                **place.as_arguments(),
            )
            note_view(layer)
        else:
            refill(layer, data, name, place)
        self._layer, self._rests = layer, False
        if viewer.layers.index(layer) != viewer.layers.index(mask) - 1:
            viewer.layers.move(viewer.layers.index(layer), viewer.layers.index(mask))
        viewer.layers.selection.active = active
