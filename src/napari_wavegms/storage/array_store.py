"""A folder of arrays, each in a file named by its content, so that duplicates and damage are noticed."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_wavegms.errors import InputError
from napari_wavegms.storage.atomic import atomic_write, make_folder
from napari_wavegms.storage.content_hash import canonical, content_hash

_SUFFIX = ".npy.gz"
_HASH = re.compile(r"[0-9a-f]{32}")
_LEVEL = 1  # masks shrink a hundredfold at the fastest level, photographs at none


class ArrayStore:
    """Arrays by content in a folder: ``<hash>.npy.gz``, readable with ``numpy.load(gzip.open(path))``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, content: str) -> Path:
        """The file of an array, whether it exists or not."""
        if not _HASH.fullmatch(content):
            raise InputError(f"{content!r} is not a content hash of 32 hexadecimal digits.")
        return self.folder / f"{content}{_SUFFIX}"

    def put(self, array: npt.ArrayLike) -> str:
        """Write an array unless it is there intact; returns its content hash.

        Raises `InputError` as `content_hash`, and OSError if the disk fails; no file is left behind.
        """
        values = canonical(array)
        content = content_hash(values)
        path = self.path(content)
        if self._holds(content):
            return content
        make_folder(self.folder)
        # No file name and no time in the header: the same array always makes the same bytes.
        with (
            atomic_write(path) as neighbour,
            neighbour.open("wb") as file,
            gzip.GzipFile(filename="", mode="wb", compresslevel=_LEVEL, fileobj=file, mtime=0) as packed,
        ):
            np.lib.format.write_array(packed, values, allow_pickle=False)
        return content

    def get(self, content: str) -> npt.NDArray[Any]:
        """Read an array and check it against its name; raises `InputError` if the file is gone or damaged."""
        path = self.path(content)
        if path.exists() and not path.is_file():  # reading a pipe would wait for ever
            raise _damaged(path)
        try:
            with gzip.open(path) as packed:
                values = np.lib.format.read_array(packed, allow_pickle=False)
                packed.read()  # up to the checksum at the end
        except FileNotFoundError as cause:
            raise InputError(f"The file {path} is gone. Copy it back, or correct the image again.") from cause
        except Exception as cause:  # numpy's header parser and zlib raise many kinds of errors for damaged bytes
            raise _damaged(path) from cause
        if content_hash(values) != content:
            raise _damaged(path)
        return np.asarray(values, values.dtype.newbyteorder("="))

    def contents(self) -> set[str]:
        """The content hashes of all arrays that are there."""
        return {path.name.removesuffix(_SUFFIX) for path in self.folder.glob(f"*{_SUFFIX}") if path.name[0] != "."}

    def remove(self, contents: Iterable[str]) -> None:
        """Remove arrays, where they are there; raises OSError if the disk refuses."""
        for content in contents:
            self.path(content).unlink(missing_ok=True)

    def _holds(self, content: str) -> bool:
        if not self.path(content).is_file():
            return False
        with suppress(InputError):
            self.get(content)
            return True
        return False


def _damaged(path: Path) -> InputError:
    return InputError(f"The file {path} is damaged. Copy it from a backup, or correct the image again.")
