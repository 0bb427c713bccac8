"""In which order the images of a worklist come: the one that teaches most first, and none for ever.

The order is a ring. The images that were never shown come first, the least certain one in front; the others follow in
the order in which they were shown. So *Next*, one step along the ring, gives no image a second time before every other
one of its kind has had its turn, and *Previous*, one step back, is what was on the screen before. Taking the oldest
among those that tie is MONAI Label's habit in its active learning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, get_args

from napari_wavegms.files.discovery import natural
from napari_wavegms.worklist.item import STATES, Item, State

SortOrder = Literal[
    "least certain first", "lowest score first", "folder order", "name", "state", "longest first", "largest first"
]
StateFilter = Literal["all", "todo", "unfinished", "predicted", "corrected", "approved", "skipped"]
SORT_ORDERS: tuple[SortOrder, ...] = get_args(SortOrder)
STATE_FILTERS: tuple[StateFilter, ...] = get_args(StateFilter)

# What still waits for a first look of a person; and everything that nobody has approved yet.
TO_DO: frozenset[State] = frozenset(("todo", "predicted"))
_UNFINISHED = frozenset(STATES) - {"approved"}

# Which images are of one kind: those that wait for a person, those set aside, those that are done.
_KINDS: dict[State, int] = {"todo": 0, "predicted": 0, "corrected": 0, "skipped": 1, "approved": 2}
# What needs the least work to be done comes first.
_STATES_IN_ORDER: dict[State, int] = {"corrected": 0, "predicted": 1, "todo": 2, "skipped": 3, "approved": 4}


def ordered_keys(
    items: Iterable[Item],
    order: SortOrder = "least certain first",
    state_filter: StateFilter = "all",
    *,
    text: str = "",
    since: int | None = None,
    keep: str | None = None,
) -> list[str]:
    """Keys of the images, which come in folder order, in the order in which they are shown.

    The first two orders are rings: never shown images, then those shown before, then skipped and approved ones
    likewise; images without an uncertainty (or a score) come after those that have one. Of `state_filter`, "todo" are
    those that are to do or predicted, "unfinished" all but the approved ones; all words of `text` must occur in the
    name.

    `since` turns the ring, so that a list reads from the beginning of the sitting downwards: images with a later number
    (see `Item.shown`) stand in front, in the order in which they were shown. The image `keep`, which a person is
    looking at, stays in whatever `state_filter` says.

    Examples
    --------
    >>> seen, sure, unsure = Item("a", "a", shown=1), Item("b", "b", uncertainty=0.1), Item("c", "c", uncertainty=0.4)
    >>> ordered_keys([seen, sure, unsure])
    ['c', 'b', 'a']
    """
    states, words = _states(state_filter), text.casefold().split()
    kept = [
        item
        for item in items
        if (item.state in states or item.key == keep) and (not words or _matches(words, item.name))
    ]
    rank = _rank(order, since)
    if rank is not None:
        kept.sort(key=rank)  # Python's sort keeps the folder order where ranks are equal
    return [item.key for item in kept]


def next_key(keys: Sequence[str], current: str | None) -> str | None:
    """The key after the current one, from the last round to the first, or the first; None where there is no other."""
    return next(iter(upcoming(keys, current, 1)), None)


def previous_key(keys: Sequence[str], current: str | None) -> str | None:
    """The key before the current one, from the first round to the last, or the last; None where there is no other."""
    return next_key(keys[::-1], current)


def upcoming(keys: Sequence[str], current: str | None, count: int) -> list[str]:
    """The next keys after the current one, at most `count`, each once and never the current one itself."""
    start = keys.index(current) + 1 if current is not None and current in keys else 0
    ring = [*keys[start : start + count], *keys[: min(count, start)]]
    return [key for key in dict.fromkeys(ring) if key != current][:count]


def is_ring(order: SortOrder) -> bool:
    """Whether an order depends on what was shown."""
    return order in ("least certain first", "lowest score first")


def fits(item: Item, state_filter: StateFilter, text: str = "") -> bool:
    """Whether a list that shows this, and searches for these words, holds the image."""
    return item.state in _states(state_filter) and _matches(text.casefold().split(), item.name)


def _states(state_filter: StateFilter) -> frozenset[State]:
    several: dict[str, frozenset[State]] = {"all": frozenset(STATES), "todo": TO_DO, "unfinished": _UNFINISHED}
    return several.get(state_filter) or frozenset(state for state in STATES if state == state_filter)


def _matches(words: Sequence[str], name: str) -> bool:
    folded = name.casefold()
    return all(word in folded for word in words)


def _rank(order: SortOrder, since: int | None) -> Callable[[Item], Any] | None:
    match order:
        case "least certain first":
            return _ring(lambda item: None if item.uncertainty is None else -item.uncertainty, since)
        case "lowest score first":
            return _ring(lambda item: item.score, since)
        case "name":
            return lambda item: natural(item.name)
        case "state":
            return lambda item: _STATES_IN_ORDER[item.state]
        case "longest first":
            return lambda item: -item.seconds
        case "largest first":
            return lambda item: -(item.size or 0)
        case _:
            return None


def _ring(value_of: Callable[[Item], float | None], since: int | None) -> Callable[[Item], tuple[float, ...]]:
    def rank(item: Item) -> tuple[float, ...]:
        if since is not None and item.shown > since:
            return (-1, item.shown)
        if item.shown:
            return (_KINDS[item.state], 1, item.shown)
        value = value_of(item)
        return (_KINDS[item.state], 0, value is None, value or 0.0)

    return rank
