"""`wavegms measure`: a table in the file's unit."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from napari_wavegms.files.mask_writer import write_mask
from napari_wavegms.files.spacing import Spacing

Run = Callable[..., Any]


def test_masks_of_a_folder_in_their_own_units(wavegms: Run, tmp_path: Path) -> None:
    square = np.zeros((40, 40), np.uint8)
    square[10:30, 10:30] = 1
    write_mask(tmp_path / "masks" / "a_mask.tif", square, Spacing((0.5, 0.25), "mm"))
    write_mask(tmp_path / "masks" / "b_mask.png", 2 * square)
    write_mask(tmp_path / "masks" / "c_mask.tif", np.stack([square, 0 * square, square]), Spacing((2, 1, 1), "um"))
    write_mask(tmp_path / "masks" / "d_mask.tif", np.stack([square, 0 * square, square]), axes="TYX")
    (tmp_path / "masks" / "e_mask.png").write_bytes(b"no mask")
    Image.fromarray(np.full((40, 40), 7, np.uint8)).save(tmp_path / "masks" / "f_probability.png")
    said = wavegms("measure", tmp_path / "masks", "--csv", tmp_path / "sizes.csv")
    assert said.code == 1
    assert "e_mask.png is not an image of a known format" in said.err
    assert "7 rows from 4 masks written to" in said.err
    rows = list(csv.DictReader((tmp_path / "sizes.csv").read_text(encoding="utf-8-sig").splitlines()))
    told = [(row["mask"], row["frame"], row["label"], row["piece"], row["area"], row["volume"]) for row in rows]
    assert told == [
        ("a_mask.tif", "", "1", "0", "50", ""),
        ("b_mask.png", "", "2", "0", "400", ""),
        ("c_mask.tif", "", "1", "0", "", "1600"),
        ("c_mask.tif", "", "1", "1", "", "800"),
        ("c_mask.tif", "", "1", "2", "", "800"),
        ("d_mask.tif", "1", "1", "0", "400", ""),
        ("d_mask.tif", "3", "1", "0", "400", ""),
    ]
    assert [row["unit"] for row in rows] == ["mm", "pixel", "um", "um", "um", "pixel", "pixel"]


def test_mean_intensities_come_from_the_image_of_the_same_name(wavegms: Run, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    image = np.arange(1600, dtype=np.uint8).reshape(40, 40)
    Image.fromarray(image).save(tmp_path / "images" / "a.png")
    square = np.zeros((40, 40), np.uint8)
    square[10:30, 10:30] = 1
    write_mask(tmp_path / "a_mask.tif", square)
    write_mask(tmp_path / "b_mask.tif", square)
    said = wavegms("measure", tmp_path / "a_mask.tif", tmp_path / "b_mask.tif", "--images", tmp_path / "images")
    assert "images has no image for b_mask.tif" in said.err
    (row,) = csv.DictReader(io.StringIO(said.out))
    assert float(row["mean"]) == pytest.approx(image[square > 0].mean(), rel=1e-5)
