"""napari's writers: what a Labels layer says about its place ends up in the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_wavegms.errors import InputError
from napari_wavegms.files.napari_writers import PROVENANCE_KEY, write_labels
from napari_wavegms.files.provenance import Provenance
from napari_wavegms.files.reading import MaskDetails, read_mask_details
from napari_wavegms.files.spacing import Spacing

PLANE = np.array([[0, 1, 2], [1, 0, 0]])
VOLUME = np.stack([PLANE, PLANE, PLANE, PLANE])
PROVENANCE = Provenance("default", 0.5, "1.0")


def written(folder: Path, data: Any, **meta: Any) -> MaskDetails:
    [path] = write_labels(str(folder / "labels.tif"), data, meta)
    return read_mask_details(path)


def test_scale_units_and_axes_are_kept(tmp_path: Path) -> None:
    details = written(
        tmp_path,
        VOLUME,
        scale=np.array([3.0, 0.25, 0.5]),
        units=("millimeter",) * 3,
        axis_labels=("z", "y", "x"),
        metadata={PROVENANCE_KEY: PROVENANCE},
    )
    assert details.spacing == Spacing((3, 0.25, 0.5), "mm")
    assert (details.axes, details.provenance) == ("ZYX", PROVENANCE)
    np.testing.assert_array_equal(details.labels, VOLUME)


def test_a_time_series_has_the_spacing_of_its_planes(tmp_path: Path) -> None:
    meta = {"scale": (60.0, 0.25, 0.5), "units": ("second", "um", "um"), "axis_labels": ("time", "Y", "X")}
    details = written(tmp_path, VOLUME, **meta)
    assert (details.axes, details.spacing) == ("TYX", Spacing((0.25, 0.5), "um"))


def test_units_are_brought_to_that_of_the_columns(tmp_path: Path) -> None:
    details = written(tmp_path, VOLUME, scale=(0.003, 250.0, 500.0), units=("mm", "nm", "nm"))
    assert details.spacing == Spacing((3000, 250, 500), "nm")
    details = written(tmp_path, VOLUME, scale=(2.0, 250.0, 500.0), units=("pixel", "nm", "nm"))
    assert details.spacing == Spacing((250, 500), "nm")
    assert written(tmp_path, PLANE, scale=(2.0, 250.0), units=("pixel", "nm")).spacing is None


def test_another_reader_s_affine_of_the_transposed_volume_is_kept(tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel", reason="nibabel is optional")
    affine = np.array([[2.0, 0, 0, -9], [0, 0, 3, 5], [0, -4, 0, 7], [0, 0, 0, 1]])
    path = str(tmp_path / "labels.nii.gz")
    write_labels(path, VOLUME, {"metadata": {"affine": affine, "coordinate_system": "RAS+"}})
    np.testing.assert_array_equal(nibabel.load(path).affine, affine)
    np.testing.assert_array_equal(np.asarray(nibabel.load(path).dataobj), VOLUME.T)


def test_bare_pixels_have_no_spacing(tmp_path: Path) -> None:
    assert written(tmp_path, PLANE, scale=(1.0, 1.0), units=("pixel", "pixel")).spacing is None
    assert written(tmp_path, PLANE, scale=(2.0, 1.0)).spacing == Spacing((2, 1), "pixel")
    assert written(tmp_path, PLANE).spacing is None


@pytest.mark.parametrize("names", [("-3", "-2", "-1"), ("a", "b", "c"), ("y", "y", "x"), ("x", "y", "z"), None])
def test_names_that_are_not_understood_give_the_default_axes(tmp_path: Path, names: tuple[str, ...] | None) -> None:
    assert written(tmp_path, VOLUME, axis_labels=names).axes == "ZYX"


def test_the_finest_level_of_a_multiscale_layer_is_written(tmp_path: Path) -> None:
    details = written(tmp_path, [PLANE, PLANE[:1, :1]], multiscale=True)
    np.testing.assert_array_equal(details.labels, PLANE)


def test_lazy_arrays_are_computed(tmp_path: Path) -> None:
    dask = pytest.importorskip("dask.array", reason="dask is not installed")
    np.testing.assert_array_equal(written(tmp_path, dask.from_array(VOLUME)).labels, VOLUME)


def test_provenance_may_be_a_dictionary_and_other_things_are_passed_over(tmp_path: Path) -> None:
    assert written(tmp_path, PLANE, metadata={PROVENANCE_KEY: PROVENANCE.as_dict()}).provenance == PROVENANCE
    assert written(tmp_path, PLANE, metadata={PROVENANCE_KEY: "mine"}).provenance is None


def test_png_keeps_spacing_and_refuses_stacks(tmp_path: Path) -> None:
    meta = {"scale": (0.25, 0.5), "units": ("mm", "mm")}
    [path] = write_labels(str(tmp_path / "labels.png"), PLANE, meta)
    assert read_mask_details(path).spacing == Spacing((0.25, 0.5), "mm")
    with pytest.raises(InputError, match="Save it as TIFF"):
        write_labels(str(tmp_path / "labels.png"), VOLUME, {})


def test_a_line_of_labels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="rows and columns"):
        write_labels(str(tmp_path / "labels.tif"), np.arange(3), {})


def test_a_real_layer_is_written(tmp_path: Path) -> None:
    layers = pytest.importorskip("napari.layers", reason="napari is not installed")
    layer = layers.Labels(VOLUME, scale=(3, 0.5, 0.25), units=("mm", "mm", "mm"), axis_labels=("t", "y", "x"))
    data, meta, kind = layer.as_layer_data_tuple()
    details = written(tmp_path, data, **meta)
    assert kind == "labels"
    assert (details.axes, details.spacing) == ("TYX", Spacing((0.5, 0.25), "mm"))
