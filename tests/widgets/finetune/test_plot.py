"""The live plot and the lists, with no viewer in the room."""

from __future__ import annotations

from typing import Any

import pytest
from qtpy.QtWidgets import QCheckBox, QComboBox, QLabel, QPushButton

from napari_wavegms.finetune.preflight import Remedy
from napari_wavegms.widgets.finetune.lists import PairRow, PairsList, VersionRow, VersionsList
from napari_wavegms.widgets.finetune.plot import Curves, LearningPlot


def ink(plot: LearningPlot, colour: tuple[int, int, int]) -> list[tuple[int, int]]:
    """Pixels of about this colour, as (x, y)."""
    image = plot.grab().toImage()
    points = [(x, y) for x in range(image.width()) for y in range(image.height())]
    return [
        at
        for at in points
        if max(abs(a - b) for a, b in zip(image.pixelColor(*at).getRgb()[:3], colour, strict=True)) < 40
    ]


def test_a_falling_loss_falls_and_a_rising_score_rises(qtbot: Any) -> None:
    plot = LearningPlot()
    qtbot.addWidget(plot)
    plot.resize(280, 190)
    plot.set_curves(Curves(loss=((1, 2.0), (2, 1.0), (3, 0.5)), dsc=((1, 0.2), (3, 0.8)), before=0.5, images=3))
    for colour, half, sign in (((0xE6, 0x9F, 0), range(95), 1), ((0x56, 0xB4, 0xE9), range(95, 190), -1)):
        drawn = sorted((x, y) for x, y in ink(plot, colour) if x < 230)
        assert {y in half for _, y in drawn} == {True}
        assert sign * (drawn[-1][1] - drawn[0][1]) > 20
    assert plot.accessibleDescription() == "Loss 0.50 after 3 steps; DSC 0.80 on 3 test images."


@pytest.mark.parametrize("curves", [Curves(), Curves(loss=((0.5, 0.0),)), Curves(loss=((1, float("1e30")),))])
def test_odd_curves_are_drawn_too(qtbot: Any, curves: Curves) -> None:
    plot = LearningPlot()
    qtbot.addWidget(plot)
    plot.set_curves(curves)
    assert not plot.grab().isNull()


def test_a_pair_is_left_out_or_mended_with_one_click(qtbot: Any) -> None:
    pairs, heard = PairsList(), []
    qtbot.addWidget(pairs)
    pairs.included.connect(lambda *what: heard.append(what))
    pairs.remedy_chosen.connect(lambda *what: heard.append(what))
    pairs.set_rows(
        [PairRow("k", "polyp_03", "mask is empty", ready=False, problem="Empty.", remedies=(Remedy.LEAVE_OUT,))]
    )
    pairs.findChild(QCheckBox).click()
    pairs.findChild(QPushButton).click()
    assert heard == [("k", False), ("k", Remedy.LEAVE_OUT)]
    pairs.show()
    assert pairs.height() > 40


def test_a_mask_s_name_is_not_cut_off_in_a_narrow_panel(qtbot: Any) -> None:
    pairs, name = PairsList(), "breast 0119 mask"
    qtbot.addWidget(pairs)
    ready = "12 % changed, ready"
    pairs.set_rows([PairRow("k", "breast 0119", ready, masks=(("no mask", None), (name, "m")), mask="m")])
    pairs.resize(260, 200)
    pairs.show()
    (masks,) = pairs.findChildren(QComboBox)
    assert masks.currentText() == name
    assert masks.width() > masks.fontMetrics().horizontalAdvance(name) + 24  # its arrow


def test_what_is_stored_fits_into_a_narrow_panel(qtbot: Any) -> None:
    pairs = PairsList()
    qtbot.addWidget(pairs)
    pairs.set_rows([PairRow("k", "breast_0119_benign_left", "under 1 % changed, stored", stored=("a",))])
    assert pairs.minimumSizeHint().width() <= 240  # of 260, the margins off


def test_a_version_in_use_has_no_button(qtbot: Any) -> None:
    versions, heard = VersionsList(), []
    qtbot.addWidget(versions)
    versions.use_requested.connect(heard.append)
    versions.set_rows([VersionRow(3, "v3  0.74", "in use"), VersionRow(2, "v2  0.61", action="Use")])
    assert "in use" in [label.text() for label in versions.findChildren(QLabel)]
    [button] = versions.findChildren(QPushButton)
    button.click()
    assert heard == [2]
