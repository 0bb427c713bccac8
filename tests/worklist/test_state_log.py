"""Notes in the background: told at once, on disk a moment later, in their order, and not lost to a full disk."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from napari_wavegms.storage.append_log import KIND, Ledger
from napari_wavegms.storage.file_lock import locked
from napari_wavegms.worklist.state_log import NoteWriter
from napari_wavegms.worklist.worklist import Worklist


@pytest.fixture
def heard() -> list[str]:
    return []


@pytest.fixture
def writer(heard: list[str]) -> Iterator[NoteWriter]:
    writer = NoteWriter(heard.append, retry=0.02)
    yield writer
    assert writer.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(3):
        (tmp_path / f"scan_{number}.png").write_bytes(b"")
    return tmp_path


def numbers(path: Path) -> list[int]:
    return [record["number"] for record in Ledger(path).read()]


def test_notes_come_to_the_disk_in_their_order_whoever_waits(writer: NoteWriter, tmp_path: Path) -> None:
    one, other = Ledger(tmp_path / "one" / "notes.jsonl"), Ledger(tmp_path / "other" / "notes.jsonl")
    with locked(one._lock_path):  # another window writes for a while
        for number in range(100):
            writer.add(one if number % 3 else other, [{KIND: "note", "number": number}])
    assert writer.flush()
    assert numbers(one.path) == [number for number in range(100) if number % 3]
    assert numbers(other.path) == list(range(0, 100, 3))


def test_a_change_is_told_before_it_is_on_disk_and_is_there_after(writer: NoteWriter, folder: Path) -> None:
    worklist = Worklist.of_folder(folder, writer=writer)
    key = worklist.items()[1].key
    (record,) = worklist._records.values()
    with locked(record._ledger._lock_path):  # the disk takes its time
        worklist.go_to(key)
        assert worklist.set(key, state="skipped", score=0.5).state == "skipped"
        assert worklist.counts()["skipped"] == 1
        assert Worklist.of_folder(folder).current is None
    assert writer.flush()
    again = Worklist.of_folder(folder)
    assert (again.current, again.item(key)) == (key, worklist.item(key))


def test_looking_again_waits_for_what_is_on_its_way(writer: NoteWriter, folder: Path) -> None:
    worklist = Worklist.of_folder(folder, writer=writer)
    key = worklist.items()[0].key
    for state in ("predicted", "corrected", "skipped"):
        worklist.set(key, state=state)
    worklist.refresh()
    assert worklist.item(key).state == "skipped"
    Worklist.of_folder(folder).set(key, state="corrected")  # another window
    worklist.refresh()
    assert worklist.item(key).state == "corrected"


def test_what_the_disk_refuses_is_said_once_and_written_later(
    writer: NoteWriter, heard: list[str], folder: Path, tmp_path: Path
) -> None:
    reviews = tmp_path / "reviews"
    worklist = Worklist.of_folder(folder, writer=writer, reviews=reviews)
    reviews.write_text("in the way")
    key = worklist.items()[0].key
    worklist.set(key, state="skipped")
    assert not writer.flush()
    assert not writer.flush()
    worklist.set(key, seconds=3.0)
    assert [("cannot be written" in sentence) for sentence in heard] == [True]
    assert worklist.item(key).state == "skipped"
    reviews.unlink()
    assert writer.flush()
    item = Worklist.of_folder(folder, reviews=reviews).item(key)
    assert (item.state, item.seconds) == ("skipped", 3.0)


def test_closing_ends_the_thread_and_a_later_note_starts_another(writer: NoteWriter, tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "notes" / "notes.jsonl")
    for number in range(2):
        writer.add(ledger, [{KIND: "note", "number": number}])
        assert writer.close()
        assert not any(thread.name == "wavegms-notes" for thread in threading.enumerate())
    assert numbers(ledger.path) == [0, 1]
