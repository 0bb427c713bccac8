"""Reading: any ordinary file becomes the array a viewer shows, and any broken one a sentence."""

from __future__ import annotations

import contextlib
import os
import struct
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageOps

from napari_wavegms.errors import InputError
from napari_wavegms.files.mask_writer import write_mask
from napari_wavegms.files.napari_reader import differs_in_napari
from napari_wavegms.files.reading import read_image, read_mask, read_mask_details
from napari_wavegms.files.spacing import Spacing
from napari_wavegms.storage.memory import set_memory_limit

GREY = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
RGB = np.arange(36, dtype=np.uint8).reshape(3, 4, 3) * 7
ORIENTATION = 0x0112

Write = Callable[[Path], Any]


def saved(pixels: NDArray[Any] | Image.Image, **options: Any) -> Write:
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    return lambda path: image.save(path, **options)


def paletted(values: NDArray[Any], *colors: int) -> Image.Image:
    image = Image.fromarray(values.astype(np.uint8))
    image.putpalette(bytes(colors))
    return image


RED_AND_BLUE = paletted(GREY > 100, 255, 0, 0, 0, 0, 255)
TRANSPARENT = np.where((GREY > 100)[..., None], [0, 0, 255, 128], [255, 0, 0, 0])


@pytest.mark.parametrize(
    ("name", "write", "expected", "axes"),
    [
        ("grey.png", saved(GREY), GREY, "YX"),
        ("grey.bmp", saved(GREY), GREY, "YX"),
        ("bits.png", saved(GREY > 100), GREY > 100, "YX"),
        ("deep.png", saved(GREY.astype(np.uint16) * 300), GREY.astype(np.uint16) * 300, "YX"),
        ("rgb.png", saved(RGB), RGB, "YXS"),
        ("rgb.bmp", saved(RGB), RGB, "YXS"),
        ("rgba.png", saved(np.dstack([RGB, GREY])), np.dstack([RGB, GREY]), "YXS"),
        ("alpha.png", saved(np.dstack([GREY, np.full_like(GREY, 255)])), GREY, "YX"),
        ("shown.png", saved(np.dstack([np.full_like(GREY, 255), GREY])), GREY, "YX"),
        ("palette.png", saved(RED_AND_BLUE), np.where((GREY > 100)[..., None], [0, 0, 255], [255, 0, 0]), "YXS"),
        ("palette.bmp", saved(RED_AND_BLUE), np.where((GREY > 100)[..., None], [0, 0, 255], [255, 0, 0]), "YXS"),
        ("palette.tif", saved(RED_AND_BLUE), np.where((GREY > 100)[..., None], [0, 0, 255], [255, 0, 0]), "YXS"),
        ("seen.png", saved(RED_AND_BLUE, transparency=b"\x00\x80"), np.asarray(TRANSPARENT), "YXS"),
        ("lzw.tif", saved(GREY, compression="tiff_lzw"), GREY, "YX"),
        ("lzw.tif", saved(RGB, compression="tiff_lzw"), RGB, "YXS"),
        ("bits.tif", saved(GREY > 100, compression="group4"), GREY > 100, "YX"),
        ("cmyk.tif", saved(Image.new("CMYK", (4, 3), (0, 255, 255, 0))), np.full((3, 4, 3), (255, 0, 0)), "YXS"),
    ],
)
def test_pixels_look_like_the_picture(
    tmp_path: Path, name: str, write: Write, expected: NDArray[Any], axes: str
) -> None:
    write(tmp_path / name)
    loaded = read_image(tmp_path / name)
    np.testing.assert_array_equal(loaded.pixels, expected)
    assert (loaded.axes, loaded.source, loaded.spacing) == (axes, tmp_path / name, None)


