"""The panel, with no viewer in the room: setters show, and only a person's acts are told."""

from __future__ import annotations

from typing import Any

import pytest
from qtpy.QtWidgets import QCheckBox, QLabel, QPushButton

from napari_wavegms.widgets.segment.panel import SegmentPanel
from napari_wavegms.widgets.segment.request import Problem, SegmentOptions, SegmentRequest


@pytest.fixture
def panel(qtbot: Any) -> SegmentPanel:
    panel = SegmentPanel()
    qtbot.addWidget(panel)
    return panel


def choose_device(panel: SegmentPanel, name: str) -> None:
    devices = panel.device_row.devices
    devices.setCurrentText(name)
    devices.activated.emit(devices.currentIndex())


def test_setters_never_answer(panel: SegmentPanel, qtbot: Any) -> None:
    with qtbot.assertNotEmitted(panel.options_changed), qtbot.assertNotEmitted(panel.pressed):
        panel.set_images([("a", 1), ("b", 2)], 2)
        problem = Problem("image", "It is too small.")
        panel.set_request(SegmentRequest(SegmentOptions(), (problem,), channels=(("no channels", None),)))
        panel.set_probability(True)
        panel.threshold_row.set_value(0.3)
    assert panel.options == SegmentOptions(image=2)


def test_what_a_person_chooses_is_told(panel: SegmentPanel, qtbot: Any) -> None:
    panel.set_images([("a", 1), ("b", 2)], 1)
    with qtbot.waitSignal(panel.options_changed):
        choose_device(panel, "cpu")
    with qtbot.waitSignal(panel.pressed) as pressed:
        next(box for box in panel.findChildren(QCheckBox) if box.text() == "Probability layer").click()
    assert pressed.args == ["probability"]
    assert panel.wants_probability
    assert (panel.options.device, panel.options.detail) == ("cpu", "whole")
    with qtbot.waitSignal(panel.options_changed):
        next(box for box in panel.findChildren(QCheckBox) if box.text() == "Native detail").click()
    assert panel.options.detail == "native"


def test_every_problem_marks_its_field_and_the_first_is_said(panel: SegmentPanel) -> None:
    problems = (Problem("model", "No model."), Problem("device", "No such device."))
    panel.set_request(SegmentRequest(SegmentOptions(), problems))
    assert panel.model_row.combo.toolTip() == "No model."
    assert panel.device_row.devices.toolTip() == "No such device."
    assert not panel.run_row.is_enabled
    assert "⚠ No model." in [label.text() for label in panel.run_row.findChildren(QLabel)]
    panel.set_request(SegmentRequest(SegmentOptions(), ()))
    assert panel.model_row.combo.styleSheet() == ""
    assert panel.run_row.is_enabled


def test_what_needs_a_mask_is_off_with_the_reason_without_one(panel: SegmentPanel) -> None:
    names = ("Fill holes", "Keep largest", "Smooth", "Remove islands", "Save mask")
    buttons = [button for button in panel.findChildren(QPushButton) if button.text().startswith(names)]
    assert len(buttons) == len(names)
    panel.set_why_no_mask("There is no mask yet.")
    assert {(button.isEnabled(), button.toolTip()) for button in buttons} == {(False, "There is no mask yet.")}
    panel.set_why_no_mask("")
    assert all(button.isEnabled() and button.toolTip() for button in buttons)


def test_a_long_name_does_not_widen_the_panel(panel: SegmentPanel) -> None:
    before = panel.minimumSizeHint().width()
    assert before <= 300
    name = "a_very_long_layer_name_" * 20
    panel.set_images([(name, 1)], 1)
    panel.say(f"3.4 % of {name} labelled.")
    assert panel.minimumSizeHint().width() == before
    assert panel.status == f"3.4 % of {name} labelled."
