"""The models to start from and the versions to go back to, in words; nothing here needs torch."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from napari_wavegms.errors import CheckpointError, InputError
from napari_wavegms.finetune.versions import ModelVersions
from napari_wavegms.widgets.forms.model_row import ModelChoice, known_models


def learned_models(versions: ModelVersions) -> list[ModelChoice]:
    """Versions whose file is there, the one in use first, then the newest."""
    choices = []
    for entry in sorted(versions.listing(), key=lambda entry: not entry.in_use):
        with suppress(CheckpointError):
            choices.append(replace(ModelChoice.from_file(entry.path), name=entry.version.name))
    return choices


def models_to_start_from(
    versions: ModelVersions, known: list[ModelChoice] | None = None
) -> tuple[list[ModelChoice], str]:
    """All models, the version in use first, and what it is worth; without versions where they cannot be read.

    `known` are the installed models, if they were read before.
    """
    known = known_models() if known is None else known
    try:
        learned, current = learned_models(versions), versions.current()
    except InputError as error:
        return known, str(error)
    if current is None:
        return [*known, *learned], ""
    return [*learned, *known], f"{current.name} is in use: {current.score}."


def models_for_segmenting() -> list[ModelChoice]:
    """All models, the version in use first."""
    return models_to_start_from(ModelVersions())[0]