@pytest.mark.parametrize(("mode", "shape"), [("L", (16, 24)), ("RGB", (16, 24, 3)), ("CMYK", (16, 24, 3))])
def test_jpeg_is_read_nearly(tmp_path: Path, mode: str, shape: tuple[int, ...]) -> None:
    image = Image.new("RGB", (24, 16), (200, 30, 90)).convert(mode)
    image.save(tmp_path / "a.jpg", quality=95)
    loaded = read_image(tmp_path / "a.jpg")
    expected = np.asarray(image if mode == "L" else image.convert("RGB"))
    assert loaded.pixels.shape == shape
    assert np.abs(loaded.pixels.astype(int) - expected).max() < 8


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_and_masks_stand_upright(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    Image.fromarray(GREY).save(tmp_path / "a.png", exif=exif)
    with Image.open(tmp_path / "a.png") as image:
        upright = np.asarray(ImageOps.exif_transpose(image))
    tag = [(ORIENTATION, 3, 1, orientation, True)]
    tifffile.imwrite(tmp_path / "a.tif", GREY, photometric="minisblack", extratags=tag)
    Image.fromarray(GREY).save(tmp_path / "b.tif", compression="tiff_lzw", tiffinfo={ORIENTATION: orientation})
    for name in ("a.png", "a.tif", "b.tif"):
        np.testing.assert_array_equal(read_image(tmp_path / name).pixels, upright)
        np.testing.assert_array_equal(read_mask(tmp_path / name), upright)


def test_the_content_decides_not_the_ending(tmp_path: Path) -> None:
    Image.fromarray(GREY).save(tmp_path / "a.tif", format="PNG")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif").pixels, GREY)


def test_zero_is_white_is_inverted_in_images_and_left_in_masks(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", GREY, photometric="miniswhite")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif").pixels, 255 - GREY)
    tifffile.imwrite(tmp_path / "m.tif", GREY > 100)  # tifffile stores bool as zero-is-white
    np.testing.assert_array_equal(read_mask(tmp_path / "m.tif"), GREY > 100)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float16, np.float32, np.float64])
def test_tiff_keeps_the_dtype(tmp_path: Path, dtype: Any) -> None:
    tifffile.imwrite(tmp_path / "a.tif", GREY.astype(dtype), photometric="minisblack")
    assert read_image(tmp_path / "a.tif").pixels.dtype == dtype


@pytest.mark.parametrize(
    ("options", "axes"),
    [
        ({"metadata": {"axes": "ZYX"}}, "ZYX"),
        ({"imagej": True, "metadata": {"axes": "TYX"}}, "TYX"),
        ({"ome": True, "metadata": {"axes": "CYX"}}, "CYX"),
        ({"metadata": None}, "IYX"),
    ],
)
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_stacks_keep_their_axes(tmp_path: Path, options: dict[str, Any], axes: str, compression: str | None) -> None:
    stack = np.arange(60, dtype=np.uint8).reshape(5, 3, 4)
    tifffile.imwrite(tmp_path / "a.tif", stack, photometric="minisblack", compression=compression, **options)
    loaded = read_image(tmp_path / "a.tif")
    assert loaded.axes == axes
    np.testing.assert_array_equal(loaded.pixels, stack)


def test_pages_that_need_libtiff_are_stacked(tmp_path: Path) -> None:
    pages = [Image.fromarray(GREY + number) for number in range(3)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:], compression="tiff_lzw")
    loaded = read_image(tmp_path / "a.tif")
    assert loaded.axes == "IYX"
    np.testing.assert_array_equal(loaded.pixels, np.stack([GREY, GREY + 1, GREY + 2]))


def test_colour_planes_become_the_last_axis(tmp_path: Path) -> None:
    planes = np.moveaxis(RGB, -1, 0)
    tifffile.imwrite(tmp_path / "a.tif", planes, photometric="rgb", planarconfig="separate")
    loaded = read_image(tmp_path / "a.tif")
    assert loaded.axes == "YXS"
    np.testing.assert_array_equal(loaded.pixels, RGB)


@pytest.mark.parametrize(
    ("options", "spacing"),
    [
        ({"resolution": (20, 40), "resolutionunit": "CENTIMETER"}, Spacing((0.25, 0.5), "mm")),
        ({"resolution": (254, 127), "resolutionunit": "INCH"}, Spacing((0.2, 0.1), "mm")),
        ({"resolution": (72, 72), "resolutionunit": "INCH"}, None),
        ({"resolution": (1, 1), "resolutionunit": "CENTIMETER"}, None),
        ({"imagej": True, "resolution": (4, 2), "metadata": {"unit": "micron"}}, Spacing((0.5, 0.25), "um")),
        ({"imagej": True, "resolution": (4, 2), "metadata": {"unit": "pixel"}}, None),
        ({"imagej": True}, None),
        ({"ome": True, "metadata": {"PhysicalSizeX": 0.25, "PhysicalSizeY": 0.5}}, Spacing((0.5, 0.25), "um")),
        ({"ome": True}, None),
    ],
)
def test_spacing_of_planes(tmp_path: Path, options: dict[str, Any], spacing: Spacing | None) -> None:
    tifffile.imwrite(tmp_path / "a.tif", GREY, photometric="minisblack", **options)
    found = read_image(tmp_path / "a.tif").spacing
    if spacing is None:
        assert found is None
    else:
        assert found is not None
        assert found.unit == spacing.unit
        assert found.size == pytest.approx(spacing.size)


