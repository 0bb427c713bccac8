"""Names that can be chosen: devices, codecs, and models (shipped, the user's own, fine-tuned). No torch."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_wavegms.errors import CheckpointError
from napari_wavegms.model.card import ModelCard, read_card
from napari_wavegms.storage.user_data import expanded, user_models_folder, versions_folder

DEVICES = ("auto", "cpu", "cuda", "mps")
CPU_CHOSEN = "the processor (chosen)"
CPU_NO_CUDA = "the processor (no NVIDIA support installed)"
CPU_NO_GPU = "the processor (no NVIDIA GPU or driver found)"

CODECS = ("mask-codec", "taesd")

NO_MODEL = "No model is installed. Open a model file with the … button."

DEFAULT = "default"

DEFAULT_MODEL = "generalist"
"""The shipped model that `default` means."""

_ASSETS = Path(__file__).parent.parent / "assets"

_NOT_MODELS = {"mask-codec", "context-trunk"}


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """A model that can be chosen by name: its file, its card, and whether it came with the package."""

    name: str
    path: Path
    card: ModelCard
    shipped: bool


def learned_models() -> dict[str, Path]:
    """Names and files of the fine-tuned versions, ``v1`` first; see `finetune.versions`."""
    files = (file for file in versions_folder().glob("v*.safetensors") if file.stem[1:].isdecimal())
    return {file.stem: file for file in sorted(files, key=lambda file: int(file.stem[1:]))}


def shipped() -> dict[str, Path]:
    """Names and files of the models in the package."""
    return {file.stem: file for file in sorted(_ASSETS.glob("*.safetensors")) if file.stem not in _NOT_MODELS}


def user_models() -> dict[str, Path]:
    """Names and files of the user's models."""
    return {file.stem: file for file in sorted(user_models_folder().glob("*.safetensors"))}


def resolve(name_or_path: str | os.PathLike[str]) -> Path:
    """Find a model by name (shipped, the user's, fine-tuned, or "default") or by file; else raise `CheckpointError`."""
    name = os.fspath(name_or_path)
    known = learned_models() | user_models() | shipped()
    if name == DEFAULT:
        name = DEFAULT_MODEL
    if name in known:
        return known[name]
    path = expanded(name)
    if not name.strip():
        raise CheckpointError("The name of the model is empty. Choose one of 'wavegms models', or give a file.")
    if path.exists() or path.suffix == ".safetensors":
        return path
    names = ", ".join([DEFAULT, *shipped(), *user_models(), *learned_models()])
    raise CheckpointError(f"There is no model '{name}'. Choose one of {names}, or give a .safetensors file.")


def classes_of(name: str) -> dict[str, Any]:
    """Names, colours and codes of a model's labels as `ModelCard.classes`; nothing where there is no such model."""
    try:
        return read_card(resolve(name)).classes if name else {}
    except CheckpointError:
        return {}


def class_names_of(name: str) -> tuple[str, ...]:
    """The names of the labels of a model that can be chosen by name; empty where there is none."""
    return tuple(classes_of(name).get("class_names", ()))


def list_models() -> list[ModelEntry]:
    """List the models that can be chosen by name, shipped ones first; torch is not needed.

    Returns
    -------
    list of ModelEntry
        Without files that cannot be read, and without fine-tuned versions.

    Examples
    --------
    >>> [entry.name for entry in list_models() if entry.shipped]
    ['breast-ultrasound', 'generalist', 'skin-lesion']
    """
    entries = []
    for source, is_shipped in ((shipped(), True), (user_models(), False)):
        for name, path in source.items():
            try:
                entries.append(ModelEntry(name, path, read_card(path), is_shipped))
            except CheckpointError:
                continue
    return entries
