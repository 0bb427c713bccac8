"""DICOM files and series: their pixels as pydicom has them, their place as SimpleITK has it, or one sentence."""

from __future__ import annotations

import re
import shutil
import subprocess
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pydicom
import pydicom.data
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRLittleEndian,
    JPEGLosslessSV1,
    SecondaryCaptureImageStorage,
    UltrasoundMultiFrameImageStorage,
    generate_uid,
)

from napari_wavegms import InputError, read_image, write_mask
from napari_wavegms.files.discovery import find_images
from napari_wavegms.files.labels import overlay_colors
from napari_wavegms.files.napari_reader import get_reader, read_layers
from napari_wavegms.files.napari_writers import write_labels
from napari_wavegms.files.pairing import masks_of, pair_by_stem
from napari_wavegms.files.provenance import Provenance
from napari_wavegms.files.reading import read_mask_details
from napari_wavegms.files.spacing import Spacing

BUNDLED = sorted(path for path in (Path(pydicom.data.__file__).parent / "test_files").rglob("*") if path.is_file())
TILT = np.array([1.0, 0.0, 0.0, 0.0, 1.0, 0.0])
SERIES, FRAME = "1.2.826.0.1.3680043.8.498.1", "1.2.826.0.1.3680043.8.498.2"


def image(pixels: NDArray[Any], **attributes: Any) -> Dataset:
    """A data set of grey or coloured pixels, which says nothing of where it lies."""
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.SOPClassUID = CTImageStorage
    made.SOPInstanceUID = generate_uid()
    made.SeriesInstanceUID, made.StudyInstanceUID = SERIES, SERIES + ".1"
    made.PatientName, made.PatientID = "Doe^Jane", "4711"
    made.Modality = "CT"
    made.SeriesNumber, made.StudyID, made.AccessionNumber = 1, "", ""
    made.PatientBirthDate = made.PatientSex = made.StudyDate = made.StudyTime = made.ReferringPhysicianName = ""
    samples = 3 if pixels.ndim > 2 and pixels.shape[-1] == 3 else 1
    planes = pixels if pixels.ndim == (4 if samples == 3 else 3) else pixels[np.newaxis]
    if len(planes) > 1:
        made.NumberOfFrames = len(planes)
    made.Rows, made.Columns = planes.shape[1:3]
    made.SamplesPerPixel, made.PlanarConfiguration = samples, 0
    made.PhotometricInterpretation = "RGB" if samples == 3 else "MONOCHROME2"
    made.BitsAllocated = made.BitsStored = 8 * pixels.dtype.itemsize
    made.HighBit = made.BitsStored - 1
    made.PixelRepresentation = int(pixels.dtype.kind == "i")
    made.PixelData = pixels.tobytes()
    made["PixelData"].VR = "OB" if made.BitsAllocated == 8 else "OW"
    for name, value in attributes.items():
        setattr(made, name, value)
    return made


def save(made: Dataset, path: Path) -> Path:
    path.parent.mkdir(exist_ok=True, parents=True)
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    made.save_as(path, enforce_file_format=True)
    return path


def ct(
    folder: Path,
    voxels: NDArray[Any],
    directions: Any = TILT,
    step: Any = (0.0, 0.0, 2.5),
    change: Callable[[int, Dataset], object] = lambda _number, _made: None,
) -> Path:
    """A series of slices, called so that their names are in another order than their places."""
    for number, plane in enumerate(voxels):
        made = image(
            plane,
            ImageOrientationPatient=[float(one) for one in directions],
            ImagePositionPatient=[float(one) for one in np.array((-7.0, 11.0, -40.0)) + number * np.array(step)],
            PixelSpacing=[0.8, 0.5],
            SliceThickness=2.5,
            FrameOfReferenceUID=FRAME,
            InstanceNumber=number + 1,
            RescaleSlope=1,
            RescaleIntercept=-1024,
            RescaleType="HU",
        )
        change(number, made)
        save(made, folder / f"IM{(number * 7 + 3) % 10}{number}")
    return folder


@pytest.fixture
def voxels() -> NDArray[np.uint16]:
    return np.arange(5 * 4 * 6, dtype=np.uint16).reshape(5, 4, 6) * 10


