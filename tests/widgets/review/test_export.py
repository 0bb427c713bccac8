"""Masks leave Review: the one on screen and those of the list, under the names of their images, over nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtWidgets import QFileDialog

from napari_wavegms.files.reading import read_mask_details
from napari_wavegms.journal.masks import DrawnMask, Exported, MaskFile
from napari_wavegms.journal.writer import JournalWriter
from napari_wavegms.widgets.review.export import masks_job


@pytest.fixture
def room(open_room: Callable[[], Any], scans: Callable[..., Path]) -> Any:
    room = open_room()
    room.open(scans(4))
    room.panel.list.choose(order="folder order")
    room.button("Save, export").click()
    return room


def export(room: Any, folder: Path) -> list[str]:
    """Press Export masks, choose a folder, and give the names of what is in it."""
    folder.mkdir(exist_ok=True)
    room.button("Export masks").click()
    (dialog,) = [each for each in room.panel.findChildren(QFileDialog) if each.isVisible()]
    dialog.fileSelected.emit(str(folder))
    dialog.close()
    room.wait(lambda: not room.widget.exports.busy)
    return sorted(path.name for path in folder.iterdir())


def test_approved_masks_or_all_that_were_worked_on(room: Any, tmp_path: Path) -> None:
    room.button("Export masks").click()
    assert room.says("No image of this list is approved")
    approved = room.stroke((5, 5))
    room.approve()
    drawn = room.stroke((20, 20))  # the last stroke is in, journalled or not
    assert export(room, tmp_path / "approved") == ["scan_1_mask.tiff"]
    details = read_mask_details(tmp_path / "approved" / "scan_1_mask.tiff")
    assert np.array_equal(details.labels, approved)
    assert details.provenance is not None
    assert (details.provenance.model, details.provenance.source) == ("tiny", "scan_1.png")
    room.wait(lambda: room.item.state == "corrected")
    room.choose("Exported masks", "all that were worked on")
    room.choose("Format", "PNG")
    assert export(room, tmp_path / "all") == ["scan_1_mask.png", "scan_2_mask.png"]
    assert np.array_equal(read_mask_details(tmp_path / "all" / "scan_2_mask.png").labels, drawn)


def test_nothing_is_overwritten_unasked(room: Any, tmp_path: Path) -> None:
    room.approve()
    room.approve()
    mine = tmp_path / "out" / "scan_1_mask.tiff"
    mine.parent.mkdir()
    mine.write_bytes(b"mine")
    assert export(room, mine.parent) == ["scan_1_mask.tiff", "scan_2_mask.tiff"]
    assert mine.read_bytes() == b"mine"
    assert room.says("1 file in out existed already")
    room.button("Replace them").click()
    room.wait(lambda: not room.widget.exports.busy)
    assert read_mask_details(mine).is_ours
    assert not room.says("existed already")


def test_the_mask_on_screen_is_saved_but_not_over_an_image(room: Any, tmp_path: Path) -> None:
    mask, image = room.stroke((5, 5)), Path(room.shown.loaded.source)
    before = image.read_bytes()
    room.widget.exports.save_mask(image)
    assert room.says("scan_1.png is an image of this list")
    room.button("Save mask").click()
    (dialog,) = [each for each in room.panel.findChildren(QFileDialog) if each.isVisible()]
    assert Path(dialog.selectedFiles()[0]) == image.with_name("scan_1_mask.tif")
    dialog.close()
    room.widget.exports.save_mask(tmp_path / "scan_1_mask.tif")
    room.wait(lambda: room.says("Saved scan_1_mask.tif"))
    details = read_mask_details(tmp_path / "scan_1_mask.tif")
    assert np.array_equal(details.labels, mask)
    assert details.provenance is not None
    assert details.provenance.source == "scan_1.png"
    assert image.read_bytes() == before


def test_after_stop_it_is_known_what_was_written(tmp_path: Path) -> None:
    found = DrawnMask(np.ones((4, 6), np.uint8), None)
    files = [MaskFile(f"scan_{n}", tmp_path / f"scan_{n}_mask.tiff", lambda: found) for n in range(5)]
    so_far: list[Exported] = []
    job = masks_job(files, JournalWriter(), False, so_far)
    for _ in range(3):
        next(job)
    job.close()
    assert so_far[-1].written == len(list(tmp_path.iterdir())) == 3


def test_masks_of_open_layers_are_exported_by_their_names(
    open_room: Callable[[], Any], disc: np.ndarray, tmp_path: Path
) -> None:
    room = open_room()
    room.viewer.add_image(disc, name="ward 7/scan")
    room.widget.lists.open_layers()
    room.wait_shown()
    mask = np.array(room.mask.data)
    room.approve()
    assert export(room, tmp_path / "out") == ["ward 7_scan_mask.tiff"]
    assert np.array_equal(read_mask_details(tmp_path / "out" / "ward 7_scan_mask.tiff").labels, mask)
