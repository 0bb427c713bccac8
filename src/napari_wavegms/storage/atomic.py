"""Files that are written completely or not at all, and sentences for what the disk refuses."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from napari_wavegms.errors import InputError

_PATIENCE = 20.0  # seconds


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a neighbour file to write; move it onto `path` when the block ends well, remove it otherwise.

    Parameters
    ----------
    path : path-like
        The file to make or to replace. Its folder is created.

    Yields
    ------
    pathlib.Path
        A new empty file in the same folder, with the same suffix.

    Examples
    --------
    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp()) / "notes.txt"
    >>> with atomic_write(target) as neighbour:
    ...     _ = neighbour.write_text("done")
    >>> target.read_text()
    'done'
    """
    target = Path(path)
    make_folder(target.parent)
    handle, name = tempfile.mkstemp(prefix=f".{target.stem}-", suffix=target.suffix, dir=target.parent)
    os.close(handle)
    neighbour = Path(name)
    try:
        yield neighbour
        # mkstemp makes files private; a mask or model gets the rights any new file would get.
        neighbour.chmod(_new_file_mode())
        with neighbour.open("rb+") as written:
            os.fsync(written.fileno())
        neighbour.replace(target)
    except BaseException:
        neighbour.unlink(missing_ok=True)
        raise
    sync_folder(target.parent)


def make_folder(folder: Path) -> None:
    """Create a folder and its parents, so that they survive a power failure.

    Raises
    ------
    OSError
        If the disk refuses.
    """
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Sync a folder's list of files, so that a new file survives a power failure."""
    # Windows does this by itself and cannot open folders; some network drives cannot do it.
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextmanager
def explain_os_error(failure: str, place: Path) -> Iterator[None]:
    """Raise every `OSError` in the block as an `InputError`.

    Parameters
    ----------
    failure : str
        What did not happen, as the start of the sentence.
    place : pathlib.Path
        The folder or file that was to be written.
    """
    try:
        yield
    except OSError as cause:
        raise InputError(
            f"{failure}: {place} cannot be written ({cause.strerror or cause}); free some space, check the folder's "
            "permissions or choose another one, then try again."
        ) from cause


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold a lock file, exclusively among all processes and threads; the system releases it after a kill.

    Raises
    ------
    InputError
        If the lock is held elsewhere for 20 seconds.
    OSError
        If the lock file cannot be created.
    """
    make_folder(path.parent)
    lock = FileLock(path, timeout=_PATIENCE)
    try:
        lock.acquire()
    except Timeout as cause:
        raise InputError(
            f"Another program has been writing to {path.parent} for {_PATIENCE:.0f} seconds; close other napari "
            "windows, or wait, then try again."
        ) from cause
    try:
        yield
    finally:
        lock.release()


def _new_file_mode() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
