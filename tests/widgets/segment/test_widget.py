"""Wave-GMS Segment in a real viewer, on single images."""

from __future__ import annotations

from pathlib import Path
from threading import Semaphore
from typing import Any

import numpy as np
import pytest
import tifffile
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QLabel

from napari_wavegms.errors import CheckpointError, InputError
from napari_wavegms.files.napari_writers import PROVENANCE_KEY
from napari_wavegms.widgets.forms.clean_up import CleanUp


def shown_images(desk: Any) -> list[str]:
    return [desk.field("Image").itemText(row) for row in range(desk.field("Image").count())]


def choose_device(desk: Any, name: str) -> None:
    desk.field("Device").setCurrentText(name)
    desk.field("Device").activated.emit(desk.field("Device").currentIndex())


def test_an_empty_viewer_says_what_to_do(desk: Any) -> None:
    assert not desk.panel.run_row.is_enabled
    assert "Open one with File → Open" in desk.button("Segment").toolTip()
    desk.widget.segment()
    assert desk.panel.status.startswith("No image is open")


def test_segment_makes_an_editable_mask_and_hands_over_the_brush(desk: Any, disc: np.ndarray) -> None:
    desk.viewer.add_image(disc, name="lesion", scale=(0.2, 0.2), units="mm", translate=(3, 4))
    assert desk.says("40 x 60, grey, uint8, 0.2 mm/px")
    desk.run()
    mask = desk.mask
    np.testing.assert_array_equal(mask.data, disc == 200)
    assert mask.name == "lesion mask"
    assert (mask.mode, mask.selected_label) == ("paint", 1)
    assert desk.viewer.layers.selection.active is mask
    assert mask.scale.tolist() == [0.2, 0.2]
    assert mask.units == desk.viewer.layers["lesion"].units
    assert desk.panel.status.startswith(f"{(disc == 200).mean() * 100:.1f} % of lesion labelled in")
    assert desk.panel.status.endswith("on CPU.")
    assert desk.panel.device_row.findChild(QLabel).text() == "Running on the processor (no NVIDIA support installed)"


def test_rgb_and_multiscale_images_give_masks_of_full_size(desk: Any, disc: np.ndarray) -> None:
    desk.viewer.add_image(np.repeat(disc[..., None], 3, axis=2), name="colour")
    desk.run()
    assert desk.mask.data.shape == (40, 60)
    desk.viewer.add_image([disc, disc[::2, ::2]], name="pyramid", multiscale=True)
    desk.run()
    assert [mask.data.shape for mask in desk.masks] == [(40, 60), (40, 60)]


def test_tensors_are_images(desk: Any, disc: np.ndarray) -> None:
    import torch

    desk.viewer.add_image(torch.from_numpy(disc.astype(np.int16)), name="tensor")
    assert desk.says("40 x 60, grey, int16")
    desk.run()
    np.testing.assert_array_equal(desk.mask.data, disc == 200)


def test_a_second_press_updates_the_mask_as_one_undo_step(desk: Any, disc: np.ndarray) -> None:
    image = desk.viewer.add_image(disc, name="lesion")
    desk.run()
    first, layer = desk.mask.data.copy(), desk.mask
    image.data = 255 - disc
    desk.run()
    assert desk.masks == [layer]
    np.testing.assert_array_equal(layer.data, disc != 200)
    layer.undo()
    np.testing.assert_array_equal(layer.data, first)
    assert desk.segmenter.loads == 1


