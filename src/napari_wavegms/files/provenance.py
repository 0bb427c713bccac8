"""Where a mask came from: the record that travels in its file."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_wavegms.errors import InputError
from napari_wavegms.files.spacing import Spacing


@dataclass(frozen=True, slots=True)
class Provenance:
    """Which model made a mask, from what, when, and who approved it.

    Parameters
    ----------
    model : str
        Name of the model.
    threshold : float
        Probability from which a pixel counts as lesion, 0 to 1.
    version : str
        Version of napari-wavegms.
    source : str
        Name of the image the mask belongs to.
    created : str
        ISO 8601 time.
    approved : str, optional
        When a person approved the mask, ISO 8601; None for a mask nobody looked at.
    editor : str, optional
        Who approved or corrected it.
    """

    model: str
    threshold: float
    version: str
    source: str = ""
    created: str = ""
    approved: str | None = None
    editor: str | None = None

    @classmethod
    def now(cls, model: str, threshold: float, source: str = "") -> Provenance:
        """The provenance of a mask made at this moment by the installed version."""
        try:
            version = installed_version("napari-wavegms")
        except PackageNotFoundError:
            version = "unknown"
        created = datetime.now(UTC).isoformat(timespec="seconds")
        return cls(model=model, threshold=threshold, version=version, source=source, created=created)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; what is not known is left out."""
        return {name: value for name, value in asdict(self).items() if value not in (None, "")}

    def as_text(self) -> str:
        """One line of JSON in plain ASCII, which is all that a TIFF description may hold."""
        return json.dumps(self.as_dict(), ensure_ascii=True)

    @classmethod
    def from_dict(cls, values: object) -> Provenance:
        """The provenance in a dictionary; keys of newer versions are passed over.

        Raises
        ------
        InputError
            Not a dictionary, or model, threshold or version are missing or of the wrong kind.
        """
        if not isinstance(values, dict):
            raise InputError(f"A provenance is a JSON object; {type(values).__name__} came. Save the mask again.")
        known = {field.name: values[field.name] for field in fields(cls) if field.name in values}
        threshold = known.get("threshold")
        texts = {name: value for name, value in known.items() if name != "threshold"}
        optional = ("approved", "editor")
        if not all(isinstance(value, str) or (value is None and name in optional) for name, value in texts.items()):
            raise InputError(f"A provenance holds names and times as text; {texts} came. Save the mask again.")
        if isinstance(threshold, bool) or not isinstance(threshold, (int, float)) or not math.isfinite(threshold):
            raise InputError(f"A provenance needs its threshold as a number; {threshold!r} came. Save the mask again.")
        if "model" not in known or "version" not in known:
            raise InputError(f"A provenance needs model and version; only {sorted(known)} came. Save the mask again.")
        return cls(**{**known, "threshold": float(threshold)})

    @classmethod
    def from_text(cls, text: str) -> Provenance:
        """The provenance that `as_text` wrote.

        Raises
        ------
        InputError
            The text is not JSON, or not a provenance.
        """
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as cause:
            raise InputError(f"A provenance is JSON; this came: {text[:60]!r}. Save the mask again.") from cause
        return cls.from_dict(values)


KEY = "wavegms"

SOFTWARE = "napari-wavegms"


@dataclass(frozen=True, slots=True)
class Record:
    """Axes, shape, spacing and provenance of a written array."""

    axes: str
    shape: tuple[int, ...]
    spacing: Spacing | None = None
    provenance: Provenance | None = None

    def as_text(self) -> str:
        """One line of ASCII JSON."""
        values: dict[str, Any] = {"axes": self.axes, "shape": list(self.shape)}
        if self.spacing is not None:
            values["spacing"] = self.spacing.as_dict()
        if self.provenance is not None:
            values["provenance"] = self.provenance.as_dict()
        return json.dumps(values, ensure_ascii=True)

    @classmethod
    def from_text(cls, text: str) -> Record | None:
        """The record in a line, or None where the line is not one: the pixels are readable all the same."""
        try:
            values = json.loads(text)
            spacing = values.get("spacing")
            provenance = values.get("provenance")
            return cls(
                axes=str(values["axes"]),
                shape=tuple(int(length) for length in values["shape"]),
                spacing=None if spacing is None else Spacing(tuple(spacing["size"]), str(spacing["unit"])),
                provenance=None if provenance is None else Provenance.from_dict(provenance),
            )
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError, InputError):
            return None

    def fits(self, pixels: NDArray[Any]) -> bool:
        """Whether the pixels are those that were written, perhaps without their singleton axes."""
        return (
            len(self.axes) == len(self.shape)
            and math.prod(self.shape) == pixels.size
            and tuple(n for n in self.shape if n != 1) == tuple(n for n in pixels.shape if n != 1)
        )

    def restore(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """The pixels in the shape in which they were written."""
        return np.reshape(pixels, self.shape)


def find_line(text: str) -> str | None:
    """The JSON after ``wavegms=`` in a description of many lines."""
    prefix = f"{KEY}="
    lines = [line[len(prefix) :] for line in text.splitlines() if line.startswith(prefix)]
    return lines[0].rstrip("\x00") if lines else None
