"""The question that follows a crash."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QPushButton

from napari_wavegms.journal.records import EditTarget, Unfinished
from napari_wavegms.widgets.recording.unfinished import RestoreQuestion, restore_sentence

PARIS = timezone(timedelta(hours=2))
LEFT = Unfinished(EditTarget("a" * 32, "benign_12", (8, 8)), 14, "2026-06-03T14:02:11+00:00", 14)


LABELS = {"restore": "Restore", "both": "Show both", "discard": "Discard"}


def button(question: RestoreQuestion, label: str) -> QPushButton:
    (button,) = (button for button in question.findChildren(QPushButton) if button.text() == label)
    return button


@pytest.fixture
def question(qtbot: Any) -> RestoreQuestion:
    question = RestoreQuestion()
    qtbot.addWidget(question)
    return question


@pytest.mark.parametrize(
    ("now", "moment"),
    [
        (datetime(2026, 6, 3, 18, 0, tzinfo=PARIS), "today 16:02"),
        (datetime(2026, 6, 4, 1, 0, tzinfo=PARIS), "yesterday 16:02"),
        (datetime(2026, 6, 9, 9, 0, tzinfo=PARIS), "2026-06-03 16:02"),
    ],
)
def test_the_sentence_says_how_many_on_what_and_from_when(now: datetime, moment: str) -> None:
    assert restore_sentence(LEFT, now) == f"Wave-GMS found 14 unsaved edits on benign_12 from {moment}."


def test_one_edit_is_one_and_a_time_that_cannot_be_read_is_told() -> None:
    one = Unfinished(LEFT.target, 1, "soon", 1)
    assert restore_sentence(one) == "Wave-GMS found 1 unsaved edit on benign_12 from an unknown time."


@pytest.mark.parametrize("answer", ["restore", "both", "discard"])
def test_each_button_answers_for_the_image_and_hides_the_question(
    question: RestoreQuestion, qtbot: Any, answer: str
) -> None:
    question.ask_about(LEFT)
    assert question.isVisible()
    with qtbot.waitSignal(question.answered) as signal:
        qtbot.mouseClick(button(question, LABELS[answer]), Qt.MouseButton.LeftButton)
    assert signal.args == [answer]
    assert question.asked == LEFT
    assert not question.isVisible()


def test_enter_restores(question: RestoreQuestion, qtbot: Any) -> None:
    question.ask_about(LEFT)
    question.activateWindow()
    with qtbot.waitSignal(question.answered) as signal:
        qtbot.keyClick(button(question, "Restore"), Qt.Key.Key_Return)
    assert signal.args == ["restore"]
    assert button(question, "Restore").isDefault()


def test_damage_is_told_beside_the_question(question: RestoreQuestion) -> None:
    question.ask_about(Unfinished(LEFT.target, 2, LEFT.time, 2, "Edit 1 of benign_12 was changed."))
    assert question.findChild(QLabel).text().endswith(". Edit 1 of benign_12 was changed.")


def test_a_question_that_is_taken_back_answers_nothing(question: RestoreQuestion, qtbot: Any) -> None:
    question.ask_about(LEFT)
    with qtbot.assertNotEmitted(question.answered):
        question.dismiss()
    assert not question.isVisible()
