"""Finding files: order, hidden files, pairs, and what is told when nothing fits."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest

from napari_wavegms.errors import InputError
from napari_wavegms.files.discovery import find_images, left_out, stem_of
from napari_wavegms.files.pairing import PairPaths, Unpaired, masks_of, pair_by_stem, unpaired
from napari_wavegms.files.reading import KINDS


def touch(folder: Path, *names: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).touch()
    return folder


def test_a_folder_gives_its_images_in_natural_order(tmp_path: Path) -> None:
    touch(tmp_path, "scan10.png", "scan2.PNG", "Scan1.jpeg", "b.nii.gz", "a.tif", ".hidden.png", "notes.txt", "x.gz")
    (tmp_path / "folder.png").mkdir()
    names = [path.name for path in find_images(tmp_path)]
    assert names == ["a.tif", "b.nii.gz", "Scan1.jpeg", "scan2.PNG", "scan10.png"]


def test_files_come_as_given_and_once(tmp_path: Path) -> None:
    touch(tmp_path, "b.png", "a.png", "odd.dat")
    given = [tmp_path / "odd.dat", str(tmp_path / "b.png"), tmp_path]
    assert [path.name for path in find_images(given)] == ["odd.dat", "b.png", "a.png"]


def test_folders_within_are_left_alone(tmp_path: Path) -> None:
    touch(tmp_path, "a.png")
    touch(tmp_path / "within", "b.png")
    assert find_images(str(tmp_path)) == [tmp_path / "a.png"]


@pytest.mark.parametrize("name", ["masks", "labels"])
def test_a_folder_of_masks_beside_images_is_no_folder_of_images(tmp_path: Path, name: str) -> None:
    images = [touch(tmp_path / "images", "a.png") / "a.png", touch(tmp_path / "more", "b.png") / "b.png"]
    touch(tmp_path / name, "a.png")
    touch(tmp_path / "more" / name, "b.png")  # beside images
    assert find_images(tmp_path, recursive=True) == images
    assert find_images(tmp_path / name) == [tmp_path / name / "a.png"]
    touch(tmp_path / "alone")
    (alone,) = find_images(touch(tmp_path / "alone" / name, "c.png").parent, recursive=True)
    assert alone.name == "c.png"


def test_nothing_found_is_said(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"no image in .*\. Choose PNG, JPEG, BMP, TIFF, NIfTI, MHA, NRRD or DICOM files"
    ):
        find_images(touch(tmp_path, "notes.txt"))
    with pytest.raises(InputError, match="There is no image in nothing"):
        find_images([])
    with pytest.raises(InputError, match=r"no file or folder .*typo\.png\. Check the spelling"):
        find_images([tmp_path / "typo.png"])
    with pytest.raises(InputError, match=r"Cannot open .*\. Check its name"):
        find_images("long" * 200)
    with pytest.raises(InputError, match=r"One of the inputs is empty\. Give a file or a folder"):
        find_images("")
    with pytest.raises(InputError, match=r"^https://example\.org/scan\.png is a web address\. Download it"):
        find_images("https://example.org/scan.png")


def test_what_is_left_out_is_said(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "b.webp", "c.gif", "notes.txt", "a_mask.tif", ".old.png", "._a.png", ".DS_Store")
    touch(tmp_path / "empty")
    touch(tmp_path / "inner", "b.png")
    notes: list[str] = []
    assert find_images([tmp_path, tmp_path / "empty"], on_note=notes.append) == [tmp_path / "a.png"]
    touch(tmp_path / "masks", "a.png")  # used, by those who ask
    assert left_out(tmp_path) == [
        f"Left out of {tmp_path.name}: b.webp, c.gif. Wave-GMS reads {KINDS}.",
        f"Left out of {tmp_path.name}: .old.png, because it is hidden.",
        f"Left out of {tmp_path.name}: the images in inner. Choose that folder to use them.",
    ]
    said = "\n".join(notes)
    for part in (
        "b.webp, c.gif",
        ": .old.png, because it is hidden.",
        "the images in inner",
        "--recursive",
        f"no image in {tmp_path / 'empty'}",
        "a_mask.tif",
    ):
        assert part in said
    assert "notes.txt" not in said


def test_folders_within_are_opened_on_request(tmp_path: Path) -> None:
    touch(tmp_path, "a.png")
    touch(tmp_path / "patient", "b.png")
    (tmp_path / "patient" / "round").symlink_to(tmp_path)
    assert [path.name for path in find_images(tmp_path, recursive=True)] == ["a.png", "b.png"]


def test_wildcards_that_no_shell_expanded_are_expanded(tmp_path: Path) -> None:
    touch(tmp_path, "s10.png", "s2.png", "other.png", "odd[1].png")
    assert [path.name for path in find_images(f"{tmp_path}/s*.png")] == ["s2.png", "s10.png"]
    assert [path.name for path in find_images(f"{tmp_path}/odd[1].png")] == ["odd[1].png"]  # a name before a pattern


def test_masks_by_name_are_no_images(tmp_path: Path) -> None:
    touch(tmp_path, "scan.png", "scan_mask.tif", "scan_mask_1.png", "scan_probability.tiff", "scan_uncertainty.tiff")
    assert find_images(tmp_path) == [tmp_path / "scan.png"]
    assert find_images(f"{tmp_path}/*") == [tmp_path / "scan.png"]
    (tmp_path / "scan.png").unlink()
    with pytest.raises(InputError, match=r"no image in .*, only the mask scan_mask\.tif"):
        find_images(tmp_path)
    assert find_images(tmp_path / "scan_mask.tif") == [tmp_path / "scan_mask.tif"]  # whoever asks for it gets it


@pytest.mark.parametrize(
    "mask", ["a_gt.png", "a-seg.png", "a label.tif", "a.mask.png", "mask_a.png", "a_segmentation_2.png"]
)
def test_a_mask_beside_its_image_is_no_image_and_alone_may_be_one(tmp_path: Path, mask: str) -> None:
    image = touch(tmp_path, "a.png", mask) / "a.png"
    assert find_images(tmp_path) == find_images([image, tmp_path / mask]) == [image]
    assert [pair.masks for pair in pair_by_stem(tmp_path, tmp_path)] == [(tmp_path / mask,)]
    assert masks_of([image]) == {image: (tmp_path / mask,)}
    image.rename(tmp_path / "b.png")
    assert (tmp_path / mask in find_images(tmp_path)) == (mask != "a.mask.png")


def test_what_is_no_file_is_left_out_and_said(tmp_path: Path) -> None:
    touch(tmp_path, "a.png")
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "round.png").symlink_to("round.png")
    notes: list[str] = []
    assert find_images(tmp_path, on_note=notes.append) == [tmp_path / "a.png"]
    assert notes == [f"Left out of {tmp_path}: gone.png, round.png, because they are no files."]


@pytest.mark.parametrize(("name", "stem"), [("a.png", "a"), ("a.b.tif", "a.b"), ("v.NII.gz", "v"), ("plain", "plain")])
def test_stems(name: str, stem: str) -> None:
    assert stem_of(Path("folder") / name) == stem


def test_images_pair_with_masks_of_the_same_stem(tmp_path: Path) -> None:
    images = touch(tmp_path / "images", "a10.jpg", "a2.jpg", "alone.jpg")
    masks = touch(tmp_path / "masks", "a10.png", "a2.png", "stray.png")
    assert pair_by_stem(images, masks) == [
        PairPaths("a2", images / "a2.jpg", (masks / "a2.png",)),
        PairPaths("a10", images / "a10.jpg", (masks / "a10.png",)),
    ]
    assert unpaired(images, masks) == Unpaired(images=("alone",), masks=("stray",))
    touch(masks, "alone.webp")
    others = (f"Left out of {masks.name}: alone.webp. Wave-GMS reads {KINDS}.",)
    assert unpaired(images, masks) == Unpaired(("alone",), ("stray",), others)


def test_no_pair_at_all_shows_the_names(tmp_path: Path) -> None:
    images = touch(tmp_path / "images", "a.jpg", "b.jpg", "c.jpg", "d.jpg")
    masks = touch(tmp_path / "masks", "e_mask.png")
    with pytest.raises(InputError, match=r"the images are 'a', 'b', 'c', …, the masks are 'e_mask'\. Name each mask"):
        pair_by_stem(images, masks)
    assert unpaired(images, masks).masks == ("e_mask",)
    with pytest.raises(InputError, match="the masks are none"):
        pair_by_stem(images, touch(tmp_path / "empty"))
    with pytest.raises(InputError, match=r"There is no image in .*empty"):
        pair_by_stem(tmp_path / "empty", masks)


def test_images_and_masks_may_lie_in_one_folder(tmp_path: Path) -> None:
    folder = touch(tmp_path / "busi", "benign (1).png", "benign (1)_mask.png", "benign (1)_mask_1.png", "b.png")
    assert pair_by_stem(folder, folder) == [
        PairPaths(
            "benign (1)",
            folder / "benign (1).png",
            (folder / "benign (1)_mask.png", folder / "benign (1)_mask_1.png"),
        )
    ]
    assert unpaired(folder, folder) == Unpaired(images=("b",), masks=())
    with pytest.raises(InputError, match="the masks are none"):
        pair_by_stem(touch(tmp_path / "plain", "a.png"), tmp_path / "plain")


@pytest.mark.parametrize("mask", ["a_mask.tiff", "a-mask.png", "a_segmentation.png", "a_seg.nii.gz", "a_label.png"])
def test_the_usual_names_of_masks_are_paired(tmp_path: Path, mask: str) -> None:
    images, masks = touch(tmp_path / "images", "a.png", "a_b.png"), touch(tmp_path / "masks", mask)
    assert [(pair.name, pair.masks[0].name) for pair in pair_by_stem(images, masks)] == [("a", mask)]
    assert masks_of([images / "a.png", images / "a_b.png"]) == {images / "a.png": (masks / mask,)}


def test_masks_lie_beside_their_images_or_in_a_folder_of_their_own(tmp_path: Path) -> None:
    folder = touch(tmp_path / "scans", "a.png", "a.tif", "b.png", "b_mask.png", "b_mask_1.png", "b_probability.tiff")
    inner = touch(folder / "masks", "a.png", "b.png", "c.png")
    assert masks_of([folder / "a.png", folder / "b.png"]) == {
        folder / "a.png": (inner / "a.png",),
        folder / "b.png": (folder / "b_mask.png", folder / "b_mask_1.png"),
    }
    twice = touch(tmp_path / "twice", "a.png", "a_mask.tif", "a_mask.png")
    os.utime(twice / "a_mask.png", (1, 1))
    assert masks_of([twice / "a.png"]) == {twice / "a.png": (twice / "a_mask.tif",)}


def test_two_masks_of_one_image_are_ambiguous_unless_they_are_numbered(tmp_path: Path) -> None:
    images, masks = touch(tmp_path / "images", "a.png"), touch(tmp_path / "masks", "a_mask.tif", "a_mask.png")
    with pytest.raises(InputError, match=r"contains both a_mask\.png and a_mask\.tif\. Keep one"):
        pair_by_stem(images, masks)


def test_the_two_unicode_forms_of_a_name_are_one(tmp_path: Path) -> None:
    images = touch(tmp_path / "images", unicodedata.normalize("NFD", "Läsion.png"))
    masks = touch(tmp_path / "masks", unicodedata.normalize("NFC", "Läsion.png"))
    assert len(pair_by_stem(images, masks)) == 1
    assert unpaired(images, masks) == Unpaired((), ())


def test_two_files_of_one_stem_are_ambiguous(tmp_path: Path) -> None:
    images = touch(tmp_path / "images", "a.jpg", "a.png")
    with pytest.raises(InputError, match=r"contains both a\.jpg and a\.png\. Keep one"):
        pair_by_stem(images, images)


def test_a_missing_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"Cannot list the folder .*gone \(No such file or directory\)\. Choose the folder with"
    ):
        pair_by_stem(tmp_path / "gone", tmp_path)
