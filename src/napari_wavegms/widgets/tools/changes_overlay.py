"""What a person has added to a prediction and removed from it, as an overlay that follows the brush.

Solid is added, striped is removed, dotted has another label: the pattern says it without the colour.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from napari.components import ViewerModel
from napari.layers import Labels
from napari.utils import Colormap
from qtpy.QtCore import QObject, Signal

from napari_wavegms.widgets.layers.mask_history import Mask, PlaneKey, Written, memory_of, read_plane
from napari_wavegms.widgets.layers.mask_layers import plane_on_screen
from napari_wavegms.widgets.layers.overlay_layers import Overlay
from napari_wavegms.widgets.qt.lifetime import single_shot

ADDED, REMOVED, RELABELLED = 1, 2, 3
NO_PREDICTION = "There is no prediction of this mask to compare with. Press Segment first."
# Yellow, vermillion and purple of Okabe and Ito: told apart with every kind of colour vision, and from a mask.
_COLOURS = [(0, 0, 0, 0), (0.94, 0.89, 0.26, 0.75), (0.84, 0.37, 0, 0.75), (0.8, 0.47, 0.65, 0.75)]
_QUIET = 60  # ms; a stroke emits an event at every step of the brush


def changes(mask: Mask, prediction: Mask) -> npt.NDArray[np.uint8]:
    """Mark what differs between a mask and a prediction of the same shape: `ADDED`, `REMOVED`, `RELABELLED` or 0."""
    codes = np.zeros(mask.shape, np.uint8)
    codes[(prediction == 0) & (mask != 0)] = ADDED
    codes[(prediction != 0) & (mask == 0)] = REMOVED
    codes[(prediction != 0) & (mask != 0) & (prediction != mask)] = RELABELLED
    return codes


def patterned(codes: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Leave gaps in a plane of codes, (H, W): removed becomes stripes along the diagonal, relabelled dots."""
    rows, columns = np.ogrid[: codes.shape[0], : codes.shape[1]]
    gap = (codes == REMOVED) & ((rows + columns) % 4 >= 2)
    gap |= (codes == RELABELLED) & ((rows % 2 == 1) | (columns % 2 == 1))
    return np.where(gap, np.uint8(0), codes)


class ChangesOverlay(QObject):
    """Shows one mask's changes at a time.

    Signals
    -------
    counted(int, int)
        Pixels added and removed in the plane on screen, whenever they are counted.
    hidden()
        The overlay is gone, whoever removed it.
    """

    counted = Signal(int, int)
    hidden = Signal()

    def __init__(self, viewer: ViewerModel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._mask: Labels | None = None
        self._shape: tuple[int, ...] = ()
        self._given: Mapping[PlaneKey, Mask] | None = None
        self._last: dict[PlaneKey, Written] = {}
        self._overlay = Overlay(
            viewer,
            "changes",
            colormap=Colormap(_COLOURS, name="wavegms changes", interpolation="zero"),
            contrast_limits=(-0.5, RELABELLED + 0.5),  # each code in the middle of its colour
            interpolation2d="nearest",
        )
        self._refresh_soon = single_shot(self, _QUIET, self.refresh)

    @property
    def mask(self) -> Labels | None:
        """The mask whose changes are shown; None without an overlay."""
        return self._mask

    @property
    def shown(self) -> bool:
        """Whether an overlay is in the viewer."""
        return self._mask is not None

    def show(self, mask: Labels, prediction: Mapping[PlaneKey, Mask] | None = None) -> str:
        """Show what differs from the prediction, instead of what was shown before.

        Parameters
        ----------
        mask : napari.layers.Labels
        prediction : mapping of PlaneKey to ndarray of shape (H, W), optional
            By default what we last wrote into the mask ourselves; follows another threshold and another run.

        Returns
        -------
        str
            Why there is nothing to show; empty where there is.
        """
        if prediction is None and memory_of(mask) is None:
            return NO_PREDICTION
        self.rest()
        self._mask, self._shape, self._given = mask, mask.data.shape, prediction
        self._connect(mask, True)
        self.refresh()
        return ""

    def hide(self) -> None:
        """Remove the overlay."""
        was_shown = self.shown
        self.rest()
        self._overlay.remove()
        if was_shown:
            self.hidden.emit()

    def rest(self) -> None:
        """Let go of the mask; an overlay that is shown is hidden, and used again for the next mask."""
        mask, self._mask, self._given = self._mask, None, None
        self._refresh_soon.stop()
        self._last = {}
        if mask is not None:
            self._connect(mask, False)
            self._overlay.rest()

    close = hide

    def refresh(self) -> None:
        """Compare the plane on screen."""
        mask = self._mask
        if mask is None:
            return
        if mask.data.shape != self._shape:
            self.hide()
            return
        key = plane_on_screen(self._viewer, mask)
        if sum(at is None for at in key) != 2:
            return  # in 3-D there is no one plane; what was compared stays
        plane = read_plane(mask, key)
        prediction = self._prediction(mask, key, plane)
        codes = changes(plane, prediction) if prediction is not None else np.zeros(plane.shape, np.uint8)
        self._overlay.put(mask, key, patterned(codes))
        self.counted.emit(int((codes == ADDED).sum()), int((codes == REMOVED).sum()))

    def _prediction(self, mask: Labels, key: PlaneKey, plane: Mask) -> Mask | None:
        if self._given is not None:
            return self._given.get(key)
        memory = memory_of(mask)
        known = None if memory is None else memory.planes.get(key)
        ours = None if known is None else known.ours(plane)
        if ours is not None:
            self._last[key] = ours
        # A mask erased to the last pixel looks as it did before we wrote; it is still compared with what we wrote.
        last = self._last.get(key)
        return None if last is None else last.mask()

    def _connect(self, mask: Labels, connect: bool) -> None:
        dims, layers = self._viewer.dims.events, self._viewer.layers.events
        # Undo and redo emit `set_data` alone.
        for emitter in (mask.events.paint, mask.events.set_data, dims.point):
            (emitter.connect if connect else emitter.disconnect)(self._on_change)
        (layers.removed.connect if connect else layers.removed.disconnect)(self._on_removed)

    def _on_change(self) -> None:
        self._refresh_soon.start()

    def _on_removed(self) -> None:
        here = {layer.unique_id for layer in self._viewer.layers}
        if not {layer.unique_id for layer in (self._overlay.layer, self._mask) if layer is not None} <= here:
            self.hide()
