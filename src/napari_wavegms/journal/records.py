"""What is said about edits, and the lines in which it is written down, each tied to the one before by its hash."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b
from typing import Any, Literal

from napari_wavegms.storage.append_log import Record

Answer = Literal["approved", "saved", "discarded"]
LINK = "link"


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

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> EditTarget:
        """Read plain values; keys of newer versions are passed over.

        Raises
        ------
        KeyError, TypeError, ValueError
            If something is missing.
        """
        return cls(
            image=str(values["image"]),
            name=str(values["name"]),
            shape=tuple(int(length) for length in values["shape"]),
            source=str(values.get("source", "")),
            layer=str(values.get("layer", "")),
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


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
    bytes : int
        Length of its line.
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
    bytes: int


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
        A sentence where the lines are damaged, so that the mask may lack something; usually empty.
    """

    target: EditTarget
    edits: int
    time: str
    upto: int
    damage: str = ""


def line_bytes(record: Record) -> int:
    """Length of a record's line in the file."""
    return len(json.dumps(record)) + 1


def chained(records: Iterable[Record], last: str) -> list[Record]:
    """Tie records to the line before them.

    Parameters
    ----------
    records : iterable of dict
    last : str
        The link of the last line; empty at the beginning of a file.
    """
    tied = []
    for record in records:
        last = _link(record, last)
        tied.append({**record, LINK: last})
    return tied


def last_link(records: Sequence[Record]) -> str:
    """The link of the last line; empty where there is none."""
    return str(records[-1].get(LINK, "")) if records else ""


def broken_links(records: Sequence[Record]) -> list[int]:
    """Give the places, from 0 up, of the lines that do not follow from the line before."""
    before = ["", *(str(record.get(LINK, "")) for record in records)]
    return [place for place, record in enumerate(records) if record.get(LINK) != _link(record, before[place])]


def _link(record: Record, last: str) -> str:
    content = {key: value for key, value in record.items() if key != LINK}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return blake2b(f"{last}\n{text}".encode("ascii"), digest_size=16).hexdigest()
