"""Wave-GMS Review in a real viewer: a folder, image after image, from the model's mask to the approved one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from qtpy.QtCore import QThreadPool
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QApplication, QCheckBox, QComboBox, QLabel, QPushButton, QScrollArea, QSpinBox

from napari_wavegms.corrections.store import CorrectionStore
from napari_wavegms.finetune.presets import Preset
from napari_wavegms.finetune.versions import ModelVersions
from napari_wavegms.journal.compaction import forget
from napari_wavegms.journal.journal import Journal
from napari_wavegms.learn.config import Augmentation, TrainConfig
from napari_wavegms.model.card import ModelCard
from napari_wavegms.segment.segmenter_cache import SegmenterCache
from napari_wavegms.widgets.qt.docks import enclosing
from napari_wavegms.widgets.review.widget import ReviewWidget


@pytest.fixture
def folder(scans: Callable[..., Path]) -> Path:
    return scans(5)


@pytest.fixture
def room(open_room: Callable[[], Any], folder: Path) -> Any:
    room = open_room()
    room.open(folder)
    return room


def choose(combo: QComboBox, text: str) -> None:
    """Choose an entry, as a person does."""
    combo.setCurrentText(text)
    combo.activated.emit(combo.currentIndex())


def test_a_folder_opens_with_the_model_s_mask_as_one_undo_step_and_the_brush_in_hand(room: Any) -> None:
    assert room.item.state == "predicted"
    assert room.mask.data.any()
    assert np.array_equal(room.mask.data, room.predicted)
    assert room.mask.mode == "paint"
    assert room.viewer.layers.selection.active is room.mask
    assert [layer.name for layer in room.viewer.layers] == ["scan_1", "scan_1 mask"]
    assert room.button("Approve").text().endswith("Alt+A")
    room.mask.undo()
    assert not room.mask.data.any()
    room.mask.redo()
    assert np.array_equal(room.mask.data, room.predicted)
    for step in ("Previous", "Next", "Skip", "Approve"):
        assert enclosing(room.button(step), QScrollArea) is None, f"{step} scrolls away"
    assert enclosing(room.button("Box"), QScrollArea) is not None


def test_the_next_images_are_predicted_before_they_are_asked_for_and_skip_leaves_one_for_later(room: Any) -> None:
    room.wait(lambda: not room.widget.prefetch.busy)
    room.widget.lists.next()
    assert room.shown.mask.data.any()  # at once, without a turn of the event loop
    assert [layer.name for layer in room.viewer.layers] == [room.item.name, f"{room.item.name} mask"]
    name = room.item.name
    room.skip()
    assert room.item.name != name
    assert room.state_of(name) == "skipped"


def test_painting_is_journalled_and_exported_and_approve_keeps_it_and_goes_on(room: Any, tmp_path: Path) -> None:
    name, content = room.item.name, room.shown.content
    mask = room.stroke((5, 5))
    room.wait(lambda: room.item.state == "corrected")
    room.wait(lambda: room.says("Saved"))
    assert room.journal.restore(content).tolist() == mask.tolist()
    room.widget.exports.export_table(tmp_path / "journal.csv")
    room.wait(lambda: "written to" in room.panel.status)
    assert name in (tmp_path / "journal.csv").read_text(encoding="utf-8")
    room.approve()
    (kept,) = CorrectionStore().corrections()
    assert (kept.name, kept.image, kept.model) == (name, content, "tiny")
    loaded = CorrectionStore().load(kept)
    assert np.array_equal(loaded.mask, mask)
    assert loaded.prediction is not None
    assert room.item.name != name
    assert room.state_of(name) == "approved"
    room.wait(lambda: not room.journal.unfinished(own=True))


def test_an_approved_mask_is_locked_until_the_approval_is_taken_back(room: Any) -> None:
    key = room.item.key
    mask = room.stroke((5, 5))
    room.approve()
    room.show(key)
    assert (room.item.size, room.item.unit) == (np.count_nonzero(mask), "px²")
    assert not room.mask.editable
    assert np.array_equal(room.mask.data, mask)
    room.widget.prefetch.run_again()
    room.wait(lambda: room.widget.prefetch.prediction(key) is not None)
    for action in ("fill_holes", "smooth"):
        room.widget.tools.clean_up(action)
    assert np.array_equal(room.mask.data, mask)
    room.withdraw()
    room.wait(lambda: room.mask.editable)
    assert (room.item.state, room.item.size) == ("corrected", None)
    assert CorrectionStore().corrections() == []
    assert np.array_equal(room.mask.data, mask)


def test_strokes_leave_the_list_alone_until_one_goes_on_which_notes_the_time(room: Any, qtbot: Any) -> None:
    key, places = room.item.key, ((row, column) for row in range(24) for column in range(32))
    room.stroke(next(places))
    room.wait(lambda: room.item.state == "corrected" and not room.widget.prefetch.busy)

    def has_worked() -> bool:
        room.stroke(next(places))
        return room.shown.worked > 0

    with qtbot.assertNotEmitted(room.images.changed):
        room.wait(has_worked)
    room.next()
    assert room.images.item(key).seconds > 0


def test_going_away_and_coming_back_loses_nothing(room: Any) -> None:
    first = room.item.key
    mask = room.stroke((5, 5))
    room.widget.lists.next()  # before the journal has heard of it
    room.wait_shown()
    room.show(first)
    assert np.array_equal(room.mask.data, mask)
    assert room.item.state == "corrected"
    room.wait(lambda: not room.journal.unfinished(own=True))


def test_a_review_that_is_closed_and_opened_again_goes_on(
    room: Any, open_room: Callable[[], Any], folder: Path
) -> None:
    first, mask = room.item.key, room.stroke((5, 5))
    room.next()
    second, other = room.item.key, room.stroke((8, 20))
    room.close()
    again = open_room()
    assert not again.asks
    again.open(folder)
    assert again.item.key == second
    assert np.array_equal(again.mask.data, other)
    again.show(first)
    assert np.array_equal(again.mask.data, mask)
    assert not again.asks


@pytest.mark.parametrize("answer", ["restore", "discard"])
def test_after_a_kill_it_asks_and_does_as_it_is_told(
    room: Any, open_room: Callable[[], Any], folder: Path, answer: str
) -> None:
    key, predicted = room.item.key, room.predicted
    mask = room.stroke((5, 5))
    room.kill()
    again = open_room()
    again.wait(lambda: again.asks)
    assert again.says("1 unsaved edit on scan_1")
    again.open(folder)
    assert again.item.key == key
    assert np.array_equal(again.mask.data, predicted)
    again.widget.recovery.answer(answer)
    expected = mask if answer == "restore" else predicted
    again.wait(lambda: np.array_equal(again.mask.data, expected))
    assert not again.asks
    if answer == "restore":
        again.mask.undo()
        assert np.array_equal(again.mask.data, predicted)
        again.mask.redo()
    again.close()
    third = open_room()
    third.open(folder)
    third.show(key)
    assert not third.asks
    assert np.array_equal(third.mask.data, expected)


def test_restore_without_a_folder_opens_the_folder(room: Any, open_room: Callable[[], Any]) -> None:
    mask = room.stroke((5, 5))
    room.kill()
    again = open_room()
    again.wait(lambda: again.asks)
    again.widget.recovery.answer("restore")
    again.wait(lambda: again.widget.shown is not None and np.array_equal(again.mask.data, mask))


def test_show_both_puts_the_old_mask_beside_and_asks_again(
    room: Any, open_room: Callable[[], Any], folder: Path
) -> None:
    mask = room.stroke((5, 5))
    room.kill()
    again = open_room()
    again.open(folder)
    again.wait(lambda: again.asks)
    again.widget.recovery.answer("both")
    again.wait(lambda: again.shown.beside is not None)
    assert np.array_equal(again.shown.beside.data, mask)
    assert again.asks
    again.widget.recovery.answer("restore")
    again.wait(lambda: np.array_equal(again.mask.data, mask))
    assert len(again.viewer.layers) == 2


@pytest.mark.parametrize(
    ("label", "stays"), [("keep my edits", True), ("fill empty areas", True), ("replace the mask", False)]
)
def test_a_new_prediction_obeys_the_mode_and_is_one_undo_step(room: Any, label: str, stays: bool) -> None:
    mask = room.stroke((2, 2))
    room.wait(lambda: room.item.state == "corrected")
    choose(room.field("New results"), label)
    room.segmenter.bonus = 60  # the other prediction
    room.widget.prefetch.run_again()
    look = room.widget.prefetch.prediction
    room.wait(lambda: look(room.item.key) is not None)
    after = room.mask.data.copy()
    assert not np.array_equal(after, mask)
    assert (after[2, 2] == 1) == stays
    room.mask.undo()
    assert np.array_equal(room.mask.data, mask)


def test_a_layer_that_a_person_removes_loses_no_stroke(room: Any) -> None:
    key, mask = room.item.key, room.stroke((5, 5))
    room.viewer.layers.remove(room.mask)
    assert room.widget.shown is None
    assert [layer.visible for layer in room.viewer.layers] == [False]
    room.show(key)
    assert np.array_equal(room.mask.data, mask)


def test_a_file_that_cannot_be_read_says_so_and_the_next_one_opens(open_room: Callable[[], Any], folder: Path) -> None:
    (folder / "scan_0.png").write_bytes(b"no picture")
    room = open_room()
    room.widget.lists.open_folder(folder)
    room.wait(lambda: "scan_0" in room.panel.status)
    room.next()
    assert room.item.name in {f"scan_{number}" for number in range(1, 6)}


def test_the_tools_work_on_the_mask_on_screen(room: Any) -> None:
    room.panel.action.emit("next_uncertain")
    assert "spot" in room.panel.status
    room.button("Changes").click()
    assert room.widget.tools.changes.shown
    room.button("Uncertainty").click()
    assert room.widget.tools.uncertainty.shown
    room.next()
    assert room.widget.tools.changes.mask is room.mask  # they follow
    before = room.mask.data.copy()
    room.field("Threshold").setValue(90)
    assert not np.array_equal(room.mask.data, before)
    room.widget.tools.settle()
    room.mask.undo()
    assert np.array_equal(room.mask.data, before)


def test_a_stack_is_reviewed_whole_and_kept_plane_by_plane(open_room: Callable[[], Any], tmp_path: Path) -> None:
    pixels = np.full((3, 24, 32), 20, np.uint8)
    pixels[:, 8:16, 10:20] = 200
    pixels[1] += 3  # no two planes alike, or they were one correction
    pixels[2] += 6
    (tmp_path / "loops").mkdir()
    tifffile.imwrite(tmp_path / "loops" / "loop.tif", pixels, photometric="minisblack", metadata={"axes": "TYX"})
    room = open_room()
    room.open(tmp_path / "loops")
    assert room.mask.data.shape == pixels.shape
    assert (room.mask.data == (pixels > 128)).all()
    room.mask.data_setitem((np.array([1]), np.array([2]), np.array([3])), 1)
    mask = np.array(room.mask.data)
    room.widget.approvals.approve()
    room.wait(lambda: not room.widget.busy)
    assert [kept.plane for kept in CorrectionStore().corrections()] == [(0,), (1,), (2,)]
    room.close()
    again = open_room()
    again.open(tmp_path / "loops")
    assert again.shown.approved
    assert np.array_equal(again.mask.data, mask)


def test_after_so_many_approvals_the_model_learns(
    viewer: Any, qtbot: Any, tmp_data_home: Path, scans: Callable[..., Path]
) -> None:
    import torch

    from napari_wavegms.model.checkpoint import save_checkpoint
    from napari_wavegms.model.network import WaveGMS

    torch.manual_seed(0)
    card = ModelCard("small", preprocessing={"size": 16, "aspect": "squash", "percentiles": [0.1, 99.9]})
    save_checkpoint(tmp_data_home / "models" / "small.safetensors", WaveGMS(), card)
    still = Augmentation(flips_and_turns=False, jitter_probability=0, warp_probability=0)
    config = TrainConfig(
        trained="mapper", epochs=1, batch=4, precision="float32", augmentation=still, alignment_weight=0
    )
    widget = ReviewWidget(viewer, cache=SegmenterCache(), preset=Preset("quick", "Quick", 1.0, "", config))
    viewer.window.add_dock_widget(widget)
    combo = widget.panel.model_row.combo
    combo.setCurrentIndex([choice.name for choice in combo.values].index("small"))
    widget.prefetch.use_model()
    widget.panel.findChild(QCheckBox).setChecked(True)
    (every,) = (box for box in widget.panel.findChildren(QSpinBox) if box.accessibleName() == "Approvals")
    every.setValue(2)
    widget.lists.open_folder(scans(3))
    for _ in range(2):
        assert not widget.approvals.is_training
        qtbot.waitUntil(lambda: widget.shown is not None and bool(widget.shown.memory.planes), timeout=60_000)
        widget.shown.mask.paint((12, 16), 1)
        widget.approvals.approve()
        qtbot.waitUntil(lambda: not widget.busy, timeout=60_000)
    assert widget.approvals.is_training
    qtbot.waitUntil(lambda: not widget.approvals.is_training, timeout=60_000)
    (version,) = ModelVersions().versions()
    assert version.name in " ".join(label.text() for label in widget.panel.findChildren(QLabel))
    # On one test image nobody can tell, so that a person compares and chooses.
    use, keep, compare = widget.panel.verdict.findChildren(QPushButton)
    assert (use.text(), keep.text(), compare.text()) == ("Use v1", "Keep small", "Compare")
    compare.click()
    qtbot.waitUntil(lambda: "test images: new" in viewer.layers, timeout=60_000)
    assert compare.text() == "Hide comparison"
    viewer.layers.remove("test images: new")
    compare.click()
    assert "test images" not in viewer.layers
    compare.click()
    qtbot.waitUntil(lambda: "test images: new" in viewer.layers, timeout=60_000)
    widget.lists.previous()
    qtbot.waitUntil(lambda: "test images" not in viewer.layers, timeout=60_000)
    assert compare.text() == "Compare"
    assert ModelVersions().current() is None
    use.click()
    assert [entry.version.name for entry in ModelVersions().listing() if entry.in_use] == ["v1"]
    assert not use.isVisibleTo(widget.panel)
    viewer.window.remove_dock_widget(widget)
    qtbot.waitUntil(lambda: QThreadPool.globalInstance().activeThreadCount() == 0, timeout=60_000)


def test_what_was_forgotten_elsewhere_is_no_longer_approved(room: Any) -> None:
    room.approve()
    room.approve()
    room.show(next(item.key for item in room.images.items() if item.name == "scan_1"))
    assert room.shown.approved
    for kept in CorrectionStore().corrections():
        forget(Journal(), CorrectionStore(), kept.image)
    QApplication.sendEvent(room.widget, QShowEvent())  # as its tab does
    assert not room.shown.approved
    assert room.mask.editable
    assert room.images.counts["approved"] == 0
    mask = room.stroke((3, 3))
    room.widget.journal.settle()
    assert room.widget.journal.writer.flush()
    assert np.array_equal(Journal().restore(room.shown.content), mask)
    assert room.state_of("scan_2") == "todo"


def test_the_end_of_a_list_says_where_the_masks_leave(room: Any) -> None:
    for _ in range(5):
        assert not room.says("Every image of this list is approved")
        room.approve()
    assert room.says("Every image of this list is approved. Export masks… is under Save, export.")
    assert room.button("Model tiny, retraining")
    assert room.says("✓ Approved and locked: scan_")
