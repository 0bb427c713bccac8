"""What the stores ask of the disk: one writer at a time, folders that outlive a power cut, a sentence on failure."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from napari_wavegms.errors import InputError

_PATIENCE = 20.0  # seconds; a correction is written in a fraction of one
_PAUSE = 0.01


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Be the only one, among all processes and threads, in a block that takes the same lock file.

    The lock is the operating system's and goes with the process that holds it, so that a killed one leaves none behind;
    the file itself stays. Not re-entrant.

    Raises
    ------
    InputError
        If somebody else holds the lock for 20 seconds.
    OSError
        If the lock file cannot be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        _wait_for(file.fileno(), path)
        try:
            yield
        finally:
            _unlock(file.fileno())


def held(path: Path) -> BinaryIO | None:
    """Take a lock file for as long as the returned file stays open, or the process lives; None where it is taken.

    Raises
    ------
    OSError
        If the lock file cannot be made.
    """
    file = path.open("ab")
    if _try_lock(file.fileno()):
        return file
    file.close()
    return None


def _wait_for(handle: int, path: Path) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not _try_lock(handle):
        if time.monotonic() > deadline:
            raise InputError(
                f"Another program has been writing to {path.parent} for {_PATIENCE:.0f} seconds. Close other windows "
                "of napari, or wait, then try again."
            )
        time.sleep(_PAUSE)


if sys.platform == "win32":
    import msvcrt

    def _try_lock(handle: int) -> bool:
        os.lseek(handle, 0, os.SEEK_SET)
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        return True

    def _unlock(handle: int) -> None:
        os.lseek(handle, 0, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _try_lock(handle: int) -> bool:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            # A file system without locks (some network drives): lines are still appended in one piece each.
            return True
        return True

    def _unlock(handle: int) -> None:
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_UN)
