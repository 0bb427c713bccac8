"""The worklist as a person uses it: keys, clicks, the search, and how far one is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QComboBox, QLabel, QLineEdit, QProgressBar, QVBoxLayout, QWidget

from napari_wavegms.widgets.worklist.model import SCORE, SIZE, TIME
from napari_wavegms.widgets.worklist.view import ROW_HEIGHT, WorklistView
from napari_wavegms.worklist.worklist import Worklist

PATIENCE = 30_000  # ms; a busy machine is no reason to fail


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "images"
    place.mkdir()
    for number in range(1, 41):
        (place / f"scan_{number}.png").write_bytes(b"")
    Image.fromarray(np.full((6, 8), 90, np.uint8)).save(place / "scan_1.png")
    return place


@pytest.fixture
def view(folder: Path, qtbot: Any, activate: Any) -> WorklistView:
    view = WorklistView()
    qtbot.addWidget(view)
    view.resize(360, 500)
    view.set_worklist(Worklist.of_folder(folder))
    activate(view)
    return view


def key(view: WorklistView, name: str) -> str:
    assert view.model.worklist is not None
    return next(item.key for item in view.model.items() if item.name == name)


def names(view: WorklistView) -> list[str]:
    assert view.model.worklist is not None
    return [item.name for each in view.model.keys if (item := view.model.item(each))]


def says(view: QWidget, words: str) -> bool:
    """Whether words are to be read."""
    return any(words in label.text() for label in view.findChildren(QLabel) if label.isVisibleTo(view))


def counts(view: WorklistView) -> QLabel:
    (label,) = (label for label in view.findChildren(QLabel) if "<a href" in label.text())
    return label


def combo(view: WorklistView, name: str) -> QComboBox:
    (combo,) = (combo for combo in view.findChildren(QComboBox) if combo.accessibleName() == name)
    return combo


def press(view: WorklistView, qtbot: Any, *keys: Qt.Key) -> None:
    for each in keys:
        qtbot.keyClick(QApplication.focusWidget() or view.table, each)


def test_a_click_asks_for_the_image_and_changes_nothing_yet(view: WorklistView, qtbot: Any) -> None:
    place = view.table.visualRect(view.model.index(2, 0)).center()
    with qtbot.waitSignal(view.item_chosen) as chosen:
        qtbot.mouseClick(view.table.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert chosen.args == [key(view, "scan_3")]
    assert view.model.current is None


def test_arrow_keys_open_where_they_rest_and_enter_opens_at_once(view: WorklistView, qtbot: Any) -> None:
    view.go_to(key(view, "scan_1"))
    opened: list[str] = []
    view.item_chosen.connect(opened.append)
    view.table.setFocus()
    press(view, qtbot, Qt.Key.Key_Down, Qt.Key.Key_Down, Qt.Key.Key_Down, Qt.Key.Key_Up)
    qtbot.waitUntil(lambda: opened == [key(view, "scan_3")])
    press(view, qtbot, Qt.Key.Key_Return)
    assert opened == [key(view, "scan_3")] * 2


def test_coming_back_to_the_image_in_sight_opens_nothing(view: WorklistView, qtbot: Any) -> None:
    view.go_to(key(view, "scan_1"))
    view.table.setFocus()
    with qtbot.assertNotEmitted(view.item_chosen, wait=400):
        press(view, qtbot, Qt.Key.Key_Down, Qt.Key.Key_Up)


def test_what_the_programme_does_is_no_choice_of_a_person(view: WorklistView, qtbot: Any) -> None:
    with qtbot.assertNotEmitted(view.item_chosen, wait=300):
        view.go_to(key(view, "scan_5"))
        view.choose(order="name", state_filter="all")
        view.model.note(key(view, "scan_5"), state="approved")
        view.go_to(str(view.model.next_key()))
        view.model.refresh()


def test_going_to_an_image_selects_its_row_and_brings_it_into_sight(view: WorklistView) -> None:
    view.choose(order="name")
    view.go_to(key(view, "scan_30"))
    assert view.table.key == view.model.current == key(view, "scan_30")
    assert view.table.place_of(view.model.current) is not None


def test_letters_typed_in_the_table_search(view: WorklistView, qtbot: Any) -> None:
    view.table.setFocus()
    for letter in "n_12":
        qtbot.keyClicks(QApplication.focusWidget() or view.table, letter)
    assert names(view) == ["scan_12"]
    with qtbot.waitSignal(view.item_chosen) as chosen:
        press(view, qtbot, Qt.Key.Key_Return)
    assert chosen.args == [key(view, "scan_12")]
    press(view, qtbot, Qt.Key.Key_Escape)
    assert len(names(view)) == 40
    press(view, qtbot, Qt.Key.Key_Down)
    assert view.table.hasFocus()


def test_shortcuts_and_the_space_bar_stay_napari_s(view: WorklistView, qtbot: Any) -> None:
    view.table.setFocus()
    qtbot.keyClick(view.table, Qt.Key.Key_A, Qt.KeyboardModifier.AltModifier)
    qtbot.keyClick(view.table, Qt.Key.Key_Space)
    assert len(names(view)) == 40
    assert view.table.hasFocus()


def test_a_search_without_an_answer_says_so(view: WorklistView, qtbot: Any) -> None:
    search = view.findChild(QLineEdit)
    qtbot.keyClicks(search, "zebra")
    assert says(view, "zebra")
    with qtbot.assertNotEmitted(view.item_chosen):
        press(view, qtbot, Qt.Key.Key_Return)
    search.clear()
    assert not says(view, "zebra")


def test_a_press_on_a_count_shows_those_images(view: WorklistView) -> None:
    view.model.note(key(view, "scan_7"), state="corrected")
    counts(view).linkActivated.emit("corrected")
    assert names(view) == ["scan_7"]
    assert (view.model.state_filter, combo(view, "Show").currentText()) == ("corrected", "corrected")


def test_a_press_on_a_title_sorts_and_a_second_one_goes_back_to_the_folder(view: WorklistView) -> None:
    view.model.note(key(view, "scan_9"), score=0.1)
    view.model.note(key(view, "scan_8"), score=0.2)
    header = view.table.horizontalHeader()
    header.sectionClicked.emit(SCORE)
    assert names(view)[:3] == ["scan_9", "scan_8", "scan_1"]
    assert combo(view, "Order").currentText() == "lowest score first"
    header.sectionClicked.emit(SCORE)
    assert names(view)[:3] == ["scan_1", "scan_2", "scan_3"]


def test_counts_and_bar_follow(view: WorklistView) -> None:
    for number in range(1, 11):
        view.model.note(key(view, f"scan_{number}"), state="approved")
    assert says(view, "10&nbsp;approved")
    assert says(view, "30&nbsp;to&nbsp;do")
    bar = view.findChild(QProgressBar)
    assert (bar.value(), bar.maximum()) == (10, 40)


def test_columns_come_with_their_first_value(view: WorklistView) -> None:
    assert view.table.isColumnHidden(SCORE)
    assert view.table.isColumnHidden(TIME)
    view.model.note(key(view, "scan_1"), score=0.0)
    view.model.note(key(view, "scan_1"), seconds=3)
    assert view.table.isColumnHidden(SIZE)
    view.model.note(key(view, "scan_1"), size=0.5, unit="mm²")
    assert not view.table.isColumnHidden(SIZE)
    assert not view.table.isColumnHidden(SCORE)
    assert not view.table.isColumnHidden(TIME)


def test_new_scores_are_put_in_order_when_they_have_settled(view: WorklistView, qtbot: Any) -> None:
    view.findChild(QLineEdit).setFocus()  # a person whose hand is elsewhere
    with qtbot.waitSignal(view.order_changed):
        view.model.note(key(view, "scan_33"), uncertainty=0.9)
    assert names(view)[0] == "scan_33"


def test_no_row_moves_under_the_keys(view: WorklistView, qtbot: Any) -> None:
    view.table.setFocus()
    with qtbot.assertNotEmitted(view.order_changed, wait=1700):
        view.model.note(key(view, "scan_33"), uncertainty=0.9)
    with qtbot.waitSignal(view.order_changed):
        view.findChild(QLineEdit).setFocus()


def test_the_image_in_sight_keeps_its_height_when_rows_are_put_in_order(view: WorklistView) -> None:
    view.choose(order="name")
    view.go_to(key(view, "scan_20"))
    bar = view.table.verticalScrollBar()
    bar.setValue(17 * ROW_HEIGHT)
    assert view.table.place_of(view.model.current) == 2 * ROW_HEIGHT
    view.model.note(key(view, "scan_2"), state="approved")
    view.choose(order="name")
    assert view.model.row_of(view.model.current) == 18
    assert view.table.place_of(view.model.current) == 2 * ROW_HEIGHT


def test_a_list_is_taken_up_where_it_was_left(view: WorklistView, folder: Path, qtbot: Any) -> None:
    view.go_to(key(view, "scan_25"))
    again = WorklistView()
    qtbot.addWidget(again)
    again.set_worklist(Worklist.of_folder(folder))
    assert again.model.current == key(view, "scan_25")
    again.go_to(str(again.model.current))
    assert again.table.currentIndex().row() == 0
    assert again.model.upcoming(2) == [key(view, "scan_1"), key(view, "scan_2")]


def test_missing_files_are_told(view: WorklistView, folder: Path) -> None:
    view.model.note(key(view, "scan_4"), state="approved")
    (folder / "scan_4.png").unlink()
    view.model.refresh()
    assert says(view, "1 image you worked on is no longer in the folder: scan_4.")


def test_no_list_says_what_to_do(view: WorklistView) -> None:
    view.set_worklist(None)
    assert says(view, "Open a folder of images to begin.")
    assert view.model.next_key() is None


def test_only_pictures_in_sight_are_read(view: WorklistView, qtbot: Any) -> None:
    first, last = view.model.item(key(view, "scan_1")), view.model.item(key(view, "scan_40"))
    qtbot.waitUntil(lambda: view.model.thumbnails.picture(first) is not None)
    in_sight = view.table.viewport().height() // ROW_HEIGHT + 2
    with qtbot.waitSignal(view.model.thumbnails.arrived):
        view.model.thumbnails.picture(last)
    assert len(view.model.thumbnails) <= in_sight + 1 < 40


def test_it_is_readable_in_a_narrow_dock_of_both_themes(
    folder: Path, qtbot: Any, make_napari_viewer: Callable[..., Any]
) -> None:
    viewer = make_napari_viewer()
    host, view = QWidget(), WorklistView()
    QVBoxLayout(host).addWidget(view, 1)
    viewer.window.add_dock_widget(host, name="worklist")
    view.set_worklist(Worklist.of_folder(folder))
    assert view.minimumSizeHint().width() <= 380
    for theme in ("light", "dark"):
        viewer.theme = theme
        ink = view.palette().windowText().color().name()
        assert says(view, f"color:{ink}")


def test_what_is_chosen_can_be_read_in_a_narrow_dock(view: WorklistView, qtbot: Any) -> None:
    view.resize(244, 500)  # of 260, the margins off
    for list_of in view.findChildren(QComboBox):
        words, arrow = list_of.currentText(), 24
        assert list_of.width() >= list_of.fontMetrics().horizontalAdvance(words) + arrow, words


def test_two_thousand_rows_are_scrolled_to_the_end_while_few_pictures_are_kept(tmp_path: Path, qtbot: Any) -> None:
    many = tmp_path / "many"
    many.mkdir()
    for number in range(2_000):
        (many / f"scan_{number}.png").touch()
    view = WorklistView()
    qtbot.addWidget(view)
    view.set_worklist(Worklist.of_folder(many))
    with qtbot.waitExposed(view):
        view.show()
    bar = view.table.verticalScrollBar()
    for step in range(50):
        bar.setValue(bar.maximum() * step // 49)
        QApplication.processEvents()
    assert view.table.rowAt(view.table.viewport().height() - 2) == 1_999
    last = view.model.item(view.model.keys[-1])
    qtbot.waitUntil(lambda: bool(view.model.thumbnails.problem(last.key)), timeout=PATIENCE)  # an empty file
    assert 0 < len(view.model.thumbnails) <= 400
