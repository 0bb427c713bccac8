"""Work in the background always ends with an outcome, and never leaves a generator open."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import warnings
from collections.abc import Generator
from typing import Any

import pytest
from napari.qt.threading import GeneratorWorker
from qtpy.QtCore import QObject, QThreadPool

from napari_wavegms.errors import InputError
from napari_wavegms.widgets.jobs import JobError, JobRunner, Outcome, stop_if_cancelled


def wait_for_threads(qtbot: Any) -> None:
    qtbot.waitUntil(lambda: QThreadPool.globalInstance().activeThreadCount() == 0, timeout=20_000)


class Work:
    """Three steps; waits before each of them for the test, and notes who closed it."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.go = threading.Semaphore(0)
        self.failure = failure
        self.closed_in = ""

    def __call__(self) -> Generator[int, None, str]:
        try:
            for step in range(3):
                assert self.go.acquire(timeout=20)
                if self.failure is not None:
                    raise self.failure
                yield step
            return "done"
        finally:
            self.closed_in = threading.current_thread().name


@pytest.fixture
def runner(qtbot: Any) -> JobRunner:
    return JobRunner()


def record(runner: JobRunner) -> tuple[list[object], list[Outcome]]:
    events: list[object] = []
    outcomes: list[Outcome] = []
    runner.progressed.connect(events.append)
    runner.ended.connect(outcomes.append)
    return events, outcomes


def test_events_come_in_order_and_the_result_last(qtbot: Any, runner: JobRunner) -> None:
    events, outcomes = record(runner)
    work = Work()
    work.go.release(3)
    runner.start(work)
    assert runner.busy
    qtbot.waitUntil(lambda: bool(outcomes), timeout=20_000)
    assert events == [0, 1, 2]
    assert outcomes == [Outcome(result="done")]
    assert not runner.busy
    assert work.closed_in not in ("", threading.main_thread().name)


@pytest.mark.parametrize(
    ("failure", "sentence"),
    [
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), "Unexpected error: mat1 and mat2"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), "Out of memory .* choose the device cpu"),
        (MemoryError(), "Out of memory"),
        (KeyError("weight"), "Unexpected error: 'weight'"),
        (StopIteration(), "Unexpected error"),
    ],
)
def test_no_failure_is_swallowed(qtbot: Any, runner: JobRunner, failure: Exception, sentence: str) -> None:
    _, outcomes = record(runner)
    work = Work(failure)
    work.go.release()
    runner.start(work)
    qtbot.waitUntil(lambda: bool(outcomes), timeout=20_000)
    with pytest.raises(JobError, match=sentence):
        raise outcomes[0].error
    assert type(failure).__name__ in outcomes[0].details
    assert work.closed_in
    assert not runner.busy


def test_our_own_errors_come_back_as_they_are(qtbot: Any, runner: JobRunner) -> None:
    _, outcomes = record(runner)
    failure = InputError("This image has 2 channels.")
    work = Work(failure)
    work.go.release()
    runner.start(work)
    qtbot.waitUntil(lambda: bool(outcomes), timeout=20_000)
    assert outcomes == [Outcome(error=failure)]


def test_cancel_stops_at_the_next_step_and_closes_the_generator_in_its_thread(qtbot: Any, runner: JobRunner) -> None:
    events, outcomes = record(runner)
    work = Work()
    work.go.release()
    runner.start(work)
    qtbot.waitUntil(lambda: events == [0], timeout=20_000)
    runner.cancel()
    work.go.release(2)
    qtbot.waitUntil(lambda: bool(outcomes), timeout=20_000)
    assert outcomes == [Outcome(cancelled=True)]
    assert events == [0]
    assert work.closed_in not in ("", threading.main_thread().name)


