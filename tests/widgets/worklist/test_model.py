"""The rows of a worklist, and the small pictures that are read while they are in sight."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from qtpy.QtCore import QModelIndex, Qt
from qtpy.QtGui import QPixmap
from qtpy.QtTest import QAbstractItemModelTester

from napari_wavegms.widgets.thumbnails import Thumbnails
from napari_wavegms.widgets.worklist.labels import counts_line, details, gone_sentence, mark_of, nothing_shown
from napari_wavegms.widgets.worklist.model import IMAGE, ITEM_ROLE, SCORE, SIZE, TIME, UNCERTAINTY, WorklistModel
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
    assert (model.rowCount(), model.columnCount(), model.current, model.next_key()) == (0, 5, None, None)
    assert sum(model.counts.values()) == 0


def test_a_row_tells_what_is_known(model: WorklistModel) -> None:
    assert shown(model) == "abcde"
    model.note(key(model, "b"), state="predicted", uncertainty=0.314, score=0.9, seconds=75)
    model.note(key(model, "b"), size=17249.3, unit="mm³")
    assert text(model, "b", SIZE) == "17,249 mm³"
    assert [text(model, "b", column) for column in (IMAGE, UNCERTAINTY, SCORE, TIME)] == ["b", "0.31", "0.90", "1 min"]
    assert [text(model, "a", column) for column in (UNCERTAINTY, SCORE, TIME)] == ["", "", ""]
    index = model.index(1, IMAGE)
    assert index.data(ITEM_ROLE).name == "b"
    assert index.data(Qt.ItemDataRole.AccessibleTextRole) == "b, predicted"
    assert "own score for its mask is 0.900" in index.data(Qt.ItemDataRole.ToolTipRole)
    assert model.data(QModelIndex()) is None


def test_every_column_says_what_it_is(model: WorklistModel) -> None:
    for column in range(model.columnCount()):
        assert model.headerData(column, Qt.Orientation.Horizontal)
        assert "Click" in model.headerData(column, Qt.Orientation.Horizontal, Qt.ItemDataRole.ToolTipRole)


def test_a_change_is_noted_and_repaints_its_row_alone(model: WorklistModel, qtbot: Any) -> None:
    with qtbot.waitSignals([model.dataChanged, model.changed]) as signals:
        model.note(key(model, "c"), state="corrected")
    top, bottom, *_ = signals.all_signals_and_args[0].args
    assert (top.row(), bottom.row()) == (2, 2)
    assert model.counts["corrected"] == 1


def test_rows_keep_their_places_until_they_are_arranged(model: WorklistModel) -> None:
    for name, value in zip("abcd", (1, 3, 2, 4), strict=True):
        model.note(key(model, name), uncertainty=value)
    assert shown(model) == "abcde"
    model.arrange()
    assert shown(model) == "dbcae"
    assert [model.row_of(each) for each in model.keys] == list(range(5))


def test_arranging_what_stands_in_order_moves_nothing(model: WorklistModel, qtbot: Any) -> None:
    with qtbot.assertNotEmitted(model.arranged), qtbot.assertNotEmitted(model.modelReset):
        model.arrange()


def test_filter_search_and_sort(model: WorklistModel) -> None:
    model.note(key(model, "b"), state="approved")
    model.arrange(state_filter="all", text="B")
    assert shown(model) == "b"
    model.arrange(text="")
    assert shown(model) == "acdeb"
    model.arrange(order="folder order")
    assert shown(model) == "abcde"
    model.arrange(state_filter="unfinished")
    assert shown(model) == "acde"


def test_an_approved_image_stays_until_one_goes_on(model: WorklistModel) -> None:
    first, second = key(model, "a"), key(model, "b")
    model.go_to(first)
    model.note(first, state="approved")
    model.arrange()
    assert shown(model) == "abcde"
    assert model.next_key() == second
    model.go_to(second)
    assert shown(model) == "bcde"


def test_an_image_that_is_not_shown_is_shown_when_one_goes_to_it(model: WorklistModel) -> None:
    model.note(key(model, "e"), state="skipped")
    model.arrange()
    assert shown(model) == "abcd"
    model.go_to(key(model, "e"))
    assert sorted(shown(model)) == list("abcde")


def test_next_takes_what_is_least_certain_by_now_and_previous_leads_back(model: WorklistModel) -> None:
    walked = []
    for name in ("c", "e", "a"):
        model.note(key(model, name), uncertainty=0.5)
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
    model.note(key(model, "e"), uncertainty=0.9)
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
    model.note(key(model, "a"), state="approved")
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
        "Nothing left to do, but 3 corrected and 2 skipped images are not approved yet. Choose them under Show."
    )
    assert nothing_shown({**done, "corrected": 0, "skipped": 0}, "todo", "") == "All images are approved."
    assert "1 corrected image is not approved" in nothing_shown({**done, "corrected": 1, "skipped": 0}, "todo", "")
    assert "contains “zebra”" in nothing_shown(done, "all", "zebra")
    assert gone_sentence(()) == ""
    assert gone_sentence(("a", "b")).startswith("2 images you worked on are no longer in the folder: a, b.")
    assert "very different from the training images" in details(Item("k", "k", light="red"), [])
