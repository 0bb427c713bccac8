"""The rows of a worklist, and the small pictures that are read while they are in sight."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from qtpy.QtCore import QModelIndex, Qt
from qtpy.QtGui import QPixmap
from qtpy.QtTest import QAbstractItemModelTester

from napari_wavegms.errors import InputError
from napari_wavegms.widgets.thumbnails import SIDE, Outlined, Thumbnails, plane_of_file, small_picture
from napari_wavegms.widgets.worklist.labels import counts_line, details, gone_sentence, mark_of, nothing_shown
from napari_wavegms.widgets.worklist.model import IMAGE, ITEM_ROLE, SCORE, TIME, UNCERTAINTY, WorklistModel
from napari_wavegms.worklist.item import Item
from napari_wavegms.worklist.ordering import next_key
from napari_wavegms.worklist.worklist import OpenLayer, Worklist

NAMES = ("a", "b", "c", "d", "e")


@pytest.fixture
def worklist(tmp_path: Path) -> Worklist:
    for number, name in enumerate(NAMES):
        Image.fromarray(np.full((6, 8), 40 * number, np.uint8)).save(tmp_path / f"{name}.png")
    return Worklist.of_folder(tmp_path)


@pytest.fixture
def thumbnails(qapp: Any) -> Iterator[Thumbnails]:
    thumbnails = Thumbnails()
    yield thumbnails
    thumbnails.forget()


@pytest.fixture
def model(worklist: Worklist, thumbnails: Thumbnails) -> WorklistModel:
    model = WorklistModel(thumbnails)
    # Qt's own watch over what models promise; a broken promise fails the test.
    QAbstractItemModelTester(model, QAbstractItemModelTester.FailureReportingMode.Fatal, model)
    model.set_worklist(worklist)
    return model


def key(model: WorklistModel, name: str) -> str:
    assert model.worklist is not None
    return next(item.key for item in model.worklist.items() if item.name == name)


def shown(model: WorklistModel) -> str:
    return "".join(str(model.index(row, IMAGE).data()) for row in range(model.rowCount()))


def text(model: WorklistModel, name: str, column: int) -> str:
    row = model.row_of(key(model, name))
    assert row is not None
    return str(model.index(row, column).data())


def test_no_list_has_no_rows(thumbnails: Thumbnails) -> None:
    model = WorklistModel(thumbnails)
    assert (model.rowCount(), model.columnCount(), model.current, model.next_key()) == (0, 4, None, None)
    assert sum(model.counts.values()) == 0


def test_a_row_tells_what_is_known(model: WorklistModel) -> None:
    assert shown(model) == "abcde"
    model.set_item(key(model, "b"), state="predicted", uncertainty=0.314, score=0.9, seconds=75)
    assert [text(model, "b", column) for column in (IMAGE, UNCERTAINTY, SCORE, TIME)] == ["b", "0.31", "0.90", "1 min"]
    assert [text(model, "a", column) for column in (UNCERTAINTY, SCORE, TIME)] == ["", "", ""]
    index = model.index(1, IMAGE)
    assert index.data(ITEM_ROLE).name == "b"
    assert index.data(Qt.ItemDataRole.AccessibleTextRole) == "b, predicted"
    assert "own score of its mask is 0.900" in index.data(Qt.ItemDataRole.ToolTipRole)
    assert model.data(QModelIndex()) is None


def test_every_column_says_what_it_is(model: WorklistModel) -> None:
    for column in range(model.columnCount()):
        assert model.headerData(column, Qt.Orientation.Horizontal)
        assert "Press" in model.headerData(column, Qt.Orientation.Horizontal, Qt.ItemDataRole.ToolTipRole)


def test_a_change_is_noted_and_repaints_its_row_alone(model: WorklistModel, qtbot: Any) -> None:
    with qtbot.waitSignals([model.dataChanged, model.counts_changed]) as signals:
        model.set_item(key(model, "c"), state="corrected")
    top, bottom, *_ = signals.all_signals_and_args[0].args
    assert (top.row(), bottom.row()) == (2, 2)
    assert model.counts["corrected"] == 1


def test_rows_keep_their_places_until_they_are_arranged(model: WorklistModel) -> None:
    model.set_items(
        {key(model, name): {"uncertainty": value} for name, value in zip("abcd", (1, 3, 2, 4), strict=True)}
    )
    assert shown(model) == "abcde"
    model.arrange()
    assert shown(model) == "dbcae"
    assert [model.row_of(each) for each in model.keys] == list(range(5))


def test_arranging_what_stands_in_order_moves_nothing(model: WorklistModel, qtbot: Any) -> None:
    with qtbot.assertNotEmitted(model.arranged), qtbot.assertNotEmitted(model.modelReset):
        model.arrange()


def test_filter_search_and_sort(model: WorklistModel) -> None:
    model.set_item(key(model, "b"), state="approved")
    model.arrange(show="all", text="B")
    assert shown(model) == "b"
    model.arrange(text="")
    assert shown(model) == "acdeb"
    model.arrange(how="folder order")
    assert shown(model) == "abcde"
    model.arrange(show="unfinished")
    assert shown(model) == "acde"


def test_an_approved_image_stays_until_one_goes_on(model: WorklistModel) -> None:
    first, second = key(model, "a"), key(model, "b")
    model.go_to(first)
    model.set_item(first, state="approved")
    model.arrange()
    assert shown(model) == "abcde"
    assert model.next_key() == second
    model.go_to(second)
    assert shown(model) == "bcde"


def test_an_image_that_is_not_shown_is_shown_when_one_goes_to_it(model: WorklistModel) -> None:
    model.set_item(key(model, "e"), state="skipped")
    model.arrange()
    assert shown(model) == "abcd"
    model.go_to(key(model, "e"))
    assert sorted(shown(model)) == list("abcde")


def test_next_takes_what_is_least_certain_by_now_and_previous_leads_back(model: WorklistModel) -> None:
    walked = []
    for name in ("c", "e", "a"):
        model.set_item(key(model, name), uncertainty=0.5)
        step = model.next_key()
        assert step is not None
        model.go_to(step)
        walked.append(text(model, name, IMAGE))
        assert step == key(model, name)
    for name in ("e", "c"):
        step = model.previous_key()
        assert step == key(model, name)
        model.go_to(step)
    assert shown(model)[:3] == "cea"
    assert model.upcoming(3) == [key(model, name) for name in "eab"]


def test_once_round_what_came_up_meanwhile_has_its_turn_first(model: WorklistModel, tmp_path: Path) -> None:
    for _ in NAMES:
        model.go_to(str(model.next_key()))
    Image.fromarray(np.zeros((6, 8), np.uint8)).save(tmp_path / "new.png")
    model.go_to(str(model.next_key()))  # the second time round
    assert model.refresh().new == ("new",)
    assert model.next_key() == key(model, "new")


def test_upcoming_says_what_next_will_give(model: WorklistModel) -> None:
    model.go_to(key(model, "b"))
    model.set_item(key(model, "e"), uncertainty=0.9)
    ahead = model.upcoming(2)
    assert shown(model) == "abcde"
    assert ahead == [key(model, "e"), key(model, "a")]
    assert model.next_key() == ahead[0]


def test_a_list_of_layers_has_no_next_when_there_is_one(thumbnails: Thumbnails) -> None:
    model = WorklistModel(thumbnails)
    model.set_worklist(Worklist.of_layers([OpenLayer("1", "polyp", "aa")]))
    model.go_to("1")
    assert model.next_key() is model.previous_key() is next_key([], "1") is None


def test_files_that_come_and_go_are_rows_that_come_and_go(model: WorklistModel, tmp_path: Path) -> None:
    (tmp_path / "c.png").unlink()
    assert model.refresh().gone == ("c",)
    assert shown(model) == "abde"


def test_an_image_that_is_identified_anew_is_to_do(model: WorklistModel) -> None:
    model.identify(key(model, "a"), "old")
    model.set_item(key(model, "a"), state="approved")
    assert model.identify(key(model, "a"), "new").state == "todo"
    assert model.counts["approved"] == 0


def test_a_picture_is_read_when_it_is_asked_for_and_kept(
    worklist: Worklist, thumbnails: Thumbnails, qtbot: Any
) -> None:
    model = WorklistModel(thumbnails)
    model.set_worklist(worklist)
    index = model.index(3, IMAGE)
    with qtbot.waitSignal(model.dataChanged) as painted:
        assert index.data(Qt.ItemDataRole.DecorationRole) is None
    assert painted.args[0].row() == 3
    assert len(thumbnails) == 1
    picture = index.data(Qt.ItemDataRole.DecorationRole)
    assert isinstance(picture, QPixmap)
    assert model.index(3, TIME).data(Qt.ItemDataRole.DecorationRole) is None
    middle = picture.toImage().pixelColor(picture.width() // 2, picture.height() // 2)
    assert middle.getRgb()[:3] == (120, 120, 120)


def test_a_file_that_cannot_be_read_says_so(tmp_path: Path, thumbnails: Thumbnails, qtbot: Any) -> None:
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\nnonsense")
    item = Item("k", "bad", tmp_path / "bad.png")
    with qtbot.waitSignal(thumbnails.arrived):
        thumbnails.picture(item)
    assert thumbnails.picture(item) is None
    assert "damaged" in thumbnails.problem("k")
    assert thumbnails.problem("other") == ""


def test_pixels_of_layers_come_from_whoever_has_them(qapp: Any, qtbot: Any) -> None:
    def read(item: Item) -> np.ndarray:
        if item.key == "odd":
            raise RuntimeError("a lazy array whose file is gone")
        return np.eye(5)

    thumbnails = Thumbnails(read)
    for one in ("odd", "even"):
        with qtbot.waitSignal(thumbnails.arrived):
            thumbnails.picture(Item(one, one))
    assert isinstance(thumbnails.picture(Item("even", "even")), QPixmap)
    assert thumbnails.problem("odd") == "odd cannot be shown (RuntimeError). Open the image to see more."


def test_what_was_asked_for_last_is_read_first_and_what_was_scrolled_past_never(qapp: Any, qtbot: Any) -> None:
    go, read_keys = threading.Event(), []

    def read(item: Item) -> np.ndarray:
        assert go.wait(20)
        read_keys.append(int(item.key))
        return np.zeros((2, 2))

    thumbnails = Thumbnails(read)
    for number in range(200):
        thumbnails.picture(Item(str(number), ""))
        qtbot.waitUntil(lambda: thumbnails._reader._reading is not None)
    go.set()
    qtbot.waitUntil(lambda: not thumbnails._reader.busy)
    assert read_keys == [0, *range(199, 135, -1)]


def test_pictures_are_let_go_after_a_few_hundred(qapp: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_wavegms.widgets.thumbnails._KEPT", 3)
    thumbnails = Thumbnails(lambda _item: np.zeros((2, 2)))
    for number in range(5):
        with qtbot.waitSignal(thumbnails.arrived):
            thumbnails.picture(Item(str(number), ""))
        thumbnails.picture(Item("0", ""))  # in sight all the time
    assert len(thumbnails) == 3
    assert thumbnails.picture(Item("0", "")) is not None


def test_a_list_that_is_dropped_gets_no_late_pictures(qapp: Any, qtbot: Any) -> None:
    began, go = threading.Event(), threading.Event()

    def read(_item: Item) -> np.ndarray:
        began.set()
        assert go.wait(20)
        return np.zeros((2, 2))

    thumbnails = Thumbnails(read)
    thumbnails.picture(Item("old", ""))
    assert began.wait(20)
    thumbnails.forget()
    go.set()
    with qtbot.waitSignal(thumbnails.arrived) as came:
        thumbnails.picture(Item("new", ""))
    assert came.args == [["new"]]
    qtbot.waitUntil(lambda: thumbnails._reader._thread is None)


@given(
    hnp.arrays(
        st.sampled_from([np.uint8, np.uint16, np.float32, np.bool_]), st.tuples(st.integers(1, 40), st.integers(1, 40))
    )
)
def test_any_plane_becomes_a_picture_of_its_proportions(plane: np.ndarray) -> None:
    picture = small_picture(plane)
    assert max(picture.width(), picture.height()) == SIDE
    rows, columns = plane.shape
    assert abs(picture.height() - max(1, SIDE * rows / max(rows, columns))) <= 1


def test_a_large_image_keeps_its_look() -> None:
    plane = np.zeros((2000, 3000, 4), np.uint8)
    plane[:1000, :, 0] = 200
    picture = small_picture(plane)
    assert (picture.width(), picture.height()) == (SIDE, 58)
    assert picture.pixelColor(44, 10).getRgb()[:3] == (200, 0, 0)
    assert picture.pixelColor(44, 50).getRgb()[:3] == (0, 0, 0)


def test_a_stack_is_stood_for_by_its_middle(tmp_path: Path) -> None:
    import tifffile

    stack = np.arange(5, dtype=np.uint8)[:, None, None] * np.ones((4, 6), np.uint8)
    tifffile.imwrite(tmp_path / "stack.tif", stack, photometric="minisblack")
    assert (plane_of_file(Item("k", "k", tmp_path / "stack.tif")) == np.full((4, 6), 2)).all()
    with pytest.raises(InputError, match="has no file"):
        plane_of_file(Item("k", "layer"))


def test_what_stands_out_is_marked_by_rank_and_never_among_a_few() -> None:
    few, many = [0.1] * 3 + [0.9], [0.01] * 90 + [0.02] * 10
    assert mark_of(0.9, few) == ""
    assert [mark_of(value, many) for value in (0.01, 0.02)] == ["", "!!"]


def test_words() -> None:
    counts: Any = {"todo": 270, "predicted": 4, "corrected": 3, "approved": 41, "skipped": 0}
    plain = counts_line(counts)
    assert [word for word in ("318", "41", "3&nbsp;corrected", "274", "skipped") if word in plain] == [
        "318",
        "41",
        "3&nbsp;corrected",
        "274",
    ]
    done: Any = {"todo": 0, "predicted": 0, "corrected": 3, "approved": 41, "skipped": 2}
    assert nothing_shown(done, "todo", "") == (
        "Nothing is left to do. 3 corrected and 2 skipped still wait for Approve: show those."
    )
    assert nothing_shown({**done, "corrected": 0, "skipped": 0}, "todo", "") == "All is approved."
    assert "holds “zebra”" in nothing_shown(done, "all", "zebra")
    assert gone_sentence(()) == ""
    assert gone_sentence(("a", "b")).startswith("2 images that you worked on are no longer in the folder: a, b.")
    assert "unlike those" in details(Item("k", "k", light="red"), [])


def test_a_view_that_closes_leaves_no_thread(qtbot: Any, thumbnails: Thumbnails, model: WorklistModel) -> None:
    for row in range(model.rowCount()):
        model.index(row, IMAGE).data(Qt.ItemDataRole.DecorationRole)
    thumbnails.deleteLater()

    def no_thread() -> bool:
        return all(thread.name != "wave_gms_thumbnails" for thread in threading.enumerate())

    qtbot.waitUntil(no_thread)


def test_a_mask_is_drawn_as_an_outline_of_the_same_place() -> None:
    image, mask = np.zeros((200, 400), np.uint8), np.zeros((200, 400), np.uint8)
    mask[50:150, 100:300] = 7
    picture = small_picture(Outlined(image, mask))

    def is_yellow(x: float, y: float) -> bool:  # in pixels of the image
        colour = picture.pixelColor(round(x * SIDE / 400), round(y * SIDE / 400))
        return bool(min(colour.red(), colour.green()) > 150 > 100 > colour.blue())

    assert all(is_yellow(x, y) for x, y in ((100, 100), (300, 100), (200, 50), (200, 150)))
    assert not any(is_yellow(x, y) for x, y in ((200, 100), (50, 100), (350, 100), (200, 20), (200, 180)))


def test_a_mask_that_does_not_fit_or_covers_nothing_leaves_the_image_as_it_is() -> None:
    image = np.arange(64, dtype=np.uint8).reshape(8, 8)
    for mask in (np.ones((4, 4), np.uint8), np.zeros((8, 8), np.uint8)):
        assert small_picture(Outlined(image, mask)) == small_picture(image)
