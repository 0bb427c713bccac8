"""What the lists of "Wave-GMS Fine-tune" show, as plain values."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any

import numpy.typing as npt

from napari_wavegms.review.preflight import Remedy

Planes = tuple[npt.NDArray[Any], npt.NDArray[Any]]


@dataclass(frozen=True, slots=True)
class PairPicture:
    """Where a pair's small picture comes from.

    Attributes
    ----------
    key : str
        Tells image and mask from all others; another mask has another key.
    name : str
        What the user calls the image.
    load : callable
        Gives the image (H, W[, C]) and its mask; called in a thread in the background.
    """

    key: str
    name: str
    load: Callable[[], Planes] = field(compare=False)


@dataclass(frozen=True, slots=True)
class PairRow:
    """One image with its mask.

    Attributes
    ----------
    key : hashable
        Comes back with what is done to the row.
    name : str
    summary : str
        A few words: ``12 % changed, ready``.
    included : bool
    ready : bool
    problem : str
        The sentence of the first problem; empty where there is none.
    remedies : tuple of Remedy
        What can be done about it, the first one advised.
    masks : tuple of (str, hashable)
        Masks to choose from, by name and id; empty where there is no choice, as for kept corrections.
    mask : hashable or None
        The id of the chosen one.
    picture : PairPicture or None
    """

    key: Hashable
    name: str
    summary: str
    included: bool = True
    ready: bool = True
    problem: str = ""
    remedies: tuple[Remedy, ...] = ()
    masks: tuple[tuple[str, Hashable], ...] = ()
    mask: Hashable | None = None
    picture: PairPicture | None = None


@dataclass(frozen=True, slots=True)
class VersionRow:
    """One model version.

    Attributes
    ----------
    number : int
        0 for the model before the first version.
    words : str
        Its name, score and what the score was measured on.
    note : str
        ``in use``, or the reason why it was not promoted.
    action : str
        What its button says: ``use``, ``use anyway``; empty for none.
    details : str
        On hover.
    """

    number: int
    words: str
    note: str = ""
    action: str = ""
    details: str = ""
