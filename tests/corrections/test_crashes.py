"""Killed while it writes, again and again: every correction that was confirmed is there, bit by bit."""

from __future__ import annotations

import importlib.util
import json
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from napari_wavegms.corrections.records import Kept
from napari_wavegms.corrections.store import CorrectionStore
from napari_wavegms.files.labels import smallest_labels
from napari_wavegms.storage.content_hash import content_hash

WRITER = Path(__file__).with_name("crash_writer.py")

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither fork nor SIGKILL")


@pytest.fixture(scope="module")
def writer() -> ModuleType:
    spec = importlib.util.spec_from_file_location("crash_writer", WRITER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def program() -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, str(WRITER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as running:
        yield running
        assert running.stdin is not None
        running.stdin.close()
        assert running.wait(timeout=60) == 0


def play(program: subprocess.Popen[str], folder: Path, first: int, count: int, lines: int) -> list[int]:
    """Have a child approve `count` corrections and die after `lines` lines; gives the seeds that it confirmed."""
    assert program.stdin is not None
    assert program.stdout is not None
    program.stdin.write(json.dumps([str(folder), first, count, lines]) + "\n")
    program.stdin.flush()
    confirmed: list[int] = json.loads(program.stdout.readline())
    return confirmed


def readable(store: CorrectionStore) -> list[Kept]:
    return [store.load(correction) for correction in store.corrections()]


def assert_confirmed_are_kept(writer: ModuleType, store: CorrectionStore, confirmed: list[int]) -> None:
    history = {(kept.image, kept.mask): kept for kept in store.history()}
    for seed in confirmed:
        wanted = writer.approval(seed)
        kept = store.load(history[content_hash(wanted.image), content_hash(smallest_labels(wanted.mask))])
        assert kept.image.tobytes() == wanted.image.tobytes()
        np.testing.assert_array_equal(kept.mask, wanted.mask)
        np.testing.assert_array_equal(kept.prediction, wanted.prediction)


def test_killed_at_any_line_the_store_keeps_what_it_confirmed(
    tmp_path: Path, writer: ModuleType, program: subprocess.Popen[str]
) -> None:
    rng = random.Random(7)
    confirmed: list[int] = []
    for kill in range(16):
        first = 4 * kill
        confirmed += play(program, tmp_path, first, 4, rng.randint(1, 2500))
        if kill % 8 == 7:
            assert_confirmed_are_kept(writer, CorrectionStore(tmp_path), confirmed)
    store = CorrectionStore(tmp_path)
    assert 8 < len(confirmed) < 64, "some rounds were killed, some got somewhere"
    assert store.warnings == ()
    assert len(store.history()) - len(confirmed) <= 16, "at most one unconfirmed correction a kill"
    assert len(readable(store)) == len(store.corrections())
    store.approve(writer.approval(10_000))


def test_killed_at_each_line_of_one_approval(
    tmp_path: Path, writer: ModuleType, program: subprocess.Popen[str]
) -> None:
    confirmed_at = 0
    for lines in range(1, 2000, 29):
        folder = tmp_path / str(lines)
        confirmed = play(program, folder, 0, 1, lines)
        store = CorrectionStore(folder)
        assert_confirmed_are_kept(writer, store, confirmed)
        assert len(readable(store)) == len(store.corrections()) in (len(confirmed), 1)
        assert store.warnings == ()
        if confirmed:
            confirmed_at = lines
            break
    assert confirmed_at > 100, "an approval has many lines, and was killed in every seventeenth of them"


def test_two_programs_and_we_approve_at_the_same_time(tmp_path: Path, writer: ModuleType) -> None:
    requests = [json.dumps([str(tmp_path), first, 10, 10**9]) + "\n" for first in (0, 100)]
    programs = [
        subprocess.Popen([sys.executable, str(WRITER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in requests
    ]
    for running, request in zip(programs, requests, strict=True):
        assert running.stdin is not None
        running.stdin.write(request)
        running.stdin.close()
    store = CorrectionStore(tmp_path)
    for seed in range(200, 210):
        store.approve(writer.approval(seed))
    for running in programs:
        with running:
            assert running.stdout is not None
            assert len(json.loads(running.stdout.readline())) == 10
    assert len(store.history()) == 30
    assert_confirmed_are_kept(writer, store, [*range(10), *range(100, 110), *range(200, 210)])
    named = {(kept.name, kept.image) for kept in store.history()}
    assert len({name for name, _ in named}) == len(named), "a name means one image, whoever gave it"
