"""The list of images of a review, on disk after every change."""

from __future__ import annotations

import math
import os
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_wavegms.corrections.records import Approval
from napari_wavegms.corrections.store import CorrectionStore
from napari_wavegms.errors import InputError
from napari_wavegms.storage.database import Database
from napari_wavegms.worklist.item import STATES, Item, WorklistStates, checked_changes
from napari_wavegms.worklist.ordering import next_key, ordered_keys, previous_key
from napari_wavegms.worklist.worklist import OpenLayer, Worklist

SCAN = Item("scan.png", "scan")


def fill(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"")
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return fill(tmp_path / "march", "scan_10.png", "scan_2.png", "scan_1.png", "notes.txt")


def key(folder: Path, name: str) -> str:
    return str(folder.resolve() / name)


def names(worklist: Worklist) -> list[str]:
    return [item.name for item in worklist.items()]


def states(worklist: Worklist) -> dict[str, str]:
    return {item.name: item.state for item in worklist.items()}


def test_a_folder_gives_its_images_in_natural_order_all_to_do(folder: Path) -> None:
    worklist = Worklist.of_folder(folder)
    assert names(worklist) == ["scan_1", "scan_2", "scan_10"]
    assert worklist.items()[0] == Item(key(folder, "scan_1.png"), "scan_1", folder.resolve() / "scan_1.png")
    assert worklist.counts() == {"todo": 3, "predicted": 0, "corrected": 0, "approved": 0, "skipped": 0}
    assert worklist.current is None


def test_looking_writes_nothing(folder: Path, tmp_data_home: Path) -> None:
    Worklist.of_folder(folder).refresh()
    assert list(tmp_data_home.iterdir()) == []


def test_what_was_set_is_there_when_the_folder_is_opened_again(folder: Path) -> None:
    worklist = Worklist.of_folder(folder)
    item = worklist.set(
        key(folder, "scan_2.png"),
        state="corrected",
        score=np.float32(0.5),
        uncertainty=0.25,
        seconds=14,
        content="ab",
        light="amber",
    )
    assert (item.score, item.seconds, type(item.score)) == (0.5, 14.0, float)
    assert item.time.endswith("+00:00")
    again = Worklist.of_folder(folder)
    assert again.item(item.key) == item
    assert again.counts()["corrected"] == 1


def test_the_folder_of_the_user_is_left_alone(folder: Path) -> None:
    worklist = Worklist.of_folder(folder)
    worklist.set(key(folder, "scan_1.png"), state="skipped")
    worklist.go_to(key(folder, "scan_2.png"))
    assert sorted(path.name for path in folder.iterdir()) == ["notes.txt", "scan_1.png", "scan_10.png", "scan_2.png"]
    assert Database().path.exists()


def test_only_a_real_change_is_written_and_only_the_state_has_a_time(folder: Path) -> None:
    worklist = Worklist.of_folder(folder)
    scan = key(folder, "scan_1.png")
    worklist.set(scan, uncertainty=0.5)
    before = Database().path.read_bytes()
    assert worklist.set(scan, uncertainty=0.5, state="todo").time == ""
    assert Database().path.read_bytes() == before


def test_a_file_has_one_state_whichever_way_it_was_opened(folder: Path, tmp_path: Path) -> None:
    other = fill(tmp_path / "april", "scan_1.png")
    files = Worklist.of_files([folder / "scan_2.png", other / "scan_1.png", folder / "scan_2.png"])
    assert names(files) == ["scan_2", "scan_1"]
    files.set(key(folder, "scan_2.png"), state="approved")
    files.set(key(other, "scan_1.png"), state="skipped")
    assert states(Worklist.of_folder(folder)) == {"scan_1": "todo", "scan_2": "approved", "scan_10": "todo"}
    assert states(Worklist.of_folder(other)) == {"scan_1": "skipped"}


