"""Masks on disk: every label comes back, through our reader and through everyone else's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.io
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from PIL import Image

from napari_wavegms.errors import InputError
from napari_wavegms.files.labels import class_colors_over_image, label_colors, overlay_colors
from napari_wavegms.files.mask_writer import write_mask, write_probability
from napari_wavegms.files.provenance import Provenance
from napari_wavegms.files.reading import read_image, read_mask, read_mask_details
from napari_wavegms.files.spacing import Spacing

PROVENANCE = Provenance("default", 0.4, "1.2.3", source="C:\\users\\é=1.png", created="2026-11-22T10:00:00+00:00")
SMALL = np.array([[0, 1, 2], [3, 0, 1]])

dtypes = st.sampled_from([np.bool_, np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64])


def label_arrays(min_dims: int, max_dims: int, highest: int) -> st.SearchStrategy[NDArray[Any]]:
    """Labels of any dtype and small shape, from 0 up to what the dtype and `highest` allow."""

    def elements(dtype: Any) -> st.SearchStrategy[Any]:
        if dtype is np.bool_:
            return st.booleans()
        top = min(int(np.iinfo(dtype).max), highest)
        return st.sampled_from([0, 1, top]) | st.integers(0, top)

    shapes = hnp.array_shapes(min_dims=min_dims, max_dims=max_dims, min_side=1, max_side=5)
    return dtypes.flatmap(lambda dtype: hnp.arrays(dtype, shapes, elements=elements(dtype)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("masks")


@settings(max_examples=50)
@given(labels=label_arrays(2, 5, 2**32 - 1))
def test_tiff_gives_every_label_back(folder: Path, labels: NDArray[Any]) -> None:
    path = write_mask(folder / "mask.tif", labels, Spacing((0.3, 0.7), "mm"), provenance=PROVENANCE)
    details = read_mask_details(path)
    np.testing.assert_array_equal(details.labels, labels)
    assert details.axes == {2: "YX", 3: "ZYX", 4: "TZYX", 5: "TZCYX"}[labels.ndim]
    assert (details.spacing, details.provenance) == (Spacing((0.3, 0.7), "mm"), PROVENANCE)
    stored = tifffile.imread(path)
    np.testing.assert_array_equal(stored.ravel(), labels.ravel())
    assert stored.dtype == np.min_scalar_type(int(labels.max()))


@settings(max_examples=50)
@given(labels=label_arrays(2, 2, 255))
def test_png_gives_every_label_back(folder: Path, labels: NDArray[Any]) -> None:
    path = write_mask(folder / "mask.png", labels, Spacing((0.3, 0.7), "mm"), provenance=PROVENANCE)
    details = read_mask_details(path)
    np.testing.assert_array_equal(details.labels, labels)
    assert (details.spacing, details.provenance) == (Spacing((0.3, 0.7), "mm"), PROVENANCE)
    with Image.open(path) as image:
        assert image.mode == "P"
        np.testing.assert_array_equal(np.asarray(image), labels)


@settings(max_examples=50)
@given(labels=label_arrays(3, 3, 2**16 - 1))
def test_pillow_reads_stacks_page_by_page(folder: Path, labels: NDArray[Any]) -> None:
    path = write_mask(folder / "pages.tif", labels)
    with Image.open(path) as image:
        assert image.n_frames == len(labels)
        for number, plane in enumerate(labels):
            image.seek(number)
            np.testing.assert_array_equal(np.asarray(image), plane)


def test_scikit_image_reads_the_labels_of_a_tiff_and_the_colours_of_a_png(tmp_path: Path) -> None:
    np.testing.assert_array_equal(skimage.io.imread(write_mask(tmp_path / "mask.tif", SMALL)), SMALL)
    pixels = skimage.io.imread(write_mask(tmp_path / "mask.png", SMALL))
    np.testing.assert_array_equal(pixels, label_colors()[SMALL])
    np.testing.assert_array_equal(pixels[..., 0] == 255, (SMALL == 1) | (label_colors()[SMALL][..., 0] == 255))


@pytest.mark.parametrize("suffix", [".tif", ".png"])
def test_a_viewer_shows_a_black_background_and_a_white_lesion(tmp_path: Path, suffix: str) -> None:
    with Image.open(write_mask(tmp_path / f"mask{suffix}", [[0, 1], [1, 0]])) as image:
        shown = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(shown, 255 * np.array([[0, 1], [1, 0]])[..., None].repeat(3, -1))


SEVERAL = Provenance(
    "organs", 0.4, "1", class_names=("background", "liver", "Niere", "vessel"), class_colors=("#dd8265", "#b9664c")
)


def test_several_classes_have_their_colours_in_other_libraries(tmp_path: Path) -> None:
    labels = np.array([[0, 1], [2, 3]], np.uint8)
    colours = [[0, 0, 0], [0xDD, 0x82, 0x65], [0xB9, 0x66, 0x4C], list(map(int, overlay_colors()[3]))]
    png = write_mask(tmp_path / "m.png", labels, provenance=SEVERAL)
    with Image.open(png) as image:
        np.testing.assert_array_equal(np.asarray(image), labels)
        assert np.asarray(image.convert("RGB")).reshape(4, 3).tolist() == colours
        names = json.loads(image.info["wavegms"])["provenance"]["class_names"]
    assert names == list(SEVERAL.class_names)
    tiff = write_mask(tmp_path / "m.tif", labels, provenance=SEVERAL)
    with tifffile.TiffFile(tiff) as file:
        np.testing.assert_array_equal(file.asarray(), labels)
        assert (file.pages[0].colormap.T[:4] // 257).tolist() == colours
    for path in (png, tiff):
        back = read_mask_details(path)
        np.testing.assert_array_equal(back.labels, labels)
        assert (back.provenance, back.class_names, back.class_colors) == (
            *(SEVERAL, SEVERAL.class_names),
            SEVERAL.class_colors,
        )


@pytest.mark.parametrize("class_colors", [(), ("#dd8265",)])
def test_a_mask_of_one_class_stays_black_and_white(tmp_path: Path, class_colors: tuple[str, ...]) -> None:
    one = Provenance("generalist", 0.5, "1", "a.png", class_names=("background", "lesion"), class_colors=class_colors)
    path = write_mask(tmp_path / "m.png", np.array([[0, 1]], np.uint8), provenance=one)
    with Image.open(path) as image:
        assert np.asarray(image.convert("L")).tolist() == [[0, 255]]
        assert bytes(image.getpalette()) == label_colors().tobytes()


def test_the_record_of_one_class_is_the_line_that_it_was(tmp_path: Path) -> None:
    one = Provenance("generalist", 0.5, "1", "a.png", class_names=("background", "lesion"), edited=False)
    path = write_mask(tmp_path / "m.tif", np.array([[0, 1]], np.uint8), provenance=one)
    with tifffile.TiffFile(path) as file:
        assert file.pages[0].description == (
            'ImageJ=1.54f\nimages=1\nwavegms={"axes": "YX", "shape": [1, 2], "provenance": {"model": "generalist", '
            '"threshold": 0.5, "version": "1", "source": "a.png", "class_names": ["background", "lesion"], '
            '"edited": false}}'
        )


@given(st.lists(st.text(max_size=8) | st.just("#0F0f0f"), max_size=300))
def test_whatever_colours_a_file_names_there_are_256(class_colors: list[str]) -> None:
    colors = class_colors_over_image(class_colors)
    assert (colors.shape, colors[0].tolist()) == ((256, 3), [0, 0, 0])
    for label, color in enumerate(class_colors[:255], start=1):
        assert colors[label].tolist() == ([15] * 3 if color == "#0F0f0f" else overlay_colors()[label].tolist())


def test_every_label_has_a_colour_of_its_own() -> None:
    colors = label_colors()
    assert len(np.unique(colors, axis=0)) == 256
    assert colors[1:].max(axis=1).min() > 150


def imagej_spacing(path: Path) -> tuple[float, float, str]:
    """Column and row size and unit by the rules of ImageJ's TiffDecoder and FileOpener."""
    with tifffile.TiffFile(path) as tiff:
        tags = tiff.pages.first.tags
        width, height = (1 / (a / b) for a, b in (tags.valueof("XResolution"), tags.valueof("YResolution")))
        unit = tiff.imagej_metadata["unit"]
        if tags.valueof("ResolutionUnit") == 3 and unit == "um":
            return width * 1e4, height * 1e4, unit
        return width, height, unit


