"""The journal gives back every state of every mask, bit by bit, whatever happened in between."""

from __future__ import annotations

import csv
import errno
import json
import random
import sqlite3
import time
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import FileLock
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_wavegms.errors import InputError
from napari_wavegms.journal.export import export_csv
from napari_wavegms.journal.journal import Journal
from napari_wavegms.journal.patches import Band, MaskState, bands_of, pack, unpack
from napari_wavegms.journal.records import Edit, EditTarget
from napari_wavegms.storage.user_data import editor_name, set_editor_name, settings_file

IMAGE = "0123456789abcdef0123456789abcdef"


def target(name: str = "benign_12", image: str = IMAGE, shape: tuple[int, ...] = (8, 10)) -> EditTarget:
    return EditTarget(image=image, name=name, shape=shape, source="scans/benign_12.png", layer="7")


def ann(journal: Journal, mask: Any, seconds: float = 0.0, **more: Any) -> Edit | None:
    return journal.record(IMAGE, mask, editor="Ann", active_seconds=seconds, **more)


def with_label(mask: np.ndarray, rows: slice, columns: slice, label: int = 1) -> np.ndarray:
    painted = mask.copy()
    painted[rows, columns] = label
    return painted


@pytest.fixture
def empty() -> np.ndarray:
    return np.zeros((8, 10), np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def edited(folder: Path, empty: np.ndarray) -> list[np.ndarray]:
    """The states of a mask that was edited four times, and left behind; the first one is the beginning."""
    one = with_label(empty, slice(1, 4), slice(2, 5))
    two = with_label(one, slice(2, 6), slice(4, 9), 2)
    states = [empty, one, two, with_label(two, slice(0, 8), slice(3, 4), 0), one]
    journal = Journal(folder)
    journal.begin(target(), empty, editor="Ann", model="generalist", threshold=0.5)
    for state in states[1:]:
        ann(journal, state, 1.0, model="generalist", threshold=0.5)
    journal.release()
    return states


def tamper(folder: Path, statement: str, *values: object) -> None:
    """Change the database as nobody should."""
    connection = sqlite3.connect(Journal(folder).database.path)
    with connection:
        assert connection.execute(statement, values).rowcount
    connection.close()


def masks_of(dtype: Any, shape: tuple[int, ...], top: int) -> st.SearchStrategy[list[np.ndarray]]:
    elements = st.integers(0, top) if dtype is not bool else st.booleans()
    sparse = hnp.arrays(dtype, shape, elements=elements, fill=st.just(0))
    return st.lists(sparse, min_size=2, max_size=7)


WILD = st.one_of(
    masks_of(np.uint8, (5, 7), 3),
    masks_of(np.uint8, (1, 1), 255),
    masks_of(bool, (4, 9), 1),
    masks_of(np.int32, (3, 6, 5), 2**31 - 1),
    masks_of(">u2", (2, 2, 3, 4), 700),
)


@settings(max_examples=60)
@given(masks=WILD)
def test_every_state_comes_back_and_the_counts_are_those_of_brute_force(
    masks: list[np.ndarray], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("wild")
    journal = Journal(folder)
    begun, was = masks[0], masks[0]
    journal.begin(target(shape=begun.shape), begun, editor="Ann")
    states = [begun]
    for mask in masks[1:]:
        edit = ann(journal, mask)
        changed = was != mask
        assert (edit is None) == (not changed.any())
        if edit is not None:
            states.append(mask)
            assert edit.number == len(states) - 1
            assert edit.added == np.sum((was == 0) & (mask != 0))
            assert edit.removed == np.sum((was != 0) & (mask == 0))
            assert edit.relabelled == np.sum(changed & (was != 0) & (mask != 0))
            assert edit.differing == np.sum(begun != mask)
        was = mask
    for reader in (journal, Journal(folder)):
        for number, state in enumerate(states if len(states) > 1 else []):
            restored = reader.restore(IMAGE, upto=number)
            assert restored.dtype == state.dtype.newbyteorder("<")
            np.testing.assert_array_equal(restored, state)
        assert reader.verify(IMAGE) == []
    np.testing.assert_array_equal(journal.restore(IMAGE), masks[-1])


@given(was=hnp.arrays(np.uint16, (6, 11), fill=st.just(0)), now=hnp.arrays(np.uint16, (6, 11), fill=st.just(0)))
def test_a_patch_survives_its_bytes(was: np.ndarray, now: np.ndarray) -> None:
    state = MaskState(was)
    state.apply(unpack(pack(state.patches_to({Band((), 0, 6): now})), np.uint16, now.size))
    np.testing.assert_array_equal(state.mask, now)


def test_bands_cover_each_row_of_each_plane_once() -> None:
    shape = (2, 3, 700, 1000)
    seen = np.zeros(shape, np.uint8)
    for band in bands_of(shape):
        band.of(seen)[...] += 1
        assert band.of(seen).size <= 2**18
    assert (seen == 1).all()
    assert [band.plane for band in bands_of((5, 9))] == [()]


def test_rows_of_a_stack_are_enough(folder: Path) -> None:
    stack = np.zeros((3, 8, 10), np.uint8)
    journal = Journal(folder)
    journal.begin(target(shape=stack.shape), stack, editor="Ann")
    stack[1, 2:4, 3:9] = 1
    edit = ann(journal, {Band((1,), 0, 8): stack[1].copy()})
    assert edit is not None
    assert edit.added == 12
    np.testing.assert_array_equal(Journal(folder).restore(IMAGE), stack)
    with pytest.raises(InputError, match="Record the whole mask"):
        ann(journal, {Band((), 0, 8): stack[1]})


def test_another_shape_and_another_dtype_are_followed(folder: Path, empty: np.ndarray) -> None:
    journal = Journal(folder)
    journal.begin(target(), empty, editor="Ann")
    small = with_label(empty, slice(0, 2), slice(0, 3))
    wide = np.full((4, 4), 70_000, np.int32)
    assert ann(journal, small) is not None
    assert ann(journal, small.astype(np.int32)) is None, "no pixel changed"
    edit = ann(journal, wide)
    assert edit is not None
    assert (edit.added, edit.removed, edit.differing) == (16, 6, 16)
    restored = Journal(folder).restore(IMAGE)
    assert restored.dtype == np.int32
    np.testing.assert_array_equal(restored, wide)
    np.testing.assert_array_equal(Journal(folder).restore(IMAGE, upto=1), small)


def test_who_when_model_and_threshold_stand_beside_each_edit(folder: Path, empty: np.ndarray) -> None:
    journal = Journal(folder)
    journal.begin(target(), empty, editor="Ann", model="generalist", threshold=0.5)
    one, two = with_label(empty, slice(0, 1), slice(0, 4)), with_label(empty, slice(0, 1), slice(0, 3))
    ann(journal, one, 2.0, model="generalist", threshold=0.5)
    assert ann(journal, one, 3.0) is None
    journal.record(IMAGE, two, editor="Bob", model="v2", threshold=None, active_seconds=4.0)
    first, second = Journal(folder).edits(IMAGE)
    assert (first.editor, first.model, first.threshold, first.added) == ("Ann", "generalist", 0.5, 4)
    assert (second.editor, second.model, second.threshold, second.removed) == ("Bob", "v2", None, 1)
    assert (second.active_seconds, second.seconds_so_far) == (7.0, 9.0), "work that came to nothing is work too"
    assert first.time <= second.time


def test_looking_and_beginning_write_nothing(folder: Path, empty: np.ndarray) -> None:
    journal = Journal(folder)
    journal.begin(target(), empty, editor="Ann")
    journal.close(IMAGE, "approved")
    assert (journal.unfinished(own=True), journal.edits(), journal.verify(IMAGE)) == ([], [], [])
    assert not folder.exists()
    np.testing.assert_array_equal(journal.restore(IMAGE), empty)


def test_what_was_left_behind_is_offered_and_carried_on(folder: Path, edited: list[np.ndarray]) -> None:
    journal = Journal(folder)
    (left,) = journal.unfinished()
    assert (left.target, left.edits, left.upto, left.damage) == (target(), 4, 4, "")
    journal.begin(target("renamed"), journal.restore(IMAGE, left.upto), editor="Ann")
    assert journal.unfinished() == [], "it is ours now"
    assert [one.edits for one in journal.unfinished(own=True)] == [4]
    edit = ann(journal, edited[2])
    assert edit is not None
    assert (edit.number, edit.differing) == (5, np.sum(edited[2] != edited[0]))
    journal.release()
    assert [one.edits for one in journal.unfinished()] == [5], "one piece of work, before and after the crash"
    np.testing.assert_array_equal(Journal(folder).restore(IMAGE), edited[2])


@pytest.mark.parametrize("how", ["approved", "saved", "discarded"])
def test_what_is_finished_is_not_offered_and_still_there(folder: Path, edited: list[np.ndarray], how: Any) -> None:
    Journal(folder).close(IMAGE, how)
    journal = Journal(folder)
    assert journal.unfinished() == []
    for number, state in enumerate(edited):
        np.testing.assert_array_equal(journal.restore(IMAGE, number), state)


def test_editing_after_an_approval_begins_anew(folder: Path, edited: list[np.ndarray]) -> None:
    journal = Journal(folder)
    journal.begin(target(), edited[-1], editor="Ann")
    journal.close(IMAGE, "approved")
    edit = ann(journal, edited[2], 1.0)
    assert edit is not None
    assert (edit.number, edit.seconds_so_far, edit.differing) == (5, 1.0, np.sum(edited[2] != edited[-1]))
    assert [(one.edits, one.upto) for one in journal.unfinished(own=True)] == [(1, 5)]


def test_a_new_prediction_in_the_middle_is_a_beginning_and_loses_nothing(folder: Path, empty: np.ndarray) -> None:
    journal = Journal(folder)
    one, predicted = with_label(empty, slice(0, 2), slice(0, 2)), np.ones_like(empty)
    journal.begin(target(), empty, editor="Ann")
    ann(journal, one)
    journal.begin(target(), predicted, editor="Ann", model="v2")
    two = with_label(predicted, slice(0, 1), slice(0, 1), 0)
    edit = ann(journal, two, model="v2")
    assert edit is not None
    assert (edit.number, edit.differing) == (2, 1)
    reader = Journal(folder)
    for number, state in enumerate([empty, one, two]):
        np.testing.assert_array_equal(reader.restore(IMAGE, number), state)


def test_two_windows_do_not_disturb_each_other(folder: Path, empty: np.ndarray) -> None:
    here, there = Journal(folder), Journal(folder)
    rng = np.random.default_rng(3)
    states = []
    for journal in (here, there):
        journal.begin(target(), empty, editor="Ann")
    for step in range(6):
        states.append(rng.integers(0, 3, empty.shape, np.uint8))
        ann((here, there)[step % 2], states[-1])
    reader = Journal(folder)
    assert reader.unfinished() == [], "both still work on it"
    assert reader.verify(IMAGE) == []
    for number, state in enumerate(states, start=1):
        np.testing.assert_array_equal(reader.restore(IMAGE, number), state)
    here.close(IMAGE, "approved")
    there.release()
    assert [(one.edits, one.upto) for one in reader.unfinished()] == [(3, 6)], "what the other left is still offered"
    reader.close(IMAGE, "discarded", upto=6)
    assert reader.unfinished() == []


def test_what_another_window_works_on_is_not_taken_over(folder: Path, empty: np.ndarray) -> None:
    there, here = Journal(folder), Journal(folder)
    there.begin(target(), empty, editor="Bob")
    ann(there, empty + np.uint8(1))
    here.begin(target(), empty + np.uint8(1), editor="Ann")
    ann(here, empty + np.uint8(2))
    here.close(IMAGE, "approved")
    there.release()
    assert [(one.edits, one.upto) for one in Journal(folder).unfinished()] == [(1, 1)]


def test_many_open_images_take_little_memory_and_come_back(folder: Path) -> None:
    journal = Journal(folder)
    images = [f"{number:032x}" for number in range(40)]
    masks = {image: np.full((1000, 1000), number, np.uint8) for number, image in enumerate(images)}
    tracemalloc.start()
    for image, mask in masks.items():
        journal.begin(target(image=image, shape=mask.shape), mask, editor="Ann")
    assert tracemalloc.get_traced_memory()[0] < 12e6, "8 masks of a megabyte, and the others folded"
    tracemalloc.stop()
    for image in images[::2]:
        journal.record(image, journal.restore(image) + np.uint8(1), editor="Ann")
    for number, image in enumerate(images):
        np.testing.assert_array_equal(journal.restore(image), masks[image] + np.uint8((number + 1) % 2))
    for image in images[:20]:
        edit = journal.record(image, masks[image] + np.uint8(99), editor="Ann")
        assert edit is not None
        assert edit.differing == masks[image].size


@pytest.mark.parametrize("number", range(5))
def test_an_entry_that_was_tampered_with_is_found(folder: Path, edited: list[np.ndarray], number: int) -> None:
    record = 'UPDATE journal SET record = replace(record, \'"time":"20\', \'"time":"19\') WHERE position = ?'
    tamper(folder, record, 1 + number)
    (sentence,) = Journal(folder).verify(IMAGE)
    assert sentence.startswith(f"Edit {number} of benign_12" if number else "An entry on 'begin' of benign_12")


@pytest.mark.parametrize("column", ["number", "session", "kind", "digest", "link", "pixels", "record"])
def test_any_flipped_bit_of_an_entry_is_found(folder: Path, edited: list[np.ndarray], column: str) -> None:
    connection = sqlite3.connect(Journal(folder).database.path)
    rows = connection.execute(f"SELECT position, {column} FROM journal WHERE {column} IS NOT NULL").fetchall()
    connection.close()
    rng = random.Random(3)
    for position, value in rows:
        if isinstance(value, int):
            flipped: object = value + 100
        elif column == "kind":
            flipped = "edit" if value == "begin" else "begin"
        else:
            data = bytearray(value if isinstance(value, bytes) else value.encode("ascii"))
            data[rng.randrange(len(data))] ^= 1
            flipped = bytes(data) if isinstance(value, bytes) else data.decode("ascii")
        if column == "session":
            tamper(folder, "INSERT INTO journal_sessions (id, image, owner) VALUES (?, ?, '')", flipped, IMAGE)
        tamper(folder, f"UPDATE journal SET {column} = ? WHERE position = ?", flipped, position)
        assert Journal(folder).verify(IMAGE)
        tamper(folder, f"UPDATE journal SET {column} = ? WHERE position = ?", value, position)
        if column == "session":
            tamper(folder, "DELETE FROM journal_sessions WHERE id = ?", flipped)
    assert Journal(folder).verify(IMAGE) == []


def test_an_entry_that_was_taken_out_is_found_and_takes_only_its_own_pixels(
    folder: Path, edited: list[np.ndarray]
) -> None:
    tamper(folder, "DELETE FROM journal WHERE number = 2")
    journal = Journal(folder)
    (left,) = journal.unfinished()
    assert left.damage.startswith("Edit 3 of benign_12 or the entry before it was changed or lost")
    # Edit 4 gave its pixels their values whatever was there before; what only edit 2 had touched is as it began.
    np.testing.assert_array_equal(journal.restore(IMAGE), edited[4])


@pytest.mark.parametrize("kept", range(5))
def test_a_tail_that_was_cut_off_is_found(folder: Path, edited: list[np.ndarray], kept: int) -> None:
    tamper(folder, "DELETE FROM journal WHERE position > ?", kept)
    (sentence,) = Journal(folder).verify(IMAGE)
    assert sentence.startswith(
        f"The last entries of the journal of {'benign_12' if kept else 'this image'} were changed"
    )


def test_pixels_that_cannot_be_read_are_told(folder: Path, edited: list[np.ndarray]) -> None:
    tamper(folder, "UPDATE journal SET pixels = x'00ff' WHERE number = 2")
    journal = Journal(folder)
    assert len(journal.verify(IMAGE)) == 1
    assert journal.restore(IMAGE).shape == edited[0].shape


@pytest.mark.parametrize("damage", ["{", "[]", '{"shape": [1e9, 1e9], "dtype": "|u1"}', '{"shape": [8], "dtype": "O"}'])
def test_a_beginning_that_is_damaged_is_told_in_a_sentence(folder: Path, edited: list[np.ndarray], damage: str) -> None:
    tamper(folder, "UPDATE journal SET record = ? WHERE kind = 'begin'", damage)
    assert len(Journal(folder).verify(IMAGE)) == 1
    assert Journal(folder).unfinished() == [], "there is nothing that could be restored"
    with pytest.raises(InputError, match="the initial mask is damaged or missing"):
        Journal(folder).restore(IMAGE, 3)


def test_a_database_that_was_removed_under_us_begins_anew(folder: Path, empty: np.ndarray) -> None:
    journal = Journal(folder)
    journal.begin(target(), empty, editor="Ann")
    one, two = (with_label(empty, slice(0, 2), slice(0, width)) for width in (2, 5))
    ann(journal, one)
    journal.database.path.unlink()
    ann(journal, two)
    reader = Journal(folder)
    np.testing.assert_array_equal(reader.restore(IMAGE), two)
    np.testing.assert_array_equal(reader.restore(IMAGE, 0), one)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda journal, mask: ann(journal, mask), r"Call begin\(\) first"),
        (lambda journal, mask: journal.restore(IMAGE, 3), "has no edit 3"),
        (lambda journal, mask: journal.restore("../x"), "has no edit 0 of this image; it has none"),
        (lambda journal, mask: journal.begin(target(), mask / 2, editor=""), "whole numbers"),
        (lambda journal, mask: journal.begin(target(), mask[0], editor=""), "rows and columns"),
    ],
)
def test_what_does_not_fit_is_told_in_a_sentence(
    folder: Path, empty: np.ndarray, call: Callable[..., Any], match: str
) -> None:
    with pytest.raises(InputError, match=match):
        call(Journal(folder), empty)


