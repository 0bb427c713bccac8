"""`wavegms evaluate`: the table, the JSON that other programs rely on, and broken pairs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from napari_wavegms.commands.common.pictures import TILE, TRUTH_COLOR
from napari_wavegms.commands.evaluate import SHEET, sheet_sections
from napari_wavegms.learn.evaluate import ImageScored, evaluate
from napari_wavegms.learn.pairs import load_pairs

Run = Callable[..., Any]
Folders = Callable[[int], tuple[Path, Path]]


@pytest.fixture
def score(wavegms: Run, model: Path) -> Run:
    """Run `wavegms evaluate` with the tiny model."""

    def run(folders: tuple[Path, Path], *arguments: object) -> Any:
        images, masks = folders
        return wavegms(
            "evaluate", "--images", images, "--masks", masks, "--model", model, "--device", "cpu", *arguments
        )

    return run


def test_the_json_holds_what_python_measures(score: Run, folders: Folders, model: Path, tmp_path: Path) -> None:
    made = folders(3)
    said = score(made, "--json", tmp_path / "scores.json")
    assert said.code == 0
    told = json.loads((tmp_path / "scores.json").read_text(encoding="utf-8"))
    expected = evaluate(model, load_pairs(*made)).images
    assert told["n"] == 3
    assert [entry["name"] for entry in told["images"]] == ["scan0", "scan1", "scan2"]
    assert [entry["dsc"] for entry in told["images"]] == [scored.dsc for scored in expected]
    assert [entry["hd95"] for entry in told["images"]] == [scored.hd95 for scored in expected]
    for metric in ("dsc", "iou", "hd95"):
        assert told[metric] == pytest.approx(np.mean([entry[metric] for entry in told["images"]]))
    assert told["failed"] == []


def test_a_volume_is_scored_as_a_whole_in_mm_whatever_way_its_mask_is_stored(
    score: Run, wavegms: Run, model: Path, tmp_path: Path
) -> None:
    nibabel = pytest.importorskip("nibabel", reason="nibabel is optional")
    sitk = pytest.importorskip("SimpleITK", reason="SimpleITK is optional")
    rng = np.random.default_rng(0)
    image = nibabel.Nifti1Image(rng.integers(0, 255, (20, 16, 5)).astype(np.int16), np.diag([0.5, 0.7, 3, 1]))
    truth = nibabel.Nifti1Image((rng.random(image.shape) > 0.9).astype(np.uint8), image.affine)
    turned = nibabel.orientations.axcodes2ornt("PIR")
    folders = tmp_path / "images", tmp_path / "masks"
    for folder, volume in zip(folders, (image, truth.as_reoriented(turned)), strict=True):
        folder.mkdir()
        nibabel.save(volume, folder / "brain.nii.gz")
    shifted = nibabel.Nifti1Image(truth.dataobj, image.affine + np.eye(4)[:, [3, 3, 3, 0]] * [0, 0, 0, 9])
    nibabel.save(image, folders[0] / "moved.nii.gz")
    nibabel.save(shifted, folders[1] / "moved.nii.gz")
    said = score(folders, "--json", tmp_path / "scores.json", "--overlays", tmp_path)
    assert said.code == 1
    assert "moved.nii.gz lies 9 mm beside moved.nii.gz" in said.err
    assert "HD95 in mm" in said.out
    (told,) = json.loads((tmp_path / "scores.json").read_text(encoding="utf-8"))["images"]
    assert wavegms("segment", folders[0] / "brain.nii.gz", "--output", tmp_path, "--model", model).code == 0
    masks = [
        sitk.ReadImage(str(tmp_path / "brain_mask.nii.gz")),
        sitk.DICOMOrient(sitk.ReadImage(str(folders[1] / "brain.nii.gz")), "LPS"),
    ]
    masks[0] = sitk.DICOMOrient(masks[0], "LPS")
    overlap = sitk.LabelOverlapMeasuresImageFilter()
    overlap.Execute(*masks)
    assert told["dsc"] == pytest.approx(overlap.GetDiceCoefficient())
    surfaces = [_surface(sitk.GetArrayFromImage(mask)) * masks[0].GetSpacing()[::-1] for mask in masks]
    apart = np.linalg.norm(surfaces[0][:, None] - surfaces[1][None], axis=2)
    assert told["hd95"] == pytest.approx(np.percentile([*apart.min(0), *apart.min(1)], 95))
    assert told["hd95_unit"] == "mm"


def _surface(mask: Any) -> Any:
    """Voxels of a mask with a neighbour outside."""
    padded = np.pad(mask > 0, 1)
    around = [np.roll(padded, step, axis) for axis in range(3) for step in (1, -1)]
    return np.argwhere(padded & ~np.all(around, axis=0)) - 1


def test_the_table_has_a_row_for_each_image_and_their_mean(score: Run, folders: Folders) -> None:
    lines = score(folders(2)).out.splitlines()
    assert lines[0].split() == ["image", "DSC", "IoU", "HD95"]
    assert [line.split()[0] for line in lines[1:3]] == ["scan0", "scan1"]
    assert lines[3].startswith("mean of 2")
    first, second, mean = (float(line.split()[-3]) for line in lines[1:4])
    assert mean == pytest.approx((first + second) / 2, abs=2e-4)
    assert "tiny on 2 images, at 32 x 32 pixels and threshold 0.5" in lines[5]
    assert "So few images say little about others." in lines[5]


def test_an_empty_mask_has_no_distance_and_is_counted(score: Run, folders: Folders) -> None:
    images, masks = folders(2)
    Image.fromarray(np.zeros((40, 48), np.uint8)).save(masks / "scan0.png")
    told = json.loads(score((images, masks), "--json").out)
    assert told["images"][0]["hd95"] is None
    assert told["images"][0]["dsc"] == 0
    assert told["hd95_undefined"] == 1
    assert told["hd95"] == told["images"][1]["hd95"]
    assert "HD95 is undefined for 1 image: one of the two masks is empty." in score((images, masks)).out


def test_a_subset_of_a_split_is_scored_in_its_order(score: Run, folders: Folders, tmp_path: Path) -> None:
    made = folders(3)
    split = tmp_path / "split.json"
    split.write_text(json.dumps({"train": ["scan1"], "val": ["scan2", "scan0"], "none": [], "lost": ["scan9"]}))
    told = json.loads(score(made, "--split", split, "--subset", "val", "--json").out)
    assert [entry["name"] for entry in told["images"]] == ["scan2", "scan0"]
    assert told["subset"] == "val"


@pytest.mark.parametrize(
    ("subset", "complaint"),
    [
        (["--subset", "test"], "has no subset 'test'; it has train, val"),
        (["--subset", "lost"], "names 1 pair that the folders do not contain (scan9)"),
        (["--subset", "none"], "The 'none' list of split.json is empty"),
        ([], "--split needs --subset"),
    ],
)
def test_a_split_that_does_not_fit(
    score: Run, folders: Folders, tmp_path: Path, subset: list[str], complaint: str
) -> None:
    split = tmp_path / "split.json"
    split.write_text(json.dumps({"train": ["scan0"], "val": ["scan0"], "none": [], "lost": ["scan9"]}))
    said = score(folders(1), "--split", split, *subset)
    assert said.code == 2
    assert complaint in said.err
    assert not said.out


def test_a_broken_pair_is_reported_and_the_rest_is_scored(score: Run, folders: Folders) -> None:
    images, masks = folders(3)
    Image.fromarray(np.zeros((7, 7), np.uint8)).save(masks / "scan1.png")
    said = score((images, masks), "--json")
    assert said.code == 1
    told = json.loads(said.out)
    assert told["n"] == 2
    assert [failed["name"] for failed in told["failed"]] == ["scan1"]
    assert "they must cover the same pixels" in said.err


def test_nothing_but_broken_pairs_is_bad_input(score: Run, folders: Folders) -> None:
    images, masks = folders(1)
    (masks / "scan0.png").write_text("no picture")
    said = score((images, masks))
    assert said.code == 2
    assert "None of the 1 pair could be scored." in said.err


def test_who_has_no_partner_is_named(score: Run, folders: Folders) -> None:
    images, masks = folders(2)
    (masks / "scan1.png").rename(masks / "other.png")
    said = score((images, masks))
    assert said.code == 0
    assert "Skipped 1 image without a mask: scan1." in said.err
    assert "Skipped 1 mask without an image: other." in said.err


def test_scores_never_replace_an_input(score: Run, folders: Folders) -> None:
    images, masks = folders(1)
    said = score((images, masks), "--json", masks / "scan0.png")
    assert said.code == 2
    assert "would be overwritten. Choose another --json." in said.err


def test_the_contact_sheet_shows_all_where_they_are_few(score: Run, folders: Folders, tmp_path: Path) -> None:
    said = score(folders(3), "--overlays", tmp_path / "sheet", "--json")
    assert said.code == 0
    assert f"Contact sheet written to {tmp_path / 'sheet' / SHEET}." in said.err
    assert json.loads(said.out)["n"] == 3, "nothing but the scores on stdout"
    assert [path.name for path in (tmp_path / "sheet").iterdir()] == [SHEET]
    with Image.open(tmp_path / "sheet" / SHEET) as image:
        pixels = np.asarray(image)
    assert (pixels == TRUTH_COLOR).all(axis=-1).any()
    assert image.width >= 3 * TILE


def scored(count: int) -> list[ImageScored]:
    return [ImageScored(f"scan{n}", (n * 7 % count) / count, 0.0, None, n + 1, count) for n in range(count)]


def test_worst_median_and_best_are_chosen_by_dsc() -> None:
    sections = sheet_sections(scored(9), each=2)
    assert [heading for heading, _ in sections] == ["The 2 worst", "The 2 around the median", "The 2 best"]
    assert [[round(one.dsc * 9) for one in images] for _, images in sections] == [[0, 1], [3, 4], [7, 8]]


def test_no_image_is_on_the_sheet_twice() -> None:
    for count in range(1, 40):
        names = [one.name for _, images in sheet_sections(scored(count), each=3) for one in images]
        assert len(set(names)) == len(names) == min(count, 9)


def test_the_contact_sheet_never_replaces_an_input(score: Run, folders: Folders) -> None:
    images, masks = folders(1)
    for folder in (images, masks):
        (folder / "scan0.png").rename(folder / SHEET)
    before = (masks / SHEET).read_bytes()
    said = score((images, masks), "--overlays", masks)
    assert said.code == 2
    assert "would be overwritten. Choose another --overlays." in said.err
    assert (masks / SHEET).read_bytes() == before


def test_a_broken_pair_is_left_out_of_the_contact_sheet(score: Run, folders: Folders, tmp_path: Path) -> None:
    images, masks = folders(2)
    (masks / "scan1.png").write_text("no picture")
    assert score((images, masks), "--overlays", tmp_path / "sheet").code == 1
    assert (tmp_path / "sheet" / SHEET).is_file()


def test_masks_of_segment_and_masks_beside_images_are_taken_back(
    wavegms: Callable[..., Any], model: Path, folders: Callable[[int], tuple[Path, Path]], tmp_path: Path
) -> None:
    images, _ = folders(2)
    assert wavegms("segment", images, "--output", images, "--model", model).code == 0
    said = wavegms("evaluate", "--images", images, "--masks", images, "--model", model, "--json")
    assert said.code == 0
    assert [one["name"] for one in json.loads(said.out)["images"]] == ["scan0", "scan1"]


def test_a_split_from_windows_and_names_of_a_mac(
    wavegms: Callable[..., Any], model: Path, folders: Callable[[int], tuple[Path, Path]], tmp_path: Path
) -> None:
    images, masks = folders(2)
    (images / "scan0.png").rename(images / unicodedata.normalize("NFD", "Läsion.png"))
    (masks / "scan0.png").rename(masks / unicodedata.normalize("NFC", "Läsion.png"))
    split = tmp_path / "split.json"
    split.write_text(json.dumps({"val": ["La\u0308sion"]}), "utf-8-sig")
    arguments = ("--images", images, "--masks", masks, "--model", model, "--split", split, "--subset", "val")
    assert wavegms("evaluate", *arguments).code == 0
    for content in ("[" * 100_000, "\x00"):
        split.write_text(content)
        assert "split.json cannot be read as a split" in wavegms("evaluate", *arguments).err
    split.unlink()
    os.mkfifo(split)
    assert "split.json cannot be read as a split" in wavegms("evaluate", *arguments).err


def test_swapped_folders_are_recognised(
    wavegms: Callable[..., Any], model: Path, folders: Callable[[int], tuple[Path, Path]]
) -> None:
    images, masks = folders(2)
    said = wavegms("evaluate", "--images", masks, "--masks", images, "--model", model)
    assert said.code == 2
    assert "scan0.png has" in said.err
    assert "if the folders of images and masks are swapped, swap them" in said.err


def test_an_empty_argument_is_not_the_current_folder(wavegms: Callable[..., Any]) -> None:
    assert "--images is empty" in wavegms("evaluate", "--images", "", "--masks", "x").err
    assert "One of the inputs is empty" in wavegms("segment", "", "--output", "o").err


def test_closed_streams_stop_no_work(model: Path, folders: Callable[[int], tuple[Path, Path]], tmp_path: Path) -> None:
    images, _ = folders(2)
    command = (
        f'"{sys.executable}" -m napari_wavegms.cli segment "{images}" --output "{tmp_path / "o"}" --model "{model}"'
    )
    done = subprocess.run(["bash", "-c", f"{command} >&- 2>&-"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "o").iterdir())) == 2
