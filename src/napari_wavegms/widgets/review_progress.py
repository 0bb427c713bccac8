"""What the list says of an image: predicted, corrected, and how long somebody has worked on it."""

from __future__ import annotations

from typing import Any

from napari_wavegms.review.items import Item
from napari_wavegms.review.journal_records import Edit
from napari_wavegms.widgets.review_desk import ReviewDesk
from napari_wavegms.widgets.review_image import Shown
from napari_wavegms.widgets.review_jobs import Opened
from napari_wavegms.widgets.review_picture import Look

_FRESH = ("todo", "predicted")
_SECONDS = 5  # between two notes on how long somebody has worked


def state_of(item: Item, opened: Opened) -> str:
    """The state that an image turns out to be in; empty where it is the one that was noted."""
    if opened.is_approved:
        return "approved" if item.state != "approved" else ""
    if opened.mask is None:
        return "todo" if item.state in ("approved", "corrected") else ""
    return "corrected" if item.state in ("approved", *_FRESH) else ""


def note_look(desk: ReviewDesk, look: Look) -> bool:
    """Note what a model says of an image; tells whether it is in the list."""
    item = desk.item(look.key)
    if item is None:
        return False
    changes: dict[str, Any] = {"uncertainty": look.uncertainty, "score": look.score}
    if look.light is not None:
        changes["light"] = look.light.colour
    if item.state == "todo":
        changes["state"] = "predicted"
    desk.note(item.key, **changes)
    return True


def note_edit(desk: ReviewDesk, edit: Edit, shown: Shown | None) -> bool:
    """Note an edit that has come to the disk; tells whether it is one of the mask on screen, which is not approved."""
    item = desk.item(desk.keys_of.get(edit.image))
    if item is None:
        return False
    ours = shown is not None and shown.content == edit.image
    is_open = False
    if shown is not None and ours:
        shown.edit = edit.number
        is_open = not shown.approved
        _note_seconds(desk, item, edit, shown)
    fresh = item.state not in ("corrected", "approved") if is_open else item.state in _FRESH and not ours
    if fresh:
        desk.note(item.key, state="corrected")
    return is_open


def _note_seconds(desk: ReviewDesk, item: Item, edit: Edit, shown: Shown) -> None:
    seconds = shown.seconds + edit.seconds_so_far
    if seconds > item.seconds + _SECONDS:
        desk.note(item.key, seconds=seconds)
