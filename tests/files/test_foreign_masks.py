"""Masks of other programs: black and white in its disguises becomes 0 and 1, labels stay, and pictures are refused."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from napari_wavegms.errors import InputError
from napari_wavegms.files.reading import read_mask, read_mask_details
from napari_wavegms.samples import ultrasound_phantom

ROWS, COLUMNS = np.indices((96, 128))
LESION = np.hypot((ROWS - 45) / 22, (COLUMNS - 70) / 26) < 1
WHITE = Image.fromarray(LESION.astype(np.uint8) * 255)


def once_a_jpeg() -> Image.Image:
    buffer = io.BytesIO()
    WHITE.save(buffer, "jpeg", quality=75)
    return Image.open(buffer)


def coloured(*colour: int) -> Image.Image:
    return Image.fromarray(
        (np.asarray(WHITE.resize((64, 48)).resize((128, 96), 2))[..., None] / 255 * colour).astype("u1")
    )


def alpha(colour: NDArray[np.generic], mode: str) -> Image.Image:
    return Image.fromarray(np.dstack([colour, LESION * 255]).astype(np.uint8), mode)


GREYS = np.where(LESION, 90, 60)


@pytest.mark.parametrize(
    "make",
    [
        once_a_jpeg,
        lambda: WHITE.resize((64, 48)).resize((128, 96), Image.Resampling.BILINEAR),
        lambda: WHITE.filter(ImageFilter.GaussianBlur(3)),
        lambda: WHITE.filter(ImageFilter.GaussianBlur(1)).convert("P"),
        lambda: Image.fromarray(np.asarray(WHITE.filter(ImageFilter.GaussianBlur(2))).astype(np.uint16) * 257),
        lambda: coloured(255, 0, 0),
        lambda: coloured(20, 200, 90),
    ],
)
def test_soft_edges_are_cut_at_half_and_said(tmp_path: Path, make: Callable[[], Image.Image]) -> None:
    make().save(tmp_path / "m.png")
    details = read_mask_details(tmp_path / "m.png")
    assert set(np.unique(details.labels)) == {0, 1}
    assert np.count_nonzero((details.labels == 1) != LESION) < 0.03 * LESION.sum()
    assert details.note == "m.png: It has soft edges, which were cut at half."


@pytest.mark.parametrize(
    "picture",
    [
        coloured(255, 0, 0).point(lambda value: 255 * (value > 127)),
        alpha(np.full(LESION.shape, 255), "LA"),
        alpha(np.zeros((*LESION.shape, 3)), "RGBA"),
        alpha(np.where(LESION[..., None], [255, 80, 0], 0), "RGBA"),
    ],
)
def test_one_colour_on_black_and_a_shape_in_alpha_are_masks(tmp_path: Path, picture: Image.Image) -> None:
    picture.save(tmp_path / "m.png")
    found = read_mask(tmp_path / "m.png")
    assert set(np.unique(found)) == {0, 1}
    assert np.count_nonzero(found != LESION) < 0.06 * LESION.sum()  # the colour was resized


@pytest.mark.parametrize("colour", [(255, 255, 255), (200, 200, 200), (90, 90, 90), (128, 42, 0), (0, 255, 60)])
@pytest.mark.parametrize("quality", [30, 90])
def test_a_mask_of_any_colour_survives_a_jpeg(tmp_path: Path, colour: tuple[int, ...], quality: int) -> None:
    picture = np.where(LESION[..., None], colour, 0).astype(np.uint8)
    Image.fromarray(picture).save(tmp_path / "m.jpg", quality=quality)
    found = read_mask(tmp_path / "m.jpg")
    assert set(np.unique(found)) == {0, 1}
    assert np.count_nonzero(found != LESION) < 0.05 * LESION.sum()


def test_black_is_background_wherever_a_palette_has_it(tmp_path: Path) -> None:
    image = Image.fromarray(np.where(LESION, 0, 1).astype(np.uint8))
    image.putpalette([255, 0, 0, 0, 0, 0])
    image.save(tmp_path / "m.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png"), LESION)


@pytest.mark.parametrize("count", [3, 60])
def test_instances_stay_as_they_are(tmp_path: Path, count: int) -> None:
    labels = np.zeros((80, 120), np.uint8)
    for number in range(count):
        row, column = divmod(number, 12)
        labels[row * 14 + 2 : row * 14 + 12, column * 10 + 1 : column * 10 + 9] = 255 - 4 * number
    Image.fromarray(labels).save(tmp_path / "m.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png"), labels)


def test_pictures_are_refused_as_masks(tmp_path: Path) -> None:
    Image.fromarray(ultrasound_phantom().image).save(tmp_path / "scan.png")
    with pytest.raises(InputError, match=r"scan\.png has \d+ grey levels and looks like a picture.*swapped, swap them"):
        read_mask(tmp_path / "scan.png")


def test_real_pictures_are_refused_as_masks(shared: Path) -> None:
    for path in sorted((shared / "data").glob("*/images/*.[pj][np]g"))[::40]:
        with pytest.raises(InputError, match=r"looks like a picture|is a colour image"):
            read_mask(path)


def test_a_trimap_is_refused(tmp_path: Path) -> None:
    trimap = np.where(LESION, 255, 0)
    trimap[40:50, 60:80] = 128
    Image.fromarray(trimap.astype(np.uint8)).save(tmp_path / "m.png")
    with pytest.raises(InputError, match=r"m\.png has the grey levels 0, 128, 255, as a trimap"):
        read_mask(tmp_path / "m.png")


def test_the_sentence_names_the_file(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "clara.tif", -LESION.astype(np.int16))
    with pytest.raises(InputError, match=r"clara\.tif: A mask holds labels from 0 up, but this has label -1"):
        read_mask(tmp_path / "clara.tif")


@pytest.mark.parametrize("axes", ["CYX", "YXS", "a second sample of unknown meaning"])
def test_a_mask_of_several_channels_is_refused_with_what_to_save(axes: str, tmp_path: Path) -> None:
    mask = LESION.astype(np.uint8) * 255
    file = tmp_path / "two_mask.tif"
    if axes == "CYX":
        tifffile.imwrite(file, np.stack([mask, 255 - mask]), photometric="minisblack", metadata={"axes": "CYX"})
    elif axes == "YXS":
        stored = np.stack([mask] * 5, -1)
        tifffile.imwrite(file, stored, photometric="minisblack", planarconfig="contig", extrasamples=[0] * 4)
    else:
        stored = np.stack([mask, 255 - mask], -1)
        tifffile.imwrite(file, stored, photometric="minisblack", planarconfig="contig", extrasamples=[0])
    count = 5 if axes == "YXS" else 2
    with pytest.raises(InputError, match=rf"two_mask.tif has {count} channels, but a mask has one label per pixel"):
        read_mask(file)