def test_cancel_stops_within_a_long_step_that_asks(qtbot: Any, runner: JobRunner) -> None:
    _, outcomes = record(runner)
    begun = threading.Event()

    def work() -> Generator[int, None, None]:
        while True:  # a single step, which never ends by itself
            begun.set()
            stop_if_cancelled()
        yield 0

    runner.start(work)
    qtbot.waitUntil(begun.is_set, timeout=20_000)
    runner.cancel()
    qtbot.waitUntil(lambda: bool(outcomes), timeout=20_000)
    assert outcomes == [Outcome(cancelled=True)]


def test_a_second_job_is_refused_while_one_runs(qtbot: Any, runner: JobRunner) -> None:
    work = Work()
    runner.start(work)
    with pytest.raises(JobError, match="still working on the last request"):
        runner.start(Work())
    runner.abandon()
    work.go.release(3)
    wait_for_threads(qtbot)


def test_a_late_answer_is_dropped_and_the_next_job_runs(qtbot: Any, runner: JobRunner) -> None:
    events, outcomes = record(runner)
    late, prompt = Work(), Work()
    late.go.release()
    with qtbot.waitSignal(runner.progressed, timeout=20_000):
        runner.start(late)
    events.clear()
    runner.abandon()
    assert not runner.busy
    prompt.go.release(3)
    runner.start(prompt)
    qtbot.waitUntil(lambda: bool(outcomes), timeout=20_000)
    late.go.release(3)
    wait_for_threads(qtbot)
    qtbot.wait(20)
    assert outcomes == [Outcome(result="done")]
    assert events == [0, 1, 2]
    assert late.closed_in


def test_a_runner_that_is_destroyed_stops_its_job(qtbot: Any) -> None:
    parent = QObject()
    runner = JobRunner(parent)
    work = Work()
    work.go.release()
    with qtbot.waitSignal(runner.progressed, timeout=20_000):
        runner.start(work)
    with qtbot.waitSignal(parent.destroyed):
        parent.deleteLater()
    work.go.release(2)
    wait_for_threads(qtbot)
    assert work.closed_in


def test_a_runner_that_is_collected_stops_its_job(qtbot: Any) -> None:
    runner = JobRunner()
    runner.itself = runner  # type: ignore[attr-defined]
    work = Work()
    work.go.release()
    with qtbot.waitSignal(runner.progressed, timeout=20_000):
        runner.start(work)
    del runner
    gc.collect()
    work.go.release(2)
    wait_for_threads(qtbot)
    assert work.go.acquire(blocking=False), "it went on to its last step"


def test_jobs_that_overlap_leave_the_filters_of_warnings_alone(qtbot: Any) -> None:
    filters, show = list(warnings.filters), warnings.showwarning
    runners, works = (JobRunner(), JobRunner()), (Work(), Work())
    for runner, work in zip(runners, works, strict=True):
        work.go.release()
        with qtbot.waitSignal(runner.progressed, timeout=20_000):
            runner.start(work)
    meanwhile = list(warnings.filters)
    for work in works:
        work.go.release(2)
        qtbot.waitUntil(lambda work=work: bool(work.closed_in), timeout=20_000)
    wait_for_threads(qtbot)
    assert meanwhile == filters
    assert (warnings.filters, warnings.showwarning) == (filters, show)


def test_napari_s_own_way_to_quit_workers_closes_the_generator_too(qtbot: Any, runner: JobRunner) -> None:
    work = Work()
    work.go.release()
    with qtbot.waitSignal(runner.progressed, timeout=20_000):
        runner.start(work)
    threading.Timer(0.05, work.go.release, (2,)).start()
    GeneratorWorker.await_workers(20_000)
    assert work.closed_in not in ("", threading.main_thread().name)


def test_a_script_that_ends_while_a_job_runs_ends_well() -> None:
    script = """
import time
from threading import Event
from qtpy.QtWidgets import QApplication
from napari_wavegms.widgets.jobs import JobRunner

begun = Event()

def work():
    try:
        while True:
            begun.set()
            time.sleep(0.01)
            yield
    finally:
        print("closed", flush=True)

app, runner = QApplication([]), JobRunner()
runner.start(work)
begun.wait()
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert (ended.returncode, ended.stdout) == (0, "closed\n"), ended.stderr
