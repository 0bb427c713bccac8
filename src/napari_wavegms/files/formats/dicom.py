"""DICOM files, and folders that hold a series of them, where pydicom is installed."""

from __future__ import annotations

import logging
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_wavegms.errors import InputError
from napari_wavegms.files.formats.decoded import Decoded
from napari_wavegms.files.geometry import LEFT_BACK_HEAD, Geometry, checked_geometry, without_size
from napari_wavegms.files.spacing import Spacing
from napari_wavegms.storage.memory import ask_for_memory

SUFFIXES: tuple[str, ...] = (".dcm", ".dicom", ".ima")
MAGIC = b"DICM"  # behind a preamble that may be the start of a TIFF
PREAMBLE = 128

_VOXEL = 12  # bytes, as of NIfTI
_DIRECTORY = "DICOMDIR"
_UNEVEN = 0.05  # of the usual distance between two slices, by which one may differ
_TURNED = 1e-3  # of a direction's cosines, by which those of two slices may differ
_SAME_PLACE = 0.01  # mm
_IN_SLICES = ("CT", "MR", "PT", "NM", "OPT")
_CENTIMETRES, _PICTURE = 3, 1  # codes of a region of an ultrasound image
_SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"


@dataclass(frozen=True, slots=True, eq=False)
class _Plane:
    """Where one frame of one file lies."""

    file: int
    frame: int
    position: NDArray[np.float64]
    directions: NDArray[np.float64]  # (2, 3): where columns and rows go
    sizes: tuple[float, float]  # of a pixel in mm, (row, column)
    turn: tuple[float, ...]  # orders planes of one place


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """The headers of a file or series, and which planes of them make our slices."""

    path: Path
    files: tuple[Path, ...]
    headers: tuple[Any, ...]
    order: tuple[tuple[int, int], ...]  # of each plane its file and its frame, as `Geometry.stored` has them
    axes: str
    spacing: Spacing | None
    geometry: Geometry | None
    left_out: int = 0  # files of the folder


def is_dicom(path: Path) -> bool:
    """Whether a file says that it is DICOM; the index of a disc, which has no image, is none."""
    if path.name.upper() == _DIRECTORY:
        return False
    with suppress(OSError), path.open("rb") as file:
        return file.read(PREAMBLE + len(MAGIC))[PREAMBLE:] == MAGIC
    return False


def is_image(path: Path) -> bool:
    """Whether a path is a DICOM file, or the folder of a series."""
    return is_series(path) if path.is_dir() else is_dicom(path)


def is_series(folder: Path) -> bool:
    """Whether a folder holds slices of one series at least; where pydicom is missing, several files of this format."""
    seen: set[str] = set()
    for path in _files(folder):
        try:
            header = _header(path, ("SeriesInstanceUID", "NumberOfFrames", *_PLACE))
        except InputError:
            if seen:
                return True
            seen.add("")
            continue
        except Exception:  # damaged
            continue
        series = str(header.get("SeriesInstanceUID", ""))
        if _is_slice(header) and series in seen:
            return True
        seen |= {series} if _is_slice(header) else set()
    return False


def decode(path: Path) -> Decoded:
    """Decode a file, or the series in a folder; slices are those of a `Geometry`, frames are in the file's order."""
    from napari_wavegms.files.formats import dicom_seg

    if not path.is_dir() and _header(path, ("SOPClassUID",)).get("SOPClassUID") == _SEGMENTATION:
        return dicom_seg.decode(path)
    source = read_source(path)
    ask_for_memory(path, _VOXEL * _count(source))
    planes = [_values(*one) for one in zip(source.files, source.headers, strict=True)]
    starts = np.cumsum([0, *map(len, planes)])
    pixels = _fitting(np.concatenate(planes))[[starts[file] + frame for file, frame in source.order]]
    axes, geometry = source.axes + ("S" if pixels.ndim > 3 else ""), source.geometry
    if geometry is not None and not axes.endswith("S"):
        pixels = geometry.slices(pixels.reshape(geometry.shape[::-1]).T)
    elif geometry is not None and len(pixels) > 1:
        raise InputError(f"{path} is a volume in colour. Convert it to one number per voxel.")
    else:
        pixels = pixels if len(source.axes) > 2 else pixels[0]
    left_out = f"other DICOM files ({source.left_out})" if source.left_out else ""
    return Decoded(pixels=pixels, axes=axes, spacing=source.spacing, left_out=left_out, geometry=geometry)