def test_spacing_of_volumes(tmp_path: Path) -> None:
    stack = np.zeros((5, 3, 4), np.uint8)
    tifffile.imwrite(
        tmp_path / "ij.tif", stack, imagej=True, resolution=(4, 2), metadata={"axes": "ZYX", "unit": "mm", "spacing": 3}
    )
    assert read_image(tmp_path / "ij.tif").spacing == Spacing((3, 0.5, 0.25), "mm")
    sizes = {f"PhysicalSize{axis}": size for axis, size in (("X", 250), ("Y", 500), ("Z", 3))}
    units = {"PhysicalSizeXUnit": "nm", "PhysicalSizeYUnit": "nm", "PhysicalSizeZUnit": "µm"}
    tifffile.imwrite(
        tmp_path / "o.tif", stack, ome=True, photometric="minisblack", metadata={"axes": "ZYX", **sizes, **units}
    )
    assert read_image(tmp_path / "o.tif").spacing == Spacing((3000, 500, 250), "nm")


def test_a_png_has_the_spacing_of_its_phys_chunk_unless_it_is_a_screens(tmp_path: Path) -> None:
    Image.fromarray(GREY).save(tmp_path / "a.png", dpi=(50.8, 25.4))
    found = read_image(tmp_path / "a.png").spacing
    assert found is not None
    assert found.in_unit("mm").size == pytest.approx((1.0, 0.5))
    Image.fromarray(GREY).save(tmp_path / "b.png", dpi=(96, 96))
    assert read_image(tmp_path / "b.png").spacing is None


LESION = np.array([[0, 0, 1], [0, 1, 1]])


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("m.png", saved((LESION * 255).astype(np.uint8))),
        ("m.bmp", saved((LESION * 255).astype(np.uint8))),
        ("m.png", saved(LESION.astype(np.uint8))),
        ("m.png", saved(LESION.astype(bool))),
        ("m.png", saved((LESION * 65535).astype(np.uint16))),
        ("m.png", saved((LESION[..., None] * [255, 255, 255]).astype(np.uint8))),
        ("m.png", saved((LESION[..., None] * [255, 255, 255, 0] + [0, 0, 0, 255]).astype(np.uint8))),
        ("m.png", saved(paletted(LESION, 0, 0, 0, 128, 0, 0))),
        ("m.png", saved(paletted(LESION, 0, 0, 0, 255, 255, 255))),
        ("m.png", saved(paletted(1 - LESION, 255, 255, 255, 0, 0, 0))),
        ("m.tif", lambda path: tifffile.imwrite(path, (LESION * 255).astype(np.uint8))),
        ("m.tif", lambda path: tifffile.imwrite(path, LESION.astype(np.float32))),
        ("m.tif", lambda path: tifffile.imwrite(path, LESION.astype(np.int16))),
    ],
)
def test_masks_of_every_kind_become_0_and_1(tmp_path: Path, name: str, write: Write) -> None:
    write(tmp_path / name)
    mask = read_mask(tmp_path / name)
    np.testing.assert_array_equal(mask, LESION)
    assert mask.dtype == np.uint8