def test_a_folder_is_the_same_behind_a_link_and_from_within(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link").symlink_to(folder, target_is_directory=True)
    Worklist.of_folder(tmp_path / "link").set(key(folder, "scan_1.png"), state="skipped")
    monkeypatch.chdir(folder)
    assert Worklist.of_folder(".").counts()["skipped"] == 1
    assert Worklist.of_files(["scan_1.png"]).counts()["skipped"] == 1


def test_names_tell_files_apart(tmp_path: Path) -> None:
    one = fill(tmp_path / "one", "scan.png", "scan.tif", "left.png")
    other = fill(tmp_path / "other", "scan.png")
    assert names(Worklist.of_files([one / "scan.png", one / "scan.tif", one / "left.png", other / "scan.png"])) == [
        "one/scan.png",
        "scan.tif",
        "left",
        "other/scan.png",
    ]


def test_the_review_goes_on_where_it_stopped(folder: Path) -> None:
    worklist = Worklist.of_folder(folder)
    worklist.go_to(key(folder, "scan_10.png"))
    worklist.go_to(key(folder, "scan_2.png"))
    assert Worklist.of_folder(folder).current == key(folder, "scan_2.png")
    (folder / "scan_2.png").unlink()
    assert Worklist.of_folder(folder).current == key(folder, "scan_10.png")


def test_files_that_come_and_go_are_noticed_and_a_state_waits_for_its_file(folder: Path) -> None:
    worklist = Worklist.of_folder(folder)
    worklist.set(key(folder, "scan_1.png"), state="approved")
    worklist.go_to(key(folder, "scan_1.png"))
    (folder / "scan_1.png").unlink()
    (folder / "scan_2.png").unlink()
    fill(folder, "scan_3.png")
    found = worklist.refresh()
    assert (found.new, found.gone) == (("scan_3",), ("scan_1", "scan_2"))
    assert worklist.gone == ("scan_1",)  # nobody had done anything about the other one
    assert worklist.current is None
    assert names(worklist) == ["scan_3", "scan_10"]
    fill(folder, "scan_1.png")
    assert Worklist.of_folder(folder).gone == ()
    assert states(Worklist.of_folder(folder))["scan_1"] == "approved"


def test_two_windows_see_each_others_notes(folder: Path) -> None:
    one, other = Worklist.of_folder(folder), Worklist.of_folder(folder)
    one.set(key(folder, "scan_1.png"), state="approved")
    other.set(key(folder, "scan_2.png"), state="skipped")
    one.refresh()
    other.refresh()
    assert states(one) == states(other) == {"scan_1": "approved", "scan_2": "skipped", "scan_10": "todo"}


def test_a_file_with_other_pixels_is_to_do_again(folder: Path) -> None:
    worklist = Worklist.of_folder(folder)
    scan = key(folder, "scan_1.png")
    worklist.identify(scan, "old")
    worklist.set(scan, state="approved", uncertainty=0.5, seconds=9, light="red")
    assert worklist.identify(scan, "old").state == "approved"
    fresh = worklist.identify(scan, "new")
    assert (fresh.state, fresh.uncertainty, fresh.seconds, fresh.light) == ("todo", None, 0.0, "")
    assert Worklist.of_folder(folder).item(scan).content == "new"


def test_layers_are_known_by_their_content() -> None:
    worklist = Worklist.of_layers([OpenLayer("1", "polyp", "aa"), OpenLayer("2", "cyst"), OpenLayer("3", "lump")])
    worklist.set("1", state="approved")
    worklist.set("2", state="corrected")
    worklist.identify("3", "cc")
    worklist.set("3", state="skipped")
    worklist.refresh()
    assert states(worklist) == {"polyp": "approved", "cyst": "corrected", "lump": "skipped"}
    again = Worklist.of_layers([OpenLayer("7", "renamed", "aa"), OpenLayer("2", "cyst"), OpenLayer("9", "lump")])
    assert states(again) == {"renamed": "approved", "cyst": "todo", "lump": "todo"}
    assert again.identify("9", "cc").state == "skipped"


def approve(store: CorrectionStore, source: Path, number: int = 7, plane: tuple[int, ...] = ()) -> str:
    image = np.full((4, 6), number, np.uint8)
    mask = np.ones((4, 6), np.uint8)
    return store.approve(Approval(name="x", image=image, mask=mask, source=str(source), plane=plane)).image


def test_the_store_has_the_last_word_on_what_is_approved(folder: Path, tmp_path: Path) -> None:
    store = CorrectionStore(tmp_path / "store")
    content = approve(store, folder / "scan_1.png")  # killed before the worklist was told
    Worklist.of_folder(folder).set(key(folder, "scan_2.png"), state="approved")  # taken back, and killed likewise
    worklist = Worklist.of_folder(folder, store)
    assert states(worklist) == {"scan_1": "approved", "scan_2": "corrected", "scan_10": "todo"}
    assert worklist.item(key(folder, "scan_1.png")).content == content


def test_planes_do_not_approve_a_stack_nor_old_pixels_a_file(folder: Path, tmp_path: Path) -> None:
    store = CorrectionStore(tmp_path / "store")
    approve(store, folder / "scan_1.png", 5, plane=(3,))
    approve(store, folder / "scan_2.png")
    worklist = Worklist.of_folder(folder)
    worklist.identify(key(folder, "scan_2.png"), "other pixels")
    worklist.set(key(folder, "scan_10.png"), content=approve(store, Path("elsewhere.png"), 8))
    assert states(Worklist.of_folder(folder, store)) == {"scan_1": "todo", "scan_2": "todo", "scan_10": "approved"}
    worklist.set(key(folder, "scan_1.png"), state="approved")
    assert states(Worklist.of_folder(folder, store))["scan_1"] == "approved"


def test_back_and_forth_walks_the_same_way(folder: Path) -> None:
    fill(folder, *[f"scan_{number}.png" for number in range(8)])
    worklist = Worklist.of_folder(folder)

    def step(towards: object) -> str:
        found = towards(ordered_keys(worklist.items(), since=worklist.since), worklist.current)  # type: ignore[operator]
        return worklist.item(worklist.go_to(found).key).name

    there = [step(next_key) for _ in range(5)]
    assert [step(previous_key) for _ in range(4)] == there[-2::-1]
    assert [step(next_key) for _ in range(4)] == there[1:]
    assert step(next_key) not in there


def test_a_new_sitting_begins_with_what_was_not_shown_yet(folder: Path) -> None:
    worklist = Worklist.of_folder(folder)
    worklist.go_to(key(folder, "scan_2.png"))
    again = Worklist.of_folder(folder)
    assert [again.item(one).name for one in ordered_keys(again.items(), since=again.since)] == [
        "scan_1",
        "scan_10",
        "scan_2",
    ]
    worklist.begin_again()
    assert ordered_keys(worklist.items(), since=worklist.since)[-1] == key(folder, "scan_2.png")


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"state": "done"}, "The state of scan cannot become 'done'"),
        ({"uncertainty": "high"}, "a state is one of todo, predicted"),
        ({"seconds": float("nan")}, "seconds"),
        ({"path": "x"}, "What can change is state, score"),
        ({"shown": 3}, "shown"),
    ],
)
def test_a_value_that_does_not_fit_is_refused(changes: dict[str, object], match: str) -> None:
    with pytest.raises(InputError, match=match):
        checked_changes(SCAN, changes)


