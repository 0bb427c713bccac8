"""OME-Zarr images are read at every level, labels written into them mean what they should, and errors are sentences."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from napari_wavegms.errors import InputError
from napari_wavegms.files.discovery import find_images
from napari_wavegms.files.formats.ome_zarr import label_writer, open_image
from napari_wavegms.files.labels import overlay_colors
from napari_wavegms.files.provenance import Provenance
from napari_wavegms.files.reading import read_image, read_mask, read_mask_details

Make = Callable[..., Path]
TYPES = {"t": "time", "c": "channel"}


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Write an image of an array, with levels of half the rows and columns."""

    def write(array: np.ndarray, axes: str, version: str = "0.5", levels: int = 2, **more: Any) -> Path:
        path = tmp_path / "scan.ome.zarr"
        shutil.rmtree(path, ignore_errors=True)
        group = zarr.open_group(path, mode="w", zarr_format=3 if version == "0.5" else 2)
        datasets = []
        for level in range(levels):
            group.create_array(str(level), data=array[..., :: 2**level, :: 2**level])
            scale = [2.0**level * 0.5 if name in "yx" else 3.0 for name in axes]
            datasets.append({"path": str(level), "coordinateTransformations": [{"type": "scale", "scale": scale}]})
        named = [
            {"name": name, "type": TYPES.get(name, "space")} | ({"unit": "micrometer"} if name in "zyx" else {})
            for name in axes
        ]
        about = {"multiscales": [{"axes": named, "datasets": datasets, "version": version}], **more}
        group.attrs.update({"ome": {"version": version, **about}} if version == "0.5" else about)
        return path

    return write


