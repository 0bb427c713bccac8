"""Work shared out to processes: every task once, whatever happens to a process."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from napari_wavegms.commands.common.workers import Pace, in_order, in_processes
from napari_wavegms.errors import InputError, ProcessLostError

# What runs in the processes: text, as they cannot import a test.
SET_UP = "('ready', lambda task: task * task)"
KILLS = "__import__('os').kill(__import__('os').getpid(), 9)"


def doing(text: str = SET_UP, **names: Any) -> Callable[[], Any]:
    return partial(eval, text, names)


def test_every_task_is_done_once_and_can_be_put_in_order() -> None:
    tasks, told = list(range(40)), []
    outcomes = list(in_processes(doing(), tasks, 3, on_ready=told.append))
    assert sorted(outcomes) == [(task, task * task) for task in tasks]
    assert list(in_order(tasks, outcomes)) == sorted(outcomes)
    assert told == ["ready"]
    assert not multiprocessing.active_children()


def test_one_task_needs_one_process_and_none_needs_none() -> None:
    assert list(in_processes(doing(), [7], 5)) == [(7, 49)]
    assert list(in_processes(doing(), [], 5)) == []


def test_what_a_task_raises_is_its_outcome() -> None:
    text = "('ready', lambda task: 1 // task if task < 2 else (_ for _ in ()).throw(wrong('It is odd.')))"
    outcomes = dict(in_processes(doing(text, wrong=InputError), [0, 1, 2], 2))
    assert outcomes[1] == 1
    assert isinstance(outcomes[2], InputError)
    assert str(outcomes[2]) == "It is odd."
    assert isinstance(outcomes[0], ZeroDivisionError)
    assert "Traceback" in "".join(outcomes[0].__notes__)


def test_what_a_set_up_raises_ends_it_all() -> None:
    with pytest.raises(ZeroDivisionError):
        list(in_processes(doing("1 // 0"), [1, 2], 2))
    assert not multiprocessing.active_children()


def test_a_process_that_dies_has_its_task_done_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mark = tmp_path / "died"
    text = f"('ready', lambda task: task if task != 3 or mark.exists() else (mark.touch(), {KILLS}))"
    outcomes = list(in_processes(doing(text, mark=mark), list(range(8)), 2, name_of=lambda task: f"scan{task}"))
    assert sorted(outcomes) == [(task, task) for task in range(8)]
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert said[0].startswith("scan3: the process that worked on it ended (killed by signal 9)")
    assert said[0].endswith("It is done again.")


def test_a_task_that_kills_twice_is_reported_and_the_rest_is_done(capsys: pytest.CaptureFixture[str]) -> None:
    outcomes = dict(in_processes(doing(f"('ready', lambda task: task if task else {KILLS})"), list(range(5)), 2))
    assert isinstance(outcomes.pop(0), ProcessLostError)
    assert outcomes == {1: 1, 2: 2, 3: 3, 4: 4}
    assert not multiprocessing.active_children()


def test_processes_that_die_before_they_begin_end_it_with_a_sentence() -> None:
    with pytest.raises(ProcessLostError, match="ended before it had begun"):
        list(in_processes(doing(KILLS), [1, 2, 3], 2))


def test_closing_ends_the_processes_in_the_middle_of_their_work() -> None:
    forever = "('ready', lambda task: task if task == 0 else all(True for _ in __import__('itertools').count()))"
    outcomes = in_processes(doing(forever), [0, 1, 2], 2)
    assert next(outcomes) == (0, 0)
    outcomes.close()
    assert not multiprocessing.active_children()


def test_the_pace_is_said_once_a_minute_and_not_at_the_end() -> None:
    now = [0.0]
    pace = Pace(100, clock=lambda: now[0])
    said = []
    for second in range(1, 101):  # one file a second
        now[0] = float(second)
        said.append(pace.step())
    assert [number for number, sentence in enumerate(said, start=1) if sentence] == [60]
    assert said[59] == "60 of 100 files, 1 a second, about 40 s left."
