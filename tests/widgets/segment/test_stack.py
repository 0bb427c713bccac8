"""Wave-GMS Segment in a real viewer, on images with more than two axes."""

from __future__ import annotations

from pathlib import Path
from threading import Semaphore
from typing import Any

import numpy as np
import pytest
from qtpy.QtWidgets import QProgressBar

from napari_wavegms.corrections.store import CorrectionStore
from napari_wavegms.files.geometry import checked_geometry
from napari_wavegms.files.napari_writers import PROVENANCE_KEY
from napari_wavegms.widgets.finetune.pairs import Decisions, open_pairs


@pytest.fixture
def loop(disc: np.ndarray) -> np.ndarray:
    """Five frames of a disc that moves to the right, (5, 40, 60)."""
    return np.stack([np.roll(disc, 2 * frame, axis=1) for frame in range(5)])


def test_what_would_be_segmented_is_said_beforehand(desk: Any, loop: np.ndarray) -> None:
    desk.viewer.add_image(loop, name="loop", axis_labels=("t", "y", "x"))
    desk.viewer.dims.set_current_step(0, 2)
    assert desk.says("Segments frame 3 of 5 frames of 40 x 60")
    desk.every_frame()
    assert desk.says("Segments 5 frames of 40 x 60")
    desk.viewer.add_image(loop[0], name="flat")
    assert not desk.says("Segments")
    assert not desk.button("all").isVisibleTo(desk.panel)


def test_a_volume_has_slices_and_its_geometry_names_the_plane(desk: Any, loop: np.ndarray) -> None:
    geometry = checked_geometry(Path("scan.nii"), np.diag([1.0, 1, 3, 1]), (60, 40, 5), oriented=True)
    volume = desk.viewer.add_image(loop, name="scan", scale=(3, 1, 1), units="mm", metadata=geometry.metadata)
    desk.viewer.dims.set_point(0, 6)
    assert desk.says("Segments slice 3 of 5 slices of 40 x 60, axis 0 (axial).")
    desk.button("all").click()
    assert desk.says("Segments 5 slices of 40 x 60, axis 0 (axial), from slice 3 outwards.")
    desk.viewer.dims.order = (2, 0, 1)
    assert desk.says("The view is from another side (sagittal); press Ctrl+E to turn it.")
    desk.viewer.dims.order = (0, 1, 2)
    assert not desk.says("another side")
    desk.run()
    assert desk.panel.status.startswith("5 slices of scan segmented in")
    volume.metadata = {}
    volume.units = "pixel"
    desk.button("this").click()
    assert desk.says("Segments frame 3 of 5 frames of 40 x 60.")


def test_all_slices_come_into_the_3d_view_one_by_one(desk: Any, loop: np.ndarray, slow: Semaphore) -> None:
    desk.viewer.add_image(loop, name="loop")
    desk.every_frame()
    desk.viewer.dims.ndisplay = 3
    drawn: list[int] = []

    def watch(event: Any) -> None:
        event.value.events.set_data.connect(lambda: drawn.append(int(event.value.data.any(axis=(1, 2)).sum())))

    desk.viewer.layers.events.inserted.connect(watch)
    slow.release(5)
    desk.run()
    desk.viewer.layers.events.inserted.disconnect(watch)
    desk.viewer.dims.ndisplay = 2
    np.testing.assert_array_equal(desk.mask.data, loop == 200)
    assert {2, 3, 4, 5} <= set(drawn)


def test_this_frame_fills_one_plane_of_a_mask_for_all(desk: Any, loop: np.ndarray) -> None:
    desk.viewer.add_image(loop, name="loop", scale=(2, 1, 1), translate=(10, 0, 0))
    for frame in (3, 1):
        desk.viewer.dims.set_point(0, 10 + 2 * frame)
        desk.run()
    expected = (loop == 200).astype(np.uint8)
    expected[[0, 2, 4]] = 0
    np.testing.assert_array_equal(desk.mask.data, expected)
    assert desk.segmenter.calls == [(40, 60)] * 2
    desk.mask.undo()
    assert desk.mask.data[3].any()
    assert not desk.mask.data[1].any()


