"""Where a mask came from: the record that travels in its file."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from numpy.typing import NDArray

from napari_wavegms import __version__
from napari_wavegms.errors import InputError
from napari_wavegms.files.spacing import Spacing
from napari_wavegms.storage.plain import parse_json, read_as

KEY = "wavegms"

SOFTWARE = "napari-wavegms"

_NAMED_OBJECTS = 100  # more would not fit into the record of a DICOM segmentation


@dataclass(frozen=True, slots=True)
class Provenance:
    """Which model made a mask, from what, when, and who approved it."""

    model: str  # its name
    threshold: float  # probability from which a pixel counts as lesion, 0 to 1
    version: str  # of napari-wavegms
    source: str = ""  # name of the image
    created: str = ""  # ISO 8601
    approved: str | None = None  # when a person approved the mask, ISO 8601
    editor: str | None = None  # who approved or corrected it
    channel_axis: int | None = None  # of the image, counted from 0
    channel: int | None = None  # the one that the mask belongs to, counted from 0
    class_names: tuple[str, ...] = ()  # of the labels, background first
    class_colors: tuple[str, ...] = ()  # "#rrggbb" of the labels from 1 up; the usual ones where they end
    class_codes: tuple[str, ...] = ()  # of a terminology, such as "SCT 64033007", in the same order; "" where unknown
    window: tuple[float, float] | None = None  # black and white, where neither planes nor the card said it
    edited: bool | None = None  # whether a person changed what the model drew; None where nobody knows
    detail: str = ""  # "native" where the model ran again at the image's own pixels
    # Of masks from a terminal, for `wavegms segment --resume`: digests of the model with all settings that decide the
    # mask, of the image's file, and of the labels as they were drawn.
    settings: str = ""
    source_hash: str = ""
    mask_hash: str = ""

    def __post_init__(self) -> None:
        if not math.isfinite(self.threshold):
            raise InputError(f"The threshold of a provenance is {self.threshold}. Give a number from 0 to 1.")

    @classmethod
    def now(cls, model: str, threshold: float, source: str = "", **more: Any) -> Provenance:
        """The provenance of a mask made at this moment by this version."""
        created = datetime.now(UTC).isoformat(timespec="seconds")
        return cls(model=model, threshold=threshold, version=__version__, source=source, created=created, **more)

    def of_objects(self, labels: Sequence[int]) -> Provenance:
        """The same of a mask of objects, which each had a label: up to a hundred carry the name and code of its class.

        Examples
        --------
        >>> organs = Provenance("m", 0.5, "1", class_names=("background", "liver", "kidney"))
        >>> organs.of_objects([2, 2]).class_names
        ('background', 'kidney', 'kidney')
        """
        known = labels if len(labels) <= _NAMED_OBJECTS else ()
        names, codes = self.class_names, ("", *self.class_codes)
        named = tuple(names[label] if label < len(names) else "" for label in (0, *known)) if names and known else ()
        coded = tuple(codes[label] if label < len(codes) else "" for label in known)
        return replace(self, class_names=named, class_colors=(), class_codes=coded if any(coded) else ())

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; what is not known is left out."""
        return {name: value for name, value in asdict(self).items() if value not in (None, "", ())}

    @classmethod
    def from_dict(cls, values: object) -> Provenance:
        """Read what `as_dict` wrote, ignoring keys of newer versions; raises `InputError` for anything else."""
        try:
            return read_as(cls, values)
        except ValueError as error:
            raise InputError(f"The mask's provenance is damaged: {error}. Save the mask again.") from error


@dataclass(frozen=True, slots=True)
class Record:
    """Axes, shape, spacing and provenance of a written array."""

    axes: str
    shape: tuple[int, ...]
    spacing: Spacing | None = None
    provenance: Provenance | None = None

    def as_text(self) -> str:
        """One line of JSON in plain ASCII, which is all that a TIFF description may hold."""
        values: dict[str, Any] = {"axes": self.axes, "shape": self.shape}
        if self.spacing is not None:
            values["spacing"] = asdict(self.spacing)
        if self.provenance is not None:
            values["provenance"] = self.provenance.as_dict()
        return json.dumps(values)

    @classmethod
    def from_text(cls, text: str) -> Record | None:
        """The record in a line, or None where the line is not one: the pixels are readable all the same."""
        try:
            return read_as(cls, parse_json(text))
        except ValueError:
            return None

    def fits(self, pixels: NDArray[Any]) -> bool:
        """Whether the pixels are those that were written, perhaps without their singleton axes."""
        return (
            len(self.axes) == len(self.shape)
            and math.prod(self.shape) == pixels.size
            and tuple(n for n in self.shape if n != 1) == tuple(n for n in pixels.shape if n != 1)
        )


def as_written(record: Record | None, pixels: NDArray[Any], axes: str) -> tuple[Record | None, NDArray[Any], str]:
    """The pixels in the shape in which they were written; without a record that fits, as they are."""
    if record is None or not record.fits(pixels):
        return None, pixels, axes
    return record, pixels.reshape(record.shape), record.axes


def find_line(text: str) -> str | None:
    """The JSON after ``wavegms=`` in a description of many lines."""
    prefix = f"{KEY}="
    lines = [line[len(prefix) :] for line in text.splitlines() if line.startswith(prefix)]
    return lines[0].rstrip("\x00") if lines else None
