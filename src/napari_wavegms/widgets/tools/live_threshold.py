"""The mask under a moving threshold: from the probability we kept, without the network."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from napari.layers import Labels

from napari_wavegms.widgets.layers.mask_history import Mask, MaskMemory, PlaneKey, Written, read_plane
from napari_wavegms.widgets.layers.undoable import OneStep


@dataclass(frozen=True, slots=True, eq=False)
class _Start:
    """A plane as it was when the slider began to move."""

    plane: Mask
    edits: npt.NDArray[np.bool_]
    written: Written


class LiveThreshold:
    """Writes masks for a threshold that moves; one movement is one undo step, and a person's edits stay.

    Parameters
    ----------
    mask : napari.layers.Labels
    memory : MaskMemory
        Of this mask.
    """

    def __init__(self, mask: Labels, memory: MaskMemory) -> None:
        self._mask = mask
        self._memory = memory
        self._step = OneStep(mask)
        self._starts: dict[PlaneKey, _Start] = {}
        self._last: dict[PlaneKey, tuple[Written, Mask]] = {}

    @property
    def writing(self) -> bool:
        """Whether the mask is being written to right now."""
        return self._step.writing

    def move(self, threshold: float, keys: Collection[PlaneKey]) -> int:
        """Show a threshold, strictly between 0 and 1, in those of the planes that have a probability.

        Where the running movement has reached other planes too, it ends and another one begins.

        Returns
        -------
        int
            How many pixels differ from what was there before the movement.
        """
        if not self._step.is_on_top or not set(self._starts) <= set(keys):
            self.end()
        return self._step.write(lambda: self._planes(threshold, keys))

    def end(self) -> None:
        """End the movement, and note what it wrote; the next one is another undo step.

        Has to be called before anybody asks the memory about the mask again.
        """
        self._step.end()
        for key, (written, plane) in self._last.items():
            self._memory.plane(key).note(written, self._starts[key].plane, plane)
        self._starts.clear()
        self._last.clear()

    def close(self) -> None:
        """Let go of the mask."""
        self.end()
        self._step.close()

    def _planes(self, threshold: float, keys: Collection[PlaneKey]) -> dict[PlaneKey, Mask]:
        planes = {}
        for key in keys:
            start = self._starts.get(key) or self._start(key)
            if start is not None:
                written = replace(start.written, threshold=threshold)
                planes[key] = np.where(start.edits, start.plane, written.mask().astype(start.plane.dtype, copy=False))
                self._starts[key], self._last[key] = start, (written, planes[key])
        return planes

    def _start(self, key: PlaneKey) -> _Start | None:
        memory = self._memory.planes.get(key)
        plane = np.array(read_plane(self._mask, key))
        ours = memory.ours(plane) if memory is not None else None
        if memory is None or ours is None:
            return None
        return _Start(plane, memory.edits(plane), ours)