def test_all_frames_come_one_by_one_and_cancel_keeps_the_finished_ones(
    desk: Any, loop: np.ndarray, slow: Semaphore
) -> None:
    desk.viewer.add_image(loop, name="loop")
    desk.viewer.dims.set_current_step(0, 0)
    desk.every_frame()
    desk.widget.segment()
    slow.release(2)
    desk.wait_for(calls=2)
    assert [bool(plane.any()) for plane in desk.mask.data] == [True, True, False, False, False]
    assert desk.says("2 of 5 done")
    assert desk.panel.findChild(QProgressBar).value() == 2
    desk.panel.run_row.cancel_requested.emit()
    slow.release(3)
    desk.finish()
    assert desk.panel.status == "Cancelled after 2 of 5 frames of loop; the finished frames are kept."
    np.testing.assert_array_equal(desk.mask.data[:2], loop[:2] == 200)
    assert not desk.mask.data[2:].any()
    assert desk.mask.mode == "paint"


def test_the_frame_on_screen_comes_first_and_continue_goes_on_with_the_frames_left(
    desk: Any, loop: np.ndarray, slow: Semaphore
) -> None:
    desk.viewer.add_image(loop, name="loop")
    desk.every_frame()
    desk.viewer.dims.set_current_step(0, 3)
    desk.widget.segment()
    slow.release(2)
    desk.wait_for(calls=2)
    assert [bool(plane.any()) for plane in desk.mask.data] == [False, False, False, True, True]
    desk.button("Cancel").click()
    slow.release()
    desk.finish()
    assert desk.button("Continue: 3 frames left    Alt+G").isEnabled()
    assert desk.button("Start again").isVisibleTo(desk.panel)
    desk.mask.data_setitem((np.array([1]), np.array([0]), np.array([0])), 2)
    desk.button("this").click()
    assert desk.button("Segment    Alt+G")  # something else would be done
    desk.every_frame()
    desk.viewer.dims.set_current_step(0, 0)
    done = len(desk.segmenter.calls)
    desk.button("Continue").click()
    slow.release()
    desk.wait_for(calls=done + 1)
    assert desk.mask.data[2].any()  # frames are shown as they come, from the one on screen outwards
    assert desk.says("3 of 5 done")
    slow.release(2)
    desk.finish()
    assert len(desk.segmenter.calls) == done + 3
    expected = (loop == 200).astype(np.uint8)
    expected[1, 0, 0] = 2
    np.testing.assert_array_equal(desk.mask.data, expected)
    assert desk.panel.status.startswith("5 frames of loop segmented in")
    assert desk.button("Segment    Alt+G")
    assert not desk.button("Start again").isVisibleTo(desk.panel)


@pytest.mark.parametrize("reason", ["start again", "other pixels", "no mask"])
def test_a_run_that_was_stopped_can_begin_again(desk: Any, loop: np.ndarray, slow: Semaphore, reason: str) -> None:
    image = desk.viewer.add_image(loop, name="loop")
    desk.every_frame()
    desk.widget.segment()
    slow.release()
    desk.wait_for(calls=1)
    desk.widget.cancel()
    slow.release()
    desk.finish()
    assert desk.button("Continue: ")
    if reason == "other pixels":
        image.data = loop[::-1].copy()
    elif reason == "no mask":
        desk.viewer.layers.remove(desk.mask)
    done = len(desk.segmenter.calls)
    slow.release(5)
    desk.button("Start again" if reason == "start again" else "Segment").click()
    desk.finish()
    assert len(desk.segmenter.calls) == done + 5
    np.testing.assert_array_equal(desk.mask.data, image.data == 200)


def test_a_second_run_over_all_frames_is_one_undo_step(desk: Any, loop: np.ndarray) -> None:
    image = desk.viewer.add_image(loop, name="loop")
    desk.every_frame()
    desk.run()
    assert desk.panel.status.startswith("5 frames of loop segmented in")
    first = desk.mask.data.copy()
    image.data = loop[::-1].copy()
    desk.run()
    np.testing.assert_array_equal(desk.mask.data, first[::-1])
    desk.mask.undo()
    np.testing.assert_array_equal(desk.mask.data, first)


def test_cancelling_a_second_run_keeps_the_finished_frames_as_one_step(
    desk: Any, loop: np.ndarray, slow: Semaphore
) -> None:
    image = desk.viewer.add_image(loop, name="loop")
    desk.viewer.dims.set_current_step(0, 0)
    desk.every_frame()
    slow.release(5)
    desk.run()
    first = desk.mask.data.copy()
    image.data = loop[::-1].copy()
    desk.widget.segment()
    slow.release(2)
    desk.wait_for(calls=7)
    np.testing.assert_array_equal(desk.mask.data, first)
    desk.widget.cancel()
    slow.release(5)
    desk.finish()
    np.testing.assert_array_equal(desk.mask.data[:2], first[::-1][:2])
    np.testing.assert_array_equal(desk.mask.data[2:], first[2:])
    desk.mask.undo()
    np.testing.assert_array_equal(desk.mask.data, first)