def pixels_by_pydicom(path: Path) -> NDArray[Any] | None:
    """The pixels of a file in the file's unit, zero as black and palettes as colours; None where there are none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            data, pixels = pydicom.dcmread(path), pydicom.pixels.pixel_array(path)
        except Exception:
            return None
    if data.PhotometricInterpretation == "MONOCHROME1":
        pixels = (1 << data.BitsStored) - 1 - pixels
    if data.PhotometricInterpretation == "PALETTE COLOR":
        return np.asarray(pydicom.pixels.apply_color_lut(pixels, data) >> 8)
    return np.asarray(pydicom.pixels.apply_modality_lut(pixels, data)) if data.SamplesPerPixel == 1 else pixels


@pytest.mark.parametrize("path", BUNDLED, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_each_of_pydicoms_own_files_gives_its_pixels_or_a_sentence(path: Path) -> None:
    expected = pixels_by_pydicom(path)
    if expected is None or path.name == "liver_expb_1frame.dcm":  # big-endian segmentations, which are retired
        with pytest.raises(InputError, match=rf"{re.escape(path.name)} .*\.$"):
            read_image(path)
        return
    found = read_image(path)
    pixels = found.pixels if found.geometry is None else found.geometry.stored(found.pixels).T
    np.testing.assert_allclose(pixels, expected, rtol=1e-6)


def test_enough_of_those_files_are_pictures() -> None:
    assert sum(path.suffix == ".dcm" for path in BUNDLED) > 20


@pytest.mark.parametrize(
    ("directions", "step"),
    [
        (TILT, (0, 0, 2.5)),
        (TILT, (0, 0, -2.5)),
        ((0, 1, 0, 0, 0, -1), (2.5, 0, 0)),
        ((1, 0, 0, 0, 0, -1), (0, 2.5, 0)),
        ((0.8, 0.6, 0, -0.6, 0.8, 0), (0, 0, 2.5)),
    ],
)
def test_a_series_is_the_volume_that_simpleitk_reads(
    tmp_path: Path, voxels: NDArray[np.uint16], directions: Any, step: Any
) -> None:
    folder = ct(tmp_path / "series", voxels, directions, step)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    volume = reader.Execute()
    found = read_image(folder)
    assert (found.axes, found.pixels.dtype) == ("ZYX", np.int16)
    assert sorted(found.spacing.size) == pytest.approx([0.5, 0.8, 2.5])
    affine = np.diag([-1, -1, 1, 1]) @ found.geometry.slice_affine  # of (column, row, slice)
    for index in ((0, 0, 0), (1, 2, 3), (4, 3, 5)):
        there = (affine @ [*index[::-1], 1])[:3]
        assert found.pixels[index] == volume[volume.TransformPhysicalPointToIndex(there)]
    mask = find_images(folder)
    assert mask == [folder]


def test_slices_that_were_taken_several_times_are_frames(tmp_path: Path, voxels: NDArray[np.uint16]) -> None:
    for time in range(2):
        ct(tmp_path / str(time), voxels + time, change=lambda _n, made, t=time: made.update({"AcquisitionNumber": t}))
    folder = tmp_path / "both"
    folder.mkdir()
    for number, path in enumerate(sorted(tmp_path.glob("?/*"))):
        path.rename(folder / f"{number}.dcm")
    found = read_image(folder)
    assert found.axes == "TZYX"
    np.testing.assert_array_equal(found.pixels[1], found.pixels[0] + 1)
    np.testing.assert_array_equal(found.pixels[0], voxels.astype(np.int16) - 1024)


def test_zero_is_white_is_inverted_within_the_bits_that_are_used(tmp_path: Path) -> None:
    stored = np.array([[0, 1], [100, 4095]], np.uint16)
    made = image(stored, PhotometricInterpretation="MONOCHROME1", BitsStored=12, HighBit=11)
    assert read_image(save(made, tmp_path / "x.dcm")).pixels.tolist() == [[4095, 4094], [3995, 0]]


def test_a_cine_loop_has_frames_and_the_size_of_its_region(tmp_path: Path) -> None:
    region = Dataset()
    region.RegionSpatialFormat, region.PhysicalUnitsXDirection, region.PhysicalUnitsYDirection = 1, 3, 3
    region.PhysicalDeltaX, region.PhysicalDeltaY = 0.02, 0.03
    loop = np.arange(3 * 4 * 5, dtype=np.uint8).reshape(3, 4, 5)
    about = {"Modality": "US", "SOPClassUID": UltrasoundMultiFrameImageStorage, "FrameTime": 33}
    made = image(loop, SequenceOfUltrasoundRegions=Sequence([region]), **about)
    found = read_image(save(made, tmp_path / "loop"))
    assert (found.axes, found.spacing) == ("TYX", Spacing((0.3, 0.2), "mm"))
    np.testing.assert_array_equal(found.pixels, loop)
    colours = np.stack([loop, loop + 1, loop + 2], axis=-1)
    found = read_image(save(image(colours, **about), tmp_path / "colour.dcm"))
    assert (found.axes, found.spacing) == ("TYXS", None)
    np.testing.assert_array_equal(found.pixels, colours)


def set_(name: str, value: Any, of: int | None = None) -> Callable[[int, Dataset], object]:
    def change(number: int, made: Dataset) -> None:
        if of in (None, number):
            setattr(made, name, value)

    return change


def cut(number: int, made: Dataset) -> None:
    made.PixelData = made.PixelData[: -20 if number == 2 else None]


@pytest.mark.parametrize(
    ("change", "step", "message"),
    [
        (set_("ImagePositionPatient", [-7, 11, -20], of=4), (0, 0, 2.5), r"has 12\.5 mm between its slices 4 and 5, "),
        (
            set_("SeriesInstanceUID", SERIES + ".2", of=1),
            (0, 0, 2.5),
            "holds 2 series, of 4 and 1 files|of 1 and 4 files",
        ),
        (set_("ImagePositionPatient", [-7, 11, -40], of=1), (0, 0, 2.5), "has 1 to 2 images of a slice"),
        (set_("ImageOrientationPatient", [0, 1, 0, 0, 0, 1], of=1), (0, 0, 2.5), "slices that are not parallel"),
        (set_("PixelSpacing", [1, 1], of=1), (0, 0, 2.5), "slices of several sizes"),
        (set_("PixelSpacing", [0, 1]), (0, 0, 2.5), "says that a voxel is 0 x 1 mm large"),
        (lambda _number, _made: None, (0, 0.5, 2.5), "axes that are 11° from right angles, as of a tilted gantry"),
        (cut, (0, 0, 2.5), "is damaged or cut short"),
    ],
)
def test_what_is_no_volume_gives_one_sentence(
    tmp_path: Path, voxels: NDArray[np.uint16], change: Any, step: Any, message: str
) -> None:
    folder = ct(tmp_path / "series", voxels, step=step, change=change)
    with pytest.raises(InputError, match=message) as caught:
        read_image(folder)
    assert "Doe" not in str(caught.value)
    assert "4711" not in str(caught.value)


def test_a_compression_that_cannot_be_decoded_is_named(tmp_path: Path, voxels: NDArray[np.uint16]) -> None:
    made = image(voxels[0])
    made.file_meta.TransferSyntaxUID = JPEGLosslessSV1
    made.PixelData = pydicom.encaps.encapsulate([b"\xff\xd8 no picture"])
    with pytest.raises(
        InputError, match=r"x\.dcm is JPEG Lossless.*, which cannot be decoded here, .* Export it uncompressed"
    ):
        read_image(save(made, tmp_path / "x.dcm"))


def test_a_preamble_may_be_that_of_a_tiff(tmp_path: Path, voxels: NDArray[np.uint16]) -> None:
    path = save(image(voxels[0]), tmp_path / "x.dcm")
    path.write_bytes(b"II*\x00" + path.read_bytes()[4:])
    np.testing.assert_array_equal(read_image(path).pixels, voxels[0])


def test_files_without_places_are_images_of_their_own(tmp_path: Path, voxels: NDArray[np.uint16]) -> None:
    files = [save(image(voxels[0]), tmp_path / "still" / name) for name in ("1.2.840.1", "1.2.840.2", "b.dcm")]
    (tmp_path / "still" / "DICOMDIR").write_bytes(files[0].read_bytes())
    ct(tmp_path / "ct", voxels)
    assert find_images(tmp_path / "still") == files
    ct(tmp_path / "no spacing", voxels, change=lambda _n, made: made.__delattr__("PixelSpacing"))
    assert len(find_images(tmp_path / "no spacing")) == 5
    shutil.rmtree(tmp_path / "no spacing")
    assert find_images(tmp_path) == [tmp_path / "ct"]  # and not the folder of stills
    (tmp_path / "ct_mask.nii.gz").touch()
    assert masks_of([tmp_path / "ct"]) == {tmp_path / "ct": (tmp_path / "ct_mask.nii.gz",)}
    (pair,) = pair_by_stem(tmp_path, tmp_path)
    assert (pair.name, pair.image) == ("ct", tmp_path / "ct")


NAMES = ("background", "liver", "", "lesion")
MADE = Provenance.now("organs", 0.4, "series", class_names=NAMES, edited=False)


def labels_of(shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Labels 1 and 3 on some planes, none on the first and the last."""
    labels = np.zeros(shape, np.uint8)
    labels[1:-1, 1:3, 2:5] = 1
    labels[2, 0, 1:4] = 3
    return labels


