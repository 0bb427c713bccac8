"""Carry on in the panel: what counts as fixed, the preview, one undo step, and what is said."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from napari.layers import Labels

from napari_wavegms.journal.journal import Journal
from napari_wavegms.storage.content_hash import content_hash


@pytest.fixture
def stack(desk: Any) -> Any:
    """Seven slices of a bright disc that the model finds one pixel too small on each side; all are segmented."""
    rows, columns = np.ogrid[:64, :64]
    radius = np.hypot(rows - 32, columns - 32)
    desk.truth = np.broadcast_to(radius <= 14, (7, 64, 64))
    image = np.where(radius <= 12, 230, np.where(radius <= 14, 110, 20)).astype(np.uint8)
    desk.viewer.add_image(np.broadcast_to(image, (7, 64, 64)).copy(), name="scan", axis_labels="zyx")
    desk.every_frame()
    desk.run()
    return desk


def correct(desk: Any, number: int) -> None:
    places = np.nonzero(desk.truth[number] & (desk.mask.data[number] == 0))
    desk.mask.data_setitem((np.full(places[0].size, number), *places), 1)


def carry(desk: Any) -> None:
    desk.button("Carry on").click()
    desk.qtbot.waitUntil(lambda: not any(button.text() == "Stop" for button in desk.buttons))


@pytest.fixture(autouse=True)
def buttons(desk: Any) -> None:
    from qtpy.QtWidgets import QPushButton

    type(desk).buttons = property(lambda self: self.panel.findChildren(QPushButton))


def test_the_rest_follows_fixed_slices_stay_and_one_undo_takes_it_back(stack: Any) -> None:
    mask = stack.mask
    for number in (0, 3, 6):
        correct(stack, number)
    before = np.array(mask.data)
    calls = len(stack.segmenter.calls)
    carry(stack)
    assert len(stack.segmenter.calls) == calls  # the run's probabilities are known
    np.testing.assert_array_equal(mask.data, before)  # only shown so far
    (preview,) = [layer for layer in stack.masks if layer is not mask]
    assert preview.contour
    assert not preview.editable
    stack.button("Use").click()
    assert isinstance(stack.mask, Labels)  # the preview is gone
    np.testing.assert_array_equal(mask.data[[0, 3, 6]], before[[0, 3, 6]])
    agree = 2 * np.count_nonzero(mask.data & stack.truth) / (mask.data.sum() + stack.truth.sum())
    assert agree > 0.97
    assert "4 slices drawn" in stack.panel.status
    image, journal = content_hash(stack.viewer.layers["scan"].data), Journal()  # a crash would lose none of it
    stack.qtbot.waitUntil(
        lambda: bool(journal.edits(image)) and np.array_equal(journal.restore(image), mask.data), timeout=20_000
    )
    mask.undo()
    np.testing.assert_array_equal(mask.data, before)


def test_what_was_carried_on_is_not_fixed_afterwards(stack: Any) -> None:
    for number in (0, 6):
        correct(stack, number)
    carry(stack)
    stack.button("Use").click()
    correct(stack, 3)
    stack.mask.data_setitem((np.array([3]), np.array([1]), np.array([1])), 1)
    carry(stack)
    assert stack.says("4 slices drawn from 3 fixed slices")
    stack.button("Discard").click()
    assert stack.mask


def test_a_slice_that_is_right_as_it_is_counts_as_fixed(stack: Any) -> None:
    stack.viewer.dims.set_current_step(0, 2)
    stack.button("Slice is right").click()
    assert stack.panel.status == "What is shown is fixed: Carry on will not change it."
    correct(stack, 5)
    carry(stack)
    assert stack.says("from 2 fixed slices")
    stack.button("Discard").click()
    stack.viewer.dims.set_current_step(0, 2)
    stack.button("Slice is right").click()
    assert stack.panel.status == "What is shown is no longer called right."


def test_without_a_fixed_slice_a_sentence_says_what_to_do(stack: Any) -> None:
    stack.button("Carry on").click()
    assert stack.says("Nothing is fixed yet")


def test_it_is_shown_for_stacks_only(desk: Any) -> None:
    desk.viewer.add_image(np.full((40, 40), 9, np.uint8))
    assert not desk.button("Carry on").isVisibleTo(desk.panel)
    desk.viewer.add_image(np.zeros((3, 40, 40), np.uint8))
    assert desk.button("Carry on").isVisibleTo(desk.panel)


def test_what_the_model_saw_in_other_grey_values_is_not_used(desk: Any) -> None:
    rows, columns = np.ogrid[:64, :64]
    image = np.where(np.hypot(rows - 32, columns - 32) <= 12, 60, -100).astype(np.int16)
    desk.viewer.add_image(np.broadcast_to(image, (5, 64, 64)).copy(), name="scan")
    desk.every_frame()
    desk.choose("Grey values", "CT liver, -45 to 105 HU")
    desk.run()
    for number in (0, 4):
        desk.mask.data_setitem((np.array([number]), np.array([32]), np.array([45])), 1)
    carry(desk)
    assert len(desk.segmenter.calls) == 5
    desk.choose("Grey values", "CT brain, 0 to 80 HU")
    carry(desk)
    assert len(desk.segmenter.calls) == 10
    desk.button("Use").click()
    assert desk.widget.panel.status.startswith("3 frames drawn")
