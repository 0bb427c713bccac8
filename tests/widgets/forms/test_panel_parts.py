"""The panel's parts, with no viewer in the room: setters show, and only a person's acts are told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from qtpy.QtWidgets import QPushButton

from napari_wavegms.widgets.forms.clean_up import CleanUp, CleanUpRow
from napari_wavegms.widgets.forms.model_row import ModelChoice, ModelRow, card_html, known_models
from napari_wavegms.widgets.forms.threshold_row import ThresholdRow
from napari_wavegms.widgets.layers.image_info import FieldProblem, SegmentOptions
from napari_wavegms.widgets.qt.combo_box import ChoiceList
from napari_wavegms.widgets.qt.run_button import RunRow
from napari_wavegms.widgets.segment.edits_question import EditsQuestion
from napari_wavegms.widgets.segment.panel import SegmentPanel


@pytest.fixture
def panel(qtbot: Any) -> SegmentPanel:
    panel = SegmentPanel("Alt+G")
    qtbot.addWidget(panel)
    return panel


def test_setters_never_answer(panel: SegmentPanel, qtbot: Any) -> None:
    with qtbot.assertNotEmitted(panel.wishes_changed), qtbot.assertNotEmitted(panel.probability_toggled):
        panel.set_images([("a", 1), ("b", 2)], 2)
        panel.set_channels([("no channels", None)], None)
        panel.set_stack(True, "Segments 3 frames of 8 x 9")
        panel.set_probability(True)
        panel.threshold_row.set_value(0.3)
        panel.set_complaints([FieldProblem("image", "It is too small.")])
    assert panel.wishes == SegmentOptions(image=2)


def test_what_a_person_chooses_is_told(panel: SegmentPanel, qtbot: Any) -> None:
    panel.set_images([("a", 1), ("b", 2)], 1)
    with qtbot.waitSignal(panel.wishes_changed):
        panel.device_row.choose("cpu")
    with qtbot.waitSignal(panel.probability_toggled) as toggled:
        panel._probability.value = True
    assert toggled.args == [True]
    assert panel.wishes.device == "cpu"


def test_every_complaint_marks_its_field_and_the_first_is_said(panel: SegmentPanel) -> None:
    panel.set_complaints([FieldProblem("model", "No model."), FieldProblem("device", "No such device.")])
    assert panel.model_row.combo.toolTip() == "No model."
    assert panel.device_row.devices.toolTip() == "No such device."
    assert not panel.run_row.is_enabled
    assert panel.run_row._words.text() == "⚠ No model."
    panel.set_complaints([])
    assert panel.model_row.combo.styleSheet() == ""
    assert panel.run_row.is_enabled


def test_a_long_name_does_not_widen_the_panel(panel: SegmentPanel) -> None:
    before = panel.minimumSizeHint().width()
    assert before <= 300
    name = "a_very_long_layer_name_" * 20
    panel.set_images([(name, 1)], 1)
    panel.set_status(f"3.4 % of {name} labelled.")
    assert panel.minimumSizeHint().width() == before
    assert panel.status == f"3.4 % of {name} labelled."


def test_the_run_row_starts_cancels_and_says_so(qtbot: Any) -> None:
    row = RunRow("Segment", "Find the lesion.", "Cancel", "Stop.", "Alt+G")
    qtbot.addWidget(row)
    assert row._button.text().split() == ["Segment", "Alt+G"]
    with qtbot.waitSignal(row.start_requested):
        row._button.click()
    row.set_busy("Loading…")
    with qtbot.waitSignal(row.cancel_requested), qtbot.assertNotEmitted(row.start_requested):
        row._button.click()
    row.set_progress(3, 12, "3 of 12 done, about 9 s left")
    assert (row._bar.value(), row._bar.maximum()) == (3, 12)
    row.set_stopping("Cancelling…")
    assert not row._button.isEnabled()
    row.set_why_not("No image.")
    row.set_idle()
    assert row._button.toolTip() == "No image."


def test_the_threshold_s_slider_and_number_move_together(qtbot: Any) -> None:
    row = ThresholdRow()
    qtbot.addWidget(row)
    moved: list[float] = []
    row.moved.connect(moved.append)
    row._number.setValue(0.42)
    assert row._slider.value() == 42
    row._slider.setValue(77)
    assert row._number.value() == 0.77
    assert moved == [0.42, 0.77]
    with qtbot.waitSignal(row.settled) as settled:
        row.settle()
    assert settled.args == [0.77]
    with qtbot.assertNotEmitted(row.settled):
        row.settle()


def test_a_choice_list_keeps_its_choice_while_entries_come_and_go(qtbot: Any) -> None:
    choices = ChoiceList("nothing")
    qtbot.addWidget(choices)
    assert choices.value is None
    choices.set_choices([("a", 1), ("b", 2)], 2)
    choices.set_choices([("c", 3), ("b", 2), ("a", 1)], choices.value)
    assert choices.currentText() == "b"
    choices.set_choices([("c", 3)], choices.value)
    assert choices.value == 3
    choices.set_choices([], None)
    assert choices.value is None


def test_clean_up_buttons_ask_for_their_step(qtbot: Any) -> None:
    row = CleanUpRow()
    qtbot.addWidget(row)
    asked: list[CleanUp] = []
    row.requested.connect(asked.append)
    row._smallest.setValue(80)
    for button in row.findChildren(QPushButton):
        button.click()
    assert {request.step for request in asked} == {"fill_holes", "keep_largest", "smooth", "remove_islands"}
    assert CleanUp("remove_islands", 80) in asked
    row.set_why_not("There is no mask yet.")
    assert not any(button.isEnabled() for button in row.findChildren(QPushButton))


@pytest.mark.parametrize(("text", "keep"), [("Keep my edits", True), ("Replace", False)])
def test_the_question_is_answered_once_and_goes(qtbot: Any, text: str, keep: bool) -> None:
    question = EditsQuestion()
    qtbot.addWidget(question)
    question.ask("You edited 3 pixels.")
    (button,) = (button for button in question.findChildren(QPushButton) if button.text() == text)
    with qtbot.waitSignal(question.answered) as answered:
        button.click()
    assert answered.args == [keep]
    assert question.isHidden()


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


def test_a_card_is_shown_as_text_and_never_as_markup(tmp_path: Path, make_model: Any) -> None:
    card = card_html(
        ModelChoice.from_file(make_model(tmp_path / "x.safetensors", title="<b>5 < 6</b>", data="BUSI & co"))
    )
    assert "&lt;b&gt;5 &lt; 6&lt;/b&gt;" in card
    assert "BUSI &amp; co" in card
    assert "Not a medical device" in card


def test_the_card_opens_beside_the_living_window(qtbot: Any, model_file: Path) -> None:
    from qtpy.QtWidgets import QMessageBox

    row = ModelRow()
    qtbot.addWidget(row)
    row.open_file(model_file)
    row._about_action.trigger()
    (box,) = row.findChildren(QMessageBox)
    assert "A tiny model" in box.text()
    box.close()
