"""Rows of the lists in the Fine-tune panel."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any

import numpy.typing as npt

from napari_wavegms.finetune.preflight import Remedy
from napari_wavegms.finetune.split import worth
from napari_wavegms.finetune.versions import STARTING_MODEL, ModelVersions, VersionEntry
from napari_wavegms.wording import moment

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


def version_rows(versions: ModelVersions) -> list[VersionRow]:
    """The versions, newest first, and below them the model before the first."""
    entries = versions.listing()
    rows = [_row(entry) for entry in entries]
    if entries:
        nothing = versions.current() is None
        rows.append(
            VersionRow(
                STARTING_MODEL,
                "the model before",
                note="in use" if nothing else "",
                action="" if nothing else "use",
                details="The installed model, as it was before anything was learned.",
            )
        )
    return rows


def _row(entry: VersionEntry) -> VersionRow:
    version = entry.version
    score = "no score" if version.dsc is None else f"{version.dsc:.2f} on {len(version.after)}"
    words = f"{version.name}   {score}   {moment(version.created)}"
    measured = "" if version.dsc is None else f"DSC {version.dsc:.2f} {worth(len(version.after))}. "
    details = (
        f"{version.title}, from {version.parent or 'an unknown model'}, {version.created}. {measured}{version.reason}"
    )
    if entry.missing:
        return VersionRow(version.number, words, "file is gone", details=details)
    note = "in use" if entry.in_use else "" if version.promoted else version.reason
    action = "" if entry.in_use else "use" if version.promoted else "use anyway"
    return VersionRow(version.number, words, note, action, details)
