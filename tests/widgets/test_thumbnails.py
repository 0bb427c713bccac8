"""Small pictures are read while they are in sight, the newest request first."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from qtpy.QtGui import QPixmap

from napari_wavegms.errors import InputError
from napari_wavegms.widgets.thumbnails import SIDE, Outlined, Thumbnails, plane_of_file, small_picture
from napari_wavegms.worklist.item import Item


@pytest.fixture
def thumbnails(qapp: Any) -> Iterator[Thumbnails]:
    thumbnails = Thumbnails()
    yield thumbnails
    thumbnails.forget()


def test_a_file_that_cannot_be_read_says_so(tmp_path: Path, thumbnails: Thumbnails, qtbot: Any) -> None:
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\nnonsense")
    item = Item("k", "bad", tmp_path / "bad.png")
    with qtbot.waitSignal(thumbnails.arrived):
        thumbnails.picture(item)
    assert thumbnails.picture(item) is None
    assert "damaged" in thumbnails.problem("k")
    assert thumbnails.problem("other") == ""


def test_pixels_of_layers_come_from_whoever_has_them(qapp: Any, qtbot: Any) -> None:
    def read(item: Item) -> np.ndarray:
        if item.key == "odd":
            raise RuntimeError("a lazy array whose file is gone")
        return np.eye(5)

    thumbnails = Thumbnails(read)
    for one in ("odd", "even"):
        with qtbot.waitSignal(thumbnails.arrived):
            thumbnails.picture(Item(one, one))
    assert isinstance(thumbnails.picture(Item("even", "even")), QPixmap)
    assert thumbnails.problem("odd") == "odd cannot be shown (RuntimeError). Open the image to see more."


def test_what_was_asked_for_last_is_read_first_and_what_was_scrolled_past_never(qapp: Any, qtbot: Any) -> None:
    began, go, read_keys = threading.Event(), threading.Event(), []

    def read(item: Item) -> np.ndarray:
        began.set()
        assert go.wait(20)
        read_keys.append(int(item.key))
        return np.zeros((2, 2))

    thumbnails = Thumbnails(read)
    thumbnails.picture(Item("0", ""))
    assert began.wait(20)
    for number in range(1, 200):
        thumbnails.picture(Item(str(number), ""))
    go.set()
    qtbot.waitUntil(lambda: len(thumbnails) == 65)
    assert read_keys == [0, *range(199, 135, -1)]


def test_pictures_are_let_go_after_a_few_hundred(qapp: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_wavegms.widgets.thumbnails._MOST_KEPT", 3)
    thumbnails = Thumbnails(lambda _item: np.zeros((2, 2)))
    for number in range(5):
        with qtbot.waitSignal(thumbnails.arrived):
            thumbnails.picture(Item(str(number), ""))
        thumbnails.picture(Item("0", ""))  # in sight all the time
    assert len(thumbnails) == 3
    assert thumbnails.picture(Item("0", "")) is not None


def test_a_list_that_is_dropped_gets_no_late_pictures(qapp: Any, qtbot: Any) -> None:
    began, go = threading.Event(), threading.Event()

    def read(_item: Item) -> np.ndarray:
        began.set()
        assert go.wait(20)
        return np.zeros((2, 2))

    thumbnails = Thumbnails(read)
    thumbnails.picture(Item("old", ""))
    assert began.wait(20)
    thumbnails.forget()
    go.set()
    with qtbot.waitSignal(thumbnails.arrived) as came:
        thumbnails.picture(Item("new", ""))
    assert came.args == [["new"]]


def test_a_view_that_closes_leaves_no_thread(qapp: Any, qtbot: Any) -> None:
    before = set(threading.enumerate())
    thumbnails = Thumbnails(lambda _item: np.zeros((2, 2)))
    for number in range(5):
        thumbnails.picture(Item(str(number), ""))
    assert set(threading.enumerate()) - before
    thumbnails.deleteLater()
    qtbot.waitUntil(lambda: set(threading.enumerate()) <= before)


@given(
    hnp.arrays(
        st.sampled_from([np.uint8, np.uint16, np.float32, np.bool_]), st.tuples(st.integers(1, 40), st.integers(1, 40))
    )
)
def test_any_plane_becomes_a_picture_of_its_proportions(plane: np.ndarray) -> None:
    picture = small_picture(plane)
    assert max(picture.width(), picture.height()) == SIDE
    rows, columns = plane.shape
    assert abs(picture.height() - max(1, SIDE * rows / max(rows, columns))) <= 1


def test_a_large_image_keeps_its_look() -> None:
    plane = np.zeros((2000, 3000, 4), np.uint8)
    plane[..., 3] = 255
    plane[:1000, :, 0] = 200
    picture = small_picture(plane)
    assert (picture.width(), picture.height()) == (SIDE, 58)
    assert picture.pixelColor(44, 10).getRgb()[:3] == (200, 0, 0)
    assert picture.pixelColor(44, 50).getRgb()[:3] == (0, 0, 0)


def test_a_stack_is_stood_for_by_its_middle(tmp_path: Path) -> None:
    import tifffile

    stack = np.arange(5, dtype=np.uint8)[:, None, None] * np.ones((4, 6), np.uint8)
    tifffile.imwrite(tmp_path / "stack.tif", stack, photometric="minisblack")
    assert (plane_of_file(Item("k", "k", tmp_path / "stack.tif")) == np.full((4, 6), 2)).all()
    with pytest.raises(InputError, match="has no file"):
        plane_of_file(Item("k", "layer"))


def test_a_mask_is_drawn_as_an_outline_of_the_same_place() -> None:
    image, mask = np.zeros((200, 400), np.uint8), np.zeros((200, 400), np.uint8)
    mask[50:150, 100:300] = 7
    picture = small_picture(Outlined(image, mask))

    def is_yellow(x: float, y: float) -> bool:  # in pixels of the image
        colour = picture.pixelColor(round(x * SIDE / 400), round(y * SIDE / 400))
        return bool(min(colour.red(), colour.green()) > 150 > 100 > colour.blue())

    assert all(is_yellow(x, y) for x, y in ((100, 100), (300, 100), (200, 50), (200, 150)))
    assert not any(is_yellow(x, y) for x, y in ((200, 100), (50, 100), (350, 100), (200, 20), (200, 180)))


def test_a_mask_that_does_not_fit_or_covers_nothing_leaves_the_image_as_it_is() -> None:
    image = np.arange(64, dtype=np.uint8).reshape(8, 8)
    for mask in (np.ones((4, 4), np.uint8), np.zeros((8, 8), np.uint8)):
        assert small_picture(Outlined(image, mask)) == small_picture(image)
