"""Finding files: order, hidden files, pairs, and what is told when nothing fits."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_wavegms.errors import InputError
from napari_wavegms.files.discovery import Unpaired, find_images, pair_by_stem, stem_of, unpaired


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


def test_nothing_found_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no image in .*\. Choose PNG, JPEG, BMP, TIFF or NIfTI files"):
        find_images(touch(tmp_path, "notes.txt"))
    with pytest.raises(InputError, match="There is no image in nothing"):
        find_images([])
    with pytest.raises(InputError, match=r"no file or folder .*typo\.png\. Check the spelling"):
        find_images([tmp_path / "typo.png"])
    with pytest.raises(InputError, match=r"Cannot open .*\. Check its name"):
        find_images("long" * 200)


@pytest.mark.parametrize(("name", "stem"), [("a.png", "a"), ("a.b.tif", "a.b"), ("v.NII.gz", "v"), ("plain", "plain")])
def test_stems(name: str, stem: str) -> None:
    assert stem_of(Path("folder") / name) == stem


def test_images_pair_with_masks_of_the_same_stem(tmp_path: Path) -> None:
    images = touch(tmp_path / "images", "a10.jpg", "a2.jpg", "alone.jpg")
    masks = touch(tmp_path / "masks", "a10.png", "a2.png", "stray.png")
    assert pair_by_stem(images, masks) == [
        ("a2", images / "a2.jpg", masks / "a2.png"),
        ("a10", images / "a10.jpg", masks / "a10.png"),
    ]
    assert unpaired(images, masks) == Unpaired(images=("alone",), masks=("stray",))


def test_no_pair_at_all_shows_the_names(tmp_path: Path) -> None:
    images = touch(tmp_path / "images", "a.jpg", "b.jpg", "c.jpg", "d.jpg")
    masks = touch(tmp_path / "masks", "a_mask.png")
    with pytest.raises(InputError, match=r"the images are 'a', 'b', 'c', …, the masks are 'a_mask'\. Name each mask"):
        pair_by_stem(images, masks)
    assert unpaired(images, masks).masks == ("a_mask",)
    with pytest.raises(InputError, match="the masks are none"):
        pair_by_stem(images, touch(tmp_path / "empty"))


def test_two_files_of_one_stem_are_ambiguous(tmp_path: Path) -> None:
    images = touch(tmp_path / "images", "a.jpg", "a.png")
    with pytest.raises(InputError, match=r"contains both a\.jpg and a\.png\. Keep one"):
        pair_by_stem(images, images)


def test_a_missing_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"Cannot list the folder .*gone \(No such file or directory\)\. Choose the folder with"
    ):
        pair_by_stem(tmp_path / "gone", tmp_path)