def test_a_disk_that_refuses_changes_nothing(folder: Path, empty: np.ndarray) -> None:
    folder.mkdir()
    (folder / "owners").write_text("a file where a folder should be")
    journal = Journal(folder)
    journal.begin(target(), empty, editor="Ann")
    one = with_label(empty, slice(0, 2), slice(0, 2))
    with pytest.raises(InputError, match="The last edits of benign_12 are not on disk"):
        ann(journal, one)
    (folder / "owners").unlink()
    edit = ann(journal, one)
    assert edit is not None
    assert (edit.number, edit.added) == (1, 4)
    np.testing.assert_array_equal(Journal(folder).restore(IMAGE, 0), empty)


def test_the_table_has_a_row_for_each_edit_and_each_end(folder: Path, edited: list[np.ndarray], tmp_path: Path) -> None:
    journal = Journal(folder)
    journal.close(IMAGE, "approved")
    other = "f" * 32
    journal.begin(target('Müller, "left"', other), edited[0], editor="Zoë")
    journal.record(other, edited[1], editor="Zoë")
    path = tmp_path / "table.csv"
    assert export_csv(journal, path, keep_names=True) == 6
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert sorted(row["event"] for row in rows) == ["approved", *["edit"] * 5]
    assert [row["time"] for row in rows] == sorted(row["time"] for row in rows)
    (last,) = [row for row in rows if row["content"] == other]
    assert (last["image"], last["editor"], last["added"], last["threshold"]) == ('Müller, "left"', "Zoë", "9", "")
    first = next(row for row in rows if row["number"] == "1")
    assert (first["model"], first["threshold"], first["active_seconds"]) == ("generalist", "0.5", "1.0")


