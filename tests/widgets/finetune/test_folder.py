"""Pairs of a folder in the Fine-tune panel: the good ones are taken, the others are asked about or named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_wavegms.errors import InputError
from napari_wavegms.finetune.preflight import Remedy
from napari_wavegms.widgets.finetune.pairs import FolderRead, folder_job


def read(folder: Path) -> FolderRead:
    job = folder_job(folder)
    next(job)
    with pytest.raises(StopIteration) as end:
        next(job)
    assert isinstance(end.value.value, FolderRead)
    return end.value.value


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for inner in ("images", "masks"):
        (tmp_path / inner).mkdir()
    for number in range(5):
        Image.fromarray(rng.integers(0, 255, (24, 32), np.uint8)).save(tmp_path / "images" / f"s{number}.png")
        mask = Image.fromarray(np.kron(np.eye(2, dtype=np.uint8), np.full((12, 16), 255, np.uint8)))
        mask.save(tmp_path / "masks" / f"s{number}_mask.png")
    return tmp_path


def test_one_bad_file_costs_only_itself(folder: Path) -> None:
    Image.new("1", (16, 12), 1).save(folder / "masks" / "s1_mask.png")
    (folder / "images" / "s2.png").write_text("no picture")
    (folder / "masks" / "s3_mask.png").unlink()
    (folder / "images" / "s4.gif").write_bytes(b"GIF89a")
    found = read(folder)
    assert [(row.name, row.ready) for row in found.rows(set())] == [("s0", True), ("s1", False), ("s4", True)]
    assert Remedy.RESIZE in found.rows(set())[1].remedies
    assert found.sentence.startswith(f"Added 3 images from {folder.name}. Left out: ")
    for part in ("s2.png is not an image", "s3 has no mask.", "Left out of images: s4.gif."):
        assert part in found.sentence


def test_images_and_masks_may_lie_together(folder: Path) -> None:
    for path in (folder / "masks").iterdir():
        path.rename(folder / "images" / path.name)
    (folder / "masks").rmdir()
    assert len(read(folder / "images").candidates) == 5
    assert len(read(folder).candidates) == 5


def test_a_folder_of_bad_files_is_refused(folder: Path) -> None:
    for path in (folder / "images").iterdir():
        path.write_text("no picture")
    with pytest.raises(InputError, match=r"No image of .* can be used\. .*s0\.png is not an image"):
        read(folder)