def check_with_dciodvfy(path: Path) -> None:
    """Where Debian's dicom3tools are installed, they find no error."""
    if program := shutil.which("dciodvfy"):
        found = subprocess.run([program, str(path)], capture_output=True, text=True, check=False)
        assert [line for line in found.stderr.splitlines() if line.startswith("Error")] == []


@pytest.mark.parametrize(
    ("directions", "step"),
    [(TILT, (0, 0, -2.5)), ((0, 1, 0, 0, 0, -1), (2.5, 0, 0)), ((0.8, 0.6, 0, -0.6, 0.8, 0), (0, 0, 2.5))],
)
def test_a_mask_of_a_series_lies_on_it_in_other_libraries(
    tmp_path: Path, voxels: NDArray[np.uint16], directions: Any, step: Any
) -> None:
    folder = ct(tmp_path / "series", voxels, directions, step)
    source = read_image(folder)
    labels = labels_of(source.pixels.shape)
    path = write_mask(tmp_path / "series_mask.dcm", labels, source.spacing, "ZYX", MADE, folder)
    check_with_dciodvfy(path)

    seg = highdicom.seg.segread(path)
    assert [(one.segment_label, one.algorithm_type.value) for one in seg.SegmentSequence] == [
        ("liver", "AUTOMATIC"),
        ("lesion", "AUTOMATIC"),
    ]
    assert [one.segmented_property_type.meaning for one in seg.SegmentSequence] == ["Liver", "Lesion"]
    assert "research only" in seg.ContentDescription
    first = seg.get_volume(segment_numbers=[1], combine_segments=True)
    for index in np.argwhere(first.array):
        there = (first.affine @ [*index, 1])[:3] * (-1, -1, 1)
        column, row, number = np.linalg.solve(source.geometry.slice_affine, [*there, 1])[:3].round().astype(int)
        assert labels[number, row, column] == 1
    assert np.count_nonzero(first.array) == np.count_nonzero(labels == 1)

    image = sitk.ReadImage(str(path))  # one segment after the other
    assert np.count_nonzero(sitk.GetArrayViewFromImage(image)) == np.count_nonzero(labels)

    back = read_mask_details(path)
    np.testing.assert_array_equal(back.labels, labels)
    assert back.labels.dtype == np.uint8
    np.testing.assert_allclose(back.geometry.slice_affine, source.geometry.slice_affine, atol=1e-6)
    assert (back.class_names, back.provenance) == (NAMES, MADE)