@pytest.mark.parametrize("keep", [True, False])
def test_edits_are_asked_about_and_kept_or_replaced(desk: Any, disc: np.ndarray, keep: bool) -> None:
    image = desk.viewer.add_image(disc, name="lesion")
    desk.run()
    desk.mask.data_setitem((np.array([1, 1]), np.array([1, 2])), 1)
    desk.mask.data_setitem((np.array([20]), np.array([30])), 0)
    drawn = desk.mask.data.copy()
    image.data = np.roll(disc, 5, axis=1)
    desk.widget.segment()
    assert not desk.widget.busy
    assert not desk.panel.question.isHidden()
    assert desk.says("You edited 3 pixels of “lesion mask”")
    desk.button("Keep my edits" if keep else "Replace").click()
    assert desk.panel.question.isHidden()
    desk.finish()
    expected = (np.roll(disc, 5, axis=1) == 200).astype(np.uint8)
    if keep:
        expected[1, 1:3], expected[20, 30] = 1, 0
        assert "Your 3 edited pixels were kept." in desk.panel.status
    np.testing.assert_array_equal(desk.mask.data, expected)
    desk.mask.undo()
    np.testing.assert_array_equal(desk.mask.data, drawn)


def test_what_is_painted_during_a_run_stays(desk: Any, disc: np.ndarray, slow: Semaphore) -> None:
    image = desk.viewer.add_image(disc, name="lesion")
    slow.release()
    desk.run()
    image.data = np.roll(disc, 5, axis=1)
    desk.widget.segment()
    desk.mask.data_setitem((np.array([1]), np.array([1])), 1)
    slow.release()
    desk.finish()
    assert desk.mask.data[1, 1] == 1
    assert desk.mask.data[20, 39] == 1


def test_layers_of_others_are_never_written_to(desk: Any, disc: np.ndarray) -> None:
    desk.viewer.add_image(disc, name="lesion")
    stranger = desk.viewer.add_labels(np.full((40, 60), 7), name="lesion mask")
    desk.run()
    assert (stranger.data == 7).all()
    ours = next(mask for mask in desk.masks if mask is not stranger)
    ours.name, stranger.name = "renamed", "lesion mask [1]"
    desk.viewer.layers.selection = [ours]
    desk.viewer.layers.duplicate_selected() if hasattr(desk.viewer.layers, "duplicate_selected") else None
    desk.run()
    assert (stranger.data == 7).all()
    np.testing.assert_array_equal(ours.data, disc == 200)


def test_the_threshold_moves_the_mask_without_the_network(desk: Any, ramp: np.ndarray) -> None:
    desk.viewer.add_image(ramp, name="ramp")
    desk.run()
    before = desk.mask.data.copy()
    desk.drag(0.6, 0.3, 0.8)
    np.testing.assert_array_equal(desk.mask.data, ramp / 255 >= 0.8)
    assert len(desk.segmenter.calls) == 1
    assert desk.panel.status.endswith("of the image labelled at threshold 0.80.")
    desk.mask.undo()
    np.testing.assert_array_equal(desk.mask.data, before)
    desk.qtbot.waitUntil(lambda: desk.panel.threshold_row.value == 0.5)


def test_keys_on_the_slider_settle_into_one_step_after_a_pause(desk: Any, ramp: np.ndarray) -> None:
    desk.viewer.add_image(ramp, name="ramp")
    desk.run()
    before = desk.mask.data.copy()
    slider = desk.slider
    with desk.qtbot.waitSignal(desk.panel.threshold_row.settled):
        for _ in range(5):
            slider.triggerAction(slider.SliderAction.SliderSingleStepAdd)
    assert desk.panel.threshold_row.value == 0.55
    np.testing.assert_array_equal(desk.mask.data, ramp / 255 >= 0.55)
    desk.mask.undo()
    np.testing.assert_array_equal(desk.mask.data, before)


def test_a_threshold_chosen_before_the_run_is_used(desk: Any, ramp: np.ndarray) -> None:
    desk.viewer.add_image(ramp, name="ramp")
    desk.drag(0.8)
    desk.run()
    np.testing.assert_array_equal(desk.mask.data, ramp / 255 >= 0.8)
    assert desk.mask.metadata[PROVENANCE_KEY]["threshold"] == 0.8


def test_a_model_brings_its_threshold(desk: Any, tmp_path: Path, make_model: Any) -> None:
    desk.panel.model_row.open_file(make_model(tmp_path / "strict.safetensors", threshold=0.35))
    assert desk.panel.threshold_row.value == 0.35


