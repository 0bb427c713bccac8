"""Review starts from open layers: an image in its own layer, with the mask that is open for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_wavegms.corrections.store import CorrectionStore
from napari_wavegms.segment.segmenter_cache import SegmenterCache
from napari_wavegms.widgets.segment.widget import SegmentWidget


def start(room: Any) -> None:
    """Press Layers."""
    room.button("Layers").click()
    room.wait(lambda: room.images.worklist is not None)
    room.wait_shown()
    room.wait(lambda: not room.widget.prefetch.busy)


def test_open_layers_are_reviewed_in_their_place(open_room: Callable[[], Any], disc: np.ndarray) -> None:
    room = open_room()
    image = room.viewer.add_image(disc, name="open one", scale=(2, 3))
    room.widget.lists.open_layers()
    room.wait_shown()
    assert room.shown.image is image
    assert tuple(room.mask.scale) == (2, 3)
    room.wait(lambda: room.images.thumbnails.picture(room.item) is not None)
    room.approve()
    assert [kept.name for kept in CorrectionStore().corrections()] == ["open one"]
    room.close()
    assert list(room.viewer.layers) == [image]


@pytest.fixture
def segmented(open_room: Callable[[], Any], disc: np.ndarray, segmenter: Any, qtbot: Any) -> Any:
    """A viewer with an image that Segment has segmented, and Review opened beside it; gives the room and the mask."""
    room = open_room()
    room.viewer.add_image(disc, name="scan")
    segment = SegmentWidget(room.viewer, load=segmenter.load, cache=SegmenterCache())
    room.viewer.window.add_dock_widget(segment, name="Wave-GMS Segment")
    segment.segment()
    room.wait(lambda: not segment.busy)
    mask = room.viewer.layers[-1]
    yield room, mask
    room.viewer.window.remove_dock_widget(segment)


def test_the_corrected_mask_is_taken_up_and_approved_not_the_model_s(segmented: Any) -> None:
    room, mask = segmented
    mask.paint((2, 2), 1)
    drawn = np.array(mask.data)
    start(room)
    assert room.mask is mask
    assert room.item.state == "corrected"
    assert [layer.name for layer in room.viewer.layers] == ["scan", "scan mask"]
    assert np.array_equal(mask.data, drawn)
    more = room.stroke((36, 50))
    room.approve()
    (kept,) = CorrectionStore().corrections()
    stored = CorrectionStore().load(kept)
    assert np.array_equal(stored.mask, more)
    assert stored.prediction is not None
    assert kept.changed == np.count_nonzero(more != stored.prediction)
    assert not mask.editable  # approved and locked
    room.close()
    assert mask.editable
    assert np.array_equal(mask.data, more)


def test_an_untouched_mask_gives_way_to_what_was_drawn_before(segmented: Any, open_room: Callable[[], Any]) -> None:
    room, mask = segmented
    predicted = np.array(mask.data)
    start(room)
    assert (room.mask is mask, room.item.state) == (True, "predicted")
    drawn = room.stroke((2, 2))
    room.wait(lambda: room.item.state == "corrected")
    room.widget.current.leave()
    mask.data = predicted  # as if it were another day, and Segment had been pressed again
    start(room)
    assert np.array_equal(mask.data, drawn)
    assert room.item.state == "corrected"


def test_an_open_mask_that_differs_from_the_approved_one_is_not_approved(segmented: Any) -> None:
    room, mask = segmented
    start(room)
    room.approve()
    room.widget.current.leave()
    mask.paint((2, 2), 1)
    start(room)
    assert (room.shown.approved, room.item.state) == (False, "corrected")
    assert mask.data[2, 2] == 1


def test_segment_journals_its_mask_again_after_review_has(segmented: Any) -> None:
    room, mask = segmented
    start(room)
    content = room.shown.content
    room.stroke((2, 2))
    room.wait(lambda: room.item.state == "corrected")
    room.close()
    mask.paint((30, 50), 1)
    room.wait(lambda: np.array_equal(room.journal.last_mask(content), mask.data))


def test_of_several_images_only_the_one_that_is_reviewed_is_seen(
    open_room: Callable[[], Any], disc: np.ndarray, tmp_path: Path
) -> None:
    room = open_room()
    for name, pixels in (("a", disc), ("b", disc[::-1].copy() // 2)):
        room.viewer.add_image(pixels, name=name)
        room.viewer.add_labels((pixels > 70).astype(np.uint8), name=f"{name} mask")

    def visible() -> list[str]:
        return [layer.name for layer in room.viewer.layers if layer.visible]

    start(room)
    assert visible() == [room.item.name, f"{room.item.name} mask"]
    first = room.item.name
    room.next()
    assert room.item.name != first
    assert visible() == [room.item.name, f"{room.item.name} mask"]
    room.close()
    assert visible() == ["a", "a mask", "b", "b mask"]


def test_masks_that_leave_a_choice_are_told(open_room: Callable[[], Any], disc: np.ndarray) -> None:
    room = open_room()
    room.viewer.add_image(disc, name="scan")
    for name in ("left", "right"):
        room.viewer.add_labels((disc > 70).astype(np.uint8), name=name)
    start(room)
    assert room.says("scan: 2 open masks fit. Choose one. Until then you see the model's.")
    assert room.mask.name == "scan mask"
