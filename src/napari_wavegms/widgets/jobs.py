"""Long work in a thread: one adapter between a generator and the window.

Jobs are napari's own workers rather than tasks of a pool: napari lists them while they run and stops them when it
quits, where it would wait for any other task of Qt's pool to its end.
"""

from __future__ import annotations

import atexit
import logging
import sys
import traceback
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from threading import Event, local
from typing import TYPE_CHECKING, Any

from napari.qt.threading import GeneratorWorker, create_worker
from qtpy.QtCore import QObject, Signal

from napari_wavegms.errors import WaveGMSError
from napari_wavegms.segment.preprocessing import Window
from napari_wavegms.segment.segmenter_cache import LoadSegmenter, Progress, SegmenterCache, reserve_ui_core
from napari_wavegms.storage.memory import out_of_memory
from napari_wavegms.widgets.qt.lifetime import on_destroyed

if TYPE_CHECKING:
    from napari_wavegms.segment.segmenter import Segmenter

Work = Callable[[], Generator[Any, None, Any]]

_LOG = logging.getLogger("napari_wavegms")
_EXIT_MS = 20_000
_HERE = local()  # `stop`: the flag of the job that runs in this thread


class JobError(WaveGMSError):
    """Work that failed for an unforeseen reason, which is its cause."""


class _Cancelled(Exception):
    """Ends a cancelled job between two steps of its generator."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job ended: with a result, with an error, or cancelled with neither."""

    result: Any = None  # what the generator returned
    error: WaveGMSError | None = None  # its text is a sentence for the user
    details: str = ""  # the traceback of an unforeseen error, for a report
    cancelled: bool = False


class JobRunner(QObject):
    """Runs one generator at a time in napari's thread pool. A job that was abandoned emits nothing more."""

    progressed = Signal(object)  # each event that the running job yields
    ended = Signal(Outcome)  # once per job, last

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._stop: Event | None = None  # of the running job, and its name: with another one an answer is late
        self._stops: list[Event] = []
        # A viewer that closes destroys us without any other notice; the list outlives us and stops the job.
        on_destroyed(self, _set_all, self._stops)

    @property
    def busy(self) -> bool:
        """Whether a job runs that has neither ended nor been abandoned."""
        return self._stop is not None

    def start(self, work: Work) -> None:
        """Run the generator that `work` makes, in a worker's thread; raises `JobError` if a job runs already.

        `work` carries arrays and settings, never a layer or a widget.
        """
        if self.busy:
            raise JobError("Wave-GMS is still working on the last request. Wait for it, or press Cancel first.")
        self._stop = Event()
        self._stops[:] = [self._stop]
        worker = create_worker(wave_gms_work, self._stop, work, _worker_class=_Worker)
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

    def _on_yielded(self, message: tuple[Event, object]) -> None:
        stop, event = message
        if stop is self._stop and not stop.is_set():
            self.progressed.emit(event)

    def _on_returned(self, message: tuple[Event, Outcome]) -> None:
        stop, outcome = message
        if stop is self._stop:
            self._stop = None
            self.ended.emit(outcome)


class _Worker(GeneratorWorker):  # type: ignore[misc]
    """Stops as napari asks when it quits, yet through our flag, so that the generator is closed."""

    def __init__(self, func: Any, stop: Event, work: Work) -> None:
        super().__init__(func, stop, work)
        self._stop = stop

    def quit(self) -> None:
        self._stop.set()

    def run(self) -> None:
        # superqt's, but for `warnings.catch_warnings`, which until Python 3.14 is one for all threads: two jobs that
        # overlap leave the program with the filters of the first one, for ever, and undo what napari is silencing.
        self.started.emit()
        self.returned.emit(self.work())  # raises nothing, see `wave_gms_work`
        self.finished.emit()
        self._finished.emit(self)


@atexit.register
def _stop_at_exit() -> None:
    """Stop what still runs as a script ends without napari's event loop; a thread that outlives Python crashes it."""
    with suppress(RuntimeError):  # what goes on for longer is left to itself
        _Worker.await_workers(_EXIT_MS)


def wave_gms_work(stop: Event, work: Work) -> Generator[tuple[Event, Any], None, tuple[Event, Outcome]]:
    """Drain a job's generator and close it, whatever happens; napari shows this function's name while it runs."""
    generator: Generator[Any, None, Any] | None = None
    _HERE.stop = stop
    try:
        generator = work()
        while not stop.is_set():
            try:
                event = next(generator)
            except StopIteration as end:
                return stop, Outcome(result=end.value)
            yield stop, event
        return stop, Outcome(cancelled=True)
    except _Cancelled:
        return stop, Outcome(cancelled=True)
    except WaveGMSError as error:
        return stop, Outcome(error=error)
    except Exception as error:  # a RuntimeError of torch too, which superqt would swallow
        _LOG.exception("Work in the background failed")
        return stop, Outcome(error=_as_ours(error), details=traceback.format_exc())
    finally:
        if generator is not None:
            generator.close()


def stop_if_cancelled(*_: object) -> None:
    """End the job that runs in this thread if it was cancelled; called within a long step of its generator."""
    if (stop := getattr(_HERE, "stop", None)) is not None and stop.is_set():
        raise _Cancelled


def _set_all(stops: list[Event]) -> None:
    for stop in stops:
        stop.set()


def _as_ours(error: Exception) -> JobError:
    first_line = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
    if out_of_memory(error):
        sentence = f"Out of memory ({first_line}). Close other programs, or choose the device cpu, and try again."
    else:
        sentence = f"Unexpected error: {first_line.rstrip('.')}. Please copy the details and report them."
    failure = JobError(sentence)
    failure.__cause__ = error
    return failure


def cached_segmenter(
    model: Path, device: str, load: LoadSegmenter, cache: SegmenterCache, window: Window | None = None
) -> Generator[Progress, None, Segmenter]:
    """Load a model where it is not loaded, saying so, and return its segmenter; runs in the worker's thread.

    A `window` is used instead of the range of grey values that the model's card says.
    """
    if "torch" not in sys.modules:
        yield Progress("Loading PyTorch (once)…")
    reserve_ui_core()
    if not cache.holds(model, device):
        yield Progress("Loading the model…")
    segmenter = cache.get(model, device, load)
    return segmenter if window is None else segmenter.with_window(window)


def preload_napari_imports() -> None:
    """Import in a worker what napari would import in the window's thread, for half a second, for its first mask."""
    for module in ("pandas", "skimage.color"):
        with suppress(ImportError):
            import_module(module)
