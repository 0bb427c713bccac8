"""The fingerprint of an array or a file: what tells that two are the same, whatever they are called."""

from __future__ import annotations

import os
from hashlib import blake2b, file_digest
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_wavegms.errors import InputError

_WIDEST = 8  # bytes; longer floats have padding whose bytes mean nothing and differ between platforms


def canonical(array: npt.ArrayLike) -> npt.NDArray[Any]:
    """The same values in C order and little-endian bytes, as every platform can write and read them.

    Raises `InputError` if they are not real numbers of at most 64 bits.
    """
    values = np.asarray(array)
    if values.dtype.kind not in "buif" or values.dtype.itemsize > _WIDEST:
        raise InputError(
            f"An array of {values.dtype} came; real numbers of at most 64 bits can be kept. Convert it first."
        )
    # ascontiguousarray would turn a single number into an array of one.
    return np.require(values, values.dtype.newbyteorder("<"), "C")


def content_hash(array: npt.ArrayLike) -> str:
    """Fingerprint of an array's dtype, shape and bytes, the same on every platform: 32 hexadecimal digits (BLAKE2b).

    Memory layout and byte order do not matter, every bit of the values does. Raises `InputError` unless they are real
    numbers of at most 64 bits.

    Examples
    --------
    >>> content_hash(np.zeros((2, 3), np.uint8)) == content_hash(np.zeros((3, 2), np.uint8))
    False
    """
    values = canonical(array)
    digest = blake2b(f"{values.dtype.str}{values.shape}".encode(), digest_size=16)
    digest.update(values.data)
    return digest.hexdigest()


def file_hash(path: str | os.PathLike[str]) -> str:
    """Fingerprint of a file's bytes, or of the names and bytes of a folder's own files: 32 hexadecimal digits.

    Raises OSError if it cannot be read.
    """
    place = Path(path)
    digest = blake2b(digest_size=16)
    for file in sorted(place.iterdir()) if place.is_dir() else [place]:
        if file.is_file():
            digest.update(b"" if file is place else file.name.encode(errors="surrogateescape") + b"\0")
            with file.open("rb") as stream:
                digest.update(file_digest(stream, _blake2b).digest())
    return digest.hexdigest()


def _blake2b() -> blake2b:
    return blake2b(digest_size=16)
