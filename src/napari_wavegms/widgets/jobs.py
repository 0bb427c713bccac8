"""Long work in a thread: one adapter between a generator and the window."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from threading import Event
from typing import Any

from napari.qt.threading import GeneratorWorker, create_worker
from qtpy.QtCore import QObject, Signal

from napari_wavegms.errors import WaveGMSError
from napari_wavegms.widgets.qt.lifetime import on_destroyed

Work = Callable[[], Generator[Any, None, Any]]

_LOG = logging.getLogger("napari_wavegms")


class JobError(WaveGMSError):
    """Work that failed for a reason that nobody foresaw; its cause says which."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job ended: with a result, with an error, or cancelled with neither.

    Attributes
    ----------
    result : object
        What the generator returned.
    error : WaveGMSError or None
        Its text is a sentence for the user.
    details : str
        The traceback of an error that is ours to mend, for a report; otherwise empty.
    cancelled : bool
    """

    result: Any = None
    error: WaveGMSError | None = None
    details: str = ""
    cancelled: bool = False


class JobRunner(QObject):
    """Runs one generator at a time in napari's thread pool.

    Signals
    -------
    progressed(object)
        Each event that the running job yields.
    ended(Outcome)
        Once per job, last. A job that was abandoned gives neither signal any more: its answer is late.
    """

    progressed = Signal(object)
    ended = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._ticket = 0
        self._stop: Event | None = None
        stops: list[Event] = []
        self._stops = stops
        # A viewer that closes destroys us without any other notice; the list outlives us and stops the job.
        on_destroyed(self, _set_all, stops)

    @property
    def busy(self) -> bool:
        """Whether a job runs that has neither ended nor been abandoned."""
        return self._stop is not None

    @property
    def cancelling(self) -> bool:
        """Whether the running job has been asked to stop."""
        return self._stop is not None and self._stop.is_set()

    def start(self, work: Work) -> None:
        """Run a job.

        Parameters
        ----------
        work : callable
            Called in the worker's thread; gives the generator to run. It carries arrays and settings, never a layer
            or a widget.

        Raises
        ------
        JobError
            If a job runs already.
        """
        if self.busy:
            raise JobError("Wave-GMS is still working on the last request. Wait for it, or press Cancel first.")
        self._ticket += 1
        self._stop = Event()
        self._stops[:] = [self._stop]
        worker = create_worker(wave_gms_work, self._ticket, self._stop, work, _worker_class=_StoppableWorker)
        worker.yielded.connect(self._on_yielded)
        worker.returned.connect(self._on_returned)
        worker.start()

    def cancel(self) -> None:
        """Ask the running job to stop at its next step; `ended` follows."""
        if self._stop is not None:
            self._stop.set()

    def abandon(self) -> None:
        """Stop the running job and drop its answer."""
        self.cancel()
        self._stop = None
        self._ticket += 1

    def _on_yielded(self, message: tuple[int, object]) -> None:
        ticket, event = message
        if ticket == self._ticket and not self.cancelling:
            self.progressed.emit(event)

    def _on_returned(self, message: tuple[int, Outcome]) -> None:
        ticket, outcome = message
        if ticket == self._ticket:
            self._stop = None
            self.ended.emit(outcome)


class _StoppableWorker(GeneratorWorker):  # type: ignore[misc]
    """Stops as napari asks when it quits, yet through our flag, so that the generator is closed."""

    def __init__(self, func: Any, ticket: int, stop: Event, work: Work) -> None:
        super().__init__(func, ticket, stop, work)
        self._stop = stop

    def quit(self) -> None:
        self._stop.set()

    def run(self) -> None:
        """As superqt has it, but for `warnings.catch_warnings`, which is one for all threads.

        Whoever leaves it puts back what was there when he entered: two jobs that overlap leave the program with the
        filters of the first one, for ever, and undo what napari is silencing in the window's thread.
        """
        self.started.emit()
        self._running = True
        try:
            result = self.work()
            if isinstance(result, Exception):
                raise result
            self.returned.emit(result)
        except Exception as error:
            self.errored.emit(error)
        self._running = False
        self.finished.emit()
        self._finished.emit(self)


def wave_gms_work(ticket: int, stop: Event, work: Work) -> Generator[tuple[int, Any], None, tuple[int, Outcome]]:
    """Drain a job's generator, whatever happens; napari shows this function's name while it runs.

    Parameters
    ----------
    ticket : int
        Comes back with every event, so that a late answer is recognised.
    stop : threading.Event
        Looked at before every step.
    work : callable
        Gives the generator.

    Yields
    ------
    tuple of int and object
        The ticket and an event.

    Returns
    -------
    tuple of int and Outcome
    """
    generator: Generator[Any, None, Any] | None = None
    try:
        generator = work()
        while not stop.is_set():
            try:
                event = next(generator)
            except StopIteration as end:
                return ticket, Outcome(result=end.value)
            yield ticket, event
        return ticket, Outcome(cancelled=True)
    except WaveGMSError as error:
        return ticket, Outcome(error=error)
    except Exception as error:
        _LOG.exception("Work in the background failed")
        return ticket, Outcome(error=_as_ours(error), details=traceback.format_exc())
    finally:
        if generator is not None:
            generator.close()


def _set_all(stops: list[Event]) -> None:
    for stop in stops:
        stop.set()


def _as_ours(error: Exception) -> JobError:
    """Put an unforeseen failure into a sentence that says what to do."""
    first_line = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
    if isinstance(error, MemoryError) or "out of memory" in first_line.lower():
        remedy = "Close other programs, or choose the device cpu, and try again."
        failure = JobError(f"The computer ran out of memory ({first_line}). {remedy}")
    else:
        failure = JobError(
            f"Wave-GMS stopped unexpectedly: {first_line.rstrip('.')}. Copy the details and report them, please."
        )
    failure.__cause__ = error
    return failure


def preload_napari_imports() -> None:
    """Import here what napari imports in the window's thread, half a second long, for its first Labels layer."""
    for module in ("pandas", "skimage.color"):
        with suppress(ImportError):
            import_module(module)
