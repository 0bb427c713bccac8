"""One pair of layers shows image after image: nothing of one gets into the next, whatever kind of image it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from napari.utils._test_utils import read_only_mouse_event
from napari.utils.interactions import mouse_press_callbacks
from napari.utils.notifications import notification_manager
from PIL import Image

from napari_wavegms.widgets.layers.mask_history import memory_of


@pytest.fixture
def room(open_room: Callable[[], Any], scans: Callable[..., Path]) -> Any:
    room = open_room()
    room.open(scans(6))  # the last of which is not predicted ahead
    return room


def test_the_layers_stay_and_show_another_image(room: Any) -> None:
    image, mask, memory = room.shown.image, room.mask, memory_of(room.mask)
    mask.brush_size = 4
    room.next()
    assert (room.shown.image is image, room.mask is mask) == (True, True)
    assert memory_of(mask) is room.shown.memory is not memory
    assert (image.name, mask.name) == (room.item.name, f"{room.item.name} mask")
    assert np.array_equal(image.data, room.shown.loaded.pixels)
    assert np.array_equal(mask.data, room.predicted)
    assert (mask.brush_size, mask.mode) == (4, "paint")
    assert room.shown.target.layer == str(mask.unique_id)


def test_undo_ends_with_the_image_and_every_journal_is_its_own(room: Any) -> None:
    first, content, journal = room.item.key, room.shown.content, room.journal
    room.stroke((3, 3))
    drawn = room.stroke((20, 28), 2)
    room.next()
    room.mask.redo()
    for _ in range(4):
        room.mask.undo()
    assert not room.mask.data.any()  # before the model wrote
    for _ in range(4):
        room.mask.redo()
    assert np.array_equal(room.mask.data, room.predicted)
    second = room.stroke((22, 2))
    other = room.shown.content
    room.show(first)
    assert np.array_equal(room.mask.data, drawn)
    room.mask.undo()  # its strokes are of an earlier sitting; there is nothing to take back
    assert np.array_equal(room.mask.data, drawn)
    room.wait(lambda: not room.widget.journal.writer.waits(other))
    assert np.array_equal(journal.restore(content), drawn)
    assert np.array_equal(journal.restore(other), second)
    assert journal.verify(content) == journal.verify(other) == []


def test_images_of_every_kind_follow_each_other(open_room: Callable[[], Any], segmenter: Any, tmp_path: Path) -> None:
    folder, rng = tmp_path / "mixed", np.random.default_rng(0)
    folder.mkdir()
    kinds = {
        "a grey": rng.integers(0, 255, (24, 32), np.uint8),
        "b larger": rng.integers(0, 255, (60, 40), np.uint8),
        "c colour": rng.integers(0, 255, (24, 32, 3), np.uint8),
        "d colour, smaller": rng.integers(0, 255, (16, 17, 3), np.uint8),
        "e grey again": rng.integers(0, 255, (30, 31), np.uint8),
    }
    for name, pixels in kinds.items():
        Image.fromarray(pixels).save(folder / f"{name}.png")
    stack, spaced = rng.integers(0, 255, (3, 20, 21), np.uint8), rng.integers(0, 255, (18, 19), np.uint8)
    tifffile.imwrite(folder / "f stack.tif", stack, photometric="minisblack", metadata={"axes": "TYX"})
    spacing = {"spacing": 1, "unit": "mm", "axes": "YX"}
    tifffile.imwrite(folder / "g spaced.tif", spaced, imagej=True, resolution=(2, 4), metadata=spacing)
    tifffile.imwrite(folder / "h spaced.tif", spaced[:9] + 1, imagej=True, resolution=(2, 4), metadata=spacing)
    room = open_room()
    room.segmenter.segment = segmenter.segment
    room.open(folder)
    room.panel.list.choose(order="folder order")
    masks = {}
    for kind in "abcdefgh":
        shown = room.shown
        assert room.item.name[0] == kind
        assert [layer.unique_id for layer in room.viewer.layers] == [shown.image.unique_id, shown.mask.unique_id]
        assert np.array_equal(shown.image.data, shown.loaded.pixels)
        assert bool(shown.image.rgb) == shown.loaded.plan.rgb == (kind in "cd")
        assert shown.mask.data.shape == shown.loaded.plan.labels_shape
        assert tuple(shown.mask.scale) == tuple(shown.image.scale)
        assert tuple(shown.mask.units) == tuple(shown.image.units)
        if kind in "gh":
            assert tuple(shown.mask.scale) == (0.25, 0.5)
        shown.mask.data_setitem(tuple(np.array([place]) for place in (0, 5, 5)[-shown.mask.ndim :]), 3)
        masks[shown.key] = np.array(shown.mask.data)
        room.widget.lists.next()
        room.wait_shown()
    for key, mask in masks.items():
        room.show(key)
        assert np.array_equal(room.mask.data, mask)


def test_a_mask_of_another_dtype_gets_a_layer_that_holds_it(room: Any) -> None:
    second = room.images.upcoming(1)[0]
    room.show(second)
    content = room.shown.content
    room.show(room.images.previous_key())
    mask = np.zeros((24, 32), np.int32)
    mask[2:5, 3:9] = 70_000
    journal = room.widget.journal
    target = type(room.shown.target)(content, "scan_2", (24, 32))
    journal.writer.begin(target, np.zeros_like(mask), editor="Ann")
    journal.writer.submit(content, mask, editor="Ann")
    assert journal.writer.flush()
    room.show(second)
    assert room.mask.data.dtype == np.int32
    assert np.array_equal(room.mask.data, mask)


def test_a_stroke_that_is_not_ended_stays_with_its_image(room: Any) -> None:
    first, mask = room.item.key, room.mask
    place = {"position": (3, 3), "view_direction": None, "dims_displayed": [0, 1]}
    mouse_press_callbacks(mask, read_only_mouse_event(type="mouse_press", is_dragging=False, **place))
    drawn = np.array(mask.data)
    room.next()
    assert room.mask is not mask  # what follows of the stroke goes nowhere
    mask.paint((20, 20), 1)
    assert np.array_equal(room.mask.data, room.predicted)
    room.show(first)
    assert np.array_equal(room.mask.data, drawn)


def test_while_an_image_is_being_read_nobody_paints_into_the_one_before(room: Any) -> None:
    mask, last = room.mask, [item.key for item in room.images.items()][-1]
    room.widget.current.show_item(last)
    assert room.widget.shown is None
    assert (mask.visible, mask.editable) == (False, False)
    room.wait_shown()
    assert room.item.key == last
    assert (room.mask.visible, room.mask.editable, room.shown.image.visible) == (True, True, True)


def test_layers_that_a_person_removes_between_two_images_come_anew(room: Any) -> None:
    last = [item.key for item in room.images.items()][-1]
    room.widget.current.show_item(last)
    room.viewer.layers.clear()
    room.wait_shown()
    assert [layer.name for layer in room.viewer.layers] == [room.item.name, f"{room.item.name} mask"]
    assert np.array_equal(room.mask.data, room.predicted)


def test_a_polygon_that_is_begun_stays_with_its_image(room: Any) -> None:
    mask = room.mask
    mask.mode = "polygon"
    mask.mode = "paint"
    room.next()
    assert room.mask is not mask
    assert [layer.name for layer in room.viewer.layers] == [room.item.name, f"{room.item.name} mask"]
    assert np.array_equal(room.mask.data, room.predicted)


def test_the_viewer_is_never_empty_between_two_images_two_lists_or_after_a_file_that_cannot_be_read(
    room: Any, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "a.png").write_bytes(b"no picture")
    Image.fromarray(np.full((9, 9, 3), 90, np.uint8)).save(other / "b.png")
    counts: list[int] = []
    for emitter in (room.viewer.layers.events.inserted, room.viewer.layers.events.removed):
        emitter.connect(lambda _event: counts.append(len(room.viewer.layers)))
    room.next()
    room.widget.lists.open_folder(other)
    room.wait(lambda: "a.png" in room.panel.status)
    assert room.widget.shown is None
    assert not any(layer.visible for layer in room.viewer.layers)
    room.next()
    room.close()
    assert counts
    assert min(counts) >= 1


def test_images_with_and_without_a_spacing_follow_each_other_without_a_warning(
    open_room: Callable[[], Any], tmp_path: Path
) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (3, 24, 32), np.uint8)
    Image.fromarray(pixels[0]).save(tmp_path / "1.png")
    tifffile.imwrite(tmp_path / "2.tif", pixels[1], imagej=True, resolution=(5, 5), metadata={"unit": "mm"})
    tifffile.imwrite(tmp_path / "3.tif", pixels, photometric="minisblack", metadata={"axes": "TYX"})
    room = open_room()
    told: list[str] = []
    notification_manager.notification_ready.connect(lambda notification: told.append(notification.message))
    room.open(tmp_path)
    for _ in range(3):
        room.next()
        assert len({tuple(map(str, layer.units)) for layer in room.viewer.layers}) == 1
    assert told == []
