"""A volume is cut alike however it is stored, and its masks lie on it as SimpleITK sees both."""

from __future__ import annotations

from itertools import permutations, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_wavegms import InputError, read_image, read_mask, write_mask
from napari_wavegms.files.mask_writer import write_probability
from napari_wavegms.files.reading import LoadedImage
from napari_wavegms.files.spacing import Spacing

nibabel = pytest.importorskip("nibabel", reason="nibabel is optional")
sitk = pytest.importorskip("SimpleITK", reason="SimpleITK is optional")

_ENDS = ("RL", "AP", "SI")
ORIENTATIONS = [
    "".join(_ENDS[axis][end] for axis, end in zip(axes, ends, strict=True))
    for axes in permutations(range(3))
    for ends in product((0, 1), repeat=3)
]
SIZES = {"R": 0.5, "A": 0.8, "S": 3.0}  # mm along the axes of the patient
SHAPE = {"R": 5, "A": 4, "S": 3}


def rotated(degrees: float) -> NDArray[np.float64]:
    """A turn about an axis that is none of the patient's."""
    turn = np.eye(4)
    turn[:3, :3] = nibabel.quaternions.angle_axis2mat(np.radians(degrees), [1, 2, 3])
    return turn


def volume_of(codes: str, sizes: dict[str, float] = SIZES, turn: float = 0) -> Any:
    """The same patient, as int16 voxels that differ everywhere, stored along other axes."""
    shape = tuple(SHAPE.values())
    voxels = np.arange(np.prod(shape), dtype=np.int16).reshape(shape)
    affine = rotated(turn) @ (np.diag([*sizes.values(), 1.0]) + np.array([[0, 0, 0, x] for x in (-7, 11, -40, 0)]))
    ornt = nibabel.orientations.ornt_transform(
        nibabel.orientations.axcodes2ornt("RAS"), nibabel.orientations.axcodes2ornt(codes)
    )
    return nibabel.Nifti1Image(voxels, affine).as_reoriented(ornt)


def save(volume: Any, path: Path) -> None:
    """Write a volume, through SimpleITK where it is no NIfTI."""
    nibabel.save(volume, path.with_suffix(".nii"))
    if path.suffix != ".nii":
        sitk.WriteImage(sitk.ReadImage(str(path.with_suffix(".nii"))), str(path))


def place_of(image: Any, value: float) -> NDArray[np.float64]:
    """Where SimpleITK finds the one voxel of a value, in mm."""
    (index,) = np.argwhere(sitk.GetArrayViewFromImage(image) == value)
    return np.array(image.TransformIndexToPhysicalPoint([int(i) for i in index[::-1]]))


def marked(loaded: LoadedImage) -> NDArray[np.uint8]:
    """A mask with three labels at three voxels, chosen by what the image has there."""
    labels = np.zeros(loaded.pixels.shape, np.uint8)
    for label, value in enumerate((0, 17, 42), start=1):
        labels[loaded.pixels == value] = label
    return labels


@pytest.mark.parametrize(("suffix", "turn"), [(".nii", 0), (".nii", 20), (".mha", 20), (".nrrd", 0)])
def test_slices_are_the_same_and_masks_lie_on_them_however_a_volume_is_stored(
    tmp_path: Path, suffix: str, turn: float
) -> None:
    upright = volume_of("LPS", turn=turn)
    for codes in ORIENTATIONS:
        path, mask = tmp_path / f"{codes}{suffix}", tmp_path / f"{codes}_mask.nii"
        save(volume_of(codes, turn=turn), path)
        loaded = read_image(path)
        np.testing.assert_array_equal(loaded.pixels, np.asarray(upright.dataobj).T, codes)
        assert (loaded.axes, loaded.spacing) == ("ZYX", Spacing((3.0, 0.8, 0.5), "mm")), codes
        assert loaded.geometry is not None
        np.testing.assert_allclose(loaded.geometry.slice_affine, upright.affine, atol=1e-5)
        write_mask(mask, marked(loaded), loaded.spacing, loaded.axes, like=loaded.geometry)
        stored, written = sitk.ReadImage(str(path)), sitk.ReadImage(str(mask))
        assert written.GetSize() == stored.GetSize()
        for name in ("Spacing", "Origin", "Direction"):
            difference = np.subtract(getattr(written, f"Get{name}")(), getattr(stored, f"Get{name}")())
            assert np.abs(difference).max() < 1e-5, (codes, name)
        for label, value in enumerate((0, 17, 42), start=1):
            np.testing.assert_allclose(place_of(written, label), place_of(stored, value), atol=1e-4, err_msg=codes)
        np.testing.assert_array_equal(read_mask(mask), marked(loaded), codes)


