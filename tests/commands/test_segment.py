"""`wavegms segment`: masks on disk, one for each image, whatever else is in the folder."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from napari_wavegms.files.mask_writer import write_mask
from napari_wavegms.files.reading import read_image, read_mask, read_mask_details
from napari_wavegms.segment.postprocess import split_objects
from napari_wavegms.segment.segmenter import Segmenter
from napari_wavegms.segment.uncertainty import BAND

Run = Callable[..., Any]
Folders = Callable[[int], tuple[Path, Path]]


@pytest.fixture
def segment(wavegms: Run, model: Path) -> Run:
    """Run `wavegms segment` with the tiny model."""

    def run(*arguments: object) -> Any:
        return wavegms("segment", *arguments, "--model", model, "--device", "cpu")

    return run


def test_each_image_of_a_folder_gets_the_mask_that_python_gives(
    segment: Run, folders: Folders, model: Path, tmp_path: Path
) -> None:
    images, _ = folders(2)
    said = segment(images, "--output", tmp_path / "out")
    assert said.code == 0
    segmenter = Segmenter.from_checkpoint(model, device="cpu")
    for number in range(2):
        written = tmp_path / "out" / f"scan{number}_mask.tiff"
        expected = segmenter.segment(read_image(images / f"scan{number}.png").pixels).mask
        np.testing.assert_array_equal(read_mask(written), expected)
        assert str(written) in said.out
    assert "Model tiny on the processor (chosen)." in said.err


def test_native_detail_is_what_python_gives_and_is_said_in_the_mask(
    segment: Run, folders: Folders, model: Path, tmp_path: Path
) -> None:
    images, _ = folders(1)
    assert segment(images, "--output", tmp_path / "out", "--detail", "native").code == 0
    written = read_mask_details(tmp_path / "out" / "scan0_mask.tiff")
    segmenter = Segmenter.from_checkpoint(model, device="cpu").with_detail("native")
    expected = segmenter.segment(read_image(images / "scan0.png").pixels).mask
    np.testing.assert_array_equal(written.labels, expected)
    assert written.provenance is not None
    assert written.provenance.detail == "native"


def test_an_ome_zarr_gets_labels_inside_and_keeps_those_it_has(segment: Run, model: Path, tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 255, (2, 40, 48)).astype(np.uint8)
    axes = [{"name": name, "type": "space"} for name in "zyx"]
    group = zarr.open_group(tmp_path / "scan.ome.zarr", mode="w")
    group.create_array("0", data=image)
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": [{"path": "0"}]}]}
    for detail in ("whole", "native"):
        assert segment(tmp_path / "scan.ome.zarr", "--detail", detail, "--label", detail).code == 0
        segmenter = Segmenter.from_checkpoint(model, device="cpu").with_detail(detail)  # type: ignore[arg-type]
        expected = np.stack([segmenter.segment(plane).mask for plane in image])
        np.testing.assert_array_equal(read_mask(tmp_path / "scan.ome.zarr" / "labels" / detail), expected)
    said = segment(tmp_path / "scan.ome.zarr", "--label", "whole", "--probability", "--format", "png")
    assert (said.code, "Kept 1 mask that exist" in said.err) == (0, True)
    assert "--format, --probability: without effect on OME-Zarr, which gets labels alone (scan.ome.zarr)." in said.err


def test_other_images_need_a_folder_for_their_masks(segment: Run, folders: Folders) -> None:
    said = segment(folders(1)[0], "--label", "cells")
    assert said.code == 2
    assert "--label: without effect, as no input is an OME-Zarr." in said.err
    assert "needs --output, the folder for the mask of scan0.png" in said.err


def test_provenance_and_spacing_ride_along(segment: Run, tmp_path: Path) -> None:
    plane = np.zeros((20, 30), np.uint8)
    tifffile.imwrite(tmp_path / "scan.tif", plane, resolution=(200, 100), resolutionunit="CENTIMETER")
    assert segment(tmp_path / "scan.tif", "--output", tmp_path, "--threshold", "0.3").code == 0
    mask = read_mask_details(tmp_path / "scan_mask.tiff")
    assert mask.spacing is not None
    assert mask.spacing.in_unit("mm").size == pytest.approx((0.1, 0.05))
    assert mask.provenance is not None
    assert (mask.provenance.model, mask.provenance.threshold, mask.provenance.source) == ("tiny", 0.3, "scan.tif")


def test_png_masks_are_indexed(segment: Run, folders: Folders, tmp_path: Path) -> None:
    images, _ = folders(1)
    assert segment(images, "--output", tmp_path, "--format", "png").code == 0
    with Image.open(tmp_path / "scan0_mask.png") as mask:
        assert mask.mode == "P"
        assert mask.size == (48, 40)


def test_the_probability_reaches_the_threshold_where_the_mask_is(
    segment: Run, folders: Folders, tmp_path: Path
) -> None:
    images, _ = folders(1)
    assert segment(images, "--output", tmp_path, "--probability", "--threshold", "0.4").code == 0
    probability = tifffile.imread(tmp_path / "scan0_probability.tiff")
    assert probability.dtype == np.float32
    np.testing.assert_array_equal(read_mask(tmp_path / "scan0_mask.tiff") > 0, probability >= 0.4)


def test_the_uncertainty_is_zero_where_the_model_is_sure_and_one_at_the_threshold(
    segment: Run, folders: Folders, tmp_path: Path
) -> None:
    images, _ = folders(1)
    said = segment(images, "--output", tmp_path, "--probability", "--uncertainty", "--threshold", "0.4", "--json")
    assert said.code == 0
    written = tmp_path / "scan0_uncertainty.tiff"
    assert json.loads(said.out)["images"][0]["uncertainty"] == str(written)
    doubt, probability = tifffile.imread(written), tifffile.imread(tmp_path / "scan0_probability.tiff")
    assert doubt.dtype == np.float32
    expected = np.where(probability >= 0.4, (1 - probability) / 0.6, probability / 0.4)
    np.testing.assert_allclose(doubt, np.where(expected < BAND, 0, expected), atol=1e-6)


def test_maps_that_lie_beside_an_image_are_no_images(segment: Run, tmp_path: Path) -> None:
    for name in ("scan.tiff", "scan_uncertainty.tiff", "scan_probability.tiff"):
        tifffile.imwrite(tmp_path / name, np.zeros((20, 20), np.uint8))
    said = segment(tmp_path, "--output", tmp_path, "--uncertainty")
    assert said.code == 0
    assert "Left out scan_probability.tiff, scan_uncertainty.tiff, because they are masks by name." in said.err
    assert sorted(path.name for path in tmp_path.glob("*_mask*")) == ["scan_mask.tiff"]


def test_equal_names_from_two_folders_do_not_meet(segment: Run, tmp_path: Path) -> None:
    for name, shape in (("monday", (20, 20)), ("tuesday", (30, 20))):
        (tmp_path / name).mkdir()
        Image.fromarray(np.zeros(shape, np.uint8)).save(tmp_path / name / "scan.png")
    assert segment(tmp_path / "monday", tmp_path / "tuesday" / "scan.png", "--output", tmp_path / "out").code == 0
    assert read_mask(tmp_path / "out" / "monday_scan_mask.tiff").shape == (20, 20)
    assert read_mask(tmp_path / "out" / "tuesday_scan_mask.tiff").shape == (30, 20)


def test_a_stack_becomes_one_stack_of_the_masks_of_its_planes(segment: Run, model: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    stack = rng.integers(0, 4000, (3, 24, 28), np.uint16)
    tifffile.imwrite(tmp_path / "cine.tif", stack, imagej=True, metadata={"axes": "TYX"})
    said = segment(tmp_path / "cine.tif", "--output", tmp_path)
    assert said.code == 0
    assert "3 planes" in said.out
    mask = read_mask_details(tmp_path / "cine_mask.tiff")
    assert mask.axes == "TYX"
    segmenter = Segmenter.from_checkpoint(model, device="cpu")
    np.testing.assert_array_equal(mask.labels, np.stack([segmenter.segment(plane).mask for plane in stack]))


def test_a_volume_keeps_its_three_spacings_as_tiff(segment: Run, tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel", reason="NIfTI is read with nibabel")
    volume = nibabel.Nifti1Image(np.zeros((24, 20, 2), np.int16), np.diag([0.5, 0.6, 2.0, 1.0]))
    nibabel.save(volume, tmp_path / "brain.nii.gz")
    assert segment(tmp_path / "brain.nii.gz", "--output", tmp_path, "--format", "tiff").code == 0
    mask = read_mask_details(tmp_path / "brain_mask.tiff")
    assert mask.labels.shape == (2, 20, 24)
    assert mask.spacing is not None
    assert mask.spacing.in_unit("mm").size == pytest.approx((2.0, 0.6, 0.5))


def test_a_stack_does_not_fit_a_png(segment: Run, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "cine.tif", np.zeros((3, 24, 28), np.uint8), photometric="minisblack")
    said = segment(tmp_path / "cine.tif", "--output", tmp_path, "--format", "png")
    assert said.code == 2
    assert "but a PNG holds one plane. Use --format tiff." in said.err


def test_channels_are_chosen_by_name(segment: Run, tmp_path: Path) -> None:
    stack = np.random.default_rng(0).integers(0, 255, (2, 24, 28)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "cells.tif", stack, imagej=True, metadata={"axes": "CYX"})
    said = segment(tmp_path / "cells.tif", "--output", tmp_path)
    assert said.code == 2
    assert "cells.tif: This image has 2 channels" in said.err
    assert "Choose one with --channel" in said.err
    assert segment(tmp_path / "cells.tif", "--output", tmp_path, "--channel", "1").code == 0
    assert read_mask(tmp_path / "cells_mask.tiff").shape == (24, 28)


def test_a_broken_file_among_many_is_reported_and_the_rest_is_done(
    segment: Run, folders: Folders, tmp_path: Path
) -> None:
    images, _ = folders(2)
    (images / "scan1.png").write_bytes((images / "scan0.png").read_bytes()[:200])
    said = segment(images, "--output", tmp_path / "out")
    assert said.code == 1
    assert "scan1.png is damaged or cut short" in said.err
    assert "1 mask in" in said.err
    assert "1 file could not be segmented" in said.err
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["scan0_mask.tiff"]


def test_nothing_but_broken_files_is_bad_input(segment: Run, tmp_path: Path) -> None:
    (tmp_path / "scan.png").write_text("no picture")
    said = segment(tmp_path / "scan.png", "--output", tmp_path)
    assert said.code == 2
    assert "scan.png is not an image of a known format" in said.err


def test_a_missing_input_stops_before_any_work(segment: Run, folders: Folders, tmp_path: Path) -> None:
    images, _ = folders(1)
    said = segment(images, tmp_path / "no.png", "--output", tmp_path / "out")
    assert said.code == 2
    assert "no.png. Check the spelling" in said.err
    assert not (tmp_path / "out").exists()


def test_an_input_is_never_overwritten(segment: Run, folders: Folders) -> None:
    images, masks = folders(1)
    kept = masks / "scan0_mask.png"
    (masks / "scan0.png").rename(kept)
    before = kept.read_bytes()
    said = segment(images, kept, "--output", masks, "--format", "png", "--overwrite")
    assert said.code == 2
    assert "scan0_mask.png is one of the inputs and would be overwritten" in said.err
    assert kept.read_bytes() == before


def test_a_second_run_keeps_the_masks_unless_told_otherwise(segment: Run, folders: Folders, tmp_path: Path) -> None:
    images, _ = folders(2)
    out = tmp_path / "out"
    assert segment(images / "scan0.png", "--output", out).code == 0
    corrected = write_mask(out / "scan0_mask.tiff", np.eye(40, 48, dtype=np.uint8)).read_bytes()
    said = segment(images, "--output", out)
    assert said.code == 0
    assert "Kept 1 mask that exist already: scan0_mask.tiff. Replace them with --overwrite." in said.err
    assert (out / "scan0_mask.tiff").read_bytes() == corrected
    assert (out / "scan1_mask.tiff").exists()
    assert json.loads(segment(images, "--output", out, "--json").out)["kept"] == [
        str(out / "scan0_mask.tiff"),
        str(out / "scan1_mask.tiff"),
    ]
    assert segment(images, "--output", out, "--overwrite").code == 0
    assert (out / "scan0_mask.tiff").read_bytes() != corrected
    assert len(list(out.iterdir())) == 2


def test_a_channel_that_does_not_apply_is_said(segment: Run, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pages = rng.integers(0, 255, (5, 20, 24), np.uint8)
    tifffile.imwrite(tmp_path / "pages.tif", pages, photometric="minisblack", metadata=None)
    Image.fromarray(pages[0]).save(tmp_path / "grey.png")
    Image.fromarray(np.moveaxis(pages[:3], 0, -1)).save(tmp_path / "rgb.png")
    said = segment(tmp_path, "--channel", 2, "--output", tmp_path / "out")
    assert said.code == 0
    assert "--channel 2 does not apply to grey.png, an image without channels." in said.err
    assert "--channel 2 does not apply to rgb.png, a colour image, which is read as a whole." in said.err
    assert "pages.tif" not in said.err
    assert read_mask(tmp_path / "out" / "pages_mask.tiff").shape == (20, 24)
    Image.fromarray(pages[2]).save(tmp_path / "third.png")
    segment(tmp_path / "third.png", "--output", tmp_path / "out")
    np.testing.assert_array_equal(
        read_mask(tmp_path / "out" / "pages_mask.tiff"), read_mask(tmp_path / "out" / "third_mask.tiff")
    )
    outside = segment(tmp_path / "pages.tif", "--channel", 7, "--output", tmp_path / "no")
    assert "Channel 7 was chosen; this image has 5 channels" in outside.err


def test_what_is_left_out_of_folders_and_files_is_said(segment: Run, tmp_path: Path) -> None:
    grey = np.zeros((20, 20), np.uint8)
    for name in ("mixed", "empty", "mixed/patient"):
        (tmp_path / name).mkdir()
    for name in ("mixed/a.png", "mixed/b.webp", "mixed/patient/c.png"):
        Image.fromarray(grey).save(tmp_path / name)
    with tifffile.TiffWriter(tmp_path / "mixed" / "d.tif") as file:
        file.write(grey, photometric="minisblack", metadata=None)
        file.write(grey[:9], photometric="minisblack", metadata=None)
    said = segment(tmp_path / "mixed", tmp_path / "empty", "--output", tmp_path / "out")
    assert said.code == 0
    for part in ("b.webp", "patient", "--recursive", "no image in", "Of d.tif, 1 more picture (9 x 20)"):
        assert part in said.err
    assert segment(tmp_path / "mixed", "--recursive", "--output", tmp_path / "all").code == 0
    assert len(list((tmp_path / "all").iterdir())) == 3


def test_the_mask_of_a_volume_lies_on_it(segment: Run, tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel", reason="nibabel is optional")
    affine = np.array([[0, -0.3, 0, 5], [-0.4, 0, 0, 6], [0, 0, 2.0, 7], [0, 0, 0, 1]])
    voxels = np.random.default_rng(0).integers(0, 99, (24, 20, 3)).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(voxels, affine), tmp_path / "v.nii.gz")
    assert segment(tmp_path / "v.nii.gz", "--output", tmp_path, "--probability").code == 0
    for name in ("v_mask.nii.gz", "v_probability.nii.gz"):
        written = nibabel.load(tmp_path / name)
        assert written.shape == voxels.shape
        np.testing.assert_allclose(written.affine, affine)
    details = read_mask_details(tmp_path / "v_mask.nii.gz")
    mask = np.asarray(nibabel.load(tmp_path / "v_mask.nii.gz").dataobj)
    # i goes to the back, j to the left, k to the head.
    np.testing.assert_array_equal(details.labels, np.moveaxis(mask, (0, 1, 2), (1, 2, 0)))
    assert details.provenance is not None
    assert details.provenance.source == "v.nii.gz"
    assert details.spacing == read_image(tmp_path / "v.nii.gz").spacing


def test_bad_volumes_are_named_and_the_rest_is_done(segment: Run, tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel", reason="nibabel is optional")
    sitk = pytest.importorskip("SimpleITK", reason="SimpleITK is optional")
    voxels = np.random.default_rng(0).integers(0, 99, (12, 10, 2)).astype(np.int16)
    tilted = np.eye(4)
    tilted[0, 2] = 0.5
    scans = tmp_path / "scans"
    scans.mkdir()
    nibabel.save(nibabel.Nifti1Image(voxels, tilted), scans / "tilted.nii.gz")
    nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), scans / "good.nii.gz")
    (scans / "half.nii.gz").write_bytes((scans / "good.nii.gz").read_bytes()[:-99])
    sitk.WriteImage(sitk.GetImageFromArray(voxels), str(scans / "good.mha"))
    said = segment(scans, "--output", tmp_path / "out")
    assert said.code == 1
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"good_nii_gz_mask.nii.gz", "good_mha_mask.nii.gz"}
    assert "tilted.nii.gz has axes that are 27° from right angles" in said.err
    assert re.search(r"half\.nii\.gz is .*cut short", said.err)
    written = sitk.ReadImage(str(tmp_path / "out" / "good_mha_mask.nii.gz"))
    assert written.GetDirection() == sitk.ReadImage(str(scans / "good.mha")).GetDirection()


@pytest.mark.parametrize("letters", [240, 250])
def test_long_names_are_written_or_called_long(segment: Run, tmp_path: Path, letters: int) -> None:
    Image.fromarray(np.zeros((20, 20), np.uint8)).save(tmp_path / f"{'x' * letters}.png")
    said = segment(tmp_path, "--output", tmp_path / "out")
    assert (said.code == 0) == (letters == 240)
    assert ("give it a shorter name" in said.err) == (letters == 250)


def test_memory_is_asked_before_an_image_is_read(segment: Run, tmp_path: Path) -> None:
    Image.new("L", (2000, 2000)).save(tmp_path / "a.png")
    said = segment(tmp_path, "--output", tmp_path / "out", "--max-memory", 0.001)
    assert (said.code, "needs about 0.0 GB" in said.err) == (2, True)
    assert segment(tmp_path, "--output", tmp_path / "out", "--max-memory", -1).code == 2


def test_a_name_cannot_speak_to_the_terminal(segment: Run, tmp_path: Path) -> None:
    (tmp_path / "\x1b[31mred.png").write_text("no picture")
    said = segment(tmp_path, "--output", tmp_path / "out")
    assert "\x1b" not in said.err
    assert "\\x1b[31mred.png" in said.err


def test_json_tells_everything_and_nothing_else(segment: Run, folders: Folders, tmp_path: Path) -> None:
    images, _ = folders(2)
    (images / "scan1.png").write_text("no picture")
    said = segment(images, "--output", tmp_path / "out", "--json")
    assert said.code == 1
    told = json.loads(said.out)
    (done,) = told["images"]
    assert (told["model"], told["device"], told["threshold"]) == ("tiny", "cpu", 0.5)
    assert done["mask"] == str(tmp_path / "out" / "scan0_mask.tiff")
    assert done["labelled"] == pytest.approx(read_mask(done["mask"]).mean())
    assert [failed["source"] for failed in told["failed"]] == [str(images / "scan1.png")]


def test_it_is_said_how_values_were_scaled(segment: Run, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "scan.tif", np.linspace(100, 900, 400).reshape(20, 20).astype(np.uint16))
    said = segment(tmp_path / "scan.tif", "--output", tmp_path)
    assert "shown as black to white" in said.out
    again = segment(tmp_path / "scan.tif", "--output", tmp_path, "--json", "--overwrite")
    low, high = json.loads(again.out)["images"][0]["intensity"]
    assert 100 <= low < 105
    assert 895 < high <= 900


def test_an_image_whose_pixels_are_all_alike_gets_an_empty_mask(segment: Run, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "blank.tif", np.full((2, 30, 40), 9, np.uint16), metadata={"axes": "TYX"})
    ran = segment(tmp_path / "blank.tif", "--output", tmp_path / "masks")
    assert ran.code == 0
    assert "nothing to segment, all pixels are alike; the mask is empty" in ran.out
    assert not tifffile.imread(tmp_path / "masks" / "blank_mask.tiff").any()


def test_wrong_models_and_weights_have_their_sentences(wavegms: Run, folders: Folders, model: Path) -> None:
    images, _ = folders(1)
    said = wavegms("segment", images, "--output", images, "--model", images / "scan0.png")
    assert said.code == 2
    assert "scan0.png" in said.err
    said = wavegms("segment", images, "--output", images, "--model", model, "--codec", "taesd")
    assert said.code == 2
    assert "allow their download" in said.err
    assert said.err.count("\n") == 1


def test_taesd_decodes_where_it_is_wished_for(segment: Run, folders: Folders, shared: Path, tmp_path: Path) -> None:
    images, _ = folders(1)
    said = segment(images, "--output", tmp_path, "--codec", "taesd", "--taesd", shared / "weights" / "taesd")
    assert said.code == 0
    assert read_mask(tmp_path / "scan0_mask.tiff").shape == (40, 48)


def test_objects_are_numbered_and_parted(segment: Run, folders: Folders, tmp_path: Path) -> None:
    images, _ = folders(1)
    assert segment(images, "--output", tmp_path / "classes").code == 0
    assert segment(images, "--output", tmp_path / "objects", "--objects").code == 0
    classes, objects = (read_mask_details(tmp_path / name / "scan0_mask.tiff") for name in ("classes", "objects"))
    np.testing.assert_array_equal(objects.labels, split_objects(classes.labels))
    count = int(objects.labels.max())
    assert count > 0
    assert objects.class_names == (("background", *["lesion"] * count) if count <= 100 else ())