def test_a_jpeg_mask_is_cut_in_the_middle(tmp_path: Path) -> None:
    lesion = np.zeros((40, 40), np.uint8)
    lesion[8:24, 16:32] = 255
    Image.fromarray(lesion).save(tmp_path / "m.jpg", quality=60)
    np.testing.assert_array_equal(read_mask(tmp_path / "m.jpg"), lesion // 255)


def test_labels_of_foreign_masks_stay_as_they_are(tmp_path: Path) -> None:
    labels = np.kron(np.array([[0, 128, 255], [3, 0, 7]], np.uint8), np.ones((4, 4), np.uint8))
    Image.fromarray(labels).save(tmp_path / "m.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png"), labels)
    indices = np.array([[0, 255], [0, 0]])  # the "do not care" label of Pascal VOC
    paletted(indices, *([0, 0, 0] + [9, 8, 7] * 255)).save(tmp_path / "v.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "v.png"), indices)


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (RGB[..., ::-1] ^ np.uint8([0, 99, 0]), r"m\.tif is a colour image, .* grey levels or with a palette"),
        (GREY.astype(np.int16) - 50, r"m\.tif: .* labels from 0 up, but this has label -50"),
        (GREY / 240, "contains fractions, .* Threshold it first"),
        (np.full((2, 2), np.nan), "contains fractions"),
        (GREY.astype(np.complex64), "complex64 values .* Export it as grey or RGB"),
    ],
)
def test_values_that_are_no_labels_are_refused(tmp_path: Path, pixels: NDArray[Any], message: str) -> None:
    tifffile.imwrite(tmp_path / "m.tif", pixels, photometric="rgb" if pixels.ndim == 3 else "minisblack")
    with pytest.raises(InputError, match=message):
        read_mask(tmp_path / "m.tif")


@pytest.mark.parametrize("read", [read_image, read_mask])
@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.png", b"", r"a\.png is empty \(0 bytes\)\. Copy or export it again"),
        ("a.png", b"hello", r"a\.png is not an image of a known format\. Convert it to PNG, JPEG, BMP, TIFF, NIfTI,"),
        ("a.png", b"\x89PNG\r\n\x1a\n", "not an image|damaged"),
        ("a.jpg", b"\xff\xd8\xff\xe0 and no more", "not an image|damaged"),
        ("a.bmp", b"BMX is a racing bicycle", "not an image|damaged"),
        ("a.tif", b"II*\x00", r"a\.tif is damaged or cut short"),
        ("a.tif", b"MM\x00*\x00\x00\x00\x08\x00\x00", r"a\.tif is damaged or cut short"),
        ("a.dcm", bytes(128) + b"DICM", r"a\.dcm is a DICOM file without an image"),
        ("a.gif", b"GIF89a" + bytes(40), "not an image of a known format"),
    ],
)
def test_what_is_no_image_gives_a_sentence(
    tmp_path: Path, read: Callable[[Path], object], name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        read(tmp_path / name)


def test_a_path_that_is_no_file_gives_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"There is no file .*gone\.png\. Check the spelling"):
        read_image(tmp_path / "gone.png")
    with pytest.raises(InputError, match=r"is a folder\. Choose an image file in it"):
        read_image(tmp_path)
    with pytest.raises(InputError, match=r"Cannot open .*\. Check its name"):
        read_image(tmp_path / ("long" * 200 + ".png"))


def samples(folder: Path) -> dict[str, bytes]:
    """One file of each kind whose pixels can be told to be complete."""
    stack = np.random.default_rng(1).integers(0, 5, (3, 6, 5)).astype(np.uint8)
    write_mask(folder / "ours.tif", stack, Spacing((2, 1, 1), "mm"))
    write_mask(folder / "ours.png", stack[0])
    tifffile.imwrite(folder / "plain.tif", stack, metadata=None, photometric="minisblack")
    tifffile.imwrite(folder / "packed.tif", stack, compression="zlib", photometric="minisblack")
    tifffile.imwrite(folder / "ij.tif", stack, imagej=True)
    Image.fromarray(stack[0]).save(folder / "lzw.tif", compression="tiff_lzw")
    Image.fromarray(stack[0]).save(folder / "grey.bmp")
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, bytes]]:
    folder = tmp_path_factory.mktemp("whole")
    return folder, samples(folder)


@given(data=st.data())
def test_a_file_cut_short_is_refused_or_complete(whole: tuple[Path, dict[str, bytes]], data: st.DataObject) -> None:
    folder, files = whole
    name = data.draw(st.sampled_from(sorted(files)))
    length = data.draw(st.integers(1, len(files[name]) - 1))
    (folder / name).write_bytes(files[name])
    complete = read_image(folder / name).pixels
    (folder / name).write_bytes(files[name][:length])
    try:
        pixels = read_image(folder / name).pixels
    except InputError:
        return
    np.testing.assert_array_equal(pixels, complete)


