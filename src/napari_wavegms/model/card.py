"""The model card that every checkpoint carries in its header, readable without torch."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from napari_wavegms.errors import CheckpointError

FORMAT_VERSION = 1
HEADER_KEY = "wavegms"
DISCLAIMER = "For research. Not a medical device; do not use it for diagnosis or treatment."
_LARGEST_HEADER = 100_000_000  # bytes; the limit of safetensors' own reader


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What a model file says of itself.

    Attributes
    ----------
    name, title, description : str
        The short name (file stem), one line, and a paragraph.
    preprocessing : dict
        ``{"size", "aspect", "percentiles"}``, see `napari_wavegms.segment.preprocessing.Preprocessing`.
    codec : str
        Fingerprint of the codec that the model was trained with.
    context : str
        Fingerprint of the context trunk whose features it takes; empty for a network without them.
    class_names : tuple of str
        Names of the label values, background first.
    threshold : float
        Probability from which a pixel is foreground.
    lineage : tuple of dict
        One entry a training, oldest first: start, data, configuration, date.
    scores : dict
        Measured scores and on what.
    familiarity : dict
        What the training images look like to the encoder, see `napari_wavegms.segment.ood`; empty where nobody
        has measured it.
    data, terms, command : str
        Training data, the terms the file may be used under, and the command that rebuilds it.
    created : str
        ISO date.
    versions : dict
        Library versions at training.
    parameters : int
        Trainable parameters.
    format_version : int
        Version of this file format.
    """

    name: str
    title: str = ""
    description: str = ""
    preprocessing: dict[str, Any] = field(
        default_factory=lambda: {"size": 224, "aspect": "squash", "percentiles": [0.1, 99.9]}
    )
    codec: str = ""
    context: str = ""
    class_names: tuple[str, ...] = ("background", "lesion")
    threshold: float = 0.5
    lineage: tuple[dict[str, Any], ...] = ()
    scores: dict[str, Any] = field(default_factory=dict)
    familiarity: dict[str, Any] = field(default_factory=dict)
    data: str = ""
    terms: str = ""
    command: str = ""
    created: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    parameters: int = 0
    disclaimer: str = DISCLAIMER
    format_version: int = FORMAT_VERSION

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as they stand in the header."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ModelCard:
        """Read what `as_dict` wrote; entries that this version does not know are left out."""
        known = {entry.name for entry in fields(cls)}
        kept = {name: value for name, value in values.items() if name in known}
        for name in ("class_names", "lineage"):
            kept[name] = tuple(kept.get(name, ()))
        card = cls(**kept)
        _check(card)
        return card


def _check(card: ModelCard) -> None:
    """Refuse values that would only be stumbled over later; raises TypeError or ValueError."""
    texts, tables = ("name", "codec", "context"), ("preprocessing", "scores", "familiarity", "versions")
    for name, kind in (*((text, str) for text in texts), *((table, dict) for table in tables)):
        if not isinstance(getattr(card, name), kind):
            raise TypeError(f"its {name} is {getattr(card, name)!r}")
    rules = card.preprocessing
    low, high = (float(value) for value in rules.get("percentiles", ()))
    if not (isinstance(rules.get("size"), int) and isinstance(rules.get("aspect"), str) and low < high):
        raise ValueError(f"its preprocessing is {rules}")
    if not 0 < float(card.threshold) < 1:
        raise ValueError(f"its threshold is {card.threshold}")


def read_card(path: str | os.PathLike[str]) -> ModelCard:
    """Read the card of a model file with the standard library alone.

    Raises
    ------
    CheckpointError
        If there is no such file, or it is damaged, truncated, pickled, foreign, or of a newer format; each says so.
    """
    file = Path(path)
    metadata = _read_header(file).get("__metadata__")
    text = metadata.get(HEADER_KEY) if isinstance(metadata, dict) else None
    if text is None:
        raise CheckpointError(
            f"{file.name} is a .safetensors file but not a Wave-GMS model: it carries no model card. "
            "Choose a model that Wave-GMS saved, or import an official checkpoint with 'wavegms import'."
        )
    try:
        values = json.loads(text)
        version = int(values["format_version"])
        if version > FORMAT_VERSION:
            raise CheckpointError(
                f"The model file {file.name} is from a newer version (format {version}, this is {FORMAT_VERSION}). "
                "Update napari-wavegms, or choose another model."
            )
        return ModelCard.from_dict(values)
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"The model card of {file.name} is damaged ({error}). Get a fresh copy.") from error


def _read_header(file: Path) -> dict[str, Any]:
    if not file.is_file():
        what = "is a folder" if file.is_dir() else "does not exist"
        raise CheckpointError(f"The model file {file} {what}. Choose a .safetensors file.")
    try:
        with file.open("rb") as stream:
            start = stream.read(8)
            length = int.from_bytes(start, "little")
            size = file.stat().st_size
            if len(start) < 8 or not 2 <= length <= _LARGEST_HEADER:
                _refuse_pickle(file, start)
                raise CheckpointError(f"{file.name} is not a .safetensors file. Choose a Wave-GMS model file.")
            raw = stream.read(length)
    except OSError as error:
        raise CheckpointError(f"The model file {file} cannot be read ({error.strerror}). Check its rights.") from error
    truncated = CheckpointError(
        f"{file.name} is truncated: {size} bytes are here and more are announced. Copy or download it again."
    )
    if len(raw) < length:
        raise truncated if raw[:1] == b"{" else _foreign(file)
    try:
        header = json.loads(raw)
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise _foreign(file) from error
    if size < 8 + length + max(ends, default=0):
        raise truncated
    return header  # type: ignore[no-any-return]


def _foreign(file: Path) -> CheckpointError:
    return CheckpointError(f"{file.name} is not a .safetensors file, or its start is damaged. Choose a Wave-GMS model.")


def _refuse_pickle(file: Path, start: bytes) -> None:
    # torch.save writes a zip archive, and wrote a bare pickle before version 1.6.
    # A cut-off .safetensors file may begin with the same byte, as a part of its header's length.
    if (len(start) == 8 and start[:1] == b"\x80") or (start[:2] == b"PK" and zipfile.is_zipfile(file)):
        raise CheckpointError(
            f"{file.name} is a pickled PyTorch checkpoint, which Wave-GMS does not open. If it is an official Wave-GMS "
            "checkpoint, turn it into a model with 'wavegms import FILE.pth --output MODEL.safetensors'."
        )
