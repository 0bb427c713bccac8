"""How large the structures of a mask are: area or volume, diameters, perimeter and mean intensity."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_wavegms.files.labels import smallest_labels
from napari_wavegms.files.spacing import PIXEL, Spacing
from napari_wavegms.segment.postprocess import split_objects
from napari_wavegms.storage.atomic import atomic_write, explain_os_error
from napari_wavegms.storage.plain import cell

COLUMNS = (
    *("mask", "frame", "label", "piece", "pixels", "area", "volume", "diameter", "across", "perimeter", "mean"),
    "unit",
)
"""Of a table of measurements, in order."""

_POWERS = {"area": "²", "volume": "³", "diameter": "", "across": "", "perimeter": ""}  # of the unit

_SMOOTH = 1.2  # pixels; the steps of an outline of pixels would make it 5 % longer
_BORDER = 8  # pixels around a piece, so that smoothing does not reach the end


@dataclass(frozen=True, slots=True)
class Measured:
    """One piece of a label, or all pieces of a label together.

    Attributes
    ----------
    label : int
    piece : int
        From 1, the largest first; 0 for the whole label.
    pixels : int
        Number of them, or of voxels.
    size : float
        Area of a plane, or volume.
    diameter, across : float or None
        The longest distance between two points of the outline, and the width at right angles to it; of a volume in the
        slice where it is longest. None for a label of several pieces.
    perimeter : float or None
        Length of the outlines of a plane, those of holes included; None of a volume.
    mean : float or None
        Of the image's finite values; None without an image.
    """

    label: int
    piece: int
    pixels: int
    size: float
    diameter: float | None
    across: float | None
    perimeter: float | None
    mean: float | None


def measure(
    labels: npt.NDArray[Any], sizes: Sequence[float] | None = None, image: npt.NDArray[Any] | None = None
) -> list[Measured]:
    """Measure each label of a plane (H, W) or a volume (N, H, W), and each of its pieces where it has several.

    Pixels that touch at a corner are one piece.

    Parameters
    ----------
    labels : ndarray of int
        0 is background.
    sizes : sequence of float, optional
        Lengths of a pixel along each axis; results are in their unit, squared or cubed for sizes. Pixels by default.
    image : ndarray of the same shape, optional

    Examples
    --------
    >>> square = np.zeros((40, 40), np.uint8)
    >>> square[10:30, 10:30] = 1
    >>> [(one.pixels, one.size) for one in measure(square, (0.5, 0.5))]
    [(400, 100.0)]
    """
    from skimage.measure import label as label_pieces
    from skimage.measure import regionprops

    steps = np.ones(labels.ndim) if sizes is None else np.asarray(sizes, np.float64)
    found: list[Measured] = []
    for whole in regionprops(labels.astype(np.int64)):
        values = None if image is None else image[whole.slice]
        numbered = label_pieces(whole.image, connectivity=labels.ndim)
        pieces = sorted(regionprops(numbered), key=lambda piece: -piece.num_pixels)
        parts = [
            _measured(whole.label, number, piece.image, steps, None if values is None else values[piece.slice])
            for number, piece in enumerate(pieces, start=1)
        ]
        if len(parts) == 1:
            found.append(_measured(whole.label, 0, whole.image, steps, values))
        else:
            perimeters = [part.perimeter for part in parts if part.perimeter is not None]
            size, mean = float(whole.num_pixels * steps.prod()), _mean(values, whole.image)
            perimeter = sum(perimeters) if perimeters else None
            found.append(Measured(whole.label, 0, int(whole.num_pixels), size, None, None, perimeter, mean))
            found += parts
    return found


def _measured(
    label: int, number: int, piece: npt.NDArray[np.bool_], steps: npt.NDArray[np.float64], values: Any
) -> Measured:
    planes = [plane for plane in piece.reshape(-1, *piece.shape[-2:]) if plane.any()]
    lengths = [_longest(_outermost(plane, steps[-2:]))[1] for plane in planes]
    diameter = max(lengths)
    longest = [plane for plane, length in zip(planes, lengths, strict=True) if length == diameter]
    across = max(_across(plane, steps[-2:]) for plane in longest)
    perimeter = sum(map(_length, _outlines(piece, steps))) if piece.ndim == 2 else None
    pixels = int(np.count_nonzero(piece))
    return Measured(
        label, number, pixels, float(pixels * steps.prod()), diameter, across, perimeter, _mean(values, piece)
    )


def _outlines(plane: npt.NDArray[np.bool_], steps: npt.NDArray[np.float64]) -> list[Any]:
    """Points of the outlines, in the unit of the steps; without smoothing where it would melt a small piece."""
    from scipy import ndimage
    from skimage.measure import find_contours

    padded = np.pad(plane.astype(np.float64), _BORDER)
    lines = find_contours(ndimage.gaussian_filter(padded, _SMOOTH), 0.5)
    return [line * steps for line in lines or find_contours(padded, 0.5)]


def _length(line: npt.NDArray[np.float64]) -> float:
    return float(np.linalg.norm(np.diff(line, axis=0), axis=1).sum())


def _outermost(plane: npt.NDArray[np.bool_], steps: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The points of the outline that are the first or last in their row or column, which no others lie around."""
    rows, columns = np.flatnonzero(plane.any(axis=1)), np.flatnonzero(plane.any(axis=0))
    left, top = plane[rows].argmax(axis=1), plane[:, columns].argmax(axis=0)
    right = plane.shape[1] - plane[rows, ::-1].argmax(axis=1)
    bottom = plane.shape[0] - plane[::-1, columns].argmax(axis=0)
    sides = ((rows, left - 0.5), (rows, right - 0.5), (top - 0.5, columns), (bottom - 0.5, columns))
    return np.concatenate([np.stack(side, axis=1) for side in sides]) * steps