def test_clean_up_is_one_undo_step(desk: Any, disc: np.ndarray) -> None:
    disc[20, 30] = 0
    disc[1, 1] = 200
    desk.viewer.add_image(disc, name="lesion")
    desk.run()
    before = desk.mask.data.copy()
    desk.panel.clean_up_row.requested.emit(CleanUp("fill_holes"))
    assert desk.mask.data[20, 30] == 1
    desk.panel.clean_up_row.requested.emit(CleanUp("remove_islands", 50))
    assert desk.mask.data[1, 1] == 0
    assert desk.panel.status == "Remove islands below 50 px: 1 px removed. Press Ctrl+Z to undo."
    desk.mask.undo()
    desk.mask.undo()
    np.testing.assert_array_equal(desk.mask.data, before)


def test_the_probability_layer_comes_goes_and_is_no_image_to_segment(desk: Any, ramp: np.ndarray) -> None:
    desk.viewer.add_image(ramp, name="ramp", scale=(2, 2))
    desk.button("Probability").click()
    desk.run()
    probability = desk.viewer.layers["ramp probability"]
    np.testing.assert_allclose(probability.data, ramp / np.float32(255))
    assert probability.scale.tolist() == [2, 2]
    assert shown_images(desk) == ["ramp"]
    assert desk.viewer.layers.index(probability) > desk.viewer.layers.index(desk.mask)  # seen through nothing
    assert desk.viewer.layers.selection.active is desk.mask
    assert desk.panel.status.endswith("on CPU.")  # no layer of ours is taken for an image that somebody turned to
    desk.button("Probability").click()
    assert "ramp probability" not in desk.viewer.layers
    desk.button("Probability").click()
    desk.viewer.layers.remove("ramp probability")
    assert not desk.panel.wants_probability
    assert len(desk.segmenter.calls) == 1


def test_the_picker_follows_the_selection(desk: Any, disc: np.ndarray) -> None:
    first = desk.viewer.add_image(disc, name="first")
    desk.run()
    desk.viewer.add_image(disc, name="second")
    assert shown_images(desk) == ["second", "first"]
    assert desk.field("Image").currentText() == "second"
    assert desk.panel.status == ""
    desk.viewer.layers.selection.active = desk.mask
    assert desk.field("Image").currentText() == "first"
    first.name = "renamed"
    assert desk.field("Image").currentText() == "renamed"
    desk.viewer.layers.remove(first)
    assert shown_images(desk) == ["second"]


def test_the_image_can_be_chosen_in_the_panel(desk: Any, disc: np.ndarray) -> None:
    desk.viewer.add_image(disc, name="first")
    desk.viewer.add_image(255 - disc, name="second")
    desk.choose("Image", "first")
    desk.run()
    assert desk.mask.name == "first mask"


def test_a_mask_is_saved_with_spacing_and_provenance(desk: Any, disc: np.ndarray, tmp_path: Path) -> None:
    desk.viewer.add_image(disc, name="lesion", scale=(0.2, 0.2), units="mm", axis_labels=("y", "x"))
    desk.run()
    desk.widget.save_mask(tmp_path / "lesion_mask.tif")
    desk.qtbot.waitUntil(lambda: desk.panel.status.startswith("Saved lesion_mask.tif in"))
    with tifffile.TiffFile(tmp_path / "lesion_mask.tif") as file:
        np.testing.assert_array_equal(file.asarray(), disc == 200)
        description = file.pages[0].description
    assert '"model": "tiny' in description
    desk.widget.save_mask(tmp_path / "lesion_mask.bmp")
    desk.qtbot.waitUntil(lambda: "does not end in .tif, .tiff, .png" in desk.panel.status)


