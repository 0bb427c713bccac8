"""Opening in napari: the array that the command line reads, and masks as Labels with spacing, names and provenance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from napari.components import ViewerModel
from napari.layers import Layer
from npe2 import PluginManifest
from PIL import Image

from napari_wavegms.files.mask_writer import write_mask, write_probability
from napari_wavegms.files.napari_reader import get_reader, read_layers
from napari_wavegms.files.provenance import Provenance
from napari_wavegms.files.reading import read_image
from napari_wavegms.files.spacing import Spacing

LABELS = np.kron(np.array([[0, 1], [2, 0]], np.uint8), np.ones((8, 8), np.uint8))
GREY = np.arange(256, dtype=np.uint8).reshape(16, 16)
PROVENANCE = Provenance.now("generalist", 0.4, "scan.png", class_names=("background", "cyst", "wall"))


@pytest.mark.parametrize("name", ["scan_mask.tif", "whatever.png", "v.nii.gz"])
def test_our_masks_are_labels_with_spacing_and_provenance(tmp_path: Path, name: str) -> None:
    if name.endswith(".gz"):
        pytest.importorskip("nibabel", reason="nibabel is optional")
    path = write_mask(tmp_path / name, LABELS, Spacing((0.5, 0.25), "mm"), provenance=PROVENANCE)
    ((data, meta, kind),) = read_layers(str(path))
    np.testing.assert_array_equal(data, LABELS)
    assert kind == "labels"
    assert (meta["scale"], meta["units"], meta["axis_labels"]) == ((0.5, 0.25), ("mm", "mm"), ("y", "x"))
    assert Provenance.from_dict(meta["metadata"]["wavegms"]) == PROVENANCE
    assert meta["name"] == name.split(".")[0]
    layer = Layer.create(data, meta, kind)
    assert layer.get_status((0, 12), world=False)["value"] == "1; name: cyst"
    np.testing.assert_allclose(
        [layer.get_color(label) for label in (1, 2)], [[0, 0.902, 1, 1], [1, 0.6, 0, 1]], atol=1e-3
    )


@pytest.mark.parametrize("name", ["scan_mask.tif", "whatever.png", "v.nii.gz"])
def test_several_classes_have_their_own_colours(tmp_path: Path, name: str) -> None:
    if name.endswith(".gz"):
        pytest.importorskip("nibabel", reason="nibabel is optional")
    path = write_mask(tmp_path / name, LABELS, provenance=replace(PROVENANCE, class_colors=("#ff0000",)))
    layer = Layer.create(*read_layers(str(path))[0])
    assert layer.get_status((12, 0), world=False)["value"] == "2; name: wall"
    np.testing.assert_allclose([layer.get_color(label) for label in (1, 2)], [[1, 0, 0, 1], [1, 0.6, 0, 1]], atol=1e-6)


def test_a_series_of_volumes_is_scaled_along_its_spatial_axes(tmp_path: Path) -> None:
    path = write_mask(tmp_path / "m.tif", np.zeros((2, 3, 4, 5), np.uint8), Spacing((3, 0.5, 0.25), "um"), "TZYX")
    ((_, meta, _),) = read_layers(str(path))
    assert meta["scale"] == (1, 3, 0.5, 0.25)
    assert meta["units"] == ("pixel", "um", "um", "um")


def test_masks_of_others_are_labels_by_their_name(tmp_path: Path) -> None:
    for name in ("a_mask.png", "a_segmentation.png", "a.png"):
        Image.fromarray((LABELS > 0).astype(np.uint8) * 255).save(tmp_path / name)
    kinds = {path.name: read_layers(str(path))[0][2] for path in tmp_path.iterdir()}
    assert kinds == {"a_mask.png": "labels", "a_segmentation.png": "labels", "a.png": "image"}
    Image.fromarray(GREY).save(tmp_path / "b_mask.png")  # a picture, whatever its name
    assert read_layers(str(tmp_path / "b_mask.png"))[0][2] == "image"
    path = write_probability(tmp_path / "c_probability.tiff", LABELS / 2)
    assert read_layers(str(path))[0][2] == "image"


def test_what_of_a_file_is_not_opened_is_said(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(GREY)
        file.write(GREY[:3, :4])
    with pytest.warns(UserWarning, match=r"Of a\.tif, 1 more picture \(3 x 4\) was left out\."):
        ((data, _, _),) = read_layers(str(tmp_path / "a.tif"))
    np.testing.assert_array_equal(data, GREY)


def turned(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(GREY[:8]).save(path, exif=exif)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("lzw.tif", lambda path: Image.fromarray(GREY).save(path, compression="tiff_lzw")),
        ("jpeg.tif", lambda path: Image.fromarray(GREY).save(path, compression="jpeg")),
        ("fax.tif", lambda path: Image.fromarray(GREY > 100).save(path, compression="group4")),
        ("turned.png", turned),
        ("alpha.png", lambda path: Image.fromarray(np.dstack([GREY, GREY[::-1]])).save(path)),
        ("rgba.png", lambda path: Image.fromarray(np.dstack([GREY] * 4)).save(path)),
    ],
)
def test_napari_opens_what_the_command_line_reads(
    npe2pm: Any, tmp_path: Path, name: str, write: Callable[[Path], None]
) -> None:
    write(tmp_path / name)
    npe2pm.register(PluginManifest.from_file(str(files("napari_wavegms") / "napari.yaml")))
    viewer = ViewerModel()
    viewer.open(tmp_path / name, plugin="napari-wavegms")
    np.testing.assert_array_equal(viewer.layers[0].data, read_image(tmp_path / name).pixels)
    assert viewer.layers[0].name == name.split(".")[0]


def test_other_things_are_left_to_others(tmp_path: Path) -> None:
    assert get_reader("https://example.org/a.png") is None
    assert get_reader([str(tmp_path / "a.png"), str(tmp_path / "b.png")]) is None
    assert get_reader(str(tmp_path)) is None