@given(data=st.data())
def test_flipped_bytes_never_give_a_traceback(whole: tuple[Path, dict[str, bytes]], data: st.DataObject) -> None:
    folder, files = whole
    name = data.draw(st.sampled_from(sorted(files)))
    content = bytearray(files[name])
    for position, value in data.draw(st.lists(st.tuples(st.integers(0, len(content) - 1), st.integers(0, 255)))):
        content[position] = value
    (folder / name).write_bytes(content)
    for read in (read_image, read_mask_details):
        with contextlib.suppress(InputError):
            read(folder / name)


def test_half_a_file_is_refused(tmp_path: Path) -> None:
    for name, content in samples(tmp_path).items():
        (tmp_path / name).write_bytes(content[: len(content) // 2])
        with pytest.raises(InputError, match=r"is damaged or cut short|not an image of a known format"):
            read_image(tmp_path / name)


def test_tifffiles_complaints_stay_out_of_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    content = samples(tmp_path)["plain.tif"]
    (tmp_path / "a.tif").write_bytes(content[:-20])
    with pytest.raises(InputError, match="damaged or cut short"):
        read_image(tmp_path / "a.tif")
    assert caplog.records == []


class TestNifti:
    """Volumes, against nibabel's own view of them."""

    def write(self, path: Path, voxels: NDArray[Any]) -> Path:
        nibabel = pytest.importorskip("nibabel", reason="nibabel is optional")
        image = nibabel.Nifti1Image(voxels, np.diag([0.5, 0.75, 3.0, 1.0]))
        image.header.set_xyzt_units("mm")
        nibabel.save(image, path)
        return path

    @pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
    def test_axes_are_slice_row_column_with_spacing_in_mm(self, tmp_path: Path, suffix: str) -> None:
        voxels = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
        loaded = read_image(self.write(tmp_path / f"v{suffix}", voxels))
        np.testing.assert_array_equal(loaded.pixels, voxels.T[:, ::-1, ::-1])  # from front to back, and right to left
        assert (loaded.axes, loaded.spacing) == ("ZYX", Spacing((3.0, 0.75, 0.5), "mm"))

    def test_labels_are_a_mask(self, tmp_path: Path) -> None:
        voxels = np.array([[[0, 1, 2]]], np.uint8)
        np.testing.assert_array_equal(read_mask(self.write(tmp_path / "v.nii.gz", voxels)), voxels.T)

    @pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
    def test_half_a_volume_is_refused(self, tmp_path: Path, suffix: str) -> None:
        voxels = np.random.default_rng(0).integers(0, 9, (9, 9, 9)).astype(np.int16)
        path = self.write(tmp_path / f"v{suffix}", voxels)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(InputError, match="cut short"):
            read_image(path)

    def test_text_in_a_nifti_file_is_foreign(self, tmp_path: Path) -> None:
        pytest.importorskip("nibabel", reason="nibabel is optional")
        (tmp_path / "v.nii").write_text("hello")
        with pytest.raises(InputError, match=r"v\.nii is not a NIfTI volume"):
            read_image(tmp_path / "v.nii")

    def test_without_nibabel_the_sentence_names_it(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "nibabel", None)
        (tmp_path / "v.nii").write_bytes(b"anything")
        with pytest.raises(InputError, match=r"needs nibabel\. Install it with: pip install napari-wavegms\[medical\]"):
            read_image(tmp_path / "v.nii")

    def test_a_real_volume_and_its_labels_fit(self, shared: Path) -> None:
        pytest.importorskip("nibabel", reason="nibabel is optional")
        name = "hippocampus_001.nii.gz"
        image = read_image(shared / "data" / "hippocampus" / "images" / name)
        labels = read_mask(shared / "data" / "hippocampus" / "labels" / name)
        assert labels.shape == image.pixels.shape
        assert image.spacing == Spacing((1.0, 1.0, 1.0), "mm")
        assert np.unique(labels).tolist() == [0, 1, 2]


def test_real_masks_are_0_and_1_and_fit_their_images(shared: Path) -> None:
    for folder, stem in (("busi", "benign_1.png"), ("isic2017", "ISIC_0000006.jpg")):
        image = read_image(shared / "data" / folder / "images" / stem)
        mask = read_mask(shared / "data" / folder / "masks" / f"{Path(stem).stem}.png")
        assert mask.shape == image.pixels.shape[:2]
        assert np.unique(mask).tolist() == [0, 1]


class TestSeveralPictures:
    """Files with more than one picture: the full one is read, and what was left out is said."""

    def test_reduced_pages_are_not_the_picture(self, tmp_path: Path) -> None:
        with tifffile.TiffWriter(tmp_path / "a.tif") as file:
            file.write(GREY[::2, ::2], photometric="minisblack", subfiletype=1, metadata=None)
            file.write(GREY, photometric="minisblack", metadata=None)
        loaded = read_image(tmp_path / "a.tif")
        np.testing.assert_array_equal(loaded.pixels, GREY)
        assert loaded.note == ""

    def test_unequal_pages_are_said(self, tmp_path: Path) -> None:
        with tifffile.TiffWriter(tmp_path / "a.tif") as file:
            file.write(GREY, photometric="minisblack", metadata=None)
            file.write(RGB[:2], photometric="rgb", metadata=None)
        loaded = read_image(tmp_path / "a.tif")
        np.testing.assert_array_equal(loaded.pixels, GREY)
        assert loaded.note == "Of a.tif, 1 more picture (2 x 4 x 3) was left out."

    def test_frames_of_an_animation_are_said(self, tmp_path: Path) -> None:
        frames = [Image.fromarray(GREY + number) for number in range(3)]
        frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:])
        loaded = read_image(tmp_path / "a.png")
        np.testing.assert_array_equal(loaded.pixels, GREY)
        assert loaded.note == "Of a.png, 2 of 3 frames were left out."

    @pytest.mark.parametrize("name", ["p_C1.ome.tif", "sent alone.ome.tif"])
    def test_an_ome_tiff_opens_no_other_file(self, tmp_path: Path, name: str) -> None:
        planes = "".join(
            f'<TiffData FirstC="{i}" IFD="0" PlaneCount="1"><UUID FileName="{place}">urn:uuid:{i}</UUID></TiffData>'
            for i, place in enumerate(["../secret.tif", "p_C1.ome.tif"])
        )
        xml = (
            '<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
            'UUID="urn:uuid:1"><Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint8" SizeX="4" '
            'SizeY="3" SizeZ="1" SizeC="2" SizeT="1"><Channel ID="Channel:0:0" SamplesPerPixel="1"/><Channel '
            f'ID="Channel:0:1" SamplesPerPixel="1"/>{planes}</Pixels></Image></OME>'
        )
        (tmp_path / "in").mkdir()
        tifffile.imwrite(tmp_path / "secret.tif", GREY + 1, photometric="minisblack", metadata=None)
        tifffile.imwrite(tmp_path / "in" / name, GREY, description=xml, metadata=None)
        loaded = read_image(tmp_path / "in" / name)
        np.testing.assert_array_equal(loaded.pixels, GREY)
        assert loaded.note == f"Of {name}, the planes that are in other files were left out."


