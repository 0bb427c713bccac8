"""DICOM segmentations (SEG): masks that lie on their DICOM image in every program, where highdicom is installed."""

from __future__ import annotations

import io
import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_wavegms import __version__
from napari_wavegms.errors import InputError
from napari_wavegms.files.formats import dicom
from napari_wavegms.files.formats.decoded import Decoded
from napari_wavegms.files.geometry import LEFT_BACK_HEAD, Geometry, checked_geometry
from napari_wavegms.files.labels import class_colors_over_image
from napari_wavegms.files.provenance import KEY, SOFTWARE, Provenance, Record, find_line

SUFFIXES = (".dcm",)

_DESCRIPTION = "For research only, not for diagnosis"
_NUMBER = re.compile(rf"{KEY} label (\d+)")  # a tracking ID of ours: SEG counts its segments without gaps
_CODE = re.compile(r"([A-Za-z0-9_.-]{1,16})\s+([A-Za-z0-9_.-]{1,16})")  # a terminology and its value
# What both sides must have, though perhaps empty; files made anonymous often lack it.
_ALWAYS_THERE = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate",
    "StudyTime", "ReferringPhysicianName", "Modality",
)  # fmt: skip


def decode(path: Path) -> Decoded:
    """Decode a segmentation as labels: on the slices of its `Geometry`, or frame by frame of what it was drawn on."""
    highdicom = _highdicom(path)
    geometry: Geometry | None = None
    try:
        seg = highdicom.seg.segread(path)
        if "FrameOfReferenceUID" in seg:
            volume = seg.get_volume(combine_segments=True)
            values, affine = np.asarray(volume.array), LEFT_BACK_HEAD @ volume.affine[:, [2, 1, 0, 3]]
            values = values if len(values) > 1 else values[0]
            geometry = checked_geometry(path, affine, values.shape[::-1], oriented=values.ndim > 2)
            values = geometry.slices(values.T)
        else:
            values = _of_frames(seg)
    except (RuntimeError, ValueError) as cause:
        raise InputError(
            f"{path} is a segmentation that cannot be read as labels ({_brief(cause)}). Export it as NIfTI."
        ) from cause
    numbers = {number: _label(seg.get_segment_description(number), number) for number in seg.segment_numbers}
    labels = np.zeros(max(numbers) + 1, np.int64)
    labels[list(numbers)] = list(numbers.values())
    names = {numbers[number]: str(seg.get_segment_description(number).segment_label) for number in numbers}
    axes = "YX" if values.ndim == 2 else "TYX" if geometry is None else "ZYX"
    record = _record(seg) or Record(axes, values.shape)
    axes = record.axes if record.fits(values) and geometry is None else axes
    spacing = record.spacing if geometry is None else geometry.spacing
    record = Record(axes, values.shape, spacing, record.provenance)
    class_names = tuple(names.get(label, "background" if label == 0 else "") for label in range(max(names) + 1))
    return Decoded(
        *(labels[values], axes, spacing),
        record=record,
        geometry=geometry,
        class_names=class_names,
        class_colors=() if record.provenance else _colors(highdicom, seg, numbers),
    )


def encode(path: Path, labels: NDArray[Any], record: Record, image: Path | None) -> bytes:
    """Labels as a segmentation of the DICOM file or series `image`, one BINARY segment for each label that is there.

    Raises `InputError` without such an image, for a mask of another shape, and for one without a label.
    """
    highdicom = _highdicom(path)
    if image is None or not dicom.is_image(image):
        raise InputError(f"{path.name} is to lie on a DICOM image, but that is none. Save the mask as NIfTI or TIFF.")
    source = dicom.read_source(image)
    present = [int(label) for label in np.unique(labels) if label]
    if not present:
        raise InputError(
            f"Nothing is labelled in {image.name}, and a DICOM segmentation has one segment at least. Save the mask as "
            "NIfTI or TIFF."
        )
    frames = _stored_frames(labels, source, image)
    segments = np.searchsorted([0, *present], frames).astype(np.uint8 if len(present) < 256 else np.uint16)
    images = [source.headers[file] for file, _ in source.order] if len(source.files) > 1 else [source.headers[0]]
    for header in images:
        for name in _ALWAYS_THERE:
            if name not in header:
                setattr(header, name, "")
    is_flat = source.geometry is None and len(images) == 1  # nothing says where it lies, but perhaps that it could
    about = [_segment(highdicom, number, label, record) for number, label in enumerate(present, start=1)]
    try:
        if is_flat:
            seg = _made(highdicom, [_still(images[0])], segments[:1], about, record)
            _complete(seg, segments, images[0])
        else:
            seg = _made(highdicom, images, segments, about, record)
    except (AttributeError, KeyError, TypeError, ValueError) as cause:
        raise InputError(
            f"{image.name} does not carry a DICOM segmentation ({_brief(cause)}). Save the mask as NIfTI or TIFF."
        ) from cause
    file = io.BytesIO()
    seg.save_as(file, enforce_file_format=True)
    return file.getvalue()


