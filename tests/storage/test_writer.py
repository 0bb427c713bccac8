"""One thread writes in order, keeps nobody waiting, and tries again what was refused."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import Any

import pytest

from napari_wavegms.errors import InputError
from napari_wavegms.storage.writer import Writer, process_writer

PATIENCE = 30.0


def ignore(_result: object, _sentence: str) -> None: ...


def test_tasks_of_a_key_are_done_in_their_order_in_one_thread() -> None:
    writer, done, threads = Writer(), [], set()
    gate = threading.Event()
    writer.add("a", gate.wait, ignore)
    for number in range(50):
        writer.add(
            "ab"[number % 2], lambda number=number: (done.append(number), threads.add(threading.get_ident())), ignore
        )
    assert not writer.flush(timeout=0.01)
    gate.set()
    assert writer.flush(PATIENCE)
    assert [number for number in done if number % 2] == list(range(1, 50, 2))
    assert [number for number in done if not number % 2] == list(range(0, 50, 2))
    assert len(threads) == 1
    assert threading.get_ident() not in threads


def test_what_is_refused_is_told_tried_again_and_holds_up_nobody_else() -> None:
    writer, heard, done = Writer(retry=0.01), [], threading.Event()
    is_full = [True]

    def refuse() -> str:
        if is_full[0]:
            raise InputError("The disk is full.")
        return "kept"

    def hear(*what: Any) -> None:
        heard.append(what)

    writer.add("a", refuse, hear)
    writer.add("a", lambda: "later", hear)
    writer.add("b", done.set, ignore)
    assert done.wait(PATIENCE)
    assert not writer.flush()
    assert set(heard) == {(None, "The disk is full.")}
    is_full[0] = False
    while not writer.flush(PATIENCE):
        pass
    assert heard[-2:] == [("kept", ""), ("later", "")]


def test_an_error_of_ours_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    writer, sentences, tries = Writer(retry=0.0), [], []

    def fail_once() -> None:
        tries.append(1)
        if len(tries) == 1:
            raise ZeroDivisionError("oops")

    def hear(_result: object, sentence: str) -> None:
        sentences.append(sentence)
        raise ValueError("a window that is gone")

    writer.add("a", fail_once, hear)
    while not writer.flush(PATIENCE):
        pass
    assert sentences == ["The last changes are not on disk (ZeroDivisionError: oops); save the mask to a file.", ""]
    assert "Reporting a write failed" in caplog.text


def test_the_thread_ends_with_the_last_task_and_the_next_one_begins_another() -> None:
    writer = Writer()
    for _ in range(3):
        writer.add("a", lambda: None, ignore)
        assert writer.flush(PATIENCE)
    assert writer.flush(0)
    assert process_writer() is process_writer()


def test_the_end_of_the_program_waits_for_the_last_task() -> None:
    code = (
        "import threading\n"
        "from napari_wavegms.storage.writer import Writer\n"
        "Writer().add('a', lambda: (threading.Event().wait(0.3), print('written', flush=True)), lambda *_: None)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert run.stdout == "written\n"