def read_geometry(path: Path) -> Geometry | None:
    """The geometry of a file or a series, without its pixels."""
    return read_source(path).geometry


def read_source(path: Path) -> Source:
    """The headers of a file, or of the series in a folder, in the order of its slices.

    Raises `InputError` for a file without an image, and for what is no stack of evenly spaced slices of one kind.
    """
    if not path.is_dir():
        header = _image_header(path)
        return _arranged(path, (path,), (header,), list(_planes(0, header, path)))
    inside = list(_files(path))
    found = [(file, header) for file in inside for header in (_header(file),) if _is_slice(header)]
    series = Counter(str(header.get("SeriesInstanceUID", "")) for _, header in found)
    if len(series) > 1:
        counts = " and ".join(map(str, series.values()))
        raise InputError(f"{path} holds {len(series)} series, of {counts} files. Put each into a folder of its own.")
    if not found:
        raise InputError(f"{path} holds no DICOM slices. Choose an image file in it.")
    files, headers = zip(*found, strict=True)
    planes = [plane for number, header in enumerate(headers) for plane in _planes(number, header, files[number])]
    return _arranged(path, files, headers, planes, left_out=len(inside) - len(files))


_PLACE = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "Rows")
_OTHERS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".nii", ".gz")  # are not opened to find out


def _files(folder: Path) -> Iterator[Path]:
    """The files of a folder that say they are DICOM, by name."""
    for path in sorted(folder.iterdir()):
        if not path.name.startswith(".") and path.suffix.lower() not in _OTHERS and path.is_file() and is_dicom(path):
            yield path


def _is_slice(header: Any) -> bool:
    return all(header.get(name) for name in _PLACE) and int(header.get("NumberOfFrames") or 1) == 1


def _header(path: Path, tags: Sequence[str] | None = None) -> Any:
    pydicom = import_pydicom(path)
    return pydicom.dcmread(path, stop_before_pixels=True, specific_tags=None if tags is None else list(tags))


def _image_header(path: Path) -> Any:
    header = _header(path)
    if not (header.get("Rows") and header.get("Columns")):
        kind = getattr(header.get("SOPClassUID"), "name", "file")
        raise InputError(f"{path} is a DICOM {kind} without an image. Choose a file with pixels.")
    if str(header.get("DimensionOrganizationType", "")) == "TILED_FULL" or "TotalPixelMatrixRows" in header:
        raise InputError(f"{path} is a whole slide in tiles. Export the part to segment as TIFF.")
    return header


