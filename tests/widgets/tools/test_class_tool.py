"""The classes beside the brush: choosing one, and adding one that the model does not know."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from napari.components import ViewerModel
from napari.layers import Labels
from qtpy.QtCore import QObject, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QLineEdit, QPushButton

from napari_wavegms.finetune.versions import ModelVersions
from napari_wavegms.model.card import ModelCard, read_card
from napari_wavegms.model.checkpoint import load_checkpoint, save_checkpoint
from napari_wavegms.model.network import WaveGMS
from napari_wavegms.widgets.forms.class_row import ClassRow
from napari_wavegms.widgets.layers.classes import name_labels, named_labels
from napari_wavegms.widgets.layers.mask_history import MaskMemory
from napari_wavegms.widgets.layers.mask_layers import new_mask
from napari_wavegms.widgets.layers.placement import Placement
from napari_wavegms.widgets.tools.class_tool import ClassTool

PATIENCE = 30_000  # ms


@dataclass
class Bench:
    viewer: Any
    row: ClassRow
    tool: ClassTool
    said: list[tuple[str, str]]
    qtbot: Any

    def mask(self, model: str) -> Labels:
        image = self.viewer.add_image(np.zeros((20, 20)), name="scan")
        layer = new_mask(
            np.zeros((20, 20), np.uint8), "scan mask", Placement.of(image), MaskMemory(image.unique_id, model)
        )
        self.viewer.add_layer(layer)
        self.tool.set_mask(layer)
        return layer

    @property
    def shown(self) -> list[str]:
        return [self.row.classes.itemText(row) for row in range(self.row.classes.count())]

    def add(self, name: str) -> None:
        """Press Add class…, type a name and Enter."""
        button, field = self.row.findChild(QPushButton), self.row.findChild(QLineEdit)
        button.click()
        QTest.keyClicks(field, name)
        QTest.keyClick(field, Qt.Key.Key_Return)


@pytest.fixture
def bench(qtbot: Any) -> Iterator[Bench]:
    row, parent, viewer = ClassRow(), QObject(), ViewerModel()
    qtbot.addWidget(row)
    tool, said = ClassTool(viewer, row, parent), []
    tool.said.connect(lambda *words: said.append(words))
    yield Bench(viewer, row, tool, said, qtbot)
    tool.close()


def save(home: Path, name: str, classes: int = 1, **card: Any) -> None:
    torch.manual_seed(0)
    (home / "models").mkdir(exist_ok=True)
    rules = {"size": 16, "aspect": "squash", "percentiles": [0.1, 99.9]}
    about = ModelCard(name, preprocessing=rules, **card)
    save_checkpoint(home / "models" / f"{name}.safetensors", WaveGMS(classes=classes), about)


def test_the_classes_of_the_model_are_offered_with_their_names_and_colours(bench: Bench, tmp_data_home: Path) -> None:
    names = ("background", "disc", "cup")
    save(tmp_data_home, "eye", 2, class_names=names, class_colors=("#ff0000", "#0000ff"))
    mask = bench.mask("eye")
    assert bench.shown == ["1  disc", "2  cup"]
    assert named_labels(mask) == {1: "disc", 2: "cup"}
    np.testing.assert_allclose(mask.colormap.map(2), [0, 0, 1, 1], atol=0.01)
    mask.data[3, 3] = 2
    assert "name: cup" in mask.get_status((3, 3), world=True)["coordinates"]  # the status bar
    bench.row.classes.setCurrentIndex(1)
    bench.row.classes.activated.emit(1)
    assert mask.selected_label == 2
    mask.selected_label = 1
    assert bench.row.classes.value == 1


def test_keys_choose_the_class_while_the_panel_is_open(bench: Bench, tmp_data_home: Path) -> None:
    save(tmp_data_home, "eye", 2, class_names=("background", "disc", "cup"))
    mask = bench.mask("eye")
    bench.tool.open()
    keys = {str(key): action for key, action in bench.viewer.keymap.items()}
    keys["Alt+2"](bench.viewer)
    assert mask.selected_label == 2
    bench.tool.close()
    assert not bench.viewer.keymap


def test_an_added_class_is_painted_at_once_and_the_model_knows_it(bench: Bench, tmp_data_home: Path) -> None:
    save(tmp_data_home, "eye")
    mask = bench.mask("eye")
    for number, name in enumerate(("cyst", "  calcification "), start=1):
        with bench.qtbot.waitSignal(bench.tool.added, timeout=PATIENCE):
            bench.add(name)
        assert (mask.selected_label, mask.mode) == (number + 1, "paint")
    assert bench.shown == ["1  lesion", "2  cyst", "3  calcification"]
    assert bench.said[-1] == ("Paint calcification with label 3 in some ten images, approve them, and train.", "")
    versions = ModelVersions()
    assert [version.reason for version in versions.versions()] == ["added cyst", "added calcification"]
    path = versions.current_path()
    assert path is not None
    assert read_card(path).class_names == ("background", "lesion", "cyst", "calcification")
    network, _ = load_checkpoint(path)
    image = torch.rand(1, 3, 16, 16)
    with torch.inference_mode():
        found = network.eval()(image).mask.out
    torch.testing.assert_close(found[:, :4], found[:, 8:], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("  ", "A class needs a name. Type one, such as cyst."),
        ("Cup", "There is a class cup already. Give another name."),
    ],
)
def test_a_name_that_does_not_do_changes_nothing(bench: Bench, tmp_data_home: Path, name: str, sentence: str) -> None:
    save(tmp_data_home, "eye", 2, class_names=("background", "disc", "cup"))
    mask = bench.mask("eye")
    bench.add(name)
    assert bench.said == [(sentence, "problem")]
    assert (bench.shown, mask.selected_label) == (["1  disc", "2  cup"], 1)
    assert not ModelVersions().versions()


def test_names_stand_beside_what_else_is_noted_about_labels() -> None:
    layer = Labels(np.zeros((4, 4), np.uint8))
    layer.features = {"index": [1, 2], "area (mm²)": [4.0, 5.0]}
    name_labels(layer, {2: "cup", 3: "vessel"})
    assert named_labels(layer) == {2: "cup", 3: "vessel"}
    areas = dict(zip(layer.features["index"], layer.features["area (mm²)"], strict=True))
    assert (areas[1], areas[2]) == (4.0, 5.0)
    assert np.isnan(areas[0])
    assert np.isnan(areas[3])
