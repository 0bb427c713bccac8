"""Which program an unfinished piece of work belongs to, and whether that program still runs.

A program holds a lock as long as it lives, and the operating system takes the lock back however the program ends. So
what another window is still working on is never taken for what a crash has left.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from weakref import finalize

from napari_wavegms.storage.file_lock import held, locked

_ID = re.compile(r"[0-9a-f]{16}")


class Owner:
    """One who works, alive from the first `hold` to `release` or the end of the program.

    Parameters
    ----------
    folder : pathlib.Path
        Where everybody's locks lie; made by the first `hold`.
    """

    def __init__(self, folder: Path) -> None:
        self.id = secrets.token_hex(8)
        self._folder = folder
        self._let_go: finalize[[], Owner] | None = None

    def hold(self) -> None:
        """Say that we live.

        Raises
        ------
        OSError
            If the disk refuses.
        InputError
            If others keep the folder busy.
        """
        if self._let_go is None:
            with locked(self._folder / "all.lock"):
                lock = held(self._path(self.id))
            if lock is not None:
                # Also when nobody needs us any more; at the end of the program the system does it.
                self._let_go = finalize(self, lock.close)
                self._let_go.atexit = False

    def release(self) -> None:
        """Leave what is unfinished to others."""
        if self._let_go is not None:
            self._let_go()
            self._let_go = None
            with suppress(OSError):
                self._path(self.id).unlink()

    def living(self, others: Iterable[str]) -> set[str]:
        """Those of these ids under which somebody else still works."""
        paths = {other: self._path(other) for other in others if other != self.id and _ID.fullmatch(other)}
        present = {other: path for other, path in paths.items() if path.exists()}
        if not present:
            return set()
        # Whoever looks takes the lock for a moment; two who look at once would take each other for the owner.
        with self._alone():
            return {other for other, path in present.items() if _is_taken(path)}

    def sweep(self) -> None:
        """Remove the locks of those who are gone."""
        if not self._folder.is_dir():
            return
        with self._alone():
            for path in self._folder.glob("*.lock"):
                if _ID.fullmatch(path.stem) and path.stem != self.id and not _is_taken(path):
                    with suppress(OSError):
                        path.unlink()

    def _path(self, owner: str) -> Path:
        return self._folder / f"{owner}.lock"

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Be the only one who looks, where the folder may be written; anybody may look where it may not."""
        with ExitStack() as stack:
            with suppress(OSError):
                stack.enter_context(locked(self._folder / "all.lock"))
            yield


def _is_taken(path: Path) -> bool:
    try:
        lock = held(path)
    except OSError:
        return False
    if lock is not None:
        lock.close()
    return lock is None