def test_a_mask_is_never_saved_over_an_open_image(desk: Any, disc: np.ndarray, tmp_path: Path) -> None:
    for name in ("scan.tif", "other.tif"):
        tifffile.imwrite(tmp_path / name, disc)
        desk.viewer.open(tmp_path / name, plugin="napari")
    (tmp_path / "alias.tif").symlink_to(tmp_path / "scan.tif")
    desk.run()
    for name, layer in (("other.tif", "other"), ("scan.tif", "scan"), ("alias.tif", "scan")):
        desk.widget.save_mask(tmp_path / name)
        sentence = f"{name} is the file of the open image {layer}. Choose another name for the mask."
        assert desk.panel.status == sentence
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "scan.tif"), disc)
    desk.widget.save_mask(tmp_path / f"{'n' * 300}.tif")
    desk.qtbot.waitUntil(lambda: desk.panel.status.endswith("give it a shorter name."))
    desk.widget.save_mask(tmp_path / "new.tif")
    desk.qtbot.waitUntil(lambda: desk.panel.status.startswith("Saved new.tif"))


def test_no_plane_of_a_stack_that_was_opened_as_a_folder_is_overwritten(
    desk: Any, disc: np.ndarray, tmp_path: Path
) -> None:
    for name in ("plane_1.tif", "plane_2.tif"):
        tifffile.imwrite(tmp_path / name, disc)
    desk.viewer.open(tmp_path, stack=True, plugin="napari")
    desk.run()
    desk.widget.save_mask(tmp_path / "plane_2.tif")
    assert desk.panel.status.startswith("plane_2.tif is the file of the open image")
    for _ in range(2):  # the second one replaces the first
        desk.widget.save_mask(tmp_path / "plane_mask.tif")
        desk.qtbot.waitUntil(lambda: desk.panel.status.startswith("Saved plane_mask.tif"))


def test_save_proposes_a_file_beside_the_image(desk: Any, disc: np.ndarray, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "scan.tif", disc)
    desk.viewer.open(tmp_path / "scan.tif", plugin="napari")
    desk.run()
    desk.button("Save mask").click()
    from napari_wavegms.widgets.tools.save_mask import SaveDialog

    (dialog,) = desk.widget.findChildren(SaveDialog)
    assert Path(dialog.selectedFiles()[0]) == tmp_path / "scan_mask.tif"
    dialog.fileSelected.emit(str(tmp_path / "other.png"))
    desk.qtbot.waitUntil(lambda: desk.panel.status.startswith("Saved other.png"))
    dialog.close()


# What is seen


def test_a_mask_is_bright_and_looks_as_the_last_one_was_made_to_look(desk: Any, disc: np.ndarray) -> None:
    desk.viewer.add_image(disc, name="first")
    desk.run()
    assert desk.mask.get_color(1)[:3] == pytest.approx((0, 0.9, 1), abs=0.005)  # of 255 steps
    assert not np.allclose(desk.mask.get_color(2), desk.mask.get_color(1))
    desk.mask.opacity, desk.mask.contour = 0.9, 3
    desk.viewer.add_image(disc, name="second")
    desk.run()
    second = desk.viewer.layers["second mask"]
    assert (second.opacity, second.contour) == (0.9, 3)
    second.opacity, second.contour = 0.4, 0  # for the tests to come


def test_a_key_and_a_button_show_and_hide_the_mask_whatever_is_selected(
    desk: Any, disc: np.ndarray, hand_over: Any
) -> None:
    image = desk.viewer.add_image(disc, name="lesion")
    desk.run()
    assert desk.button("Mask").text() == "Mask  Alt+Y"
    for active in (desk.mask, image, None):
        desk.viewer.layers.selection.active = active
        hand_over(desk.viewer).key("Alt+Y")
        assert not desk.mask.visible
        desk.button("Mask").click()
        assert desk.mask.visible


def test_the_uncertain_spot_is_ringed_above_the_mask(desk: Any) -> None:
    blurred = np.zeros((80, 90), np.uint8)
    blurred[20:40, 20:40] = 120
    desk.viewer.add_image(blurred, name="lesion", scale=(2, 2))
    desk.run()
    desk.button("Uncertain spot").click()
    ring = desk.viewer.layers["lesion uncertain spot"]
    assert desk.viewer.layers.index(ring) > desk.viewer.layers.index(desk.mask)
    assert ((ring.data >= 20) & (ring.data < 40)).all()
    assert ring.scale.tolist() == [2, 2]
    assert float(ring.size[0]) >= 12
    assert desk.viewer.layers.selection.active is desk.mask
    assert desk.panel.status.startswith("Uncertain spot 1 of")
    desk.viewer.window.remove_dock_widget(desk.widget)
    assert ring not in desk.viewer.layers


