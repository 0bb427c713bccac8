"""The folder of a journal: one file for each image, named by the image's content."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from napari_wavegms.errors import InputError
from napari_wavegms.journal.replay import CLOSE, Book
from napari_wavegms.storage.append_log import KIND

_SUFFIX = ".jsonl"

_IMAGE = re.compile(r"[0-9A-Za-z_-]{1,120}")

_TAIL = 2048  # bytes; the longest line that closes is shorter


class JournalFolder:
    """Finds the files of the images, and keeps some of them open.

    Parameters
    ----------
    path : pathlib.Path
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._kept: dict[str, Book] = {}

    def book(self, image: str, keep: bool = False) -> Book:
        """Give the file of an image, which need not be there yet.

        Parameters
        ----------
        image : str
            Content hash.
        keep : bool
            Whether it will be asked for again.

        Raises
        ------
        InputError
            If that is no content hash, or the file cannot be read.
        """
        if not _IMAGE.fullmatch(image):
            raise InputError(f"{image!r} is no content hash of an image. Give what content_hash() returns.")
        book = self._kept.get(image) or Book(self.path / f"{image}{_SUFFIX}")
        if keep:
            self._kept[image] = book
        return book

    def drop(self, image: str) -> None:
        """Keep a file open no longer."""
        self._kept.pop(image, None)

    def drop_all(self) -> None:
        """Keep no file open."""
        self._kept.clear()

    def images(self) -> list[str]:
        """Content hashes of the images that have a file.

        Raises
        ------
        InputError
            If the folder cannot be read.
        """
        try:
            return sorted(
                entry.name[: -len(_SUFFIX)] for entry in os.scandir(self.path) if entry.name.endswith(_SUFFIX)
            )
        except FileNotFoundError:
            return []
        except OSError as cause:
            raise InputError(
                f"The journal in {self.path} cannot be read ({cause.strerror or cause}). Check the folder's rights."
            ) from cause

    def unclosed(self) -> Iterator[Book]:
        """Files in which something may be unfinished; what a newer version wrote is that version's to offer."""
        for image in self.images():
            if not _ends_closed(self.path / f"{image}{_SUFFIX}"):
                with suppress(InputError):
                    yield self.book(image)


def _ends_closed(path: Path) -> bool:
    """Whether the last line says that nothing is open; a glance that spares reading thousands of finished journals."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _TAIL))
            tail = file.read()
        last = json.loads(tail.rstrip(b"\n").rpartition(b"\n")[2])
        return tail.endswith(b"\n") and last[KIND] == CLOSE and last["open"] == 0
    except (OSError, ValueError, KeyError, TypeError):
        return False
