"""Which rows of a mask changed, and what in them, small enough to be written down after every stroke.

A patch names the pixels that changed, as run lengths, and the values that they got. It holds nothing of what was there
before, so that a patch that is lost takes only its own pixels with it.
"""

from __future__ import annotations

import itertools
import json
import pickle
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from napari_wavegms.errors import InputError

Labels = npt.NDArray[Any]

_BAND_PIXELS = 2**18  # as many as are copied and looked through in a fraction of a millisecond
_WIDTHS = (np.dtype("<u1"), np.dtype("<u2"), np.dtype("<u4"), np.dtype("<u8"))
_MOST_BYTES = 24  # a pixel, packed: its value, and the run lengths before and after it


class Band(NamedTuple):
    """Whole rows of one plane of a mask, copied and compared at a time, so that nobody waits for a whole stack."""

    plane: tuple[int, ...]  # its place along the mask's leading axes; empty for a mask of rows and columns
    top: int  # the rows ``top:bottom``
    bottom: int

    def of(self, mask: Labels) -> Labels:
        """Give these rows of a mask, (rows, W); a view where the mask can give one."""
        place: Any = (*self.plane, slice(self.top, self.bottom))
        return mask[place]  # type: ignore[no-any-return]


def band_height(shape: tuple[int, ...]) -> int:
    """How many rows a band has in masks of this shape; the last one of a plane may have fewer."""
    return max(1, _BAND_PIXELS // max(1, shape[-1]))


def bands_of(shape: tuple[int, ...]) -> Iterator[Band]:
    """Give all bands of a mask of this shape."""
    step, rows = band_height(shape), shape[-2]
    for plane in np.ndindex(shape[:-2]):
        for top in range(0, rows, step):
            yield Band(plane, top, min(top + step, rows))


def checked_mask(mask: Labels) -> Labels:
    """A mask in bytes of one order; raises `InputError` if it is no array of whole numbers with rows and columns."""
    if mask.ndim < 2 or mask.dtype.kind not in "bui":
        raise InputError(
            f"The mask has dtype {mask.dtype} and shape {mask.shape}; the journal keeps whole numbers in rows and "
            "columns. Convert it to labels first."
        )
    return mask.astype(mask.dtype.newbyteorder("<"), copy=False)


class ChangedBands:
    """Finds which rows of an array of labels have changed, in portions that no stroke has to wait for.

    A stroke says where it painted; an undo, or somebody who writes into the array, does not, and then the hash of every
    band is compared with the one it had. `start` is kept until the first sweep has gone through, and never changed.
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
            if band not in self._changed and _fingerprint(np.asarray(band.of(data))) != known:
                self._changed.add(band)
            yield
        self._start = None

    def take(self, data: Any) -> dict[Band, Labels]:
        """Copies of the bands that have changed, as they are now; from then on they count as known."""
        taken = {}
        for band in sorted(self._changed):
            # What was painted is not compared with what was there; the journal does so anyway.
            taken[band] = np.array(np.asarray(band.of(data)))
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


def _fingerprint(rows: Labels) -> bytes:
    return blake2b(np.ascontiguousarray(rows).data, digest_size=16).digest()


@dataclass(frozen=True, slots=True, eq=False)
class Patch:
    """Pixels of one plane that changed."""

    plane: tuple[int, ...]  # its place along the mask's leading axes
    top: int  # first row of `changed` in the plane
    left: int  # its first column
    changed: npt.NDArray[np.bool_]  # (h, w)
    values: Labels  # what the changed pixels are now, row by row

    def of(self, mask: Labels) -> Labels:
        """Give the place of the patch in a mask, a view."""
        return self.in_plane(mask[self.plane])

    def in_plane(self, plane: Labels) -> Labels:
        """The same in the plane alone."""
        rows, columns = self.changed.shape
        return plane[self.top : self.top + rows, self.left : self.left + columns]


@dataclass(frozen=True, slots=True)
class Change:
    """Numbers of pixels that gained, lost or changed a label, and that differ from the initial mask."""

    added: int = 0
    removed: int = 0
    relabelled: int = 0
    differing: int = 0


class MaskState:
    """A copy of a mask (..., H, W) that patches are applied to, and its distance from the initial mask."""

    def __init__(self, mask: Labels) -> None:
        self.mask: Labels = np.array(mask, order="C")
        self.differing = 0
        # Planes as they were before their first change; all others are unchanged.
        self._began: dict[tuple[int, ...], Labels] = {}

    @classmethod
    def empty(cls, shape: tuple[int, ...], dtype: npt.DTypeLike) -> MaskState:
        """A mask without any label."""
        return cls(np.zeros(shape, dtype))

    def patches_to(self, bands: Mapping[Band, Labels]) -> list[Patch]:
        """Patches that turn these bands into the given ones; none for equal bands."""
        found = (_patch(band, band.of(self.mask), now) for band, now in bands.items())
        return [patch for patch in found if patch is not None]

    def change_of(self, patches: Iterable[Patch]) -> Change:
        """Count the pixels that patches would change, without applying them."""
        added = removed = relabelled = 0
        differing = self.differing
        for patch in patches:
            was = patch.of(self.mask)[patch.changed]
            began = self._began.get(patch.plane)
            start = was if began is None else patch.in_plane(began)[patch.changed]
            had, has = was != 0, patch.values != 0
            added += int(np.count_nonzero(~had & has))
            removed += int(np.count_nonzero(had & ~has))
            relabelled += int(np.count_nonzero(had & has))
            differing += int(np.count_nonzero(patch.values != start)) - int(np.count_nonzero(was != start))
        return Change(added, removed, relabelled, differing)

    def apply(self, patches: Iterable[Patch]) -> None:
        """Change the mask."""
        for patch in patches:
            # One by one: two patches may lie in the same plane.
            self.differing = self.change_of([patch]).differing
            if patch.plane not in self._began:
                self._began[patch.plane] = self.mask[patch.plane].copy()
            patch.of(self.mask)[patch.changed] = patch.values

    def folded(self) -> bytes:
        """The compressed state, for `unfold`."""
        return zlib.compress(pickle.dumps(self), 1)

    @staticmethod
    def unfold(folded: bytes) -> MaskState:
        """The state from `folded`."""
        return pickle.loads(zlib.decompress(folded))  # type: ignore[no-any-return]

    def reformed(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> MaskState:
        """The same mask in another dtype; in another shape, an empty one that began empty."""
        if shape != self.mask.shape:
            return MaskState.empty(shape, dtype)
        other = MaskState(self.mask.astype(dtype))
        other._began = dict(self._began)
        other.differing = self.differing
        return other


def compare(state: MaskState, mask: Labels | Mapping[Band, Labels]) -> tuple[MaskState, list[Patch], Change]:
    """Compare a state with a mask, or with those of its rows that may have changed.

    The patches are to be applied to the state that is returned: `state`, or a copy in the new shape and dtype of the
    mask. Raises `InputError` if the mask does not fit.
    """
    if isinstance(mask, Mapping):
        bands, shape = {band: checked_mask(np.asarray(rows)) for band, rows in mask.items()}, state.mask.shape
        dtype = next((rows.dtype for rows in bands.values()), state.mask.dtype)
        for band, rows in bands.items():
            if len(band.plane) != len(shape) - 2 or band.of(state.mask).shape != rows.shape:
                raise InputError(
                    f"Rows of shape {rows.shape} came for {band} of a mask of shape {shape}. Record the whole mask."
                )
    else:
        whole = checked_mask(np.asarray(mask))
        shape, dtype = whole.shape, whole.dtype
        bands = {band: band.of(whole) for band in bands_of(shape)}
    fitting, removed = state, 0
    if (shape, dtype) != (state.mask.shape, state.mask.dtype):
        fitting = state.reformed(shape, dtype)
    patches = fitting.patches_to(bands)
    if shape != state.mask.shape:
        removed = int(np.count_nonzero(state.mask))  # they went with the old shape
    elif not patches:  # another dtype alone is no edit; it is written down with the first pixel that changes
        fitting = state
    change = fitting.change_of(patches)
    return fitting, patches, replace(change, removed=change.removed + removed)


def _patch(band: Band, was: Labels, now: Labels) -> Patch | None:
    differs = was != now
    rows = np.flatnonzero(differs.any(axis=1))
    if not rows.size:
        return None
    columns = np.flatnonzero(differs.any(axis=0))
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    changed = differs[box].copy()
    return Patch(band.plane, band.top + int(rows[0]), int(columns[0]), changed, now[box][changed])


def pack(patches: Iterable[Patch]) -> bytes:
    """Serialise patches: run lengths of the changed pixels, and their values unless they are all the same."""
    heads, bodies = [], []
    for patch in patches:
        runs, one = _runs(patch.changed), patch.values[0]
        values = b"" if (patch.values == one).all() else patch.values.tobytes()
        heads.append([patch.plane, patch.top, patch.left, *patch.changed.shape, int(one), len(runs), len(values)])
        bodies += [runs, values]
    head = json.dumps(heads, separators=(",", ":")).encode("ascii")
    return zlib.compress(b"\n".join([head, b"".join(bodies)]), 9)


def unpack(data: bytes, dtype: npt.DTypeLike, most: int) -> list[Patch]:
    """Read what `pack` wrote for a mask of at most so many pixels; anything else raises one of many errors."""
    unpacked = zlib.decompressobj()
    head, _, body = unpacked.decompress(data, _MOST_BYTES * (most + 2**16)).partition(b"\n")
    if not unpacked.eof:
        raise ValueError("more than fits a mask")
    patches, place = [], 0
    for plane, top, left, rows, columns, one, runs, values in json.loads(head):
        if not 0 <= rows * columns <= most:
            raise ValueError("a patch that is larger than the mask")
        changed = _changed(body[place : place + runs], (rows, columns))
        place += runs
        count = int(np.count_nonzero(changed))
        numbers = np.frombuffer(body[place : place + values], dtype) if values else np.full(count, one, dtype)
        place += values
        if numbers.size != count:
            raise ValueError(f"{numbers.size} values for {count} pixels")
        patches.append(Patch(tuple(plane), top, left, changed, numbers))
    return patches


def _runs(changed: npt.NDArray[np.bool_]) -> bytes:
    """Run lengths of unchanged, changed, unchanged ... pixels, their low bytes first: a third of zlib on the pixels."""
    ends = np.flatnonzero(np.diff(changed.ravel().view(np.int8), prepend=0, append=0))
    runs = np.diff(ends, prepend=0)
    width = next(width for width in _WIDTHS if runs.max() <= np.iinfo(width).max)
    shuffled = runs.astype(width).view(np.uint8).reshape(runs.size, width.itemsize).T
    return bytes([width.itemsize]) + shuffled.tobytes()


def _changed(data: bytes, shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
    shuffled = np.frombuffer(data, np.uint8, offset=1).reshape(data[0], -1)
    runs = np.ascontiguousarray(shuffled.T).view(f"<u{data[0]}").ravel().astype(np.int64)
    rest = shape[0] * shape[1] - int(runs.sum())
    if runs.size % 2 or rest < 0:
        raise ValueError("run lengths that do not fit")
    is_changed = np.arange(runs.size + 1) % 2 == 1
    return np.repeat(is_changed, np.append(runs, rest)).reshape(shape)