def test_a_score_that_is_no_number_is_none() -> None:
    for nothing in (float("nan"), np.float32("inf"), None):
        assert checked_changes(SCAN, {"score": nothing, "uncertainty": nothing}) == {"score": None, "uncertainty": None}


def test_what_cannot_be_opened_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no folder"):
        Worklist.of_folder(tmp_path / "nowhere")
    with pytest.raises(InputError, match="There is no image in"):
        Worklist.of_folder(fill(tmp_path / "empty"))
    with pytest.raises(InputError, match="no file or folder"):
        Worklist.of_files([tmp_path / "scan.png"])
    with pytest.raises(InputError, match="No image is open"):
        Worklist.of_layers([])
    with pytest.raises(InputError, match="scan_9 is not in this list"):
        Worklist.of_layers([OpenLayer("1", "x")]).item("scan_9")


def test_a_disk_that_refuses_changes_nothing(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    worklist = Worklist.of_folder(folder, states=WorklistStates(tmp_path / "home"))
    (tmp_path / "home").write_text("in the way")
    with pytest.raises(InputError, match="was not saved"):
        worklist.set(key(folder, "scan_1.png"), state="approved")
    with pytest.raises(InputError, match="was not saved"):
        worklist.go_to(key(folder, "scan_1.png"))
    assert worklist.counts()["todo"] == 3
    assert worklist.current is None


@given(
    st.dictionaries(
        st.text() | st.sampled_from([field.name for field in fields(Item)]),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text()),
    )
)
def test_a_record_of_another_version_or_hand_is_read_or_refused(values: dict[str, object]) -> None:
    try:
        item = SCAN.with_record(values)
    except ValueError:
        return
    assert (item.key, item.name, item.path) == (SCAN.key, SCAN.name, None)
    assert item.state in STATES
    assert math.isfinite(item.seconds)
    assert item.score is None or math.isfinite(item.score)


