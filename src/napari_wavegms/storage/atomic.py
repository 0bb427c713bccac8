"""Replace a file in one step, so that a crash leaves the old one or the new one and never half of either."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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
    >>> with replacing(target) as neighbour:
    ...     _ = neighbour.write_text("done")
    >>> target.read_text()
    'done'
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
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


def _new_file_mode() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
