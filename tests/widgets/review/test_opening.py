"""A list of files is reviewed like a folder, and knows what became of them there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image
from qtpy.QtWidgets import QFileDialog

from napari_wavegms.storage.user_data import recent_folders


def test_files_are_reviewed_in_their_order_and_their_folder_knows_of_it(
    open_room: Callable[[], Any], scans: Callable[..., Path], tmp_path: Path
) -> None:
    folder, other = scans(3), tmp_path / "elsewhere"
    other.mkdir()
    Image.open(folder / "scan_2.png").rotate(180).save(other / "scan_9.png")
    room = open_room()
    room.button("Files").click()
    dialog = room.panel.findChild(QFileDialog)
    assert dialog.fileMode() == QFileDialog.FileMode.ExistingFiles
    assert "*.tif" in dialog.nameFilters()[0]
    dialog.filesSelected.emit([str(folder / "scan_3.png"), str(other / "scan_9.png"), str(folder / "scan_1.png")])
    dialog.close()
    room.wait(lambda: room.images.worklist is not None)
    room.wait_shown()
    room.panel.list.choose(order="folder order", state_filter="all")
    assert [item.name for item in room.images.items()] == ["scan_3", "scan_9", "scan_1"]
    assert room.item.name == "scan_3"
    room.approve()
    assert room.item.name == "scan_9"
    room.skip()
    assert recent_folders() == []
    room.open(folder)
    assert {item.name: item.state for item in room.images.items()}["scan_3"] == "approved"
    assert room.field("Recent folders").currentText() == folder.name
    room.widget.lists.open_files([other / "scan_9.png"])
    room.wait(lambda: len(room.images.worklist) == 1)
    room.wait_shown()
    assert room.item.state == "skipped"
    assert room.field("Recent folders").currentIndex() == -1
    room.button("Folder").click()
    (dialog,) = [each for each in room.panel.findChildren(QFileDialog) if each.isVisible()]
    assert Path(dialog.directory().absolutePath()) == folder.parent
    dialog.close()


def test_what_of_a_file_is_not_shown_is_said(open_room: Callable[[], Any], tmp_path: Path) -> None:
    plane = np.random.default_rng(0).integers(0, 255, (24, 32), np.uint8)
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(plane)
        file.write(plane[:9, :7])
    tifffile.imwrite(tmp_path / "b.ome.tif", np.stack([plane, plane]), metadata={"axes": "CYX"})
    room = open_room()
    room.open(tmp_path)
    room.show(str(tmp_path / "a.tif"))
    assert room.says("Of a.tif, 1 more picture (9 x 7) was left out.")
    room.widget.current.show_item(str(tmp_path / "b.ome.tif"))
    room.wait(lambda: "channels" in room.panel.status)
    assert room.panel.status.startswith("b.ome has 2 channels; Review shows grey or RGB images. Open it with")


def test_files_that_are_gone_say_so(open_room: Callable[[], Any], tmp_path: Path) -> None:
    room = open_room()
    room.widget.lists.open_files([tmp_path / "nowhere.png"])
    room.wait(lambda: not room.widget.lists.busy)
    assert "nowhere.png" in room.panel.status
    assert room.images.worklist is None


def test_the_status_bar_tells_nothing_of_the_image_before(
    open_room: Callable[[], Any], scans: Callable[..., Path]
) -> None:
    room = open_room()
    room.open(scans(2))
    before = room.item.name
    room.viewer.status = f"{before} mask [3 4]: 1"
    room.skip()
    assert room.item.name != before
    assert before not in str(room.viewer.status)