class Known:
    """A probability that is known everywhere."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values

    def labels(self, rows: np.ndarray, columns: np.ndarray, threshold: float) -> np.ndarray:
        return self.values[np.ix_(rows.astype(int), columns.astype(int))] >= threshold

    def highest(self, rows: slice, columns: slice) -> float:
        return float(self.values[rows, columns].max())


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_labels_lie_on_the_image_at_every_level(make: Make, version: str) -> None:
    array = np.random.default_rng(0).integers(0, 255, (1, 2, 3, 16, 24)).astype(np.uint8)
    path = make(array, "tczyx", version)
    truth = np.zeros((3, 16, 24), bool)
    truth[1, 4:12, 8:20] = truth[2, :2, :2] = True
    with label_writer(open_image(path), path / "labels" / "lesions") as writer:
        counts = [writer.write((0, z, slice(None), slice(None)), Known(truth[z].astype(float)), 0.5) for z in range(3)]
        writer.describe("lesions", Provenance.now("tiny", 0.5, class_names=("background", "tumour")))
    assert counts == [0, 96, 4]
    labels = open_image(path / "labels" / "lesions")
    assert (labels.version, labels.axes, labels.spacing) == (version, "TZYX", open_image(path).spacing)
    np.testing.assert_array_equal(labels.levels[0][0], truth)
    np.testing.assert_array_equal(labels.levels[1][0], truth[:, ::2, ::2])
    np.testing.assert_array_equal(read_mask(path / "labels" / "lesions")[0], truth)
    listed, about = zarr.open_group(path / "labels").attrs, zarr.open_group(path / "labels" / "lesions").attrs
    assert (listed["ome"] if version == "0.5" else listed)["labels"] == ["lesions"]
    meaning = (about["ome"] if version == "0.5" else about)["image-label"]
    assert meaning["properties"] == [{"label-value": 1, "name": "tumour"}]
    assert meaning["colors"][0]["label-value"] == 1


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_several_classes_keep_their_names_colours_and_codes(make: Make, version: str) -> None:
    path = make(np.zeros((4, 6), np.uint8), "yx", version, levels=1)
    made = Provenance.now(
        *("organs", 0.5),
        class_names=("background", "liver", "kidney", "gut"),
        class_colors=("#dd8265", "#b9664c"),
        class_codes=("", "SCT 64033007"),
    )
    classes = np.array([[0, 0, 1, 1, 2, 3]] * 4, np.uint8)

    class Classes(Known):
        def labels(self, rows: np.ndarray, columns: np.ndarray, threshold: float) -> np.ndarray:
            return classes[np.ix_(rows.astype(int), columns.astype(int))]

    with label_writer(open_image(path), path / "labels" / "organs") as writer:
        writer.write((slice(None), slice(None)), Classes(np.ones((4, 6))), 0.5)
        writer.describe("organs", made)
    attributes = zarr.open_group(path / "labels" / "organs").attrs
    meaning = (attributes["ome"] if version == "0.5" else attributes)["image-label"]
    third = [*map(int, overlay_colors()[3]), 255]
    assert [one["rgba"] for one in meaning["colors"]] == [[221, 130, 101, 255], [185, 102, 76, 255], third]
    assert meaning["properties"] == [
        {"label-value": 1, "name": "liver"},
        {"label-value": 2, "name": "kidney", "code": "SCT 64033007"},
        {"label-value": 3, "name": "gut"},
    ]
    back = read_mask_details(path / "labels" / "organs")
    np.testing.assert_array_equal(back.labels, classes)
    assert (back.provenance, back.class_names, back.class_colors) == (made, made.class_names, made.class_colors)


def test_labels_that_are_broken_off_leave_no_trace(make: Make) -> None:
    path = make(np.ones((16, 16), np.uint8), "yx")

    def broken_off() -> None:
        with label_writer(open_image(path), path / "labels" / "lesions"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken_off()
    assert [one.name for one in (path / "labels").iterdir()] == ["zarr.json"]


def test_the_finest_level_is_an_image_like_any_other(make: Make) -> None:
    array = np.arange(32, dtype=np.uint16).reshape(4, 8)
    path = make(array, "yx", "0.4")
    assert find_images(path.parent) == [path]
    loaded = read_image(path)
    np.testing.assert_array_equal(loaded.pixels, array)
    assert loaded.spacing is not None
    assert (loaded.axes, loaded.spacing.size, loaded.spacing.unit) == ("YX", (0.5, 0.5), "um")


def test_three_channels_that_are_colours_are_one_image(make: Make) -> None:
    colours = [{"color": color} for color in ("ff0000", "00FF00", "0000FF")]
    array = np.random.default_rng(0).integers(0, 255, (3, 4, 8)).astype(np.uint8)
    image = open_image(make(array, "cyx", omero={"channels": colours}))
    assert (image.plan_axes, image.plan_shape) == ("YX", (4, 8))
    plane = image.planes((slice(None), slice(None)))[0]
    np.testing.assert_array_equal(plane[1:3, 2:6], np.moveaxis(array, 0, 2)[1:3, 2:6])


def test_a_slice_of_a_level_with_fewer_slices_is_the_nearest(make: Make) -> None:
    path = make(np.arange(4, dtype=np.uint8)[:, None, None] * np.ones((4, 8, 8), np.uint8), "zyx", levels=1)
    group = zarr.open_group(path)
    group.create_array("1", data=np.array([1, 3], np.uint8)[:, None, None] * np.ones((2, 4, 4), np.uint8))
    about = dict(group.attrs["ome"])
    about["multiscales"][0]["datasets"].append({"path": "1"})
    group.attrs["ome"] = about
    planes = open_image(path).planes((3, slice(None), slice(None)))
    assert [int(np.asarray(plane)[0, 0]) for plane in planes] == [3, 3]


AXES = [{"name": "y", "type": "space"}, {"name": "x", "type": "space"}]


def scaled(*scale: object) -> dict[str, Any]:
    return {"coordinateTransformations": [{"type": "scale", "scale": list(scale)}]}


@pytest.mark.parametrize(
    ("axes", "change", "sentence"),
    [
        ("yx", {"multiscales": []}, "Zarr group without multiscales, not an image. Choose an image in it"),
        ("yx", {"multiscales": [], "plate": {}}, "is a plate, not an image"),
        ("yx", {"version": "0.9"}, "is OME-Zarr 0.9; Wave-GMS reads 0.4 and 0.5"),
        ("yx", {"multiscales": [{"datasets": []}]}, "is damaged"),
        ("yx", {"omero": [5]}, "metadata of .* is damaged"),
        ("yx", {"multiscales": [{"axes": AXES, "datasets": [{"path": "../0"}]}]}, "an array outside its folder"),
        ("yx", {"multiscales": [{"axes": AXES, "datasets": [{"path": "0", **scaled(2)}]}]}, "scale does not have 2"),
        ("yx", {"multiscales": [{"axes": AXES, "datasets": [{"path": "0", **scaled("x", 2)}]}]}, "is damaged"),
        ("qyx", {}, "has the axes qyx; Wave-GMS reads t, c, z and, at the end, y and x"),
        ("xyz", {}, "has the axes xyz"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(make: Make, axes: str, change: dict[str, Any], sentence: str) -> None:
    path = make(np.ones((4,) * len(axes), np.uint8), axes)
    group = zarr.open_group(path)
    group.attrs["ome"] = {**group.attrs["ome"], **change}
    with pytest.raises(InputError, match=sentence):
        open_image(path)


def test_damaged_chunks_are_one_sentence(make: Make) -> None:
    image = open_image(make(np.random.default_rng(0).integers(0, 255, (16, 16)).astype(np.uint8), "yx"))
    for chunk in (image.path / "0" / "c").rglob("0"):
        if chunk.is_file():
            chunk.write_bytes(b"damaged")
    with pytest.raises(InputError, match="A part of the image cannot be read"):
        np.asarray(image.planes((slice(None), slice(None)))[0])


def test_a_missing_level_and_a_damaged_group_are_one_sentence(make: Make) -> None:
    path = make(np.ones((4, 8), np.uint8), "yx")
    shutil.rmtree(path / "1")
    with pytest.raises(InputError, match=r"lacks the array 1 of 2 axes that it names"):
        open_image(path)
    (path / "zarr.json").write_text("{")
    with pytest.raises(InputError, match="cannot be read as a Zarr group"):
        read_image(path)