def import_pydicom(path: Path) -> Any:
    """The library pydicom, without its remarks on values that a scanner wrote in another form than the standard's."""
    try:
        import pydicom
        import pydicom.pixels
    except ImportError as cause:
        raise InputError(
            f"{path} is DICOM, which needs pydicom. Install it with: pip install napari-wavegms[medical]"
        ) from cause
    warnings.filterwarnings("ignore", module=r"(pydicom|highdicom)\.")
    for name in ("pydicom", "highdicom"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # it logs whole tracebacks
    return pydicom


def _planes(number: int, header: Any, path: Path) -> Iterator[_Plane]:
    """Where the frames of a file lie; nothing where it does not say."""
    frames = int(header.get("NumberOfFrames") or 1)
    shared = (header.get("SharedFunctionalGroupsSequence") or [None])[0]
    own = header.get("PerFrameFunctionalGroupsSequence") or [None] * frames
    offsets = header.get("GridFrameOffsetVector")
    times = [float(header.get(name) or 0) for name in ("TemporalPositionIdentifier", "AcquisitionNumber")]
    for frame, groups in enumerate(own[:frames]):
        places = (groups, shared)
        position = _found("ImagePositionPatient", "PlanePositionSequence", header, places)
        directions = _found("ImageOrientationPatient", "PlaneOrientationSequence", header, places)
        sizes = _found("PixelSpacing", "PixelMeasuresSequence", header, places)
        if position is None or directions is None or sizes is None or (frames > 1 and groups is None and not offsets):
            return
        if not (sizes > 0).all():
            raise without_size(path, sizes)
        along = np.reshape(directions, (2, 3))
        if frames > 1 and groups is None:
            position = position + np.cross(*along) * float(offsets[frame])
        turn = (*times, float(header.get("InstanceNumber") or 0), float(frame))
        yield _Plane(number, frame, position, along, (sizes[0], sizes[1]), turn)


def _found(name: str, sequence: str, header: Any, groups: Sequence[Any]) -> NDArray[np.float64] | None:
    """Numbers of a frame: its own, those that all frames share, or the file's."""
    for group in groups:
        if group is not None and sequence in group and name in group[sequence][0]:
            return np.asarray(group[sequence][0][name].value, np.float64)
    value = header.get(name)
    return None if value is None or value == "" else np.asarray(value, np.float64)


def _arranged(
    path: Path, files: tuple[Path, ...], headers: tuple[Any, ...], planes: list[_Plane], left_out: int = 0
) -> Source:
    """Sort planes by where they lie, and check that they are evenly spaced slices of one kind."""
    header = headers[0]
    frames = int(header.get("NumberOfFrames") or 1)
    as_stored = tuple((0, frame) for frame in range(frames))
    if not planes:
        axis = "" if frames == 1 else "Z" if _has_slices(header) else "T"
        return Source(path, files, headers, as_stored, f"{axis}YX", _flat_spacing(header, path), None, left_out)
    first = planes[0]
    shapes = {(int(one.Rows), int(one.Columns)) for one in headers}
    if len(shapes) > 1 or any(not np.allclose(one.sizes, first.sizes, rtol=1e-3) for one in planes):
        raise InputError(f"{path} has slices of several sizes. Put those of one size into a folder of their own.")
    if any(np.abs(one.directions - first.directions).max() > _TURNED for one in planes):
        raise InputError(f"{path} has slices that are not parallel. Put those of one direction into a folder.")
    (rows, columns), normal = shapes.pop(), np.cross(*first.directions)
    planes = sorted(planes, key=lambda one: (round(float(one.position @ normal) / _SAME_PLACE), one.turn))
    stacks: dict[int, list[_Plane]] = {}
    for plane in planes:
        stacks.setdefault(round(float(plane.position @ normal) / _SAME_PLACE), []).append(plane)
    slices = list(stacks.values())
    times = {len(stack) for stack in slices}
    if len(times) > 1:
        raise InputError(
            f"{path} has {min(times)} to {max(times)} images of a slice, so that some are missing or of another kind. "
            "Copy the series again, or put each kind into a folder of its own."
        )
    affine = np.eye(4)
    affine[:3, :2] = (first.directions * np.asarray(first.sizes)[::-1, None]).T
    affine[:3, 2] = normal * (float(header.get("SliceThickness") or 1) or 1)
    affine[:3, 3] = slices[0][0].position
    if len(slices) > 1:
        places = np.array([stack[0].position for stack in slices])
        _check_even(path, np.diff(places @ normal))
        affine[:3, 2] = (places[-1] - places[0]) / (len(places) - 1)
    count = times.pop()
    axes = "YX" if len(planes) == 1 else "TYX" if len(slices) == 1 else "ZYX" if count == 1 else "TZYX"
    if axes == "TYX":
        order = tuple((one.file, one.frame) for one in planes)
        return Source(path, files, headers, order, axes, Spacing(first.sizes, "mm"), None, left_out)
    shape = (columns, rows, *(len(slices),) * (len(slices) > 1), *(count,) * (count > 1))
    geometry = checked_geometry(path, LEFT_BACK_HEAD @ affine, shape, oriented=len(slices) > 1)
    order = tuple((stack[time].file, stack[time].frame) for time in range(count) for stack in slices)
    return Source(path, files, headers, order, axes, geometry.spacing, geometry, left_out)


def _check_even(path: Path, gaps: NDArray[np.float64]) -> None:
    usual = float(np.median(gaps))
    worst = int(np.abs(gaps - usual).argmax())
    if abs(gaps[worst] - usual) > _UNEVEN * usual:
        raise InputError(
            f"{path} has {gaps[worst]:.4g} mm between its slices {worst + 1} and {worst + 2}, and {usual:.4g} mm "
            "between the others: slices are missing, or of another series. Copy the whole series again."
        )


def _has_slices(header: Any) -> bool:
    is_timed = "FrameTime" in header or "FrameTimeVector" in header
    return "SpacingBetweenSlices" in header or (header.get("Modality") in _IN_SLICES and not is_timed)


def _flat_spacing(header: Any, path: Path) -> Spacing | None:
    """The size of a pixel of an image that does not say where it lies."""
    sizes = header.get("PixelSpacing")
    if sizes:
        if not min(map(float, sizes)) > 0:
            raise without_size(path, map(float, sizes))
        between = header.get("SpacingBetweenSlices") if _has_slices(header) else None
        return Spacing.plausible([float(size) for size in ([between] if between else []) + list(sizes)], "mm")
    found = {
        (10 * abs(float(region.PhysicalDeltaY)), 10 * abs(float(region.PhysicalDeltaX)))
        for region in header.get("SequenceOfUltrasoundRegions") or ()
        if region.get("RegionSpatialFormat") == _PICTURE
        and region.get("PhysicalUnitsXDirection") == region.get("PhysicalUnitsYDirection") == _CENTIMETRES
    }
    return Spacing.plausible(found.pop(), "mm") if len(found) == 1 else None


def _count(source: Source) -> int:
    header = source.headers[0]
    samples = int(header.get("SamplesPerPixel") or 1)
    return len(source.order) * int(header.Rows) * int(header.Columns) * samples


def _fitting(pixels: NDArray[Any]) -> NDArray[Any]:
    """Integers in 16 bits where they fit, as Hounsfield units do."""
    limits = np.iinfo(np.int16)
    fits = pixels.dtype == np.int32 and limits.min <= pixels.min() and pixels.max() <= limits.max
    return pixels.astype(np.int16) if fits else pixels


def _values(path: Path, header: Any) -> NDArray[Any]:
    """The frames of a file, (N, H, W) or (N, H, W, 3), in the unit that it declares and as it is to look."""
    pydicom = import_pydicom(path)
    try:
        stored = pydicom.pixels.pixel_array(path)
    except (AttributeError, KeyError) as cause:
        raise InputError(f"{path} is DICOM without pixels. Choose a file with an image.") from cause
    except (NotImplementedError, RuntimeError) as cause:
        syntax = header.file_meta.get("TransferSyntaxUID")
        raise InputError(
            f"{path} is {getattr(syntax, 'name', 'compressed')}, which cannot be decoded here, or is cut short. "
            "Export it uncompressed."
        ) from cause
    kind = str(header.get("PhotometricInterpretation", ""))
    if kind == "PALETTE COLOR":
        coloured = pydicom.pixels.apply_color_lut(stored, header)
        stored = (coloured >> 8).astype(np.uint8) if coloured.dtype == np.uint16 else coloured
    plane = int(header.Rows), int(header.Columns)
    if stored.ndim - (int(header.get("NumberOfFrames") or 1) > 1) > 2:
        return np.asarray(stored.reshape(-1, *plane, stored.shape[-1]))
    return _rescaled(stored.reshape(-1, *plane), header, pydicom)


def _rescaled(frames: NDArray[Any], header: Any, pydicom: Any) -> NDArray[Any]:
    if header.get("ModalityLUTSequence"):
        return np.asarray(pydicom.pixels.apply_modality_lut(frames, header))
    shared = (header.get("SharedFunctionalGroupsSequence") or [None])[0]
    own = header.get("PerFrameFunctionalGroupsSequence") or [None] * len(frames)
    lines = [
        [
            float(1 - number if found is None else found)
            for number, name in enumerate(("RescaleSlope", "RescaleIntercept"))
            for found in [_found(name, "PixelValueTransformationSequence", header, (groups, shared))]
        ]
        for groups in own[: len(frames)]
    ]
    slopes, intercepts = (np.reshape(line, (-1, 1, 1)) for line in zip(*lines, strict=True))
    if header.get("PhotometricInterpretation") == "MONOCHROME1":  # zero is white
        least = -(1 << (int(header.BitsStored) - 1)) if header.PixelRepresentation else 0
        frames = (2 * least + (1 << int(header.BitsStored)) - 1 - frames.astype(np.int64)).astype(frames.dtype)
    if (slopes == 1).all() and (intercepts == 0).all():
        return frames
    values = frames * slopes + intercepts
    is_whole = frames.dtype.kind in "ui" and not (slopes % 1).any() and not (intercepts % 1).any()
    return values.astype(np.int32 if is_whole else np.float32)