def test_a_layer_s_origin_is_where_its_first_voxel_lies(tmp_path: Path) -> None:
    for codes in ("RAS", "PIR"):
        nibabel.save(volume_of(codes), tmp_path / "v.nii")
        geometry = read_image(tmp_path / "v.nii").geometry
        assert geometry is not None
        assert geometry.origin == pytest.approx((-40, -(11 + 3 * 0.8), -(-7 + 4 * 0.5)))


@pytest.mark.parametrize(
    ("thick", "view"),
    [("R", "PIL"), ("A", "LIP"), ("S", "LPS"), ("", "LPS")],
    ids=["sagittal", "coronal", "axial", "1"],
)
@pytest.mark.parametrize("codes", ["RAS", "PIR", "SLA"])
def test_thick_slices_are_taken_as_they_were_acquired(tmp_path: Path, thick: str, view: str, codes: str) -> None:
    sizes = {name: 4.0 if name == thick else 0.7 for name in "RAS"}
    nibabel.save(volume_of(codes, sizes), tmp_path / "v.nii.gz")
    loaded = read_image(tmp_path / "v.nii.gz")
    np.testing.assert_array_equal(loaded.pixels, np.asarray(volume_of(view).dataobj).T)
    assert loaded.spacing == Spacing((4.0 if thick else 0.7, 0.7, 0.7), "mm")
    assert loaded.geometry is not None
    names = {"R": "sagittal", "A": "coronal", "S": "axial", "": "axial"}
    assert loaded.geometry.plane(0) == names[thick]
    assert {loaded.geometry.plane(axis) for axis in range(3)} == {*names.values()}


def test_a_plane_and_a_series_keep_their_shapes(tmp_path: Path) -> None:
    for shape, axes in (((6, 4), "YX"), ((6, 4, 1), "ZYX"), ((1, 6, 4), "ZYX"), ((6, 4, 3, 2), "TZYX")):
        voxels = np.random.default_rng(0).integers(0, 99, shape).astype(np.int16)
        nibabel.save(nibabel.Nifti1Image(voxels, np.diag([1, 1, 2, 1])), tmp_path / "v.nii.gz")
        loaded = read_image(tmp_path / "v.nii.gz")
        assert loaded.axes == axes
        write_mask(tmp_path / "m.nii.gz", loaded.pixels, axes=axes, like=tmp_path / "v.nii.gz")
        np.testing.assert_array_equal(np.asarray(nibabel.load(tmp_path / "m.nii.gz").dataobj), voxels)
        np.testing.assert_array_equal(read_mask(tmp_path / "m.nii.gz"), loaded.pixels)


def test_the_header_stays_but_for_what_is_not_the_mask_s(tmp_path: Path) -> None:
    volume = volume_of("PIR")
    volume.set_sform(volume.affine, code=4)
    volume.set_qform(volume.affine, code=1)
    volume.header.set_xyzt_units("mm", "sec")
    volume.header.set_slope_inter(2.0, -1024)
    volume.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"Name^Of^Patient"))
    nibabel.save(volume, tmp_path / "v.nii.gz")
    geometry = read_image(tmp_path / "v.nii.gz").geometry
    assert geometry is not None
    write_mask(tmp_path / "m.nii", np.full(geometry.slices_shape, 300), like=geometry)
    written = nibabel.load(tmp_path / "m.nii")
    assert [int(written.header[f"{form}_code"]) for form in ("sform", "qform")] == [4, 1]
    np.testing.assert_array_equal(written.affine, nibabel.load(tmp_path / "v.nii.gz").affine)
    assert written.get_data_dtype() == np.uint16
    assert (written.header.get_slope_inter(), written.header.get_xyzt_units()) == ((None, None), ("mm", "sec"))
    assert b"Patient" not in (tmp_path / "m.nii").read_bytes()


