"""Work shared out to processes: each task is done once, and a process that dies costs one sentence."""

from __future__ import annotations

import multiprocessing
import signal
import sys
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from time import monotonic
from typing import Any, TypeVar

from napari_wavegms.commands.common.console import note
from napari_wavegms.commands.common.exit_codes import verdict
from napari_wavegms.errors import ProcessLostError
from napari_wavegms.wording import TimeLeft, counted

Task = TypeVar("Task")
Outcome = TypeVar("Outcome")

SetUp = Callable[[], tuple[Any, Callable[[Any], Any]]]
"""What a process does first, picklable: it returns what to tell of it, and the function that does a task."""

_TRIES = 2  # of a task whose process died
_PATIENCE = 10.0  # seconds until a process that is asked to end is made to
_EVERY = 60.0  # seconds between two sentences on the progress, where nobody sees a bar


@dataclass(slots=True, eq=False)
class _Hand:
    """One process, our end of its pipe, and the number of the task that it is at."""

    process: BaseProcess
    pipe: Connection
    task: int | None = None
    is_ready: bool = False


def in_processes(
    set_up: SetUp,
    tasks: Sequence[Task],
    count: int,
    *,
    name_of: Callable[[Task], str] = str,
    on_ready: Callable[[Any], object] = lambda _told: None,
) -> Generator[tuple[Task, Any], None, None]:
    """Do tasks in so many processes; yields each with its result, or the exception that it raised, as they are done.

    A process gets its next task when it has handed in the last one. Where one dies, a new one takes its place and does
    its task again; the second time its outcome is a `ProcessLostError`. `on_ready` is told once what `set_up` returned
    first; what `set_up` raises is raised here. Closing the generator stops the processes between two writes.
    """
    context = multiprocessing.get_context("spawn")  # a fork would inherit torch's threads, half of them
    waiting, lost = deque(range(len(tasks))), dict.fromkeys(range(len(tasks)), 0)
    hands: list[_Hand] = []
    resting: list[_Hand] = []
    is_told, left = False, len(tasks)

    def start() -> None:
        ours, theirs = context.Pipe()
        process = context.Process(target=_work, args=(set_up, theirs), daemon=True)
        process.start()
        theirs.close()  # or its end would never be noticed
        hands.append(_Hand(process, ours))

    try:
        for _ in range(min(count, len(tasks))):
            start()
        while left:
            for pipe in wait([hand.pipe for hand in hands]):
                hand = next(one for one in hands if one.pipe is pipe)
                number = hand.task
                try:
                    outcome = hand.pipe.recv()
                except (EOFError, OSError):
                    hands.remove(hand)
                    outcome = _loss(hand, "" if number is None else name_of(tasks[number]))
                    if number is None:
                        if not hands:
                            raise outcome from None
                        note(str(outcome))
                        continue
                    lost[number] += 1
                    if lost[number] < _TRIES:
                        note(f"{outcome} It is done again.")
                        waiting.appendleft(number)
                        number = None
                    if waiting:
                        start()
                else:
                    if not hand.is_ready:
                        outcome = _told(outcome)
                        hand.is_ready = True
                        if not is_told:
                            is_told = True
                            on_ready(outcome)
                    hand.task = _hand_out(hand, waiting, tasks)
                    if hand.task is None:
                        hands.remove(hand)
                        resting.append(hand)
                if number is not None:
                    left -= 1
                    yield tasks[number], outcome
    finally:
        _end([*hands, *resting])


def in_order(
    tasks: Sequence[Task], outcomes: Iterable[tuple[Task, Outcome]]
) -> Generator[tuple[Task, Outcome], None, None]:
    """Yield outcomes in the order of their tasks, each as soon as those before it are there.

    Examples
    --------
    >>> list(in_order(["a", "b"], [("b", 2), ("a", 1)]))
    [('a', 1), ('b', 2)]
    """
    early: dict[Task, Outcome] = {}
    order = iter(tasks)
    wanted = next(order, None)
    for task, outcome in outcomes:
        early[task] = outcome
        while wanted in early:
            yield wanted, early.pop(wanted)
            wanted = next(order, None)


class Pace:
    """Says every minute how many are done of all, how fast it goes and how long the rest takes, for logs."""

    def __init__(self, total: int, clock: Callable[[], float] = monotonic) -> None:
        self._total, self._clock = total, clock
        self._left, self._done = TimeLeft(clock), 0
        self._began = self._said = clock()

    def step(self) -> str:
        """Count one more; returns a sentence where one is due.

        Examples
        --------
        >>> ticks = iter([0.0, 0.0, 30.0, 30.0, 120.0, 120.0])
        >>> pace = Pace(6, clock=lambda: next(ticks))
        >>> pace.step(), pace.step()
        ('', '2 of 6 files, 0.017 a second, about 2 min left.')
        """
        self._done += 1
        left = self._left.text(self._done, self._total)
        now = self._clock()
        if now - self._said < _EVERY or self._done == self._total:
            return ""
        self._said = now
        rate = f"{self._done / (now - self._began):.2g} a second"
        return f"{self._done} of {counted(self._total, 'file')}, {', '.join(filter(None, (rate, left)))}."


def _hand_out(hand: _Hand, waiting: deque[int], tasks: Sequence[Any]) -> int | None:
    """Give a process its next task, or let it go; returns the task's number."""
    number = waiting.popleft() if waiting else None
    with suppress(OSError):  # it is dead, which its pipe tells next
        hand.pipe.send(None if number is None else (tasks[number],))
    return number


def _told(message: tuple[Any, Exception | None]) -> Any:
    """What a process tells once it is set up; raises what its set-up raised."""
    told, failure = message
    if failure is not None:
        raise failure
    return told


def _loss(hand: _Hand, name: str) -> ProcessLostError:
    """What to say of a process that ended by itself."""
    hand.pipe.close()
    hand.process.join()
    code = hand.process.exitcode or 0
    how = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
    if not name:
        return ProcessLostError(
            f"A worker process ended before it had begun ({how}). Close other programs, or give fewer --workers."
        )
    return ProcessLostError(f"{name}: the process that worked on it ended ({how}), perhaps for want of memory.")


def _end(hands: Sequence[_Hand]) -> None:
    for hand in hands:
        if hand.task is not None or not hand.is_ready:
            hand.process.terminate()
        hand.pipe.close()
    for hand in hands:
        hand.process.join(_PATIENCE)
        if hand.process.is_alive():
            hand.process.kill()
            hand.process.join()


def _work(set_up: SetUp, pipe: Connection) -> None:
    """What runs in a process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches us all; the parent tells us
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that half-written files are removed
    try:
        try:
            told, work = set_up()
        except Exception as error:
            pipe.send((None, _with_trace(error)))
            return
        pipe.send((told, None))
        while (message := pipe.recv()) is not None:
            try:
                outcome = work(*message)
            except Exception as error:
                outcome = _with_trace(error)
            pipe.send(outcome)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # the parent is gone


def _with_trace(error: Exception) -> Exception:
    """A bug keeps its traceback, which does not travel otherwise."""
    if verdict(error) is None:
        error.add_note("".join(traceback.format_exception(error)))
    return error
