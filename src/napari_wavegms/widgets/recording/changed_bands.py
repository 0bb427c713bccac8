"""Which rows of a mask have changed, found in portions that no stroke has to wait for.

A stroke says where it painted; an undo, or somebody who writes into the array, does not, and then the hash of every
band is compared with the one it had.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import Any, cast

import numpy as np

from napari_wavegms.journal.patches import Band, Labels, band_height, bands_of


class ChangedBands:
    """Compares an array of labels with what it was.

    Parameters
    ----------
    start : ndarray of shape (..., H, W)
        What it is now. Kept until the first sweep has gone through, and never changed.
    """

    def __init__(self, start: Labels) -> None:
        self.shape = start.shape
        self.dtype = start.dtype
        self._start: Labels | None = start
        self._known: dict[Band, bytes] = {}
        self._changed: set[Band] = set()

    def painted(self, atoms: object) -> bool:
        """Note what napari's `paint` event carries; False where it cannot be read, and a sweep is needed."""
        try:
            for atom in cast("Iterable[Any]", atoms):
                self._changed.update(self._bands_at(_ranges(atom)))
        except (TypeError, ValueError, AttributeError, IndexError):
            return False
        return True

    def sweep(self, data: Any) -> Iterator[None]:
        """Compare every band; yields after each one."""
        for band in bands_of(self.shape):
            known = self._fingerprint_of(band)
            if band not in self._changed and _fingerprint(_rows(data, band)) != known:
                self._changed.add(band)
            yield
        self._start = None

    def take(self, data: Any) -> dict[Band, Labels]:
        """Copies of the bands that have changed, as they are now; from then on they count as known."""
        taken = {}
        for band in sorted(self._changed):
            # What was painted is not compared with what was there; the journal does so anyway.
            taken[band] = np.array(_rows(data, band))
            self._known[band] = _fingerprint(taken[band])
        self._changed.clear()
        return taken

    def _fingerprint_of(self, band: Band) -> bytes:
        if band not in self._known:
            assert self._start is not None, "after the first sweep every band is known"
            self._known[band] = _fingerprint(band.of(self._start))
        return self._known[band]

    def _bands_at(self, ranges: tuple[range, ...]) -> Iterator[Band]:
        *planes, rows, _ = ranges
        if len(ranges) != len(self.shape) or not rows:
            raise ValueError(f"{len(ranges)} axes came for a mask of shape {self.shape}")
        height = band_height(self.shape)
        for plane in itertools.product(*planes):
            for top in range(rows[0] // height * height, rows[-1] + 1, height):
                yield Band(plane, top, min(top + height, self.shape[-2]))


def _ranges(atom: Any) -> tuple[range, ...]:
    """Where an entry of napari's undo history lies, one range an axis."""
    # There are two kinds: pixels by their indices (`Labels.data_setitem`, and everything in older versions), and a box
    # of slices with the pixels in it (`paint`, `fill` and `paint_polygon` since napari 0.9).
    box = getattr(atom, "slice_key", None)
    if box is None:
        return tuple(range(int(np.min(places)), int(np.max(places)) + 1) for places in atom[0])
    return tuple(
        range(place.start, place.stop) if isinstance(place, slice) else range(place, place + 1) for place in box
    )


def _rows(data: Any, band: Band) -> Labels:
    return np.asarray(data[(*band.plane, slice(band.top, band.bottom))])


def _fingerprint(rows: Labels) -> bytes:
    return blake2b(np.ascontiguousarray(rows).data, digest_size=16).digest()