def _across(plane: npt.NDArray[np.bool_], steps: npt.NDArray[np.float64]) -> float:
    """The outline's extent at right angles to the longest line between two of its points."""
    # Which way it goes is told by the smooth outline: between corners of the steps the longest line is tilted.
    along, _ = _longest(np.concatenate(_outlines(plane, steps)))
    return float(np.ptp(_outermost(plane, steps) @ np.array([-along[1], along[0]])))


def _longest(points: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], float]:
    """Direction and length of the longest line between two points."""
    from scipy.spatial import ConvexHull

    corners = points[ConvexHull(points).vertices]
    apart = corners[:, None] - corners[None]
    lengths = np.linalg.norm(apart, axis=2)
    pair = np.unravel_index(int(lengths.argmax()), lengths.shape)
    return apart[pair] / lengths[pair], float(lengths[pair])


def _mean(values: npt.NDArray[Any] | None, piece: npt.NDArray[np.bool_]) -> float | None:
    if values is None:
        return None
    inside = values[piece].astype(np.float64)
    finite = inside[np.isfinite(inside)]
    return float(finite.mean()) if finite.size else None


def frames_of(labels: npt.NDArray[Any], axes: str) -> Iterator[tuple[str, npt.NDArray[Any], tuple[int, ...]]]:
    """The planes or volumes of a mask with axes of time: their number, labels and index; one without such axes."""
    spatial = [axis for axis, letter in enumerate(axes) if letter in "ZYX"]
    leading = [axis for axis in range(len(axes)) if axis not in spatial]
    lengths = [labels.shape[axis] for axis in leading]
    for index in np.ndindex(*lengths):
        place: list[Any] = [slice(None)] * len(axes)
        for axis, at in zip(leading, index, strict=True):
            place[axis] = at
        number = " ".join(str(at + 1) for at, length in zip(index, lengths, strict=True) if length > 1)
        frame = labels[tuple(place)]
        yield number, frame.reshape(frame.shape[-2:]) if frame.ndim == 3 and len(frame) == 1 else frame, tuple(place)


