"""The small parts of a panel."""

from __future__ import annotations

from typing import Any

from qtpy.QtWidgets import QProgressBar, QPushButton

from napari_wavegms.widgets.qt.controls import ChoiceList, RunRow


def test_the_run_row_starts_cancels_and_says_so(qtbot: Any) -> None:
    row = RunRow("Segment", "Find the lesion.", "Cancel", "Stop.")
    row.set_key("Alt+G")
    qtbot.addWidget(row)
    button, bar = row.findChild(QPushButton), row.findChild(QProgressBar)
    assert button.text().split() == ["Segment", "Alt+G"]
    with qtbot.waitSignal(row.start_requested):
        button.click()
    row.set_busy("Loading…")
    with qtbot.waitSignal(row.cancel_requested), qtbot.assertNotEmitted(row.start_requested):
        button.click()
    row.set_progress(3, 12, "3 of 12 done, about 9 s left")
    assert (bar.value(), bar.maximum()) == (3, 12)
    row.set_stopping("Cancelling…")
    assert not button.isEnabled()
    row.set_why_not("No image.")
    row.set_idle()
    assert button.toolTip() == "No image."


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