def test_a_volume_without_orientation_stays_as_stored(tmp_path: Path) -> None:
    voxels = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    volume = nibabel.Nifti1Image(voxels, None)
    volume.header.set_zooms((0.5, 0.75, 3))
    nibabel.save(volume, tmp_path / "v.nii")
    loaded = read_image(tmp_path / "v.nii")
    np.testing.assert_array_equal(loaded.pixels, voxels.T)
    assert loaded.spacing == Spacing((3.0, 0.75, 0.5), "mm")


def test_a_mask_of_no_volume_comes_back_with_its_spacing(tmp_path: Path) -> None:
    labels = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    path = write_mask(tmp_path / "m.nii.gz", labels, Spacing((0.5, 0.5, 4), "mm"))
    np.testing.assert_array_equal(read_mask(path), labels)
    assert sitk.ReadImage(str(path)).GetSpacing() == (4, 0.5, 0.5)


def test_probabilities_lie_on_their_volume(tmp_path: Path) -> None:
    nibabel.save(volume_of("PIR"), tmp_path / "v.nii.gz")
    loaded = read_image(tmp_path / "v.nii.gz")
    write_probability(tmp_path / "p.nii.gz", loaded.pixels / 100, like=loaded.geometry)
    assert nibabel.load(tmp_path / "p.nii.gz").get_data_dtype() == np.float32
    written, stored = (sitk.ReadImage(str(tmp_path / name)) for name in ("p.nii.gz", "v.nii.gz"))
    np.testing.assert_allclose(place_of(written, np.float32(0.17)), place_of(stored, 17))


def test_a_mask_of_another_shape_is_refused(tmp_path: Path) -> None:
    nibabel.save(volume_of("RAS"), tmp_path / "v.nii.gz")
    with pytest.raises(InputError, match=r"The mask is 2 x 2, but the volume that it is to lie on is 3 x 4 x 5\."):
        write_mask(tmp_path / "m.nii.gz", np.zeros((2, 2), np.uint8), like=tmp_path / "v.nii.gz")


