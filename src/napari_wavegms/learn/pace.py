"""How often to do what is useful beside the learning but not learning itself: writing files, validating."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Pace:
    """Keeps something that is done now and then within its share of the time.

    Parameters
    ----------
    share : float
        Largest share of the time that it may take, 0 to 1; 1 is no limit.
    clock : callable
        Seconds; `time.perf_counter` by default.

    Examples
    --------
    >>> seconds = iter([0.0, 1.0, 5.0, 10.0])
    >>> pace = Pace(0.1, clock=lambda: next(seconds))
    >>> with pace.measured():  # takes one second, at the start
    ...     pass
    >>> pace.is_due(), pace.is_due()  # after 5 and after 10 seconds
    (False, True)
    """

    def __init__(self, share: float, clock: Callable[[], float] = time.perf_counter) -> None:
        self._share = share
        self._clock = clock
        self._not_before = float("-inf")

    def is_due(self) -> bool:
        """Whether there is time for it now."""
        return self._clock() >= self._not_before

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Measure what it takes, from which follows when it is due again."""
        begun = self._clock()
        yield
        if self._share < 1:
            self._not_before = begun + (self._clock() - begun) / self._share
