"""What is said about edits, without their pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Answer = Literal["approved", "saved", "discarded"]


@dataclass(frozen=True, slots=True)
class EditTarget:
    """The image whose mask is edited."""

    image: str  # its content hash, which identifies it whatever it is called
    name: str  # what the user calls it
    shape: tuple[int, ...]  # of the mask, (..., H, W)
    source: str = ""  # the file that it came from, if any
    layer: str = ""  # id of the layer in the viewer, if any


@dataclass(frozen=True, slots=True)
class Edit:
    """One edit in the journal, without its pixels."""

    image: str  # content hash
    name: str  # what the user called the image
    number: int  # from 1 up, over all edits of the image
    time: str  # ISO 8601, UTC
    editor: str
    model: str  # the one that had drawn what was edited, if any
    threshold: float | None  # of that model
    added: int  # pixels that got a label
    removed: int  # pixels that lost theirs
    relabelled: int  # pixels that changed theirs for another
    differing: int  # pixels that differ, after this edit, from the mask that the edits began with
    active_seconds: float  # what the edit took, pauses left out
    seconds_so_far: float  # the same since the edits began


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
    """Edits that were neither approved, saved nor discarded."""

    target: EditTarget
    edits: int  # how many
    time: str  # of the last one, ISO 8601, UTC
    upto: int  # its number, for `Journal.restore` and `Journal.close`
    damage: str = ""  # a sentence where they are damaged, so that the mask may lack something
