"""What the tools of a mask tell its files, and what its clean-ups know of its model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels
from qtpy.QtCore import QObject

from napari_wavegms.files.napari_writers import write_labels
from napari_wavegms.files.reading import read_mask_details
from napari_wavegms.widgets.forms.clean_up import CleanUp
from napari_wavegms.widgets.forms.threshold_row import ThresholdRow
from napari_wavegms.widgets.layers.mask_history import MaskMemory, remember_mask
from napari_wavegms.widgets.tools.mask_tools import MaskTools

Make = Callable[[str], tuple[Labels, MaskTools]]


@pytest.fixture
def made_by(qtbot: Any, tmp_data_home: Path, make_model: Any) -> Make:
    """A mask that a model of a name has made, and its tools."""
    many = {"class_names": ("background", "liver", "kidney"), "class_colors": ("#dd8265",), "class_codes": ("SCT 1",)}
    make_model(tmp_data_home / "models" / "many.safetensors", **many)
    make_model(tmp_data_home / "models" / "one.safetensors")
    viewer, row, parent = ViewerModel(), ThresholdRow(), QObject()
    qtbot.addWidget(row)
    mask = viewer.add_labels(np.array([[1, 1, 0, 2, 2], [1, 1, 0, 2, 2]], np.uint8))

    def make(model: str) -> tuple[Labels, MaskTools]:
        remember_mask(mask, MaskMemory(mask.unique_id, model))
        tools = MaskTools(viewer, row, parent)
        tools.set_mask(mask)
        return mask, tools

    return make


def test_napari_saves_several_classes_with_their_names_and_colours(made_by: Make, tmp_path: Path) -> None:
    mask, tools = made_by("many")
    tools.note_provenance()
    data, meta, _ = mask.as_layer_data_tuple()
    (path,) = write_labels(str(tmp_path / "m.tif"), data, meta)
    back = read_mask_details(path)
    assert (back.class_names, back.class_colors) == (("background", "liver", "kidney"), ("#dd8265",))
    request = tools.save_request(tmp_path / "x.tif")
    assert request is not None
    assert (request.provenance.class_colors, request.provenance.class_codes) == (("#dd8265",), ("SCT 1",))


@pytest.mark.parametrize(("model", "numbers"), [("many", [3, 4]), ("one", [1, 2])])
def test_objects_leave_the_labels_of_several_classes_free(made_by: Make, model: str, numbers: list[int]) -> None:
    mask, tools = made_by(model)
    said: list[str] = []
    tools.said.connect(lambda sentence, _kind: said.append(sentence))
    tools.clean_up(CleanUp("split_objects"))
    assert [one.removesuffix(" Press Ctrl+Z to undo.") for one in said] == ["Split objects: 2 objects."]
    np.testing.assert_array_equal(mask.data[0, [0, 4]], numbers)
