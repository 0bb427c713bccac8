"""Text and signs of the worklist; a sign or a word beside every colour."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from datetime import datetime

from napari_wavegms.wording import counted, listed, rough_duration
from napari_wavegms.worklist.item import Item, State
from napari_wavegms.worklist.ordering import TO_DO, SortOrder, StateFilter

# A sign, a word, and for most a colour, told apart by every kind of colour sight.
STATE_SIGNS: dict[State, str] = {"todo": "○", "predicted": "◐", "corrected": "◆", "approved": "✓", "skipped": "»"}

STATE_COLOURS: dict[State, str] = {"predicted": "#56b4e9", "corrected": "#e69f00", "approved": "#2fbf91"}

_LIGHT_WORDS = {"amber": "△ unusual", "red": "▲ very different"}

SORT_ORDER_HELP: dict[SortOrder, str] = {
    "least certain first": "The image from which the model can learn most comes next; images you have seen come last.",
    "lowest score first": "The mask with the lowest score comes next; images you have seen come last.",
    "folder order": "The order of the files in their folder.",
    "name": "By name; scan2 comes before scan10.",
    "state": "Images that need the least work first: corrected, predicted, to do, skipped, approved.",
    "longest first": "Images on which you spent most time first.",
    "largest first": "Approved masks with the largest area or volume first.",
}

STATE_FILTER_LABELS: dict[StateFilter, str] = {
    "todo": "to do",
    "unfinished": "not approved",
    "all": "all images",
    "predicted": "predicted",
    "corrected": "corrected",
    "approved": "approved",
    "skipped": "skipped",
}

_ENOUGH = 8  # images; among fewer, a tenth of them means nothing

_MARKS = ((0.9, "!!"), (0.75, "!"))


def state_line(item: Item) -> str:
    """The state of an image.

    Examples
    --------
    >>> state_line(Item("a", "a", state="predicted", light="amber"))
    '◐ predicted  △ unusual'
    """
    light = _LIGHT_WORDS.get(item.light, "")
    return f"{STATE_SIGNS[item.state]} {STATE_FILTER_LABELS[item.state]}{'  ' if light else ''}{light}"


def mark_of(uncertainty: float, uncertainties: Sequence[float]) -> str:
    """Mark what stands out among those of all images, sorted: ``"!!"`` above nine tenths, ``"!"`` above three quarters.

    Examples
    --------
    >>> [mark_of(value, list(range(20))) for value in (3, 15, 19)]
    ['', '!', '!!']
    """
    if len(uncertainties) < _ENOUGH:
        return ""
    below = bisect_left(uncertainties, uncertainty) / len(uncertainties)
    return next((mark for share, mark in _MARKS if below >= share), "")


def details(item: Item, uncertainties: Sequence[float]) -> str:
    """All that is known about an image, one fact per line."""
    lines = [item.name if item.path is None else str(item.path), _state_sentence(item)]
    if item.uncertainty is not None:
        below = bisect_left(uncertainties, item.uncertainty)
        lines.append(f"Uncertainty {item.uncertainty:.3f}, higher than for {below} of {len(uncertainties)} images.")
    if item.score is not None:
        lines.append(f"The model's own score for its mask is {item.score:.3f}; nobody has checked it.")
    if item.light in _LIGHT_WORDS:
        degree = "somewhat" if item.light == "amber" else "very"
        lines.append(f"This image is {degree} different from the training images.")
    if item.seconds:
        lines.append(f"You have worked on it for {rough_duration(item.seconds)}.")
    return "\n".join(lines)


def counts_line(counts: Mapping[State, int], link: str = "") -> str:
    """The progress of a review, as rich text in which each number is a link, of this colour, that shows its images."""
    total, to_do = sum(counts.values()), sum(counts[state] for state in TO_DO)
    parts: list[tuple[StateFilter, str]] = [
        ("all", counted(total, "image")),
        ("approved", f"{counts['approved']:,} approved"),
        ("corrected", f"{counts['corrected']:,} corrected"),
        ("skipped", f"{counts['skipped']:,} skipped" if counts["skipped"] else ""),
        ("todo", f"{to_do:,} to do"),
    ]
    style = f"text-decoration:none;color:{link}"
    return "&nbsp;&nbsp; ".join(
        f'<a href="{state_filter}" style="{style}">{words.replace(" ", "&nbsp;")}</a>'
        for state_filter, words in parts
        if words
    )


def nothing_shown(counts: Mapping[State, int], state_filter: StateFilter, text: str) -> str:
    """Why a list is empty, and what to do about it."""
    if not sum(counts.values()):
        return "Open a folder of images to begin."
    if text.strip():
        return f"No name contains “{text.strip()}”. Search for something else, or show all images."
    waiting = {state: counts[state] for state in ("corrected", "skipped") if counts[state]}
    if state_filter == "todo" and waiting:
        rest = " and ".join(f"{count:,} {state}" for state, count in waiting.items())
        are = "image is" if sum(waiting.values()) == 1 else "images are"
        return f"Nothing left to do, but {rest} {are} not approved yet. Choose them under Show."
    if state_filter in ("todo", "unfinished"):
        return "All images are approved."
    return f"No image is {STATE_FILTER_LABELS[state_filter]}. Choose others under Show."


def gone_sentence(names: Sequence[str]) -> str:
    """Which files are missing; empty where none is."""
    if not names:
        return ""
    which = "1 image you worked on is" if len(names) == 1 else f"{len(names):,} images you worked on are"
    return f"{which} no longer in the folder: {listed(names)}. Your work is kept in case the files come back."


def _state_sentence(item: Item) -> str:
    words = STATE_FILTER_LABELS[item.state].capitalize()
    try:
        when = datetime.fromisoformat(item.time).astimezone()
    except ValueError:
        return f"{words}."
    return f"{words}, {when:%d %b %Y, %H:%M}."