def test_a_failure_in_the_middle_keeps_the_finished_frames(desk: Any, loop: np.ndarray, slow: Semaphore) -> None:
    desk.viewer.add_image(loop, name="loop")
    desk.viewer.dims.set_current_step(0, 0)
    desk.every_frame()
    desk.widget.segment()
    slow.release(2)
    desk.wait_for(calls=2)
    desk.segmenter.failure = RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")
    slow.release(3)
    desk.finish()
    assert "Out of memory" in desk.panel.status
    assert desk.panel.status.endswith("2 finished frames kept.")
    assert desk.mask.data[1].any()


def test_what_is_painted_in_a_frame_to_come_stays(desk: Any, loop: np.ndarray, slow: Semaphore) -> None:
    desk.viewer.add_image(loop, name="loop")
    desk.viewer.dims.set_current_step(0, 0)
    desk.every_frame()
    desk.widget.segment()
    slow.release()
    desk.wait_for(calls=1)
    desk.mask.data_setitem((np.array([3]), np.array([0]), np.array([0])), 2)
    slow.release(4)
    desk.finish()
    assert desk.mask.data[3, 0, 0] == 2
    assert desk.mask.data[3, 20, 36] == 1


def test_edits_in_other_frames_are_no_reason_to_ask(desk: Any, loop: np.ndarray) -> None:
    desk.viewer.add_image(loop, name="loop")
    desk.viewer.dims.set_current_step(0, 0)
    desk.run()
    desk.mask.data_setitem((np.array([0]), np.array([0]), np.array([0])), 2)
    desk.viewer.dims.set_current_step(0, 1)
    desk.run()
    assert desk.mask.data[0, 0, 0] == 2
    assert desk.mask.data[1].any()
    desk.viewer.dims.set_current_step(0, 0)
    desk.widget.segment()
    assert not desk.panel.question.isHidden()


def test_the_threshold_moves_the_frame_on_screen_and_settles_in_all(desk: Any, ramp: np.ndarray) -> None:
    desk.viewer.add_image(np.stack([ramp, ramp]), name="loop")
    desk.every_frame()
    desk.run()
    before = desk.mask.data.copy()
    desk.viewer.dims.set_current_step(0, 1)
    desk.panel.threshold_row.moved.emit(0.8)
    np.testing.assert_array_equal(desk.mask.data[1], ramp / 255 >= 0.8)
    np.testing.assert_array_equal(desk.mask.data[0], before[0])
    desk.panel.threshold_row.settled.emit(0.8)
    np.testing.assert_array_equal(desk.mask.data[0], ramp / 255 >= 0.8)
    desk.mask.undo()
    np.testing.assert_array_equal(desk.mask.data, before)


def test_a_labelled_channel_axis_is_left_out_of_the_mask(desk: Any, loop: np.ndarray) -> None:
    image = desk.viewer.add_image(loop, name="cells", axis_labels=("c", "y", "x"), scale=(1, 0.5, 0.5), units="um")
    desk.viewer.dims.set_current_step(0, 1)
    assert desk.says("Segments grey, uint8, 40 x 60, channel 2 of 5")
    desk.run()
    np.testing.assert_array_equal(desk.mask.data, loop[1] == 200)
    assert desk.mask.scale.tolist() == [0.5, 0.5]
    assert desk.mask.axis_labels == ("y", "x")
    assert desk.mask.units == image.units[1:]


def test_a_channel_can_be_chosen_where_no_label_tells(desk: Any, loop: np.ndarray) -> None:
    desk.viewer.add_image(loop, name="cells")
    assert desk.field("Channel").currentText() == "no channels"
    desk.choose("Channel", "4 of 5 on axis 0")
    assert desk.says("Segments grey, uint8, 40 x 60, channel 4 of 5")
    desk.run()
    np.testing.assert_array_equal(desk.mask.data, loop[3] == 200)


def test_trailing_channels_have_to_be_chosen(desk: Any, loop: np.ndarray) -> None:
    desk.viewer.add_image(np.moveaxis(loop, 0, -1)[..., :2], name="pair", rgb=False)
    assert not desk.panel.run_row.is_enabled
    assert "This image has 2 channels" in desk.field("Channel").toolTip()
    desk.choose("Channel", "2 of 2")
    assert desk.panel.run_row.is_enabled
    desk.run()
    np.testing.assert_array_equal(desk.mask.data, loop[1] == 200)


