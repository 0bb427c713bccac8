"""What is said about edits, without their pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Answer = Literal["approved", "saved", "discarded"]


@dataclass(frozen=True, slots=True)
class EditTarget:
    """The image whose mask is edited.

    Attributes
    ----------
    image : str
        Its content hash, see `napari_wavegms.storage.content_hash`; what identifies it, whatever it is called.
    name : str
        What the user calls it.
    shape : tuple of int
        Of the mask, (..., H, W).
    source : str
        The file that it came from, if any.
    layer : str
        Id of the layer in the viewer, if any.
    """

    image: str
    name: str
    shape: tuple[int, ...]
    source: str = ""
    layer: str = ""


@dataclass(frozen=True, slots=True)
class Edit:
    """One edit in the journal, without its pixels.

    Attributes
    ----------
    image, name : str
        The image: its content hash, and what the user called it.
    number : int
        From 1 up, over all edits of the image.
    time : str
        ISO 8601, UTC.
    editor : str
        Who.
    model : str
        The model that had drawn what was edited, if any.
    threshold : float or None
        Its threshold.
    added, removed, relabelled : int
        Pixels that got a label, lost theirs, or changed theirs for another.
    differing : int
        Pixels that differ, after this edit, from the mask that the edits began with.
    active_seconds : float
        What the edit took, pauses left out.
    seconds_so_far : float
        The same since the edits began.
    """

    image: str
    name: str
    number: int
    time: str
    editor: str
    model: str
    threshold: float | None
    added: int
    removed: int
    relabelled: int
    differing: int
    active_seconds: float
    seconds_so_far: float


@dataclass(frozen=True, slots=True)
class Beginning:
    """What a mask was before it was edited, as it stands in the journal beside its pixels."""

    target: EditTarget
    time: str
    editor: str
    model: str
    threshold: float | None
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True, slots=True)
class Unfinished:
    """Edits that were neither approved, saved nor discarded.

    Attributes
    ----------
    target : EditTarget
    edits : int
        How many.
    time : str
        When the last one was made, ISO 8601, UTC.
    upto : int
        Its number, for `Journal.restore` and `Journal.close`.
    damage : str
        A sentence where they are damaged, so that the mask may lack something; usually empty.
    """

    target: EditTarget
    edits: int
    time: str
    upto: int
    damage: str = ""