class TestBadVolumes:
    """One sentence that names the file and what is wrong with it."""

    def test_without_right_angles(self, tmp_path: Path) -> None:
        affine = np.eye(4)
        affine[1, 2] = np.tan(np.radians(15))
        nibabel.save(nibabel.Nifti1Image(np.zeros((2, 3, 4), np.int16), affine), tmp_path / "tilted.nii.gz")
        with pytest.raises(InputError, match=r"tilted\.nii\.gz has axes that are 15° from right angles"):
            read_image(tmp_path / "tilted.nii.gz")

    @pytest.mark.parametrize(("size", "said"), [(0, "0.5 x 0"), (-2, "0.5 x -2")])
    def test_without_size(self, tmp_path: Path, capfd: pytest.CaptureFixture[str], size: float, said: str) -> None:
        volume = nibabel.Nifti1Image(np.zeros((2, 3, 4), np.int16), None)
        volume.header.set_zooms((0.5, 2, 1))
        content = bytearray(volume.to_bytes())
        content[84:88] = np.float32(size).tobytes()  # pixdim[2]
        (tmp_path / "flat.nii").write_bytes(content)
        with pytest.raises(InputError, match=rf"flat\.nii says that a voxel is {said} x 1 mm large"):
            read_image(tmp_path / "flat.nii")
        assert capfd.readouterr().err == ""

    def test_with_an_affine_of_zeros(self, tmp_path: Path) -> None:
        volume = nibabel.Nifti1Image(np.zeros((2, 3, 4), np.int16), np.eye(4))
        volume.header["srow_z"] = 0
        (tmp_path / "v.nii").write_bytes(volume.header.binaryblock + bytes(4) + bytes(48))
        with pytest.raises(InputError, match=r"v\.nii says that a voxel is 1 x 1 x 0 mm large"):
            read_image(tmp_path / "v.nii")

    def test_in_colour_or_of_many_axes(self, tmp_path: Path) -> None:
        colours = np.zeros((2, 3, 4), [("R", "u1"), ("G", "u1"), ("B", "u1")])
        nibabel.save(nibabel.Nifti1Image(colours, np.eye(4)), tmp_path / "rgb.nii.gz")
        with pytest.raises(InputError, match=r"rgb\.nii\.gz is in colour"):
            read_image(tmp_path / "rgb.nii.gz")
        nibabel.save(nibabel.Nifti1Image(np.zeros((2, 3, 4, 1, 2), np.int16), np.eye(4)), tmp_path / "v.nii.gz")
        with pytest.raises(InputError, match=r"v\.nii\.gz has 5 axes, but two to four can be read"):
            read_image(tmp_path / "v.nii.gz")

    @pytest.mark.parametrize("suffix", [".mha", ".nrrd"])
    def test_cut_short_or_in_colour(self, tmp_path: Path, suffix: str) -> None:
        path = tmp_path / f"v{suffix}"
        sitk.WriteImage(sitk.GetImageFromArray(np.zeros((9, 9, 9), np.int16)), str(path))
        path.write_bytes(path.read_bytes()[:300])
        with pytest.raises(InputError, match=rf"v\{suffix} is not a volume that SimpleITK can read, or is cut short"):
            read_image(path)
        sitk.WriteImage(sitk.GetImageFromArray(np.zeros((2, 9, 9, 3), np.uint8), isVector=True), str(path))
        with pytest.raises(InputError, match=rf"v\{suffix} has 3 numbers per voxel"):
            read_image(path)

    @pytest.mark.parametrize("suffix", [".mhd", ".mha", ".nrrd"])
    @pytest.mark.parametrize(
        "named", ["../out.raw", "{folder}/out.raw", "LIST\n../out.raw", "../out%d.raw 1 4 1", "link.raw"]
    )
    def test_whose_header_names_a_file_elsewhere(self, tmp_path: Path, suffix: str, named: str) -> None:
        (tmp_path / "in").mkdir()
        for name in ("out.raw", "out1.raw", "out2.raw", "out3.raw", "out4.raw", "in/own.raw"):
            (tmp_path / name).write_bytes(bytes(64))
        (tmp_path / "in" / "link.raw").symlink_to(tmp_path / "out.raw")
        (tmp_path / "in" / "LIST").write_bytes(bytes(64))
        header = (
            "NRRD0004\ntype: uchar\ndimension: 3\nsizes: 4 4 4\nencoding: raw\ndata file: {}\n\n"
            if suffix == ".nrrd"
            else "ObjectType = Image\nNDims = 3\nDimSize = 4 4 4\nElementType = MET_UCHAR\nElementDataFile = {}\n"
        )
        path = tmp_path / "in" / f"scan{suffix}"
        path.write_text(header.format(named.format(folder=tmp_path)))
        with pytest.raises(
            InputError, match=rf"scan\{suffix} takes its voxels from '.*', which is not one file beside"
        ):
            read_image(path)
        path.write_text(header.format("own.raw"))
        assert read_image(path).pixels.shape == (4, 4, 4)

    def test_without_simpleitk_the_sentence_names_it(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(__import__("sys").modules, "SimpleITK", None)
        (tmp_path / "v.mha").write_bytes(b"anything")
        with pytest.raises(
            InputError, match=r"needs SimpleITK\. Install it with: pip install napari-wavegms\[medical\]"
        ):
            read_image(tmp_path / "v.mha")