@pytest.mark.parametrize("unit", ["nm", "um", "mm", "cm", "inch"])
def test_imagej_and_the_plain_tags_agree_on_the_pixel_size(tmp_path: Path, unit: str) -> None:
    spacing = Spacing((2.0, 0.3, 0.7), unit)
    path = write_mask(tmp_path / "mask.tif", np.ones((3, 4, 5), int), spacing, "ZYX")
    depth, rows, columns = spacing.in_unit("cm").size
    assert imagej_spacing(path) == (pytest.approx(columns), pytest.approx(rows), "cm")
    with tifffile.TiffFile(path) as tiff:
        assert tiff.imagej_metadata["spacing"] == pytest.approx(depth)
        assert tiff.pages.first.get_resolution("CENTIMETER") == pytest.approx((1 / columns, 1 / rows))
    assert read_mask_details(path).spacing == spacing


def test_pixels_of_unknown_length_keep_their_ratio(tmp_path: Path) -> None:
    path = write_mask(tmp_path / "mask.tif", SMALL, Spacing((2.0, 0.5), "pixel"))
    assert imagej_spacing(path) == (0.5, 2.0, "pixel")
    assert read_mask_details(path).spacing == Spacing((2.0, 0.5), "pixel")


def test_png_spacing_stands_in_phys(tmp_path: Path) -> None:
    with Image.open(write_mask(tmp_path / "mask.png", SMALL, Spacing((0.5, 0.25), "mm"))) as image:
        assert image.info["dpi"] == pytest.approx((101.6, 50.8))


