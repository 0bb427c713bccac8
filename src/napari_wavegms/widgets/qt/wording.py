"""Times and durations in words."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from time import monotonic


class TimeLeft:
    """Estimate the time left from the steps done so far.

    The first step is left out of the pace, because it pays for what is done only once (loading, first-time set-up).

    Parameters
    ----------
    clock : callable
        Seconds on a clock that never goes back.

    Examples
    --------
    >>> ticks = iter([0.0, 5.0, 7.0])
    >>> left = TimeLeft(clock=lambda: next(ticks))
    >>> left.text(1, 4), left.text(2, 4)
    ('', 'about 4 s left')
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._start = clock()
        self._first: tuple[float, int] | None = None

    def text(self, done: int, total: int) -> str:
        """Tell the time left once `done` of `total` steps are done; empty while nothing is known."""
        now = self._clock()
        if self._first is None:
            self._first = (now, done)
            return ""
        since, skipped = self._first
        if done <= skipped or done >= total:
            return ""
        return f"about {in_words((now - since) / (done - skipped) * (total - done))} left"


def in_words(seconds: float) -> str:
    """Write a duration as people say it.

    Examples
    --------
    >>> in_words(0.234), in_words(3.21), in_words(75), in_words(600), in_words(7300)
    ('0.2 s', '3.2 s', '1 min 15 s', '10 min', '2 h 2 min')
    """
    if seconds < 0.1:
        return "less than 0.1 s"
    if seconds < 10:
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 10:
        return f"{minutes} min" + (f" {rest} s" if rest else "")
    if minutes < 60:
        return f"{round(seconds / 60)} min"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min"


def when(created: str, now: datetime | None = None) -> str:
    """A time as people say it, in their own time zone.

    Examples
    --------
    >>> when("2026-11-21T23:30:00", datetime.fromisoformat("2026-11-22T08:00:00"))
    'yesterday 23:30'
    """
    try:
        moment = datetime.fromisoformat(created)
    except ValueError:
        return ""
    if moment.tzinfo is not None:
        moment = moment.astimezone()
    days = ((now or datetime.now(moment.tzinfo)).date() - moment.date()).days
    day = {0: "today", 1: "yesterday"}.get(days, f"{moment:%Y-%m-%d}")
    return f"{day} {moment:%H:%M}"


def _ago(seconds: float) -> str:
    """Whole seconds, then whole minutes and hours: nobody wants to see them run."""
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h"


def _moment(time: str, now: datetime) -> str:
    try:
        then = datetime.fromisoformat(time).astimezone(now.tzinfo)
    except ValueError:
        return "an unknown time"
    days = (now.date() - then.date()).days
    if days == 0:
        return f"{then:%H:%M}"
    return f"yesterday, {then:%H:%M}" if days == 1 else f"{then:%Y-%m-%d}, {then:%H:%M}"


def working_time(seconds: float) -> str:
    """Say how long somebody has worked.

    Examples
    --------
    >>> [working_time(seconds) for seconds in (0, 0.4, 14, 119.6, 3900)]
    ['', '1 s', '14 s', '2 min', '1 h 05']
    """
    if seconds <= 0:
        return ""
    if round(seconds) < 60:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02}"