def test_segments_have_the_colours_and_codes_of_their_classes(tmp_path: Path, voxels: NDArray[np.uint16]) -> None:
    folder = ct(tmp_path / "series", voxels)
    source = read_image(folder)
    labels = labels_of(source.pixels.shape)
    labels[1, 3, 0], labels[1, 3, 5] = 2, 4
    made = Provenance.now(
        *("organs", 0.4),
        class_names=("background", "left kidney", "liver", "lesion", "muscle"),
        class_colors=("#dd8265", "#ffffff", "#000080"),
        class_codes=("SCT 64033007", "", "NCIt C3262", "muscle"),
    )
    path = write_mask(tmp_path / "series_mask.dcm", labels, source.spacing, "ZYX", made, folder)
    check_with_dciodvfy(path)
    segments = highdicom.seg.segread(path).SegmentSequence
    kinds = [one.segmented_property_type for one in segments]
    assert [(one.scheme_designator, one.value, one.meaning) for one in kinds] == [
        ("SCT", "64033007", "left kidney"),
        ("SCT", "10200004", "Liver"),
        ("NCIt", "C3262", "lesion"),
        ("SCT", "71616004", "Muscle"),
    ]
    found = [highdicom.color.CIELabColor.from_dicom_value(one.RecommendedDisplayCIELabValue) for one in segments]
    wanted = [(0xDD, 0x82, 0x65), (255, 255, 255), (0, 0, 128), overlay_colors()[4]]
    np.testing.assert_allclose([one.to_rgb(clip=True) for one in found], wanted, atol=1)
    back = read_mask_details(path)
    assert (back.provenance, back.class_names, back.class_colors) == (made, made.class_names, made.class_colors)

    # As another program would have written it, the colours are those that it recommends.
    foreign = pydicom.dcmread(path)
    for segment in foreign.SegmentSequence:
        del segment.SegmentationAlgorithmIdentificationSequence[0].AlgorithmParameters
    foreign.save_as(tmp_path / "foreign.dcm")
    ((again, meta, _),) = read_layers(str(tmp_path / "foreign.dcm"))
    np.testing.assert_array_equal(again, labels)
    np.testing.assert_allclose(np.asarray(meta["colormap"])[1:5, :3] * 255, wanted, atol=1)