@pytest.mark.parametrize("axes", ["TYX", "ZYX", "CYX"])
def test_tifffile_and_imagej_know_the_axis_of_a_stack(tmp_path: Path, axes: str) -> None:
    labels = np.arange(60).reshape(5, 3, 4)
    with tifffile.TiffFile(write_mask(tmp_path / "mask.tif", labels, axes=axes)) as tiff:
        assert tiff.series[0].axes == axes
        assert tiff.imagej_metadata[{"T": "frames", "Z": "slices", "C": "channels"}[axes[0]]] == 5
        np.testing.assert_array_equal(tiff.asarray(), labels)


def test_hyperstacks_keep_time_and_depth(tmp_path: Path) -> None:
    labels = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    with tifffile.TiffFile(write_mask(tmp_path / "mask.tif", labels, axes="TZYX")) as tiff:
        assert (tiff.series[0].axes, tiff.series[0].shape) == ("TZYX", labels.shape)
        assert tiff.imagej_metadata["hyperstack"] is True


def test_unknown_axes_are_kept_in_our_record(tmp_path: Path) -> None:
    details = read_mask_details(write_mask(tmp_path / "mask.tif", np.ones((2, 3, 4), int), axes="QYX"))
    assert details.axes == "QYX"


def test_the_axes_of_a_colour_image_fit_its_mask(tmp_path: Path) -> None:
    assert read_mask_details(write_mask(tmp_path / "mask.tif", SMALL, axes="YXS")).axes == "YX"


def test_provenance_stands_in_the_description_and_in_imagejs_notes(tmp_path: Path) -> None:
    with tifffile.TiffFile(write_mask(tmp_path / "mask.tif", SMALL, provenance=PROVENANCE)) as tiff:
        assert '"model": "default"' in tiff.pages.first.description
        assert '"model": "default"' in tiff.imagej_metadata["Info"]
        assert tiff.pages.first.software == "napari-wavegms"


def test_provenance_survives_a_program_that_rewrites_the_description_but_keeps_the_notes(tmp_path: Path) -> None:
    with tifffile.TiffFile(write_mask(tmp_path / "mask.tif", SMALL, provenance=PROVENANCE)) as tiff:
        notes = tiff.imagej_metadata["Info"]
    tifffile.imwrite(tmp_path / "again.tif", SMALL.astype(np.uint8), imagej=True, metadata={"Info": notes})
    assert read_mask_details(tmp_path / "again.tif").provenance == PROVENANCE


def test_a_mask_without_extras_has_none(tmp_path: Path) -> None:
    for name in ("mask.tif", "mask.png"):
        details = read_mask_details(write_mask(tmp_path / name, SMALL))
        assert (details.spacing, details.provenance, details.source) == (None, None, tmp_path / name)


@pytest.mark.parametrize("suffix", [".tif", ".png"])
def test_label_255_of_ours_stays_255(tmp_path: Path, suffix: str) -> None:
    assert read_mask(write_mask(tmp_path / f"mask{suffix}", [[0, 255]])).tolist() == [[0, 255]]