class TestLimits:
    """Nothing is decoded that does not fit, and nothing is read that never ends."""

    @pytest.fixture(autouse=True)
    def limit(self) -> Iterator[None]:
        set_memory_limit(0.001)
        yield
        set_memory_limit(None)

    @pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.bmp", "a.tif", "lzw.tif", "a.nii.gz"])
    def test_a_file_that_unfolds_to_more_than_the_limit_is_refused(self, tmp_path: Path, name: str) -> None:
        pixels = np.zeros((1200, 1000), np.uint8)
        if name.endswith(".nii.gz"):
            nibabel = pytest.importorskip("nibabel", reason="nibabel is optional")
            nibabel.save(nibabel.Nifti1Image(pixels, np.eye(4)), tmp_path / name)
        elif name == "a.tif":
            tifffile.imwrite(tmp_path / name, pixels, compression="zlib")
        else:
            options = {"compression": "tiff_lzw"} if name == "lzw.tif" else {}
            Image.fromarray(pixels).save(tmp_path / name, **options)
        with pytest.raises(InputError, match=r"a\.|lzw\.tif needs about .* GB .* limit is 0\.0 GB.*--max-memory"):
            read_image(tmp_path / name)
        set_memory_limit(1)
        assert read_image(tmp_path / name).pixels.size == pixels.size

    def test_a_large_picture_is_neither_damaged_nor_warned_about(self, tmp_path: Path) -> None:
        Image.new("1", (14_000, 14_000)).save(tmp_path / "large.png")
        set_memory_limit(1)
        assert read_image(tmp_path / "large.png").pixels.shape == (14_000, 14_000)

    def test_a_pipe_is_refused(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe.png")
        with pytest.raises(InputError, match=r"pipe\.png is a pipe or a device"):
            read_image(tmp_path / "pipe.png")


def test_twelve_packed_bits_are_read(tmp_path: Path) -> None:
    values = np.arange(24, dtype=np.uint16).reshape(4, 6) * 100
    pairs = values.reshape(-1, 2)
    packed = np.stack([pairs[:, 0] >> 4, (pairs[:, 0] & 15) << 4 | pairs[:, 1] >> 8, pairs[:, 1] & 255], 1)
    tags = [(256, 6), (257, 4), (258, 12), (259, 1), (262, 1), (273, 122), (277, 1), (278, 4), (279, packed.size)]
    directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    content = struct.pack("<2sHI", b"II", 42, 8) + directory + struct.pack("<I", 0)
    assert len(content) == 122
    (tmp_path / "a.tif").write_bytes(content + packed.astype(np.uint8).tobytes())
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif").pixels, values)


def deep_png(path: Path, values: np.ndarray, chunks: bytes = b"") -> Path:
    """A PNG of 16 bits a sample, rows unfiltered and filtered by turns."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows, columns, samples = values.shape
    raw = [values[row].astype(">u2").tobytes() for row in range(rows)]
    wide = 2 * samples
    sub = [bytes((b - (row[i - wide] if i >= wide else 0)) % 256 for i, b in enumerate(row)) for row in raw]
    body = b"".join(b"\1" + sub[row] if row % 2 else b"\0" + raw[row] for row in range(rows))
    head = struct.pack(">IIBBBBB", columns, rows, 16, {2: 4, 3: 2, 4: 6}[samples], 0, 0, 0)
    parts = chunk(b"IHDR", head), chunks, chunk(b"IDAT", zlib.compress(body)), chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    return path


@pytest.mark.parametrize("samples", [3, 4])
def test_colours_of_sixteen_bits_keep_all_of_them(tmp_path: Path, samples: int) -> None:
    values = np.random.default_rng(0).integers(0, 65536, (5, 7, samples), dtype=np.uint16)
    image = read_image(deep_png(tmp_path / "deep.png", values))
    np.testing.assert_array_equal(image.pixels, values)
    assert (image.axes, image.pixels.dtype) == ("YXS", np.uint16)
    assert differs_in_napari(tmp_path / "deep.png"), "napari's own reader gives eight of them"


def test_grey_and_alpha_of_sixteen_bits_lie_over_black(tmp_path: Path) -> None:
    values = np.array([[[40_001, 65535], [40_001, 0], [513, 65535]]], np.uint16)
    assert read_image(deep_png(tmp_path / "deep.png", values)).pixels.tolist() == [[40_001, 0, 513]]


def test_one_clear_colour_of_sixteen_bits(tmp_path: Path) -> None:
    values = np.array([[[1, 2, 3], [257, 2, 3]]], np.uint16)
    name, data = b"tRNS", struct.pack(">HHH", 1, 2, 3)
    clear = struct.pack(">I", 6) + name + data + struct.pack(">I", zlib.crc32(name + data))
    image = read_image(deep_png(tmp_path / "clear.png", values, clear))
    assert image.pixels.tolist() == [[[1, 2, 3, 0], [257, 2, 3, 65535]]]


def test_a_mask_of_sixteen_bit_colours(tmp_path: Path) -> None:
    values = np.zeros((16, 24, 3), np.uint16)
    values[4:9, 5:12] = 65535
    mask = read_mask(deep_png(tmp_path / "m_mask.png", values))
    np.testing.assert_array_equal(mask, values[..., 0] > 0)