def _made(highdicom: Any, images: list[Any], segments: NDArray[Any], about: list[Any], record: Record) -> Any:
    provenance = record.provenance
    return highdicom.seg.Segmentation(
        source_images=images,
        pixel_array=segments,
        segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=about,
        series_instance_uid=highdicom.UID(),
        series_number=1000 + int(images[0].get("SeriesNumber") or 0) % 8000,
        sop_instance_uid=highdicom.UID(),
        instance_number=1,
        manufacturer=SOFTWARE,
        manufacturer_model_name=(provenance and provenance.model) or SOFTWARE,
        software_versions=(provenance and provenance.version) or __version__,
        device_serial_number="none",
        content_label="SEGMENTATION",
        content_description=_DESCRIPTION,
        series_description=f"Segmentation. {_DESCRIPTION}",
        omit_empty_frames=False,  # so that it has the shape of its image again when it is read
    )


def _segment(highdicom: Any, number: int, label: int, record: Record) -> Any:
    provenance = record.provenance
    names = provenance.class_names if provenance else ()
    name = names[label] if label < len(names) and names[label] else f"label {label}"
    code = provenance.class_codes[label - 1] if provenance and label <= len(provenance.class_codes) else ""
    category, kind = _coded(name, code)
    rgb = class_colors_over_image(provenance.class_colors if provenance else ())[(label - 1) % 255 + 1]
    how = highdicom.seg.SegmentAlgorithmTypeValues[_algorithm(provenance)]
    by = None
    if provenance is not None and provenance.model:
        from pydicom.sr.codedict import codes

        by = highdicom.AlgorithmIdentificationSequence(
            provenance.model,
            codes.DCM.ArtificialIntelligence,
            provenance.version or __version__,
            source=SOFTWARE,
            parameters={KEY: record.as_text()},
        )
    return highdicom.seg.SegmentDescription(
        segment_number=number,
        segment_label=name[:64],
        segmented_property_category=category,
        segmented_property_type=kind,
        algorithm_type=how,
        algorithm_identification=by,
        tracking_uid=highdicom.UID(),
        tracking_id=f"{KEY} label {label}",
        display_color=highdicom.color.CIELabColor.from_rgb(*(int(part) for part in rgb)),
    )


def _algorithm(provenance: Provenance | None) -> str:
    """How a mask came about; where nobody knows whether a person changed it, a person may have."""
    if provenance is None or not provenance.model:
        return "MANUAL"
    return "AUTOMATIC" if provenance.edited is False else "SEMIAUTOMATIC"


def _coded(name: str, code: str = "") -> tuple[Any, Any]:
    """Category and type of a class: its own code, or SNOMED CT's term of its name, or tissue where there is neither."""
    from pydicom.sr.codedict import codes
    from pydicom.sr.coding import Code

    keyword = "".join(word[:1].upper() + word[1:] for word in re.split(r"[^A-Za-z0-9]+", name))
    is_lesion = keyword in codes.CID7159.dir() or keyword.endswith(("Lesion", "Tumor", "Ulcer"))
    kind = getattr(codes.SCT, keyword, None)
    if found := _CODE.fullmatch(code):
        is_known = kind is not None and (kind.scheme_designator, kind.value) == found.groups()
        kind = kind if is_known else Code(found[2], found[1], name[:64])
    if kind is None:
        return codes.SCT.Tissue, codes.SCT.Tissue
    return (codes.SCT.MorphologicallyAbnormalStructure if is_lesion else codes.SCT.AnatomicalStructure), kind


def _stored_frames(labels: NDArray[Any], source: dicom.Source, image: Path) -> NDArray[Any]:
    """Labels (N, H, W) in the order of the image's files, or of the frames of its one file."""
    rows, columns = int(source.headers[0].Rows), int(source.headers[0].Columns)
    shape = (len(source.order), rows, columns)
    stored = labels if source.geometry is None else source.geometry.stored(labels).T
    if stored.size != np.prod(shape) or stored.shape[-2:] != shape[1:]:
        raise InputError(f"The mask has the shape {labels.shape}, and {image.name} has {shape}. Save it as TIFF.")
    planes = stored.reshape(shape)
    if len(source.files) > 1:
        return planes
    frames = np.empty_like(planes)
    frames[[frame for _, frame in source.order]] = planes
    return frames