def test_the_status_goes_with_what_it_was_about(desk: Any, disc: np.ndarray) -> None:
    first = desk.viewer.add_image(disc, name="first")
    second = desk.viewer.add_image(disc, name="second")
    for what in (second, "mask", first):
        desk.viewer.layers.selection.active = second if second in desk.viewer.layers else first
        desk.run()
        assert desk.panel.status
        desk.viewer.layers.remove(desk.masks[-1] if what == "mask" else what)
        assert desk.panel.status == ""


def test_a_threshold_that_is_not_the_model_s_is_said_and_taken_back(desk: Any, ramp: np.ndarray) -> None:
    desk.viewer.add_image(ramp, name="ramp")
    back = desk.button("↺ 0.50")
    assert not back.isVisibleTo(desk.panel)
    desk.drag(0.8)
    desk.run()
    assert desk.panel.status.endswith("on CPU. The threshold is 0.80; the model's own is 0.50.")
    assert back.isVisibleTo(desk.panel)
    back.click()
    assert not back.isVisibleTo(desk.panel)
    np.testing.assert_array_equal(desk.mask.data, ramp / 255 >= 0.5)
    desk.run()
    assert desk.panel.status.endswith("on CPU.")


def test_an_image_whose_pixels_are_all_alike_has_nothing_to_segment(desk: Any) -> None:
    desk.viewer.add_image(np.full((40, 60), 200, np.uint8), name="blank")
    desk.run()
    assert not desk.mask.data.any()
    assert desk.panel.status == ("There is nothing to segment in blank: all its pixels are alike. The mask is empty.")


def test_escape_takes_the_question_about_edits_back(desk: Any, disc: np.ndarray) -> None:
    desk.viewer.add_image(disc, name="lesion")
    desk.run()
    desk.mask.data_setitem((np.array([1]), np.array([1])), 1)
    desk.widget.segment()
    desk.qtbot.keyClick(desk.button("Keep my edits"), Qt.Key.Key_Escape)
    assert desk.panel.question.isHidden()
    assert len(desk.segmenter.calls) == 1


# When something goes wrong


@pytest.mark.parametrize(
    ("failure", "sentence"),
    [
        (InputError("This image is all NaN; open another one."), "This image is all NaN"),
        (RuntimeError("shape mismatch"), "Unexpected error: shape mismatch"),
    ],
)
def test_a_failure_is_a_sentence_and_the_next_press_works(
    desk: Any, disc: np.ndarray, failure: Exception, sentence: str
) -> None:
    desk.viewer.add_image(disc, name="lesion")
    desk.segmenter.failure = failure
    desk.run()
    assert desk.panel.status.startswith(sentence)
    assert desk.masks == []
    copy = desk.button("Copy details")
    assert copy.isHidden() is isinstance(failure, InputError)
    if not copy.isHidden():
        copy.click()
        assert "RuntimeError: shape mismatch" in QApplication.clipboard().text()
    desk.segmenter.failure = None
    desk.run()
    assert desk.masks
    assert copy.isHidden()


def test_a_model_file_that_is_gone_is_marked_until_another_is_chosen(
    desk: Any, disc: np.ndarray, model_file: Path
) -> None:
    desk.segmenter.broken = CheckpointError("The model file does not exist. Choose a .safetensors file.")
    desk.viewer.add_image(disc, name="lesion")
    desk.run()
    assert "does not exist" in desk.panel.status
    assert not desk.panel.run_row.is_enabled
    assert "does not exist" in desk.panel.model_row.combo.toolTip()


