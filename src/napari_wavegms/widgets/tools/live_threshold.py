"""The mask under a moving threshold: from the probability we kept, without the network."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_wavegms.widgets.layers.mask_history import Mask, MaskMemory, PlaneKey, Probability, Written
from napari_wavegms.widgets.layers.undoable import OneStep, read_plane


@dataclass(frozen=True, slots=True, eq=False)
class _Start:
    """A plane as it was when the slider began to move."""

    plane: Mask
    edits: npt.NDArray[np.bool_]
    probability: Probability


class LiveThreshold:
    """Writes masks for a threshold that moves; one movement is one undo step, and a person's edits stay.

    Parameters
    ----------
    step : OneStep
        For the mask's layer.
    memory : MaskMemory
        Of the same layer.
    """

    def __init__(self, step: OneStep, memory: MaskMemory) -> None:
        self._step = step
        self._memory = memory
        self._starts: dict[PlaneKey, _Start] = {}
        self._last: dict[PlaneKey, tuple[Written, Mask]] = {}

    def move(self, threshold: float, keys: Collection[PlaneKey]) -> int:
        """Show a threshold in some planes.

        Parameters
        ----------
        threshold : float
            Strictly between 0 and 1.
        keys : collection of PlaneKey
            Planes without a probability are left alone. Planes that the running movement has reached but that are not
            named end it, and another one begins.

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

    def _planes(self, threshold: float, keys: Collection[PlaneKey]) -> dict[PlaneKey, Mask]:
        planes = {}
        for key in keys:
            memory = self._memory.planes.get(key)
            start = self._starts.get(key) or self._start(key)
            if memory is None or start is None:
                continue
            written = Written(start.probability, threshold)
            mask = written.mask().astype(start.plane.dtype, copy=False)
            planes[key] = np.where(start.edits, start.plane, mask)
            self._starts[key], self._last[key] = start, (written, planes[key])
        return planes

    def _start(self, key: PlaneKey) -> _Start | None:
        memory = self._memory.planes.get(key)
        plane = np.array(read_plane(self._step.layer, key))
        ours = memory.ours(plane) if memory is not None else None
        if memory is None or ours is None:
            return None
        return _Start(plane, memory.edits(plane), ours.probability)
