"""What we write into a mask file beside its pixels, as one line of JSON.

The line keeps exactly what the file formats round or drop: singleton axes, the unit, the model behind the mask. In a
TIFF it is the line ``wavegms={...}`` of the image description, in a PNG the text chunk ``wavegms``.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_wavegms.errors import InputError
from napari_wavegms.files.provenance import Provenance
from napari_wavegms.files.spacing import Spacing

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