def test_the_model_file_may_go_during_a_run(desk: Any, disc: np.ndarray, model_file: Path, slow: Semaphore) -> None:
    desk.viewer.add_image(disc, name="lesion")
    desk.widget.segment()
    desk.qtbot.waitUntil(lambda: desk.segmenter.loads == 1, timeout=30_000)
    model_file.unlink()
    slow.release()
    desk.finish()
    assert desk.mask.data.any()


def test_a_wish_for_a_device_that_is_not_there_is_marked(desk: Any, disc: np.ndarray) -> None:
    desk.viewer.add_image(disc, name="lesion")
    choose_device(desk, "mps")
    assert not desk.panel.run_row.is_enabled
    assert "this is not a Mac" in desk.panel.device_row.devices.toolTip()
    choose_device(desk, "auto")
    assert desk.panel.run_row.is_enabled
    assert desk.panel.device_row.devices.styleSheet() == ""


def test_a_foreign_model_file_is_refused_with_its_sentence(desk: Any, tmp_path: Path) -> None:
    (tmp_path / "foreign.safetensors").write_bytes(b"nonsense")
    desk.panel.model_row.open_file(tmp_path / "foreign.safetensors")
    assert "foreign.safetensors" in desk.panel.status
    assert desk.panel.model_row.choice.name == "tiny"


def test_without_a_model_the_panel_says_how_to_get_one(desk: Any, disc: np.ndarray, model_file: Path) -> None:
    model_file.unlink()
    desk.viewer.add_image(disc, name="lesion")
    desk.widget.refresh_models()
    if desk.panel.model_row.choice is not None:
        pytest.skip("models are shipped with this build")
    assert "Open a model file with the … button" in desk.button("Segment").toolTip()


@pytest.mark.parametrize("gone", ["image", "mask", "data"])
def test_an_answer_with_nowhere_to_go_is_dropped(desk: Any, disc: np.ndarray, slow: Semaphore, gone: str) -> None:
    image = desk.viewer.add_image(disc, name="lesion")
    slow.release()
    desk.run()
    desk.widget.segment()
    if gone == "data":
        image.data = disc[:20]
    else:
        desk.viewer.layers.remove(image if gone == "image" else desk.mask)
    slow.release()
    desk.finish()
    desk.let_threads_end()
    assert "so the result was discarded" in desk.panel.status
    assert len(desk.masks) == (0 if gone == "mask" else 1)


def test_a_second_press_during_a_run_is_refused_in_words(desk: Any, disc: np.ndarray, slow: Semaphore) -> None:
    desk.viewer.add_image(disc, name="lesion")
    desk.widget.segment()
    desk.widget.segment()
    assert desk.panel.status == "Wave-GMS is still segmenting. Wait for it, or press Cancel."
    slow.release(2)
    desk.finish()
    assert len(desk.segmenter.calls) == 1


def test_cancel_says_that_nothing_changed(desk: Any, disc: np.ndarray, slow: Semaphore) -> None:
    desk.viewer.add_image(disc, name="lesion")
    desk.widget.segment()
    desk.button("Cancel").click()
    assert not desk.button("Cancelling…").isEnabled()
    slow.release()
    desk.finish()
    assert desk.panel.status == "Cancelled. Nothing was changed."
    assert desk.masks == []


# Opening and closing


def test_a_closed_dock_stops_its_run_gives_back_its_key_and_can_be_opened_again(
    desk: Any, disc: np.ndarray, slow: Semaphore
) -> None:
    desk.viewer.add_image(disc, name="lesion")
    desk.widget.segment()
    assert any(str(key) == "Alt+G" for key in desk.viewer.keymap)
    desk.viewer.window.remove_dock_widget(desk.widget)
    assert not desk.widget.busy
    assert not any(str(key) == "Alt+G" for key in desk.viewer.keymap)
    desk.let_threads_end()
    desk.qtbot.wait(20)
    assert desk.masks == []
    desk.viewer.window.add_dock_widget(desk.widget, name="Wave-GMS Segment")
    desk.run()
    assert desk.mask.data.any()


