"""Measuring the same thing a few times, and what the rounds say together."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np

T = TypeVar("T")


class Cost(NamedTuple):
    """Seconds that something took, by the wall clock and of the processor, all threads together."""

    wall: float
    processor: float


def timed(work: Callable[[], T]) -> tuple[T, Cost]:
    """Do something, and give what comes of it and what it cost."""
    wall, processor = time.perf_counter(), time.process_time()
    done = work()
    return done, Cost(time.perf_counter() - wall, time.process_time() - processor)


@dataclass(frozen=True, slots=True)
class Effort:
    """How often each thing is measured: as often as `seconds` allow, but within `least` and `most`."""

    seconds: float = 2.5
    least: int = 3
    most: int = 20

    def rounds(self) -> Iterator[int]:
        """Number the rounds; the clock starts with the first."""
        began = time.perf_counter()
        done = 0
        while done < self.least or (done < self.most and time.perf_counter() - began < self.seconds):
            yield done
            done += 1

    def costs(self, work: Callable[[], Any]) -> list[Cost]:
        """Do something in each round."""
        return [timed(work)[1] for _ in self.rounds()]


@dataclass(frozen=True, slots=True)
class Measured:
    """What the rounds of one thing came to.

    Attributes
    ----------
    key, what : str
        Its name for programs and for people.
    unit : str
        Of the three figures that follow.
    median, lower_quartile, upper_quartile : float
    processor_seconds : float or None
        Median time of the processor in a round, all threads together; on a machine that does other work as well it is
        the steadier figure. None where it means nothing.
    rounds : int
    """

    key: str
    what: str
    unit: str
    median: float
    lower_quartile: float
    upper_quartile: float
    processor_seconds: float | None
    rounds: int

    @classmethod
    def of(cls, key: str, what: str, unit: str, values: Sequence[float], costs: Sequence[Cost] = ()) -> Measured:
        """Sum up a figure of each round, and what the rounds cost.

        Examples
        --------
        >>> Measured.of("memory", "memory", "MiB", [5.0, 1.0, 2.0, 4.0, 3.0]).lower_quartile
        2.0
        """
        low, middle, high = (float(value) for value in np.percentile(values, [25, 50, 75]))
        processor = float(np.median([cost.processor for cost in costs])) if costs else None
        return cls(key, what, unit, middle, low, high, processor, len(values))

    @classmethod
    def seconds(cls, key: str, what: str, costs: Sequence[Cost]) -> Measured:
        """Sum up how long the rounds took."""
        return cls.of(key, what, "s", [cost.wall for cost in costs], costs)

    @property
    def spread(self) -> str:
        """Median and quartiles, with the unit.

        Examples
        --------
        >>> Measured.of("stack", "a stack", "frames/s", [9.0, 10.0, 11.0]).spread
        '10.0 (9.50 to 10.5) frames/s'
        >>> Measured.of("memory", "memory", "MiB", [1234.5]).spread
        '1234 MiB'
        """
        if self.rounds == 1:
            return f"{_figure(self.median)} {self.unit}"
        low, high = _figure(self.lower_quartile), _figure(self.upper_quartile)
        return f"{_figure(self.median)} ({low} to {high}) {self.unit}"


def table(results: Sequence[Measured]) -> list[str]:
    """Write results as the rows of a Markdown table."""
    rows = ["| | median (quartiles) | processor time | rounds |", "| --- " * 4 + "|"]
    for measured in results:
        seconds = measured.processor_seconds
        processor = "–" if seconds is None else f"{_figure(seconds)} s"
        rows.append(f"| {measured.what} | {measured.spread} | {processor} | {measured.rounds} |")
    return rows


def _figure(value: float) -> str:
    """Three digits; those before the point are all kept."""
    return f"{value:.0f}" if value >= 100 else f"{value:#.3g}"
