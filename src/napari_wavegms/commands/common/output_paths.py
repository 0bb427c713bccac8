"""Where results go: one file name for each input, and never over an input."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from napari_wavegms.commands.common.console import as_json
from napari_wavegms.errors import InputError
from napari_wavegms.files.discovery import stem_of
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


def distinct(files: Iterable[Path]) -> list[Path]:
    """Each file once, even when it was named in two ways, in order."""
    found: dict[str, Path] = {}
    for file in files:
        found.setdefault(os.path.normcase(os.path.abspath(file)), file)  # noqa: PTH100 - links stay what they are
    return list(found.values())


def result_names(files: Sequence[Path]) -> list[str]:
    """One name for the results of each file: its stem, with what tells it apart where stems are equal.

    Files of one stem get the name of their folder before it, or their ending behind it, whichever tells them apart.
    Capitals do not: some file systems ignore them.

    Examples
    --------
    >>> result_names([Path("monday/scan.png"), Path("tuesday/scan.png"), Path("tuesday/other.png")])
    ['monday_scan', 'tuesday_scan', 'other']
    >>> result_names([Path("scan.png"), Path("scan.tif")])
    ['scan_png', 'scan_tif']
    """
    groups: dict[str, list[Path]] = {}
    for file in files:
        groups.setdefault(stem_of(file).casefold(), []).append(file)
    names = {group[0]: stem_of(group[0]) for group in groups.values() if len(group) == 1}
    for group in groups.values():
        if len(group) > 1:
            names |= _distinguished(group, taken={name.casefold() for name in names.values()})
    return [names[file] for file in files]


def _distinguished(group: list[Path], taken: set[str]) -> dict[Path, str]:
    for candidates in _candidates(group):
        folded = {name.casefold() for name in candidates}
        if len(folded) == len(group) and not taken & folded:
            break
    return dict(zip(group, candidates, strict=True))


def _candidates(group: list[Path]) -> Iterator[list[str]]:
    """Ever longer names; the last ones are numbered and go on for ever."""
    stems = [stem_of(file) for file in group]
    endings = [file.name[len(stem) :].replace(".", "_") for file, stem in zip(group, stems, strict=True)]
    folders = [Path(os.path.abspath(file)).parent.parts[1:] for file in group]  # noqa: PTH100 - as in `distinct`
    yield [stem + ending for stem, ending in zip(stems, endings, strict=True)]
    for depth in range(1, max(map(len, folders)) + 1):
        placed = ["_".join([*folder[-depth:], stem]) for folder, stem in zip(folders, stems, strict=True)]
        yield placed
        yield [name + ending for name, ending in zip(placed, endings, strict=True)]
    for first in count(1):
        yield [f"{stem}_{number}" for number, stem in enumerate(stems, start=first)]


def _identity(path: Path) -> str:
    return os.path.normcase(os.path.realpath(path))