@pytest.mark.parametrize("damage", ["{", "[]", '{"state": 7}', '{"seconds": 1e400}', "[" * 10_000])
def test_a_damaged_record_loses_only_itself(folder: Path, damage: str) -> None:
    worklist = Worklist.of_folder(folder)
    for name, state in (("scan_1.png", "approved"), ("scan_2.png", "skipped")):
        worklist.set(key(folder, name), state=state)
    with Database().write("not damaged") as connection:
        connection.execute("UPDATE worklist SET record = ? WHERE name = ?", (damage, b"scan_1.png"))
    again = Worklist.of_folder(folder)
    assert states(again) == {"scan_1": "todo", "scan_2": "skipped", "scan_10": "todo"}
    assert again.warnings == ("The saved state of scan_1 is damaged and was ignored.",)
    again.set(key(folder, "scan_1.png"), state="corrected")
    assert Worklist.of_folder(folder).warnings == ()


@pytest.mark.parametrize("name", ["scan_1.png", b"\xff\xfe", 7, 1.5, "x" * 100_000])
def test_a_name_of_somebody_else_s_is_no_image_s(folder: Path, name: object) -> None:
    Worklist.of_folder(folder).set(key(folder, "scan_2.png"), state="skipped")
    with Database().write("not damaged") as connection:
        (place,) = connection.execute("SELECT folder FROM worklist").fetchone()
        connection.execute("INSERT INTO worklist VALUES (?, ?, ?)", (place, name, '{"state": "approved"}'))
    again = Worklist.of_folder(folder)
    assert states(again) == {"scan_1": "todo", "scan_2": "skipped", "scan_10": "todo"}
    assert all(len(each) < 1000 for each in (*again.gone, *again.warnings))


@pytest.mark.skipif(sys.platform != "linux", reason="file names that are no text")
def test_a_file_whose_name_is_no_text_is_noted_like_any_other(tmp_path: Path) -> None:
    folder = fill(tmp_path / os.fsdecode(b"m\xe4rz"), os.fsdecode(b"scan\xff.png"))
    item = Worklist.of_folder(folder).items()[0]
    Worklist.of_folder(folder).set(item.key, state="skipped")
    assert Worklist.of_folder(folder).item(item.key).state == "skipped"


def test_masks_beside_the_images_are_no_images(tmp_path: Path) -> None:
    for name in ("scan0.png", "scan1.png", "scan0_mask.tif", "scan1_mask.tiff", "scan1_probability.tiff"):
        (tmp_path / name).touch()
    first, second = Worklist.of_folder(tmp_path).items()
    assert (first.name, first.masks) == ("scan0", (tmp_path / "scan0_mask.tif",))
    assert (second.name, second.masks) == ("scan1", (tmp_path / "scan1_mask.tiff",))
    Worklist.of_folder(tmp_path).set(first.key, state="skipped")
    assert Worklist.of_folder(tmp_path).item(first.key).masks == first.masks


def test_going_back_in_the_same_second_is_where_it_stopped(folder: Path) -> None:
    worklist = Worklist.of_folder(folder)
    for name in ("scan_10.png", "scan_2.png", "scan_10.png"):
        worklist.go_to(key(folder, name))
    assert worklist.item(key(folder, "scan_10.png")).shown < worklist.item(key(folder, "scan_2.png")).shown
    assert Worklist.of_folder(folder).current == key(folder, "scan_10.png")
    again = Worklist.of_folder(folder)
    again.go_to(key(folder, "scan_2.png"))
    assert Worklist.of_folder(folder).current == key(folder, "scan_2.png")
