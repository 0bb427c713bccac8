"""The model card that every checkpoint carries in its header, readable without torch."""

from __future__ import annotations

import math
import os
import re
import reprlib
import zipfile
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from napari_wavegms.errors import CheckpointError
from napari_wavegms.storage.plain import parse_json, read_as

FORMAT_VERSION = 1
HEADER_KEY = "wavegms"
DISCLAIMER = "For research. Not a medical device; do not use it for diagnosis or treatment."
LARGEST_SIZE = 2048
"""Largest side of a working frame in pixels; a file that asks for more would fill the memory."""
MOST_CLASSES = 64
"""Most classes of a model beside the background."""
BINARY = ("background", "lesion")
"""Names of the labels of a model of one class, unless its card has others."""
_COLOR = re.compile(r"#[0-9a-fA-F]{6}")


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What a model file says about itself."""

    name: str  # the file's stem
    title: str = ""  # one line
    description: str = ""  # a paragraph
    preprocessing: dict[str, Any] = field(
        default_factory=lambda: {"size": 224, "aspect": "squash", "percentiles": [0.1, 99.9]}
    )
    codec: str = ""  # fingerprint of the codec that the model was trained with
    context: str = ""  # fingerprint of the context trunk whose features it uses; empty without one
    class_names: tuple[str, ...] = BINARY  # of the label values, background first
    class_colors: tuple[str, ...] = ()  # "#rrggbb" of the label values from 1 up; the usual ones where they end
    class_codes: tuple[str, ...] = ()  # of a terminology, such as "SCT 64033007", in the same order; "" where unknown
    threshold: float = 0.5  # probability from which a pixel is foreground
    lineage: tuple[dict[str, Any], ...] = ()  # one entry per training, oldest first
    scores: dict[str, Any] = field(default_factory=dict)  # measured, by data set
    # The kinds of image that it has learned from, see `segment.ood`.
    familiarity: dict[str, Any] = field(default_factory=dict)
    data: str = ""  # what it was trained on
    terms: str = ""  # of use
    command: str = ""  # what reproduces the file
    created: str = ""  # ISO date
    versions: dict[str, str] = field(default_factory=dict)  # of libraries, at training
    parameters: int = 0  # trainable ones
    checksum: str = ""  # CRC-32 of the tensors, by which damage is noticed
    disclaimer: str = DISCLAIMER
    format_version: int = FORMAT_VERSION

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as they stand in the header."""
        return {entry.name: getattr(self, entry.name) for entry in fields(self)}

    @property
    def classes(self) -> dict[str, Any]:
        """Names, colours and codes of the labels, as masks carry them."""
        return {name: getattr(self, name) for name in ("class_names", "class_colors", "class_codes")}

    @classmethod
    def from_dict(cls, values: object) -> ModelCard:
        """Read what `as_dict` wrote: unknown entries are ignored, wrong ones raise ValueError."""
        card = read_as(cls, values)
        rules = card.preprocessing
        try:
            low, high = rules["percentiles"]
            black, white = rules.get("window") or (0, 1)
            fits = 0 <= low < high <= 100 and 8 <= rules["size"] <= LARGEST_SIZE and isinstance(rules["aspect"], str)
            fits = fits and -math.inf < black < white < math.inf
        except (KeyError, TypeError, ValueError):
            fits = False
        if not (fits and isinstance(rules["size"], int)):
            raise ValueError(f"its preprocessing is {reprlib.repr(rules)}")
        if not 0 < card.threshold < 1:
            raise ValueError(f"its threshold is {card.threshold}")
        if odd := [color for color in card.class_colors if not _COLOR.fullmatch(color)]:
            raise ValueError(f"its colours contain {reprlib.repr(odd[0])}")
        return card


def read_card(path: str | os.PathLike[str]) -> ModelCard:
    """Read the card of a model file; torch is not needed.

    Parameters
    ----------
    path : path-like
        A ``.safetensors`` file.

    Raises
    ------
    CheckpointError
        If there is no such file, or it is damaged, truncated, pickled, foreign, or of a newer format; each says so.

    Examples
    --------
    >>> from napari_wavegms import list_models
    >>> read_card(list_models()[0].path).class_names[0]
    'background'
    """
    file = Path(path)
    text = _metadata(file).get(HEADER_KEY)
    if text is None:
        raise CheckpointError(
            f"{file.name} is a .safetensors file but not a Wave-GMS model: it has no model card. "
            "Choose a model that Wave-GMS saved, or import an official checkpoint with 'wavegms import'."
        )
    try:
        values = parse_json(text)
        version = values.get("format_version") if isinstance(values, dict) else None
        if not isinstance(version, int):
            raise ValueError(f"its format_version is {reprlib.repr(version)}")
        if version > FORMAT_VERSION:
            raise CheckpointError(
                f"The model file {file.name} has format {reprlib.repr(version)}; this version reads up to format "
                f"{FORMAT_VERSION}. Update napari-wavegms, or choose another model."
            )
        return ModelCard.from_dict(values)
    except (ValueError, TypeError) as error:
        raise CheckpointError(f"The model card of {file.name} is damaged ({error}). Get a fresh copy.") from error


def _metadata(file: Path) -> dict[str, str]:
    if not file.is_file():
        what = "is a folder" if file.is_dir() else "is a pipe or a device" if file.exists() else "does not exist"
        raise CheckpointError(f"The model file {file} {what}. Choose a .safetensors file.")
    try:
        with safe_open(file, framework="np") as tensors:
            return tensors.metadata() or {}
    except OSError as error:
        raise CheckpointError(f"Cannot read the model file {file} ({error}). Check its permissions.") from error
    except SafetensorError as error:
        with file.open("rb") as stream:
            start = stream.read(9)
        opens_json = start[8:] == b"{"  # as the header of every .safetensors file does, behind its length
        if "incomplete metadata" in str(error) or ("invalid header length" in str(error) and opens_json):
            raise CheckpointError(f"{file.name} is truncated. Copy or download it again.") from error
        if not opens_json:
            _refuse_pickle(file, start[:8])
        raise CheckpointError(
            f"{file.name} is not a .safetensors file, or its header is damaged. Choose another file."
        ) from error


def _refuse_pickle(file: Path, start: bytes) -> None:
    # torch.save writes a zip archive, and wrote a bare pickle before version 1.6.
    if (len(start) == 8 and start[:1] == b"\x80") or (start[:2] == b"PK" and zipfile.is_zipfile(file)):
        raise CheckpointError(
            f"{file.name} is a pickled PyTorch checkpoint, which Wave-GMS does not open. If it is an official Wave-GMS "
            "checkpoint, convert it with 'wavegms import FILE.pth --output MODEL.safetensors'."
        )
