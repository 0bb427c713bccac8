"""Writing into a Labels layer so that napari's own undo brings back exactly what was there.

Assigning `layer.data` leaves napari's history pointing at pixels of the old array, and writing into the array leaves no
history at all. `Labels.data_setitem` is the way that does neither.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from napari.layers import Labels

from napari_wavegms.widgets.layers.mask_history import Mask, PlaneKey, read_plane


def write_planes(layer: Labels, planes: Mapping[PlaneKey, Mask]) -> int:
    """Replace planes of a Labels layer as one undo step.

    Parameters
    ----------
    layer : napari.layers.Labels
    planes : mapping of PlaneKey to ndarray of shape (H, W)

    Returns
    -------
    int
        How many pixels changed. Where none did, nothing is added to the history.
    """
    changed = 0
    with layer.block_history():
        for key, mask in planes.items():
            rows, columns = np.nonzero(read_plane(layer, key) != mask)
            if rows.size:
                layer.data_setitem(_indices(key, rows, columns), mask[rows, columns], refresh=len(planes) == 1)
            changed += int(rows.size)
    if changed and len(planes) > 1:
        layer.refresh()
    return changed


def describe_change(before: Mask, after: Mask) -> str:
    """Say how many pixels were added and removed; empty where none were."""
    added, removed = np.count_nonzero((before == 0) & (after != 0)), np.count_nonzero((before != 0) & (after == 0))
    return " and ".join(f"{count:,} px {verb}" for count, verb in ((added, "added"), (removed, "removed")) if count)


class OneStep:
    """Successive writes that count as one undo step, such as the positions of a dragged slider.

    The layer's history is complete at every moment: each write takes back the previous one and replaces it. As soon as
    anybody else changes the layer, the next write starts a new step.
    """

    def __init__(self, layer: Labels) -> None:
        self.layer = layer
        self.writing = False
        # The planes as our step left them; None where no step of ours is the newest.
        self._after: dict[PlaneKey, Mask] | None = None
        layer.events.paint.connect(self._on_paint)

    @property
    def is_on_top(self) -> bool:
        """Whether the newest thing that happened to the layer is this step."""
        after = self._after
        return after is not None and all(np.array_equal(read_plane(self.layer, key), was) for key, was in after.items())

    def write(self, make: Callable[[], Mapping[PlaneKey, Mask]]) -> int:
        """Undo this step's last write, if it is still the newest, and write what `make` returns then.

        Returns
        -------
        int
            How many pixels differ from what was there before the step.
        """
        self.writing = True
        try:
            if self.is_on_top:
                self.layer.undo()
            planes = dict(make())
            changed = write_planes(self.layer, planes)
        finally:
            self.writing = False
        self._after = {key: np.array(mask) for key, mask in planes.items()} if changed else None
        return changed

    def end(self) -> None:
        """End the step: what is written next is another one."""
        self._after = None

    def close(self) -> None:
        """Let go of the layer."""
        self.end()
        self.layer.events.paint.disconnect(self._on_paint)

    def _on_paint(self) -> None:
        if not self.writing:
            self._after = None


def _indices(key: PlaneKey, rows: Mask, columns: Mask) -> tuple[Mask, ...]:
    """Put rows and columns where the key has None, and the plane's own number elsewhere."""
    in_plane = iter((rows, columns))
    return tuple(next(in_plane) if place is None else np.full(rows.size, place) for place in key)