def test_another_panel_knows_the_masks_of_the_first(desk: Any, disc: np.ndarray) -> None:
    from napari_wavegms.segment.segmenter_cache import SegmenterCache
    from napari_wavegms.widgets.segment.widget import SegmentWidget

    desk.viewer.add_image(disc, name="lesion")
    desk.run()
    desk.viewer.window.remove_dock_widget(desk.widget)
    desk.widget = SegmentWidget(desk.viewer, load=desk.segmenter.load, cache=SegmenterCache())
    desk.viewer.window.add_dock_widget(desk.widget, name="again")
    desk.drag(0.9)
    assert not desk.mask.data.any()
    desk.drag(0.05)
    desk.run()
    assert desk.mask.data.all()


def test_the_key_segments_from_image_and_mask_alike(desk: Any, disc: np.ndarray, hand_over: Any) -> None:
    assert "Alt+G" in desk.button("Segment").text()
    desk.viewer.add_image(disc, name="lesion")
    for runs in (1, 2):  # the mask is active the second time, with the brush in hand
        hand_over(desk.viewer).key("Alt+G")
        desk.finish()
        assert len(desk.segmenter.calls) == runs


def test_segment_in_the_pause_after_a_key_press_takes_nothing_for_an_edit(desk: Any, ramp: np.ndarray) -> None:
    desk.viewer.add_image(ramp, name="ramp")
    desk.run()
    slider = desk.slider
    slider.triggerAction(slider.SliderAction.SliderPageStepAdd)
    desk.run()
    np.testing.assert_array_equal(desk.mask.data, ramp / 255 >= 0.6)


def test_a_run_that_ends_under_a_dragged_slider_is_a_step_of_its_own(
    desk: Any, ramp: np.ndarray, slow: Semaphore
) -> None:
    desk.viewer.add_image(ramp, name="ramp")
    slow.release()
    desk.run()
    first = desk.mask.data.copy()
    desk.widget.segment()
    slider = desk.slider
    slider.setSliderDown(True)
    slider.setSliderPosition(80)
    slow.release()
    desk.finish()
    slider.setSliderPosition(30)
    slider.setSliderDown(False)
    np.testing.assert_array_equal(desk.mask.data, ramp / 255 >= 0.3)
    desk.mask.undo()
    np.testing.assert_array_equal(desk.mask.data, ramp / 255 >= 0.8)
    desk.mask.undo()
    np.testing.assert_array_equal(desk.mask.data, first)


def test_a_mask_follows_its_image_when_it_is_segmented_again(desk: Any, disc: np.ndarray) -> None:
    image = desk.viewer.add_image(disc, name="lesion")
    desk.run()
    image.scale, image.translate, image.units = (0.2, 0.3), (3, 4), ("mm", "mm")
    desk.run()
    np.testing.assert_array_equal(desk.mask.scale, image.scale)
    np.testing.assert_array_equal(desk.mask.translate, image.translate)
    assert desk.mask.units == image.units


def test_the_light_stands_beside_its_own_image_only(desk: Any, disc: np.ndarray) -> None:
    desk.viewer.add_image(disc, name="lesion")
    assert not desk.says("training images")
    desk.run()
    words = "Similarity to the training images is not known"  # the tiny model has no statistics
    desk.qtbot.waitUntil(lambda: desk.says(words), timeout=20_000)
    desk.viewer.add_image(disc.T.copy(), name="other")
    assert not desk.says(words)
    desk.choose("Image", "lesion")
    assert desk.says(words)
    desk.viewer.layers["lesion"].data = 255 - disc
    assert not desk.says(words)


def test_a_box_is_drawn_on_the_mask_and_cancelled_by_the_same_button(desk: Any, disc: np.ndarray) -> None:
    desk.viewer.add_image(disc, name="lesion")
    assert not desk.button("Box").isEnabled()
    desk.run()
    desk.viewer.layers.selection.active = desk.viewer.layers["lesion"]
    desk.button("Box").click()
    assert desk.says("Drag a box around the structure.")
    assert "Box" in desk.viewer.layers
    desk.button("Cancel box").click()
    assert desk.says("Box cancelled.")
    assert desk.viewer.layers.selection.active is desk.mask
