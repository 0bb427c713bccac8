"""Notes in the background: told at once, on disk a moment later, in their order, and not lost to a full disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_wavegms.storage.database import Database
from napari_wavegms.storage.writer import Writer
from napari_wavegms.worklist.item import WorklistStates
from napari_wavegms.worklist.worklist import Worklist


@pytest.fixture
def heard() -> list[str]:
    return []


@pytest.fixture
def writer() -> Writer:
    return Writer(retry=0.02)


@pytest.fixture
def noted(writer: Writer, heard: list[str]) -> WorklistStates:
    return WorklistStates(writer=writer, on_problem=heard.append)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(3):
        (tmp_path / f"scan_{number}.png").write_bytes(b"")
    return tmp_path


def test_notes_come_to_the_disk_in_their_order_whoever_waits(writer: Writer, noted: WorklistStates) -> None:
    with Database().write("x"):  # another window writes for a while
        for number in range(100):
            noted.note("one" if number % 3 else "other", "scan", {"seconds": number, f"n{number}": True})
    assert writer.flush(30)
    one, other = (WorklistStates().read(folder)["scan"] for folder in ("one", "other"))
    assert (one["seconds"], other["seconds"]) == (98, 99)
    assert len(one) + len(other) == 102, "none was lost"


def test_a_change_is_told_before_it_is_on_disk_and_is_there_after(
    writer: Writer, noted: WorklistStates, folder: Path
) -> None:
    worklist = Worklist.of_folder(folder, states=noted)
    key = worklist.items()[1].key
    with Database().write("x"):  # the disk takes its time
        worklist.go_to(key)
        assert worklist.set(key, state="skipped", score=0.5).state == "skipped"
        assert worklist.counts()["skipped"] == 1
        worklist.refresh()
        assert worklist.item(key).state == "skipped", "what is on its way counts"
        assert Worklist.of_folder(folder).current is None
    assert writer.flush()
    again = Worklist.of_folder(folder)
    assert (again.current, again.item(key)) == (key, worklist.item(key))


def test_looking_again_sees_what_others_noted(writer: Writer, noted: WorklistStates, folder: Path) -> None:
    worklist = Worklist.of_folder(folder, states=noted)
    key = worklist.items()[0].key
    for state in ("predicted", "corrected", "skipped"):
        worklist.set(key, state=state)
    assert writer.flush()
    Worklist.of_folder(folder).set(key, state="corrected")  # another window
    worklist.refresh()
    assert worklist.item(key).state == "corrected"


def test_what_the_disk_refuses_is_said_once_and_written_later(
    writer: Writer, heard: list[str], folder: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    worklist = Worklist.of_folder(folder, states=WorklistStates(home, writer, heard.append))
    home.write_text("in the way")
    key = worklist.items()[0].key
    worklist.set(key, state="skipped")
    assert not writer.flush()
    assert not writer.flush()
    worklist.set(key, seconds=3.0)
    assert [("cannot be written" in sentence) for sentence in heard] == [True]
    assert worklist.item(key).state == "skipped"
    home.unlink()
    while not writer.flush():
        pass
    item = Worklist.of_folder(folder, states=WorklistStates(home)).item(key)
    assert (item.state, item.seconds) == ("skipped", 3.0)
