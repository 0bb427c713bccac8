"""Which window unfinished edits belong to, and whether it is still alive.

Each holds a file lock, which the operating system releases however the program ends. So edits in progress in another
window are never mistaken for those that a crash left behind.
"""

from __future__ import annotations

import errno
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

# A file system without locks: strokes are kept all the same, and nobody can tell who still works.
_NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP}


class Owner:
    """One window, alive from the first `hold` to `release` or the end of the program.

    Parameters
    ----------
    folder : pathlib.Path
        Of all locks; created by the first `hold`.
    """

    def __init__(self, folder: Path) -> None:
        self.id = secrets.token_hex(8)
        self._folder = folder
        self._lock = FileLock(folder / f"{self.id}.lock", timeout=0, thread_local=False)

    def hold(self) -> None:
        """Take the lock, which raises OSError if it cannot be created."""
        if not self._lock.is_locked:
            try:
                with self._alone():
                    self._lock.acquire()
            except NotImplementedError:
                pass
            except OSError as cause:
                if cause.errno not in _NO_LOCKS:
                    raise

    def release(self) -> None:
        """Leave unfinished edits to others."""
        self._lock.release()
        with suppress(OSError):
            Path(self._lock.lock_file).unlink()

    def others(self) -> set[str]:
        """Ids of all other living windows; the locks of dead ones are removed."""
        if not self._folder.is_dir():
            return set()
        # Probing takes each lock for a moment; two probing at once would mistake each other for the owner.
        with ExitStack() as stack:
            with suppress(OSError):  # a read-only folder can be probed without
                stack.enter_context(self._alone())
            locks = [path for path in self._folder.glob("*.lock") if path.stem not in (self.id, "all")]
            return {path.stem for path in locks if _is_held(path)}

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with FileLock(self._folder / "all.lock", timeout=20):
            yield


def _is_held(path: Path) -> bool:
    try:
        with FileLock(path, timeout=0):
            path.unlink(missing_ok=True)
    except Timeout:
        return True
    except (OSError, NotImplementedError):
        pass
    return False