@pytest.mark.parametrize("about", [{}, {"FrameOfReferenceUID": FRAME}])
def test_a_mask_of_a_cine_loop_has_its_frames_and_no_place(tmp_path: Path, about: dict[str, str]) -> None:
    about = {"Modality": "US", "SOPClassUID": UltrasoundMultiFrameImageStorage, "FrameTime": 33} | about
    loop = image(np.zeros((4, 5, 6), np.uint8), **about)
    source = save(loop, tmp_path / "loop.dcm")
    labels = labels_of((4, 5, 6))
    path = write_mask(tmp_path / "loop_mask.dcm", labels, Spacing((0.3, 0.2), "mm"), "TYX", MADE, source)
    check_with_dciodvfy(path)
    seg = highdicom.seg.segread(path)
    found = seg.get_pixels_by_source_frame(loop.SOPInstanceUID, [1, 2, 3, 4], combine_segments=True)
    np.testing.assert_array_equal(found, np.where(labels == 3, 2, labels))
    image_of_frames = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    np.testing.assert_array_equal(image_of_frames > 0, np.concatenate([labels == 1, labels == 3]))
    back = read_mask_details(path)
    np.testing.assert_array_equal(back.labels, labels)
    assert (back.axes, back.spacing, back.class_names) == ("TYX", Spacing((0.3, 0.2), "mm"), NAMES)


def test_a_series_of_one_place_is_a_loop(tmp_path: Path, voxels: NDArray[np.uint16]) -> None:
    found = read_image(ct(tmp_path / "series", voxels, step=(0, 0, 0)))
    assert (found.axes, found.spacing) == ("TYX", Spacing((0.8, 0.5), "mm"))
    np.testing.assert_array_equal(found.pixels, voxels.astype(np.int16) - 1024)


@pytest.mark.parametrize(
    ("provenance", "kind"),
    [
        (MADE, "AUTOMATIC"),
        (Provenance.now("organs", 0.4, edited=True), "SEMIAUTOMATIC"),
        (Provenance.now("organs", 0.4), "SEMIAUTOMATIC"),
        (None, "MANUAL"),
    ],
)
def test_a_mask_of_a_still_says_how_it_came_about(tmp_path: Path, provenance: Provenance | None, kind: str) -> None:
    still = image(np.zeros((5, 6), np.uint8), Modality="OT", SOPClassUID=SecondaryCaptureImageStorage)
    source = save(still, tmp_path / "still.dcm")
    labels = labels_of((3, 5, 6))[1]
    path = write_mask(tmp_path / "x_mask.dcm", labels, provenance=provenance, like=source)
    check_with_dciodvfy(path)
    (segment,) = highdicom.seg.segread(path).SegmentSequence
    assert segment.algorithm_type.value == kind
    np.testing.assert_array_equal(read_mask_details(path).labels, labels)


def test_napari_opens_a_series_and_its_segmentation_and_saves_another(
    tmp_path: Path, voxels: NDArray[np.uint16]
) -> None:
    folder = ct(tmp_path / "series", voxels)
    assert get_reader(str(tmp_path)) is None
    ((pixels, meta, kind),) = get_reader(str(folder))(str(folder))
    assert (kind, meta["name"], meta["scale"], meta["units"]) == ("image", "series", (2.5, 0.8, 0.5), ("mm",) * 3)
    assert "Doe" not in repr(meta)
    labels = labels_of(pixels.shape)
    (path,) = write_labels(str(tmp_path / "saved.dcm"), labels, meta)
    ((again, there, kind),) = read_layers(path)
    assert kind == "labels"
    np.testing.assert_array_equal(again, labels)
    assert (there["scale"], there["translate"]) == (meta["scale"], meta["translate"])
    assert there["features"]["name"] == ["background", "label 1", "", "label 3"]


def test_a_mask_without_a_label_or_an_image_is_refused(tmp_path: Path, voxels: NDArray[np.uint16]) -> None:
    source = save(image(voxels[0]), tmp_path / "still.dcm")
    with pytest.raises(InputError, match=r"Nothing is labelled in still\.dcm, .* Save the mask as NIfTI or TIFF"):
        write_mask(tmp_path / "m.dcm", np.zeros((4, 6), int), like=source)
    with pytest.raises(InputError, match=r"m\.dcm is to lie on a DICOM image, but that is none"):
        write_mask(tmp_path / "m.dcm", np.ones((4, 6), int))
    with pytest.raises(InputError, match=r"The mask has the shape \(5, 6\), and still.dcm has \(1, 4, 6\)"):
        write_mask(tmp_path / "m.dcm", np.ones((5, 6), int), like=source)
