"""What we remember about each mask we made: the probabilities behind it, which tell a person's edits from our own work.

An edit is a pixel that differs from what we wrote ourselves. Which of our writes that is has to be found out again and
again, because undo and redo bring back an earlier threshold or an earlier run without a word.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any
from weakref import finalize

import numpy as np
import numpy.typing as npt
from napari.layers import Labels

from napari_wavegms.segment.merging import Overwrite, merged
from napari_wavegms.segment.postprocess import threshold_probability
from napari_wavegms.widgets.layers.image_info import ChannelChoice

# Where a plane lies in an array of labels: a number along each leading axis, None along its rows and its columns.
# (None, None) is the only plane of a 2-D mask. Slices, which numpy wants there, cannot be keys of a dict.
PlaneKey = tuple[int | None, ...]
Mask = npt.NDArray[np.integer[Any]]
Probability = npt.NDArray[np.floating[Any]]

_MOMENTS = 24  # how many moments of a plane are told apart; each keeps one probability alive


def plane_key(index: Iterable[int | slice]) -> PlaneKey:
    """Make a key of a plane's numpy index."""
    return tuple(None if isinstance(place, slice) else place for place in index)


def selection(key: PlaneKey) -> tuple[int | slice, ...]:
    """Make the numpy index of a plane's key again."""
    return tuple(slice(None) if place is None else place for place in key)


def read_plane(layer: Labels, key: PlaneKey) -> Mask:
    """One plane of a Labels layer as it is now, (H, W); maybe a view."""
    return np.asarray(layer.data[selection(key)])


@dataclass(frozen=True, slots=True, eq=False)
class Written:
    """A plane as we wrote it: its probability, and the threshold that made it a mask."""

    probability: Probability  # of the most probable class
    threshold: float
    # The label of each pixel of the mask, where the model has several or it was carried on from others; else 1.
    labels: Mask | None = None
    window: tuple[float, float] | None = None  # of grey values, where neither the plane nor the model says it
    detail: str = ""  # "native" where the model ran again at the image's own pixels

    def mask(self) -> Mask:
        """The mask, (H, W)."""
        mask = threshold_probability(self.probability, self.threshold)
        return mask if self.labels is None else np.where(mask, self.labels, 0)


class PlaneMemory:
    """What we wrote into one plane, and what the plane looked like before and after.

    Whenever the plane looks exactly like one of those moments, as it does after an undo, we know what of ours is in it;
    whatever a person draws from there on is an edit.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, Written | None] = OrderedDict()
        self._ours: Written | None = None

    def ours(self, current: Mask) -> Written | None:
        """Find what of ours a plane, as it is now, holds under a person's edits; None if nothing."""
        seen = _fingerprint(current)
        if seen in self._known:
            self._ours = self._known[seen]
        return self._ours

    def edits(self, current: Mask) -> npt.NDArray[np.bool_]:
        """Mark the pixels that a person, or a clean-up that a person asked for, changed: (H, W).

        In a plane that holds nothing of ours, everything drawn is an edit.
        """
        ours = self.ours(current)
        changed: npt.NDArray[np.bool_] = current != (0 if ours is None else ours.mask())
        return changed

    def merged(self, current: Mask, written: Written, how: Overwrite = "keep mine") -> Mask:
        """Make the plane that a new probability or threshold asks for; `how` says what becomes of a person's pixels."""
        ours = self.ours(current)
        return merged(current, written.mask(), None if ours is None else ours.mask(), how)

    def note(self, written: Written, before: Mask, after: Mask) -> None:
        """Note a write of ours, with the whole plane as it was before and after it, edits included."""
        self._remember(_fingerprint(before), self.ours(before))
        self._remember(_fingerprint(after), written)
        self._ours = written

    def _remember(self, seen: bytes, ours: Written | None) -> None:
        self._known[seen] = ours
        self._known.move_to_end(seen)
        while len(self._known) > _MOMENTS:
            self._known.popitem(last=False)


@dataclass(slots=True, eq=False)
class MaskMemory:
    """What we know about one mask layer that we made.

    Attributes
    ----------
    image_id : hashable
        `unique_id` of the image layer that the mask belongs to.
    model : str
        Name of the model that made it last.
    channel : ChannelChoice or None
        The channel of the image that it belongs to.
    planes : dict of PlaneKey to PlaneMemory
    right : set of PlaneKey
        Planes that a person called right, edited or not.
    """

    image_id: Hashable
    model: str
    channel: ChannelChoice | None = None
    planes: dict[PlaneKey, PlaneMemory] = field(default_factory=dict)
    right: set[PlaneKey] = field(default_factory=set)

    def plane(self, key: PlaneKey) -> PlaneMemory:
        """A plane's memory, new where there is none."""
        return self.planes.setdefault(key, PlaneMemory())

    def edited_pixels(self, data: npt.NDArray[Any], keys: Iterable[PlaneKey]) -> int:
        """Count the pixels that a person changed in some planes of a mask's data."""
        nothing = PlaneMemory()
        edits = (self.planes.get(key, nothing).edits(np.asarray(data[selection(key)])) for key in keys)
        return sum(int(np.count_nonzero(marked)) for marked in edits)

    def unedited(self, data: npt.NDArray[Any]) -> Mask:
        """Make a mask's data as they are without a person's edits, which leaves what we wrote; a copy."""
        made = np.zeros(data.shape, data.dtype)
        for key, plane in self.planes.items():
            if (ours := plane.ours(np.asarray(data[selection(key)]))) is not None:
                made[selection(key)] = ours.mask()
        return made


# By the id that napari gives each layer: a duplicate or a renamed stranger is never taken for ours, and a panel that
# was closed and opened again still knows the masks it made.
_OURS: dict[Hashable, MaskMemory] = {}


def remember_mask(layer: Labels, memory: MaskMemory) -> None:
    """Note that we made a Labels layer; forgotten when the layer is."""
    if layer.unique_id not in _OURS:
        # A plugin may be handed a passing proxy instead of the layer itself.
        finalize(getattr(layer, "__wrapped__", layer), _OURS.pop, layer.unique_id, None)
    _OURS[layer.unique_id] = memory


def memory_of(layer: Labels | None) -> MaskMemory | None:
    """What we know about a layer; None for a layer that we did not make."""
    return None if layer is None else _OURS.get(layer.unique_id)


def _fingerprint(plane: Mask) -> bytes:
    return blake2b(np.ascontiguousarray(plane).tobytes(), digest_size=16).digest()
