"""Durations, times and counts in words, for every room that speaks to a person."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from time import monotonic


def duration(seconds: float) -> str:
    """Write a duration as people say it.

    Examples
    --------
    >>> duration(0.234), duration(3.21), duration(75), duration(600), duration(7300)
    ('0.2 s', '3.2 s', '1 min 15 s', '10 min', '2 h 2 min')
    """
    if seconds < 0.1:
        return "less than 0.1 s"
    if seconds < 10:
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if 0 < minutes < 10 and rest else rough_duration(seconds)


def rough_duration(seconds: float) -> str:
    """Write a duration in whole seconds, or else whole minutes, for what is shown while it grows.

    Examples
    --------
    >>> [rough_duration(seconds) for seconds in (0.4, 14, 119.6, 3900)]
    ['1 s', '14 s', '2 min', '1 h 5 min']
    """
    if round(seconds) < 60:
        return f"{max(1, round(seconds))} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def sides(shape: Iterable[int]) -> str:
    """Write the lengths of an array.

    Examples
    --------
    >>> sides((40, 60))
    '40 x 60'
    """
    return " x ".join(map(str, shape))


class TimeLeft:
    """Estimate the time left from the steps done so far.

    The first step is left out of the pace, because it pays for what is done only once (loading, first-time set-up).

    Parameters
    ----------
    clock : callable
        Seconds on a clock that never goes back.

    Examples
    --------
    >>> ticks = iter([5.0, 7.0])
    >>> left = TimeLeft(clock=lambda: next(ticks))
    >>> left.text(1, 4), left.text(2, 4)
    ('', 'about 4 s left')
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._first: tuple[float, int] | None = None

    def text(self, done: int, total: int) -> str:
        """Say how long the rest takes once `done` of `total` steps are done; empty while nothing is known."""
        now = self._clock()
        if self._first is None:
            self._first = (now, done)
            return ""
        since, skipped = self._first
        if done <= skipped or done >= total:
            return ""
        left = (now - since) / (done - skipped) * (total - done)
        return f"about {rough_duration(left)} left"


def moment(created: str, now: datetime | None = None) -> str:
    """Write a time as people say it, in their own time zone; empty for what is no time in ISO 8601.

    Examples
    --------
    >>> moment("2026-11-21T23:30:00", datetime.fromisoformat("2026-11-22T08:00:00"))
    'yesterday 23:30'
    """
    try:
        then = datetime.fromisoformat(created)
    except ValueError:
        return ""
    if then.tzinfo is not None:
        then = then.astimezone(None if now is None else now.tzinfo)
    days = ((now or datetime.now(then.tzinfo)).date() - then.date()).days
    day = {0: "today", 1: "yesterday"}.get(days, f"{then:%Y-%m-%d}")
    return f"{day} {then:%H:%M}"


def counted(count: int, noun: str) -> str:
    """Write a number with its noun.

    Examples
    --------
    >>> counted(1, "edited pixel"), counted(1212, "edited pixel"), counted(2, "class")
    ('1 edited pixel', '1,212 edited pixels', '2 classes')
    """
    plural = "es" if noun.endswith("ss") else "s"
    return f"{count:,} {noun}{'' if count == 1 else plural}"


def percent(part: float) -> str:
    """Write a part of 1 as a percentage.

    Examples
    --------
    >>> percent(0.034), percent(0.0001), percent(0)
    ('3.4 %', 'less than 0.1 %', '0.0 %')
    """
    return "less than 0.1 %" if 0 < part < 0.0005 else f"{part * 100:.1f} %"


def shortened(text: str, most: int = 300) -> str:
    """Write no more than so many characters of what a stranger's file says.

    Examples
    --------
    >>> shortened("abcdefgh", 5)
    'abcd…'
    """
    return text if len(text) <= most else f"{text[: most - 1]}…"


def listed(names: Iterable[str], shown: int = 3) -> str:
    """Write the first few names.

    Examples
    --------
    >>> listed("abcde")
    'a, b, c and 2 more'
    """
    every = list(names)
    more = len(every) - shown
    return ", ".join(every[:shown]) + (f" and {more} more" if more > 0 else "")
