"""Where a plane is doubtful: at once for images of ordinary size, in a worker's thread for large ones."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]

from napari_wavegms.widgets.jobs import JobRunner, Outcome
from napari_wavegms.widgets.mask_memory import Written

if TYPE_CHECKING:
    from napari_wavegms.segment.doubt import Spot

AT_ONCE = 1 << 20
"""Pixels up to which the window can afford to look itself: some 30 ms."""


@dataclass(frozen=True, slots=True, eq=False)
class Doubt:
    """What is doubtful in a plane.

    Attributes
    ----------
    map : ndarray of shape (H, W), float32
        In [0, 1].
    spots : tuple of Spot
        Heaviest first.
    """

    map: npt.NDArray[np.float32]
    spots: tuple[Spot, ...]


def doubt_of(written: Written) -> Doubt:
    """Look for it."""
    from napari_wavegms.segment.doubt import doubtful_spots
    from napari_wavegms.segment.uncertainty import uncertainty_map

    map_ = uncertainty_map(written.probability, written.threshold)
    return Doubt(map_, tuple(doubtful_spots(written.probability, written.threshold)))


def doubt_job(written: Written) -> Generator[None, None, Doubt]:
    """Look for it in a worker's thread."""
    yield
    return doubt_of(written)


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
        self._doubt: Doubt | None = None
        self._runner = JobRunner(self)
        self._runner.ended.connect(self._on_end)

    def get(self, written: Written) -> Doubt | None:
        """Give the doubt of a plane; None while it is being looked for."""
        of = self._of
        if of is None or of.probability is not written.probability or of.threshold != written.threshold:
            self._runner.abandon()
            self._of, self._doubt = written, None
            if written.probability.size <= AT_ONCE:
                self._doubt = doubt_of(written)
            else:
                self._runner.start(partial(doubt_job, written))
        return self._doubt

    def forget(self) -> None:
        """Stop looking, and let go of the plane."""
        self._runner.abandon()
        self._of = self._doubt = None

    def _on_end(self, outcome: Outcome) -> None:
        if isinstance(outcome.result, Doubt):
            self._doubt = outcome.result
            self.found.emit()
        else:
            self._of = None
