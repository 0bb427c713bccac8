"""Files that are written completely or not at all, and sentences for what the disk refuses."""

from __future__ import annotations

import errno
import os
import platform
import re
import secrets
import shutil
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from napari_wavegms.errors import InputError

_PATIENCE = 20.0  # seconds
_DAY = 24 * 3600.0  # seconds
_HOST = blake2b(platform.node().encode(errors="replace"), digest_size=3).hexdigest()
_UNFINISHED = re.compile(r"\..*-([0-9a-f]{6})-(\d{1,10})-[0-9a-f]{8}\.wavegms(\..*)?", re.DOTALL)
_swept: set[Path] = set()
_sweeping = threading.Lock()
_LONGEST_PREFIX = 180  # bytes of the 255 that a file name may have; the rest is for what makes it unique


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a new neighbour of `path` to write, with its suffix; move it onto `path` when the block ends well.

    Otherwise it is removed. The folder is created. Raises OSError where the disk refuses, and for a pipe or a device.

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
    with suppress(FileNotFoundError, NotADirectoryError):
        mode = target.stat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise OSError(errno.EEXIST, "it is a pipe or a device", str(target))
    make_folder(target.parent)
    neighbour = unfinished(target)
    create_file(neighbour)
    try:
        yield neighbour
        with neighbour.open("rb+") as written:
            os.fsync(written.fileno())
        neighbour.replace(target)
    except BaseException:
        neighbour.unlink(missing_ok=True)
        raise
    sync_folder(target.parent)


def unfinished(target: Path) -> Path:
    """A new hidden name beside a file or folder, for what is being written; such of killed programs are removed.

    The name tells whose it is: of a program of this computer that is gone, or of any other after a day.
    """
    folder = target.parent
    with _sweeping:
        if folder not in _swept:
            _swept.add(folder)
            _sweep(folder)
    stem = os.fsdecode(os.fsencode(target.stem)[:_LONGEST_PREFIX])
    return target.with_name(f".{stem}-{_HOST}-{os.getpid()}-{secrets.token_hex(4)}.wavegms{target.suffix}")


def _sweep(folder: Path) -> None:
    with suppress(OSError):
        for path in folder.iterdir():
            found = _UNFINISHED.fullmatch(path.name)
            if found is None:
                continue
            host, process = found[1], int(found[2])
            is_dead = host == _HOST and (process == os.getpid() or not psutil.pid_exists(process))
            if is_dead or path.lstat().st_mtime < time.time() - _DAY:
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)


def create_file(path: Path) -> None:
    """Create an empty file, which others may read if they may open its folder; raises OSError if it is there."""
    mode = 0o666 & path.parent.stat().st_mode if os.name == "posix" else 0o666
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode))


def make_folder(folder: Path, *, private: bool = False) -> None:
    """Create a folder and its parents, so that they survive a power failure.

    Nobody else may open a `private` one, nor what is created in it later. Raises OSError if the disk refuses.
    """
    if not folder.is_dir():
        make_folder(folder.parent)
        try:
            folder.mkdir(0o700 if private else 0o777 & folder.parent.stat().st_mode, exist_ok=True)
        except FileExistsError as cause:
            raise OSError(errno.ENOTDIR, f"{folder.name} is a file, not a folder", str(folder)) from cause
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
    """Raise every `OSError` in the block as an `InputError`: what did not happen, and what cannot be written."""
    try:
        yield
    except OSError as cause:
        raise InputError(
            f"{failure}: {place} cannot be written ({cause.strerror or cause}); {remedy(cause)}"
        ) from cause


def remedy(cause: OSError) -> str:
    """What to do about a disk that refuses, as the end of a sentence.

    Examples
    --------
    >>> remedy(OSError(errno.ENAMETOOLONG, "File name too long"))
    'give it a shorter name.'
    """
    if cause.errno == errno.ENAMETOOLONG:
        return "give it a shorter name."
    if cause.errno in (errno.EEXIST, errno.ENOTDIR):
        return "choose another place."
    return "free some space, check the folder's permissions or choose another one, then try again."


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold a lock file, exclusively among all processes and threads; the system releases it after a kill.

    Raises `InputError` if it is held elsewhere for 20 seconds, OSError if it cannot be created.
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
