"""Review takes up masks that lie beside the images, or in a folder of their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from napari_wavegms.corrections.store import CorrectionStore
from napari_wavegms.files.mask_writer import write_mask

MASK = np.zeros((24, 32), np.uint8)
MASK[2:6, 2:9] = 1


@pytest.fixture
def folder(scans: Callable[..., Path]) -> Path:
    return scans(3)


@pytest.fixture
def open_it(open_room: Callable[[], Any], folder: Path) -> Callable[[], Any]:
    def make() -> Any:
        room = open_room()
        room.panel.list.choose(order="folder order")
        room.open(folder)
        return room

    return make


@pytest.mark.parametrize("place", ["scan_1_mask.tif", "masks/scan_1.png"])
def test_the_mask_of_a_file_is_shown_and_stays_to_do_until_it_is_approved(
    open_it: Callable[[], Any], folder: Path, place: str
) -> None:
    (folder / "masks").mkdir()
    write_mask(folder / place, MASK)
    room = open_it()
    assert [item.name for item in room.images.items()] == ["scan_1", "scan_2", "scan_3"]
    assert np.array_equal(room.mask.data, MASK)
    assert room.says(f"You see the mask of {place}.")
    room.wait(lambda: room.item.state == "predicted")
    assert np.array_equal(room.mask.data, MASK)  # the model's does not come over it
    drawn = room.stroke((20, 20))
    room.next()
    assert np.array_equal(room.mask.data, room.predicted)
    assert not room.says("You see the mask of")
    room.widget.lists.previous()
    room.wait_shown()
    assert np.array_equal(room.mask.data, drawn)
    assert not room.says("You see the mask of")  # it is the one that was drawn here
    room.approve()
    (kept,) = CorrectionStore().corrections()
    stored = CorrectionStore().load(kept)
    assert np.array_equal(stored.mask, drawn)
    assert stored.prediction is not None
    assert stored.prediction[:, 16:].any()


def test_several_structures_are_one_mask_and_the_file_stays_as_it_is(open_it: Callable[[], Any], folder: Path) -> None:
    for name, mask in (("scan_1_mask.png", MASK), ("scan_1_mask_1.png", MASK[::-1])):
        Image.fromarray(mask * 255).save(folder / name)
    before = [path.read_bytes() for path in sorted(folder.glob("*mask*"))]
    room = open_it()
    assert np.array_equal(room.mask.data, MASK | MASK[::-1])
    room.approve()
    assert [path.read_bytes() for path in sorted(folder.glob("*mask*"))] == before


def test_a_mask_of_another_size_is_told_with_both_sizes(open_it: Callable[[], Any], folder: Path) -> None:
    write_mask(folder / "scan_1_mask.tif", MASK[:12])
    room = open_it()
    assert room.says("scan_1_mask.tif is 12 x 32, but scan_1 is 24 x 32, so it is not taken up.")
    assert np.array_equal(room.mask.data, room.predicted)
