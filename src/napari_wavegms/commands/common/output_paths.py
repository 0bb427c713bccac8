"""Where results go: into a folder that can hold them, and never over an input."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from napari_wavegms.commands.common.console import as_json
from napari_wavegms.errors import InputError
from napari_wavegms.storage.atomic import atomic_write


def checked_output_folder(folder: Path, option: str = "--output") -> Path:
    """Create a folder for results; raises `InputError` if it is a file or cannot be created or written to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise InputError(f"{folder} is a file, not a folder. Choose another {option}.") from error
    except OSError as error:
        raise InputError(f"Cannot create the folder {folder} ({error.strerror}). Choose another {option}.") from error
    if not os.access(folder, os.W_OK):
        raise InputError(f"No permission to write to the folder {folder}. Choose another {option}.")
    return folder


def checked_output_file(path: Path, inputs: Iterable[Path] = (), *, suffix: str = "", option: str = "--output") -> Path:
    """Create the folder of a result file; raises `InputError` for another ending, a folder or one of the inputs."""
    if not path.name.lower().endswith(suffix):
        raise InputError(f"'{path.name}' does not end in {suffix}; give {option} that ending.")
    if path.is_dir():
        raise InputError(f"{path} is a folder; {option} takes the name of a file in it.")
    refuse_overwriting([path], inputs, option)
    checked_output_folder(path.parent, option)
    return path


def write_json(path: Path, values: Any) -> None:
    """Write a result as JSON, in one step."""
    with atomic_write(path) as file:
        file.write_text(as_json(values) + "\n", encoding="utf-8")


def refuse_overwriting(targets: Iterable[Path], inputs: Iterable[Path], option: str = "--output") -> None:
    """Raise `InputError` if one of the targets is one of the inputs."""
    kept = {_identity(path) for path in inputs}
    for target in targets:
        if _identity(target) in kept:
            raise InputError(f"{target} is one of the inputs and would be overwritten. Choose another {option}.")


def _identity(path: Path) -> str:
    return os.path.normcase(os.path.realpath(path))