def _still(header: Any) -> Any:
    """A header as that of one ultrasound picture, which is what highdicom takes where nothing says where it lies."""
    from pydicom.uid import UltrasoundImageStorage

    still = deepcopy(header)
    still.SOPClassUID = UltrasoundImageStorage
    for name in ("NumberOfFrames", "FrameOfReferenceUID"):
        if name in still:
            del still[name]
    return still


def _complete(seg: Any, segments: NDArray[Any], header: Any) -> None:
    """Make a segmentation of a `_still` one of its image: of all frames of a loop, by their numbers, in their time."""
    from pydicom.dataset import Dataset
    from pydicom.pixels.utils import pack_bits
    from pydicom.tag import Tag

    drawn_on = [group.DerivationImageSequence[0] for group in seg.PerFrameFunctionalGroupsSequence]
    for reference in (seg, *drawn_on):
        reference.SourceImageSequence[0].ReferencedSOPClassUID = header.SOPClassUID
    seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence[0].ReferencedSOPClassUID = header.SOPClassUID
    seg.PatientOrientation = header.get("PatientOrientation") or ""
    if len(segments) == 1:
        return
    groups, masks = [], []
    for number, group in enumerate(seg.PerFrameFunctionalGroupsSequence, start=1):
        for frame, plane in enumerate(segments, start=1):
            own = deepcopy(group)
            own.FrameContentSequence[0].DimensionIndexValues = [number, frame]
            own.FrameContentSequence[0].TemporalPositionIndex = frame
            own.DerivationImageSequence[0].SourceImageSequence[0].ReferencedFrameNumber = frame
            groups.append(own)
            masks.append(plane == number)
    index = Dataset()
    index.DimensionOrganizationUID = seg.DimensionIndexSequence[0].DimensionOrganizationUID
    index.DimensionIndexPointer, index.FunctionalGroupPointer = (
        Tag("TemporalPositionIndex"),
        Tag("FrameContentSequence"),
    )
    index.DimensionDescriptionLabel = "Temporal Position Index"
    seg.DimensionIndexSequence.append(index)
    seg.PerFrameFunctionalGroupsSequence = groups
    seg.NumberOfFrames = len(groups)
    seg.PixelData = pack_bits(np.asarray(masks, np.uint8))


def _of_frames(seg: Any) -> NDArray[Any]:
    """Segments (N, H, W) or (H, W) of images that do not say where they lie."""
    frames: dict[str, set[int]] = {}
    for group in seg.PerFrameFunctionalGroupsSequence:
        drawn_on = group.DerivationImageSequence[0].SourceImageSequence[0]
        numbers = drawn_on.get("ReferencedFrameNumber")
        found = frames.setdefault(drawn_on.ReferencedSOPInstanceUID, set())
        found |= set() if numbers is None else {int(number) for number in np.atleast_1d(numbers)}
    image, numbers = next(iter(frames.items()))
    if numbers and len(frames) == 1:
        found = seg.get_pixels_by_source_frame(image, list(range(1, max(numbers) + 1)), combine_segments=True)
    else:
        found = seg.get_pixels_by_source_instance(list(frames), combine_segments=True)
    return np.asarray(found if len(found) > 1 else found[0])


def _label(description: Any, number: int) -> int:
    found = _NUMBER.fullmatch(str(description.tracking_id or ""))
    return int(found[1]) if found else number


def _colors(highdicom: Any, seg: Any, numbers: dict[int, int]) -> tuple[str, ...]:
    """The colours that another program recommends for labels, which `numbers` has by segment."""
    found = {}
    for number, label in numbers.items():
        if stored := seg.get_segment_description(number).get("RecommendedDisplayCIELabValue"):
            rgb = highdicom.color.CIELabColor.from_dicom_value(stored).to_rgb(clip=True)
            found[label] = f"#{bytes(round(part) for part in rgb).hex()}"
    return tuple(found.get(label, "") for label in range(1, max(found, default=0) + 1))


def _record(seg: Any) -> Record | None:
    """Our own line, where we wrote the file."""
    for segment in seg.SegmentSequence:
        for algorithm in segment.get("SegmentationAlgorithmIdentificationSequence") or ():
            if (line := find_line(str(algorithm.get("AlgorithmParameters", "")))) is not None:
                return Record.from_text(line)
    return None


def _highdicom(path: Path) -> Any:
    dicom.import_pydicom(path)
    try:
        import highdicom
    except ImportError as cause:
        raise InputError(
            f"{path} is a DICOM segmentation, which needs highdicom. Install it with: pip install "
            "napari-wavegms[medical]"
        ) from cause
    return highdicom


def _brief(cause: Exception) -> str:
    return " ".join(str(cause).split())[:80].rstrip(". ")
