"""One image of a review, and what has become of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

from napari_wavegms.errors import InputError

State = Literal["todo", "predicted", "corrected", "approved", "skipped"]
STATES: tuple[State, ...] = get_args(State)


@dataclass(frozen=True, slots=True)
class Item:
    """One image of a worklist.

    Attributes
    ----------
    key : str
        What names it in its list: the path of its file, or the id of its layer.
    name : str
        What the user calls it; unique in its list wherever files allow.
    path : pathlib.Path or None
        Its file; None for an open layer.
    state : {"todo", "predicted", "corrected", "approved", "skipped"}
    score : float or None
        The model's own score of its mask; None while there is none.
    uncertainty : float or None
        0 to 1, of the image as a whole; None while nothing was predicted.
    seconds : float
        How long a person has worked on it.
    content : str
        Content hash of its pixels, once they were read; see `napari_wavegms.storage.content_hash`.
    time : str
        When its state changed last, ISO 8601 in UTC; empty for never.
    light : str
        "green", "amber" or "red", how much it is like what the model has learned from; empty for not yet known.
    shown : int
        Its place among the images that were shown, from 1 up; 0 for never shown.
    """

    key: str
    name: str
    path: Path | None = None
    state: State = "todo"
    score: float | None = None
    uncertainty: float | None = None
    seconds: float = 0.0
    content: str = ""
    time: str = ""
    light: str = ""
    shown: int = 0

    def with_changes(self, changes: Mapping[str, Any]) -> Item:
        """Give the item with other values, see `fitting_changes`."""
        fitting = fitting_changes(changes)
        return replace(self, **fitting) if fitting else self


def fitting_changes(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Give those values that an `Item` can take, as it takes them; what a later version or a hand wrote may not fit."""
    return {name: _READ[name](value) for name, value in changes.items() if name in _READ and _fits(name, value)}


def checked_changes(name: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Give the changes as they are kept, in plain values.

    Parameters
    ----------
    name : str
        Of the item, for the sentence.
    changes : mapping
        Attributes of an `Item` and their new values; a score that is no finite number is none.

    Raises
    ------
    InputError
        If an attribute cannot be changed, or not to this value.
    """
    kept: dict[str, Any] = {}
    for what, value in changes.items():
        if what not in CHANGEABLE or not _fits(what, value):
            raise InputError(
                f"The {what} of {name} cannot become {value!r}. What can change is {', '.join(CHANGEABLE)}; a state is "
                f"one of {', '.join(STATES)}."
            )
        kept[what] = _READ[what](value)
    return kept


def _number_or_none(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None


# How each attribute comes out of what was given or read.
_READ: dict[str, Any] = {
    "state": str,
    "score": _number_or_none,
    "uncertainty": _number_or_none,
    "seconds": float,
    "content": str,
    "time": str,
    "light": str,
    "shown": int,
}
CHANGEABLE = tuple(name for name in _READ if name != "shown")
assert set(_READ) < {field.name for field in fields(Item)}


def _fits(name: str, value: object) -> bool:
    if name == "state":
        return value in STATES
    if name in ("content", "time", "light"):
        return isinstance(value, str)
    if value is None:
        return name in ("score", "uncertainty")
    try:
        return math.isfinite(value) or name in ("score", "uncertainty")  # type: ignore[arg-type]
    except (TypeError, OverflowError):
        return False
