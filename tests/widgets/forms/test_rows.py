"""The rows of a panel: setters show, and only a person's acts are told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qtpy.QtGui import QAction
from qtpy.QtWidgets import QDoubleSpinBox, QMessageBox, QPushButton, QSlider, QSpinBox

from napari_wavegms.widgets.forms.clean_up import CleanUp, CleanUpRow
from napari_wavegms.widgets.forms.model_row import ModelChoice, ModelRow, card_html, known_models
from napari_wavegms.widgets.forms.threshold_row import ThresholdRow


def test_the_threshold_s_slider_and_number_move_together(qtbot: Any) -> None:
    row = ThresholdRow()
    qtbot.addWidget(row)
    moved: list[float] = []
    row.moved.connect(moved.append)
    slider, number = row.findChild(QSlider), row.findChild(QDoubleSpinBox)
    number.setValue(0.42)
    assert slider.value() == 42
    slider.setValue(77)
    assert number.value() == 0.77
    assert moved == [0.42, 0.77]
    with qtbot.waitSignal(row.settled) as settled:
        row.settle()
    assert settled.args == [0.77]
    with qtbot.assertNotEmitted(row.settled):
        row.settle()


def test_beside_another_threshold_stands_the_model_s_own(qtbot: Any) -> None:
    row = ThresholdRow()
    qtbot.addWidget(row)
    row.set_default(0.35)
    back = row.findChild(QPushButton)
    assert (row.value, back.isHidden()) == (0.35, True)
    row.set_value(0.5)
    assert (back.text(), back.isHidden()) == ("↺ 0.35", False)
    with qtbot.waitSignals([row.moved, row.settled]):
        back.click()
    assert (row.value, back.isHidden()) == (0.35, True)


def test_clean_up_buttons_ask_for_their_step(qtbot: Any) -> None:
    row = CleanUpRow()
    qtbot.addWidget(row)
    asked: list[CleanUp] = []
    row.requested.connect(asked.append)
    row.findChild(QSpinBox).setValue(80)
    for button in row.findChildren(QPushButton):
        button.click()
    steps = {"fill_holes", "keep_largest", "smooth", "remove_islands", "split_objects"}
    assert {request.step for request in asked} == steps
    assert CleanUp("remove_islands", 80) in asked


def test_models_are_listed_by_name_and_files_are_added(
    qtbot: Any, model_file: Path, tmp_path: Path, make_model: Any
) -> None:
    row = ModelRow()
    qtbot.addWidget(row)
    row.set_models(known_models())
    assert "tiny" in [choice.name for choice in row.combo.values]
    with qtbot.waitSignal(row.chosen):
        row.open_file(make_model(tmp_path / "mine.safetensors", title="Mine", scores={"my data": {"dsc": 0.7512}}))
    assert row.choice.name == "mine.safetensors"
    assert "my data dsc 0.751" in row.combo.toolTip()
    row.set_models(known_models())
    assert row.choice.name == "mine.safetensors"
    with qtbot.waitSignal(row.failed):
        row.open_file(tmp_path / "missing.safetensors")
    assert row.choice.name == "mine.safetensors"


def test_whoever_has_the_best_so_far_has_the_best_again(qtbot: Any, tmp_path: Path, make_model: Any) -> None:
    first, v1, v2 = (ModelChoice.from_file(make_model(tmp_path / f"{name}.safetensors")) for name in ("a", "v1", "v2"))
    row = ModelRow()
    qtbot.addWidget(row)
    row.set_models([first])
    with qtbot.waitSignal(row.chosen):
        row.set_models([v1, first])
    assert row.choice == v1
    row.combo.setCurrentIndex(1)  # chosen by hand
    row.set_models([v2, v1, first])
    assert row.choice == first


def test_a_card_is_shown_as_text_and_never_as_markup(tmp_path: Path, make_model: Any) -> None:
    card = card_html(
        ModelChoice.from_file(make_model(tmp_path / "x.safetensors", title="<b>5 < 6</b>", data="BUSI & co"))
    )
    assert "&lt;b&gt;5 &lt; 6&lt;/b&gt;" in card
    assert "BUSI &amp; co" in card
    assert "Not a medical device" in card


def test_the_card_opens_beside_the_living_window(qtbot: Any, model_file: Path) -> None:
    row = ModelRow()
    qtbot.addWidget(row)
    row.open_file(model_file)
    (about,) = (action for action in row.findChildren(QAction) if action.text().startswith("About"))
    about.trigger()
    (box,) = row.findChildren(QMessageBox)
    assert "A tiny model" in box.text()
    box.close()
