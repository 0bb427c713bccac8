"""How long it still takes, in words that do not pretend to know more than they do."""

from __future__ import annotations

from collections.abc import Callable
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
