"""Load mask… in Wave-GMS Segment: a file becomes the mask of the chosen image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from napari_wavegms.files.mask_writer import write_mask
from napari_wavegms.files.reading import read_mask_details
from napari_wavegms.widgets.layers.mask_history import memory_of


def load(desk: Any, path: Path, until: str) -> None:
    desk.widget.load_mask(path)
    desk.qtbot.waitUntil(lambda: desk.says(until), timeout=20_000)


@pytest.fixture
def truth(disc: np.ndarray) -> np.ndarray:
    return (disc == 200).astype(np.uint8)


def test_another_programs_mask_lies_on_its_image_and_can_be_worked_on(
    desk: Any, disc: np.ndarray, truth: np.ndarray, tmp_path: Path
) -> None:
    hollow = truth.copy()
    hollow[20, 30] = 0
    Image.fromarray(hollow * 255).save(tmp_path / "drawn.png")
    image = desk.viewer.add_image(disc, name="lesion", scale=(0.2, 0.3), units="mm", translate=(3, 4))
    load(desk, tmp_path / "drawn.png", "Loaded drawn.png")
    mask = desk.mask
    assert (mask.name, mask.mode) == ("lesion mask", "paint")
    assert mask.units == image.units
    np.testing.assert_array_equal(mask.scale, image.scale)
    np.testing.assert_array_equal(mask.translate, image.translate)
    np.testing.assert_array_equal(mask.data, hollow)
    desk.button("Fill holes").click()
    np.testing.assert_array_equal(mask.data, truth)
    desk.widget.segment()
    assert desk.says("Segment again and keep them?")


def test_a_loaded_mask_takes_the_place_of_the_models_in_one_undo_step(
    desk: Any, disc: np.ndarray, truth: np.ndarray, tmp_path: Path
) -> None:
    desk.viewer.add_image(disc, name="lesion")
    desk.run()
    write_mask(tmp_path / "other.tif", truth[::-1, ::-1])
    load(desk, tmp_path / "other.tif", "Press Ctrl+Z to undo.")
    np.testing.assert_array_equal(desk.mask.data, truth[::-1, ::-1])
    desk.mask.undo()
    np.testing.assert_array_equal(desk.mask.data, truth)


def test_a_mask_of_another_size_is_one_sentence(desk: Any, disc: np.ndarray, tmp_path: Path) -> None:
    desk.viewer.add_image(disc, name="lesion")
    write_mask(tmp_path / "small.png", np.ones((10, 12), np.uint8))
    load(desk, tmp_path / "small.png", "small.png is 10 x 12, but lesion is 40 x 60. Choose the mask of this image.")
    assert desk.masks == []
    load(desk, tmp_path / "none.png", "There is no file")


def test_a_saved_mask_comes_back_to_its_channel(desk: Any, disc: np.ndarray, tmp_path: Path) -> None:
    both = np.stack([disc, disc[::-1, ::-1]])
    desk.viewer.add_image(both, name="cells", axis_labels=("c", "y", "x"))
    desk.viewer.dims.set_current_step(0, 1)
    desk.run()
    desk.widget.save_mask(tmp_path / "cells_mask.tif")
    desk.qtbot.waitUntil(lambda: desk.says("Saved cells_mask.tif"), timeout=20_000)
    kept = read_mask_details(tmp_path / "cells_mask.tif").provenance
    assert kept is not None
    assert (kept.channel_axis, kept.channel) == (0, 1)
    desk.viewer.layers.remove(desk.mask)
    desk.viewer.dims.set_current_step(0, 0)
    load(desk, tmp_path / "cells_mask.tif", "Loaded cells_mask.tif")
    assert desk.mask.name == "cells channel 2 mask"
    memory = memory_of(desk.mask)
    assert memory is not None
    assert memory.channel is not None
    assert memory.channel.channel == 1
    assert memory.model == "tiny"


def test_a_mask_that_was_made_for_another_image_says_so(
    desk: Any, disc: np.ndarray, truth: np.ndarray, tmp_path: Path
) -> None:
    from napari_wavegms.files.provenance import Provenance

    write_mask(tmp_path / "mask.tif", truth, provenance=Provenance.now("tiny", 0.5, "scan_2.png"))
    desk.viewer.add_image(disc, name="scan_1")
    load(desk, tmp_path / "mask.tif", "It was made for scan_2.png.")