def test_a_lazy_stack_is_read_plane_by_plane(desk: Any, loop: np.ndarray) -> None:
    dask = pytest.importorskip("dask.array")
    desk.viewer.add_image(dask.from_array(loop, chunks=(1, 40, 60)), name="lazy", contrast_limits=(0, 255))
    desk.every_frame()
    desk.run()
    np.testing.assert_array_equal(desk.mask.data, loop == 200)


def test_the_same_value_is_the_same_grey_in_all_slices_of_the_chosen_range(desk: Any, loop: np.ndarray) -> None:
    volume = np.where(loop == 200, 40, -100).astype(np.int16)  # Hounsfield units
    volume[3, :2], volume[1, :, :30] = 300, -1000
    scan = desk.viewer.add_image(volume, name="scan")
    desk.every_frame()
    desk.button("Probability layer").click()
    inside = volume == 40
    for entry, expected in (
        ("CT soft-tissue, -150 to 250 HU", (40 + 150) / 400),
        ("of the whole volume", (40 + 1000) / 1300),
        ("as displayed", 0.5),
    ):
        desk.choose("Grey values", entry)
        scan.contrast_limits = (0, 80)
        desk.run()
        np.testing.assert_allclose(desk.viewer.layers["scan probability"].data[inside], expected, atol=1e-3)
    assert desk.mask.metadata[PROVENANCE_KEY]["window"] == (0, 80)
    (pair,) = open_pairs(desk.viewer, Decisions(), CorrectionStore())
    assert {drawn.approval().window for drawn in pair.drawn} == {(0, 80)}
    desk.viewer.add_image(volume.astype(np.uint16), name="photons")
    desk.choose("Grey values", "CT bone, -500 to 1300 HU")
    assert desk.says("photons has no value below 0, so it is hardly in Hounsfield units.")
    desk.viewer.add_image(loop, name="plain")
    assert not desk.field("Grey values").isVisibleTo(desk.panel)  # eight bits are used as they are


def test_colour_frames(desk: Any, loop: np.ndarray) -> None:
    desk.viewer.add_image(np.repeat(loop[..., None], 3, axis=-1), name="colour", axis_labels=("t", "y", "x"))
    desk.every_frame()
    assert desk.says("Segments 5 frames of 40 x 60, RGB")
    desk.run()
    np.testing.assert_array_equal(desk.mask.data, loop == 200)
    assert desk.segmenter.calls[0] == (40, 60, 3)


def test_the_mask_of_a_volume_is_saved_on_it_by_us_and_by_writers_that_know_an_affine(
    desk: Any, loop: np.ndarray, tmp_path: Path
) -> None:
    nibabel = pytest.importorskip("nibabel", reason="nibabel is optional")
    # Sagittal, of thick slices: i goes to the feet, j to the left, k to the front.
    affine = np.array([[0, -5, 0, 80], [0, 0, 0.7, -60], [-0.6, 0, 0, 90], [0, 0, 0, 1.0]])
    voxels = np.moveaxis(loop, (0, 1, 2), (1, 0, 2))
    nibabel.save(nibabel.Nifti1Image(voxels, affine), tmp_path / "spine.nii.gz")
    (image,) = desk.viewer.open(tmp_path / "spine.nii.gz", plugin="napari-wavegms")
    np.testing.assert_array_equal(image.data, loop[:, :, ::-1])  # its front is on the left
    np.testing.assert_allclose(image.scale, (5, 0.6, 0.7))
    np.testing.assert_allclose(image.translate, (-80, -90, 60 - 59 * 0.7))
    desk.every_frame()
    desk.run()
    assert desk.mask.data.any()
    desk.widget.save_mask(tmp_path / "spine_mask.nii.gz")
    desk.qtbot.waitUntil(lambda: desk.panel.status.startswith("Saved spine_mask.nii.gz"))
    saved = nibabel.load(tmp_path / "spine_mask.nii.gz")
    np.testing.assert_allclose(saved.affine, affine)
    np.testing.assert_array_equal(np.asarray(saved.dataobj), voxels == 200)
    metadata = desk.mask.metadata
    other = nibabel.as_closest_canonical(nibabel.Nifti1Image(desk.mask.data.T, metadata["affine"]))
    canonical = nibabel.as_closest_canonical(saved)
    np.testing.assert_allclose(other.affine, canonical.affine, atol=1e-5)
    np.testing.assert_array_equal(np.asarray(other.dataobj), np.asarray(canonical.dataobj))