def test_a_png_drops_leading_axes_of_length_one(tmp_path: Path) -> None:
    path = write_mask(tmp_path / "mask.png", SMALL[None], Spacing((2, 0.5, 0.5), "mm"), "ZYX")
    assert read_mask_details(path).spacing == Spacing((0.5, 0.5), "mm")
    np.testing.assert_array_equal(read_mask(path), SMALL)


def test_probabilities_are_float32_from_0_to_1(tmp_path: Path) -> None:
    probability = np.linspace(0, 1, 12).reshape(3, 4)
    path = write_probability(tmp_path / "p.tif", probability, Spacing((0.5, 0.5), "um"), provenance=PROVENANCE)
    loaded = read_image(path)
    np.testing.assert_array_equal(loaded.pixels, probability.astype(np.float32))
    assert loaded.spacing == Spacing((0.5, 0.5), "um")
    with tifffile.TiffFile(path) as tiff:
        assert (tiff.imagej_metadata["min"], tiff.imagej_metadata["max"]) == (0.0, 1.0)
    with pytest.raises(InputError, match=r"p\.tif contains fractions, .* Threshold it first"):
        read_mask(path)


@pytest.mark.parametrize("value", [-0.1, 1.1, np.nan])
def test_probabilities_outside_0_to_1_are_refused(tmp_path: Path, value: float) -> None:
    with pytest.raises(InputError, match=r"Probabilities lie in \[0, 1\]"):
        write_probability(tmp_path / "p.tif", np.full((2, 2), value))


def test_a_probability_has_rows_and_columns(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="A probability map has rows and columns"):
        write_probability(tmp_path / "p.tif", np.zeros(3))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.array([[0, -3]]), "labels from 0 up, but this has label -3"),
        (np.array([[0.0, 1.0]]), "whole numbers, but this is float64"),
        (np.array([[2**32]]), "4294967296 does not fit into 32 bits"),
        (np.zeros((0, 4), int), r"rows and columns, but this has shape \(0, 4\)"),
        (np.zeros(4, int), r"rows and columns, but this has shape \(4,\)"),
        (np.zeros((1,) * 6, int), "two to five axes, but this has 6"),
    ],
)
def test_labels_that_do_not_fit_are_refused(tmp_path: Path, labels: NDArray[Any], message: str) -> None:
    for name in ("mask.tif", "mask.png"):
        with pytest.raises(InputError, match=message):
            write_mask(tmp_path / name, labels)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("axes", ["YX", "ZXY", "ZZYX", ""])
def test_axes_that_do_not_fit_are_refused(tmp_path: Path, axes: str) -> None:
    with pytest.raises(InputError, match="do not fit an array of 3 axes"):
        write_mask(tmp_path / "mask.tif", np.ones((2, 3, 4), int), axes=axes)


def test_what_a_png_cannot_hold_is_sent_to_tiff(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"the mask has label 256\. Save it as TIFF"):
        write_mask(tmp_path / "mask.png", [[256]])
    with pytest.raises(InputError, match=r"shape \(2, 3, 4\)\. Save it as TIFF"):
        write_mask(tmp_path / "mask.png", np.ones((2, 3, 4), int))


def test_the_ending_names_the_format(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'mask\.jpg' does not end in \.tif, \.tiff, \.png"):
        write_mask(tmp_path / "mask.jpg", SMALL)
    with pytest.raises(InputError, match=r"'p\.png' does not end in \.tif or \.tiff"):
        write_probability(tmp_path / "p.png", SMALL > 0)
    assert write_mask(str(tmp_path / "new" / "MASK.TIFF"), SMALL) == tmp_path / "new" / "MASK.TIFF"


def test_a_place_that_cannot_be_written_gives_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "folder.tif").mkdir()
    with pytest.raises(InputError, match="is a folder; give the name of a file"):
        write_mask(tmp_path / "folder.tif", SMALL)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="cannot be written"):
        write_mask(tmp_path / "file" / "mask.tif", SMALL)


def test_a_refused_mask_leaves_the_old_file_alone(tmp_path: Path) -> None:
    path = write_mask(tmp_path / "mask.tif", SMALL)
    before = path.read_bytes()
    with pytest.raises(InputError, match="labels from 0 up"):
        write_mask(path, -SMALL)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_tiny_and_huge_pixels_are_stored(tmp_path: Path) -> None:
    for size in (1e-9, 1e-3, 1e9):
        spacing = Spacing((size, size), "mm")
        for name in ("mask.tif", "mask.png"):
            assert read_mask_details(write_mask(tmp_path / name, SMALL, spacing)).spacing == spacing
