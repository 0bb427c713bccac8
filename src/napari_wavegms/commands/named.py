"""The model that a user names on the command line."""

from __future__ import annotations

from pathlib import Path

from napari_wavegms.errors import CheckpointError
from napari_wavegms.model.zoo import resolve

IN_USE = "in-use"
"""Names the version that the Fine-tune panel has put in use."""


def named_model(name: str) -> Path:
    """Find a model by a name of `wavegms models`, by ``in-use``, or by file.

    Raises
    ------
    CheckpointError
        If there is none.
    """
    if name != IN_USE:
        return resolve(name)
    from napari_wavegms.review.versions import ModelVersions

    versions = ModelVersions()
    current = versions.current()
    if current is None:
        raise CheckpointError("No version is in use yet, because none was learned. Fine-tune a model, or name another.")
    return versions.path(current.number)
