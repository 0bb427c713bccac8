"""The writer keeps nobody waiting, loses nothing, and says what the disk refuses."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_wavegms.errors import InputError
from napari_wavegms.journal.journal import Journal
from napari_wavegms.journal.patches import Band
from napari_wavegms.journal.records import Edit, EditTarget
from napari_wavegms.journal.writer import JournalWriter
from napari_wavegms.storage.database import Database
from napari_wavegms.storage.writer import Writer

IMAGE, OTHER = "a" * 32, "b" * 32
PATIENCE = 30.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def writer(folder: Path) -> Iterator[JournalWriter]:
    writer = JournalWriter(Journal(folder), Writer(retry=0.02))
    yield writer
    assert writer.close(), writer.problem


@pytest.fixture
def empty() -> np.ndarray:
    return np.zeros((6, 9), np.uint8)


def begin(writer: JournalWriter, mask: np.ndarray, image: str = IMAGE) -> None:
    writer.begin(EditTarget(image, "benign_12", mask.shape), mask.copy(), editor="Ann")


def submit(writer: JournalWriter, mask: Any, image: str = IMAGE, seconds: float = 1.0) -> None:
    writer.submit(image, mask, editor="Ann", model="v2", threshold=0.4, active_seconds=seconds)


def wait_until(true: Any) -> None:
    deadline = time.monotonic() + PATIENCE
    waiting = threading.Event()
    while not true():
        assert time.monotonic() < deadline
        waiting.wait(0.005)


def test_what_is_submitted_is_on_disk_within_two_seconds(writer: JournalWriter, folder: Path, empty: Any) -> None:
    begin(writer, empty)
    heard: list[tuple[str, Edit | None]] = []
    done = threading.Event()
    stop = writer.listen(lambda image, edit: (heard.append((image, edit)), done.set() if edit else None))
    assert writer.saved_at is None
    start = time.time()
    submit(writer, empty + 1)
    assert done.wait(PATIENCE)
    assert start <= (writer.saved_at or 0) < start + 2.0
    np.testing.assert_array_equal(Journal(folder).restore(IMAGE), empty + 1)
    image, edit = heard[-1]
    assert edit is not None
    assert (image, edit.added, edit.editor, edit.model, edit.threshold) == (IMAGE, 54, "Ann", "v2", 0.4)
    assert writer.problem == ""
    stop()
    submit(writer, empty)
    assert writer.flush()
    assert len(heard) == 2, "who stopped listening hears nothing more"


def test_only_the_newest_mask_waits_and_its_seconds_add_up(writer: JournalWriter, folder: Path, empty: Any) -> None:
    begin(writer, empty)
    submit(writer, empty + 1)
    assert writer.flush()
    journal = Journal(folder)
    with Database(folder).write("x"):  # as another window does that writes for long
        start = time.perf_counter()
        for number in range(2, 200):
            submit(writer, empty + np.uint8(number))
        assert time.perf_counter() - start < 5.0, "nobody waits for the disk"
        assert writer.waits(IMAGE)
        assert not writer.flush(timeout=0.05)
    assert writer.flush(PATIENCE)
    edits = journal.edits(IMAGE)
    assert len(edits) <= 3, "one was being written, one is for all that came then"
    assert sum(edit.active_seconds for edit in edits) == 199
    assert edits[-1].seconds_so_far == 199
    np.testing.assert_array_equal(journal.restore(IMAGE), empty + 199)


def test_rows_and_whole_masks_that_wait_come_together(writer: JournalWriter, folder: Path) -> None:
    stack = np.zeros((3, 6, 9), np.uint8)
    begin(writer, stack)
    submit(writer, stack + 5)
    assert writer.flush()
    with Database(folder).write("x"):
        submit(writer, {Band((0,), 0, 6): stack[0] + 1})
        submit(writer, {Band((2,), 0, 6): stack[2] + 2})
        submit(writer, {Band((2,), 0, 6): stack[2] + 3})
        submit(writer, stack + 4)
        submit(writer, {Band((1,), 0, 6): stack[1] + 7})
    assert writer.flush(PATIENCE)
    stack[...] = 4
    stack[1] = 7
    np.testing.assert_array_equal(Journal(folder).restore(IMAGE), stack)


def test_a_mask_that_is_painted_on_meanwhile_is_written_as_it_was(
    writer: JournalWriter, folder: Path, empty: Any
) -> None:
    begin(writer, empty)
    mask = empty + 1
    submit(writer, mask)
    mask[...] = 9
    assert writer.flush()
    np.testing.assert_array_equal(Journal(folder).restore(IMAGE), empty + 1)


def test_an_end_comes_after_what_was_submitted_before(writer: JournalWriter, folder: Path, empty: Any) -> None:
    begin(writer, empty)
    submit(writer, empty + 1)
    writer.finish(IMAGE, "approved")
    submit(writer, empty + 2)
    assert writer.flush()
    assert [edit.seconds_so_far for edit in Journal(folder).edits(IMAGE)] == [1.0, 1.0]
    assert writer.close()
    (left,) = Journal(folder).unfinished()
    assert (left.edits, left.upto) == (1, 2)


def test_a_disk_that_refuses_is_told_and_asked_again(writer: JournalWriter, folder: Path, empty: Any) -> None:
    folder.mkdir()
    blocked = folder / "owners"
    blocked.write_text("a file where a folder should be")
    begin(writer, empty)
    submit(writer, empty + 1)
    assert not writer.flush()
    assert writer.problem.startswith(f"Your last edits are not on disk yet, because {folder} cannot be written (")
    submit(writer, empty + 2)
    assert writer.waits(IMAGE)
    blocked.unlink()
    wait_until(lambda: not writer.waits(IMAGE))
    assert writer.problem == ""
    np.testing.assert_array_equal(Journal(folder).restore(IMAGE), empty + 2)
    assert Journal(folder).edits(IMAGE)[-1].seconds_so_far == 2.0


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of files")
def test_a_full_disk_is_told_and_nothing_is_lost(folder: Path) -> None:
    code = (
        "import resource, sys, numpy as np\n"
        "from napari_wavegms.journal.journal import EditTarget, Journal\n"
        "from napari_wavegms.journal.writer import JournalWriter\n"
        "from napari_wavegms.storage.writer import Writer\n"
        "writer = JournalWriter(Journal(sys.argv[1]), Writer(retry=0.02))\n"
        "mask = np.zeros((40, 50), np.uint8)\n"
        "writer.begin(EditTarget(sys.argv[2], 'x', mask.shape), mask, editor='')\n"
        "writer.submit(sys.argv[2], mask + 1, editor='')\n"
        "assert writer.flush()\n"
        "# As on a full disk, a part of the next line is taken and the rest is refused.\n"
        "size = writer.journal.database.path.stat().st_size + 100\n"
        "mask = np.random.default_rng(0).integers(0, 2**30, (40, 50))\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))\n"
        "writer.submit(sys.argv[2], mask, editor='')\n"
        "assert not writer.flush()\n"
        "print(writer.problem)\n"
        "writer.submit(sys.argv[2], mask * 0 + 3, editor='')\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))\n"
        "while not writer.flush(): pass  # a try of before may still be refused\n"
        "assert writer.close()\n"
        "assert not writer.problem\n"
    )
    command = [sys.executable, "-c", code, str(folder), IMAGE]
    run = subprocess.run(command, check=True, timeout=120, stdout=subprocess.PIPE, text=True)
    assert (
        f"because {folder} cannot be written (disk I/O error); free some space or check its permissions" in run.stdout
    )
    journal = Journal(folder)
    (left,) = journal.unfinished()
    assert left.damage == ""
    assert (journal.restore(IMAGE) == 3).all()


def test_one_image_that_fails_does_not_hold_up_another(writer: JournalWriter, folder: Path, empty: Any) -> None:
    submit(writer, empty)  # of an image that nobody has begun
    begin(writer, empty, OTHER)
    submit(writer, empty + 1, OTHER)
    wait_until(lambda: not writer.waits(OTHER))
    assert "Call begin() first" in writer.problem
    begin(writer, empty)
    # The edit stands before the beginning, so begin it directly; then all goes through.
    writer.journal.begin(EditTarget(IMAGE, "benign_12", empty.shape), empty, editor="Ann")
    wait_until(lambda: not writer.waits(IMAGE))
    assert writer.problem == ""


def test_a_listener_that_fails_ends_nothing(
    writer: JournalWriter, folder: Path, empty: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_image: str, _edit: Edit | None) -> None:
        raise ValueError("a window that is gone")

    writer.listen(fail)
    begin(writer, empty)
    submit(writer, empty + 1)
    assert writer.flush()
    np.testing.assert_array_equal(Journal(folder).restore(IMAGE), empty + 1)
    wait_until(lambda: "Reporting a write failed" in caplog.text)


def test_what_is_no_mask_is_refused_at_once(writer: JournalWriter, empty: Any) -> None:
    with pytest.raises(InputError, match="whole numbers"):
        begin(writer, empty / 2)
    with pytest.raises(InputError, match="whole numbers"):
        submit(writer, empty / 2)


def test_a_closed_writer_leaves_its_edits_to_others_and_can_go_on(folder: Path, empty: Any) -> None:
    writer = JournalWriter(Journal(folder))
    begin(writer, empty)
    submit(writer, empty + 1)
    assert writer.close()
    assert [left.edits for left in Journal(folder).unfinished()] == [1]
    begin(writer, empty + 1)
    submit(writer, empty + 2)
    assert writer.close()
    assert [left.edits for left in Journal(folder).unfinished()] == [2]


def test_the_end_of_the_program_waits_for_the_last_edit(folder: Path) -> None:
    code = (
        "import sys, numpy as np\n"
        "from napari_wavegms.journal.journal import EditTarget, Journal\n"
        "from napari_wavegms.journal.writer import JournalWriter\n"
        "writer, mask = JournalWriter(Journal(sys.argv[1])), np.zeros((400, 500), np.uint8)\n"
        "writer.begin(EditTarget(sys.argv[2], 'x', mask.shape), mask, editor='')\n"
        "writer.submit(sys.argv[2], mask + 1, editor='')\n"
        "raise SystemExit(3)\n"
    )
    run = subprocess.run([sys.executable, "-c", code, str(folder), IMAGE], check=False, timeout=120)
    assert run.returncode == 3
    assert [left.edits for left in Journal(folder).unfinished()] == [1], "and nobody holds it any more"
    assert (Journal(folder).restore(IMAGE) == 1).all()