def objects_of(
    labels: npt.NDArray[Any], axes: str, spacing: Spacing | None
) -> tuple[npt.NDArray[Any], tuple[int, ...]]:
    """`postprocess.split_objects` of a mask frame by frame, numbered over all frames; and the label of each object.

    Examples
    --------
    >>> objects_of(np.array([[2, 0, 1], [2, 0, 0]]), "YX", None)[1]
    (2, 1)
    """
    objects = np.zeros(labels.shape, np.uint32)
    count = 0
    for _, frame, index in frames_of(labels, axes):
        found = (
            split_objects(frame, sizes=_steps(spacing, frame.ndim)[0]).astype(np.uint32).reshape(labels[index].shape)
        )
        objects[index] = np.where(found, found + count, 0)
        count += int(found.max())
    _, firsts = np.unique(objects, return_index=True)
    drawn = labels.ravel()[firsts]
    return smallest_labels(objects), tuple(int(label) for label in drawn if label)


def measured_rows(
    mask: str, labels: npt.NDArray[Any], axes: str, spacing: Spacing | None, image: Any = None
) -> list[dict[str, Any]]:
    """Measure a mask frame by frame: the rows of a table, each a value for some of `COLUMNS`.

    `axes` has a letter for each axis of `labels`, of which those of Z, Y and X belong together; `image` holds a value
    for each pixel and is read frame by frame. Without a spacing of all these axes, results are in pixels.
    """
    rows = []
    for frame, frame_labels, index in frames_of(labels, axes):
        sizes, unit = _steps(spacing, frame_labels.ndim)
        values = None if image is None else np.asarray(image[index]).reshape(frame_labels.shape)
        for one in measure(frame_labels, sizes, values):
            found = asdict(one)
            found["area" if frame_labels.ndim == 2 else "volume"] = found.pop("size")
            rows.append({"mask": mask, "frame": frame} | found | {"unit": unit})
    return rows


def _steps(spacing: Spacing | None, count: int) -> tuple[tuple[float, ...] | None, str]:
    """The sizes of a pixel along its axes, and their unit; none, and pixels, where one of them is not known."""
    known = spacing is not None and len(spacing.size) >= count
    return (spacing.last(count).size, spacing.unit) if spacing is not None and known else (None, PIXEL)


def total_size(labels: npt.NDArray[Any], spacing: Spacing | None) -> tuple[float, str]:
    """Area or volume of all labels of a plane (H, W) or a volume (N, H, W) together, and its unit.

    Examples
    --------
    >>> total_size(np.ones((4, 5), np.uint8), Spacing((0.5, 0.5), "mm"))
    (5.0, 'mm²')
    """
    sizes, unit = _steps(spacing, labels.ndim)
    column = "area" if labels.ndim == 2 else "volume"
    return float(np.count_nonzero(labels) * np.prod(sizes or 1.0)), heading(column, unit).split("(")[1][:-1]


def heading(column: str, unit: str) -> str:
    """The name of a column with its unit.

    Examples
    --------
    >>> heading("area", "mm"), heading("diameter", "pixel"), heading("mean", "mm")
    ('area (mm²)', 'diameter (px)', 'mean')
    """
    short = {PIXEL: "px", "um": "µm"}.get(unit, unit)
    return f"{column} ({short}{_POWERS[column]})" if column in _POWERS else column


def rounded(value: Any) -> str:
    """A value as a table shows it: six digits, nothing for None, and no formula for a spreadsheet."""
    return f"{value:.6g}" if isinstance(value, float) else "" if value is None else str(cell(value))


def as_text(rows: Iterable[Mapping[str, Any]]) -> str:
    """The table with all of `COLUMNS`, comma-separated."""
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow(COLUMNS)
    table.writerows([rounded(row.get(name)) for name in COLUMNS] for row in rows)
    return text.getvalue()


def write_table(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write the table as spreadsheets open it; raises `InputError` if the disk refuses."""
    with explain_os_error("The table was not written", path), atomic_write(path) as neighbour:
        neighbour.write_text(as_text(rows), encoding="utf-8-sig", newline="")