def test_a_table_tells_no_person_and_no_folder_and_holds_no_formula(folder: Path, tmp_path: Path) -> None:
    journal, empty = Journal(folder), np.zeros((8, 10), np.uint8)
    for number, name in enumerate(('=HYPERLINK("x")', "+1", "-1", "@x")):
        image = f"{number:032x}"
        journal.begin(EditTarget(image, name, (8, 10), source="/ward 7/Miller/a.png"), empty, editor="Ann")
        journal.record(image, empty + 1, editor="Ann")
    export_csv(journal, tmp_path / "table.csv")
    with (tmp_path / "table.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == ['\'=HYPERLINK("x")', "'+1", "'-1", "'@x"]
    assert {(row["source"], row["editor"], row["content"]) for row in rows} == {("a.png", "", "")}


def test_a_journal_of_thousands_of_finished_images_is_looked_through_at_once(
    folder: Path, edited: list[np.ndarray]
) -> None:
    journal = Journal(folder)
    journal.close(IMAGE, "approved")
    with journal.database.write("not copied") as connection:
        for number in range(2000):
            copied = f"{number:032x}"
            session = connection.execute(
                "INSERT INTO journal_sessions (image, owner, ending) VALUES (?, '', 'approved')", (copied,)
            ).lastrowid
            connection.execute(
                "INSERT INTO journal SELECT NULL, ?, position, ?, kind, number, record, pixels, digest, link"
                " FROM journal WHERE image = ?",
                (copied, session, IMAGE),
            )
            connection.execute("INSERT INTO journal_heads VALUES (?, 6, '')", (copied,))
    journal.begin(target(image="e" * 32), edited[0], editor="Ann")
    journal.record("e" * 32, edited[1], editor="Ann")
    journal.release()
    start = time.perf_counter()
    assert [left.target.image for left in journal.unfinished()] == ["e" * 32]
    assert time.perf_counter() - start < 2.0
    assert len(journal.images()) == 2002


def stroke(mask: np.ndarray, rng: np.random.Generator, radius: int) -> None:
    """Paint where nothing is, or erase: a drag of the brush that wanders about from the middle of the mask."""
    place, heading = rng.uniform(0.3, 0.7, 2) * mask.shape, rng.uniform(0, 6.3)
    label = 1 - mask[tuple(place.astype(int))]
    rows, columns = np.ogrid[: mask.shape[0], : mask.shape[1]]
    for _ in range(30):
        heading += rng.normal(0, 0.3)
        place = np.clip(place + radius / 2 * np.array([np.sin(heading), np.cos(heading)]), 0, mask.shape)
        mask[(rows - place[0]) ** 2 + (columns - place[1]) ** 2 <= radius**2] = label


@pytest.mark.parametrize(("side", "radius", "kilobytes"), [(256, 5, 25), (512, 10, 35)])
def test_fifty_strokes_take_tens_of_kilobytes(folder: Path, side: int, radius: int, kilobytes: int) -> None:
    rng = np.random.default_rng(5)
    rows, columns = np.ogrid[:side, :side]
    mask = ((rows - side / 2) ** 2 + 2 * (columns - side / 2) ** 2 < (side / 4) ** 2).astype(np.uint8)
    journal = Journal(folder)
    journal.begin(target(shape=mask.shape), mask, editor="Ann", model="generalist", threshold=0.5)
    for _ in range(50):
        stroke(mask, rng, radius)
        ann(journal, mask, 2.0, model="generalist", threshold=0.5)
    with journal.database.read() as connection:
        (size,) = connection.execute("SELECT sum(length(record) + length(pixels)) FROM journal").fetchone()
    assert len(journal.edits(IMAGE)) == 50
    assert size < kilobytes * 1000, f"{size} bytes"
    np.testing.assert_array_equal(Journal(folder).restore(IMAGE), mask)


def test_the_users_journal_lies_in_the_data_folder(tmp_data_home: Path) -> None:
    assert Journal().database.folder == tmp_data_home


def test_the_editors_name_is_the_login_name_until_it_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("getpass.getuser", lambda: "ann")
    assert editor_name() == "ann"
    set_editor_name("  Ann   Lee ")
    assert editor_name() == "Ann Lee"
    set_editor_name("")
    assert editor_name() == "ann"


def test_settings_of_others_stay_and_damage_stops_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("getpass.getuser", lambda: "ann")
    settings_file().parent.mkdir(parents=True, exist_ok=True)
    settings_file().write_text('{"colour": "red"}')
    set_editor_name("Bob")
    assert json.loads(settings_file().read_text()) == {"colour": "red", "editor": "Bob"}
    for damaged in ("{", "[1]", '{"editor": 3}', "\0"):
        settings_file().write_text(damaged)
        assert editor_name() == "ann"


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE journal SET number = 9e999 WHERE number = 2",
        "UPDATE journal SET pixels = 1.5 WHERE number = 2",
        "UPDATE journal SET record = '[1]' WHERE number = 2",
        "UPDATE journal SET position = 'x' WHERE number = 2",
        "UPDATE journal_heads SET entries = '[]'",
        "DELETE FROM journal_heads",
        "DELETE FROM journal WHERE number = 3",
    ],
)
def test_whatever_is_damaged_is_told_and_strokes_are_still_kept(tmp_path: Path, damage: str) -> None:
    journal, mask = Journal(tmp_path), np.zeros((5, 7), np.uint8)
    journal.begin(target(shape=mask.shape), mask, editor="Ann")
    for row in range(3):
        mask[row] = 1
        ann(journal, mask)
    with journal.database.write("not damaged") as connection:
        connection.execute(damage)
    assert journal.images() == [IMAGE]
    assert journal.verify(IMAGE)
    mask[4] = 1
    assert ann(journal, mask) is not None
    assert Journal(tmp_path).edits(IMAGE)


def test_pixels_that_unfold_to_more_than_the_mask_are_refused(tmp_path: Path) -> None:
    journal, mask = Journal(tmp_path), np.zeros((5, 7), np.uint8)
    journal.begin(target(shape=mask.shape), mask, editor="Ann")
    mask[0] = 1
    ann(journal, mask)
    with journal.database.write("not damaged") as connection:
        connection.execute("UPDATE journal SET pixels = ?", (zlib.compress(b" " * 50_000_000),))
    with pytest.raises(InputError, match="cannot be restored"):
        Journal(tmp_path).restore(IMAGE)


def test_a_file_system_without_locks_is_told_once_and_strokes_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(_lock: FileLock, *_arguments: object, **_options: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(FileLock, "acquire", refuse)
    for _ in range(2):
        journal, mask = Journal(tmp_path), np.zeros((5, 7), np.uint8)
        journal.begin(target(shape=mask.shape), mask, editor="Ann")
        mask[1] = 1
        assert ann(journal, mask) is not None
        journal.close(IMAGE, "saved")
    [told] = [record.message for record in caplog.records if "without locks" in record.message]
    assert Journal(tmp_path).warning == told
    assert told.startswith(f"{tmp_path / 'owners'} is on a file system without locks: edits of another napari window")
