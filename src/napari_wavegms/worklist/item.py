"""One image of a review, and what has become of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, Field

from napari_wavegms.errors import InputError
from napari_wavegms.storage.database import from_plain

State = Literal["todo", "predicted", "corrected", "approved", "skipped"]
STATES: tuple[State, ...] = get_args(State)
CHANGEABLE = ("state", "score", "uncertainty", "seconds", "content", "time", "light")


_Number = Annotated[
    float | None, AfterValidator(lambda value: value if value is None or math.isfinite(value) else None)
]


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
    score: _Number = None
    uncertainty: _Number = None
    seconds: Annotated[float, Field(allow_inf_nan=False)] = 0.0
    content: str = ""
    time: str = ""
    light: str = ""
    shown: int = 0

    def with_record(self, record: Mapping[str, Any]) -> Item:
        """The item with its saved state; raises InputError if the record is damaged."""
        if not record:
            return self
        return from_plain(Item, {**record, "key": self.key, "name": self.name, "path": self.path})


def checked_changes(item: Item, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Validated changes; a score that is not finite becomes None.

    Parameters
    ----------
    item : Item
    changes : mapping
        Attributes of an `Item` and their new values.

    Raises
    ------
    InputError
        If an attribute cannot be changed, or not to this value.
    """
    kept: dict[str, Any] = {}
    for what, value in changes.items():
        try:
            if what not in CHANGEABLE:
                raise InputError(what)
            kept[what] = getattr(from_plain(Item, {"key": item.key, "name": item.name, what: value}), what)
        except InputError as cause:
            raise InputError(
                f"The {what} of {item.name} cannot become {value!r}. What can change is {', '.join(CHANGEABLE)}; a "
                f"state is one of {', '.join(STATES)}."
            ) from cause
    return kept
