"""Every edit of a mask: who, when, based on which model, and which pixels; reported as saved only once it is on disk.

Images are identified by content, so renaming one does not lose its edits. The journal is append-only: the initial mask,
the change that each edit made, and whether the edits were approved, saved or discarded in the end.
"""

from __future__ import annotations

import errno
import logging
import os
import secrets
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Collection, Mapping
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from napari_wavegms.errors import InputError
from napari_wavegms.journal.history import append, complaints, name_of, replay, target_of, whole
from napari_wavegms.journal.patches import Band, Labels, MaskState, checked_mask, compare, pack
from napari_wavegms.journal.records import Answer, Beginning, Edit, EditTarget, Unfinished
from napari_wavegms.storage.database import Database, from_json, now

_LOG = logging.getLogger("napari_wavegms")

# A file system without locks: strokes are kept all the same, and nobody can tell who still works.
_WITHOUT_LOCKS: set[Path] = set()
_NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP}

_UNFOLDED = 8  # masks kept uncompressed; those of other open images are compressed

_UNFINISHED = (
    "SELECT s.id, s.owner, count(*), max(j.number) FROM journal_sessions s JOIN journal j ON j.session = s.id"
    " WHERE s.ending IS NULL AND j.kind = 'edit' {} GROUP BY s.id ORDER BY s.id"
)
_LAST = "SELECT max(number) FROM journal WHERE image = ? AND typeof(number) = 'integer'"
_STEPS = "SELECT kind, record, pixels FROM journal WHERE session = ? AND kind IN ('begin', 'edit')"


class _Owner:
    """Whom unfinished edits belong to: one window, alive from the first `hold` to `release` or the end of the program.

    It holds a file lock, which the operating system releases however the program ends. So edits in progress in another
    window are never mistaken for those that a crash left behind.
    """

    def __init__(self, folder: Path) -> None:
        self.id = secrets.token_hex(8)
        self._folder, self._is_held = folder, False
        self._lock = FileLock(folder / f"{self.id}.lock", timeout=0, thread_local=False)

    def hold(self) -> None:
        """Take the lock, which raises OSError if it cannot be created."""
        if self._is_held:
            return
        try:
            with self._probing():
                self._lock.acquire()
        except (NotImplementedError, OSError) as cause:
            if isinstance(cause, OSError) and cause.errno not in _NO_LOCKS:
                raise
            if self._folder not in _WITHOUT_LOCKS:
                _WITHOUT_LOCKS.add(self._folder)
                _LOG.warning(self.warning)
        self._is_held = True

    @property
    def warning(self) -> str:
        """A sentence where locks were found not to work, otherwise empty."""
        if self._folder not in _WITHOUT_LOCKS:
            return ""
        return (
            f"{self._folder} is on a file system without locks: edits of another napari window that is still open may "
            "be offered as those of a crash. Work in one window at a time."
        )

    def release(self) -> None:
        """Leave unfinished edits to others."""
        self._lock.release()
        with suppress(OSError):
            Path(self._lock.lock_file).unlink()

    def others(self) -> set[str]:
        """Ids of all other living windows; the locks of dead ones are removed."""
        if not self._folder.is_dir():
            return set()
        with ExitStack() as stack:
            with suppress(OSError):  # a read-only folder can be probed without
                stack.enter_context(self._probing())
            locks = [path for path in self._folder.glob("*.lock") if path.stem not in (self.id, "all")]
            return {path.stem for path in locks if _is_held(path)}

    def _probing(self) -> FileLock:
        """Probing takes each lock for a moment; two probing at once would mistake each other for the owner."""
        return FileLock(self._folder / "all.lock", timeout=20)


def _is_held(path: Path) -> bool:
    try:
        with FileLock(path, timeout=0):
            path.unlink(missing_ok=True)
    except Timeout:
        return True
    except (OSError, NotImplementedError):
        pass
    return False


@dataclass(slots=True, eq=False)
class _Open:
    """An image that is being edited here: what is on disk, and the mask that it amounts to."""

    target: EditTarget
    editor: str
    model: str
    threshold: float | None
    kept: MaskState | bytes
    session: int | None = None
    is_begun: bool = False  # whether the initial mask is on disk
    seconds: float = 0.0
    idle: float = 0.0  # seconds of work without a change so far

    @property
    def state(self) -> MaskState:
        if isinstance(self.kept, bytes):
            self.kept = MaskState.unfold(self.kept)
        return self.kept

    def fold(self) -> None:
        if isinstance(self.kept, MaskState):
            self.kept = self.kept.folded()


class Journal:
    """The journal of a user's folder (see `Database`), which any number of processes may share, one instance each.

    `image` always is a content hash. All methods raise `InputError` and change nothing if the database cannot be read
    or written.

    Examples
    --------
    >>> import tempfile
    >>> journal = Journal(tempfile.mkdtemp())
    >>> mask = np.zeros((4, 6), np.uint8)
    >>> journal.begin(EditTarget(image="0a", name="benign_12", shape=mask.shape), mask, editor="Ann")
    >>> mask[1, 2:5] = 1
    >>> journal.record("0a", mask, editor="Ann", active_seconds=2).added
    3
    >>> journal.restore("0a").tolist() == mask.tolist()
    True
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        self.database = Database(folder)
        self._owner = _Owner(self.database.folder / "owners")
        self._guard = threading.RLock()
        self._open: OrderedDict[str, _Open] = OrderedDict()

    @property
    def warning(self) -> str:
        """Why to work in one window at a time; empty where the file system has locks, or before the first edit."""
        return self._owner.warning

    def begin(
        self, target: EditTarget, mask: Labels, *, editor: str, model: str = "", threshold: float | None = None
    ) -> None:
        """Register the mask as it is before editing, such as the model's. Nothing is written before the first edit.

        A mask that is known already changes nothing. A mask that equals the result of unfinished edits which nobody
        works on any more resumes these edits.
        """
        mask = checked_mask(np.asarray(mask))
        with self._guard:
            known = self._open.get(target.image)
            if known is not None and _same(known.state.mask, mask):
                if not known.is_begun:
                    known.target, known.editor, known.model, known.threshold = target, editor, model, threshold
            elif known is not None or not self._carry_on(target.image, mask):
                fresh = _Open(target, editor, model, threshold, MaskState(mask))
                if known is not None:  # a beginning in the middle of edits
                    fresh.session, fresh.seconds, fresh.idle = known.session, known.seconds, known.idle
                self._open[target.image] = fresh
            self._touch(target.image)

    def record(
        self,
        image: str,
        mask: Labels | Mapping[Band, Labels],
        *,
        editor: str,
        model: str = "",
        threshold: float | None = None,
        active_seconds: float = 0.0,
    ) -> Edit | None:
        """Save what changed since the last call; it is on disk on return. Returns None if nothing changed.

        `mask` is the current one, or only the rows that may have changed; `active_seconds` the duration of the edit.
        Raises `InputError` also if `begin` was not called for the image, or the mask does not fit.
        """
        with self._guard:
            if image not in self._open:
                raise InputError("An edit was recorded for an image whose initial mask is unknown. Call begin() first.")
            self._touch(image)
            known = self._open[image]
            state, patches, change = compare(known.state, mask)
            is_reformed = state is not known.state
            if not patches and not is_reformed:
                known.idle += active_seconds
                return None
            seconds = round(known.idle + active_seconds, 1)
            with self.database.write(f"The last edits of {known.target.name} are not on disk") as connection:
                self._owner.hold()
                session = self._write_beginning(connection, known)
                (last,) = connection.execute(_LAST, (image,)).fetchone()
                edit = Edit(
                    *(image, known.target.name, (last or 0) + 1, now(), editor, model, threshold),
                    *(change.added, change.removed, change.relabelled, change.differing),
                    *(seconds, known.seconds + seconds),
                )
                form = {"shape": state.mask.shape, "dtype": state.mask.dtype.str} if is_reformed else {}
                record = asdict(edit) | form
                append(connection, image, session, "edit", record, number=edit.number, pixels=pack(patches))
            state.apply(patches)
            known.kept, known.session, known.is_begun, known.idle = state, session, True, 0.0
            known.editor, known.model, known.threshold, known.seconds = editor, model, threshold, edit.seconds_so_far
            return edit

    def restore(self, image: str, upto: int | None = None) -> Labels:
        """Return a mask exactly as it was, in the recorded dtype.

        `upto` is the number of the edit after which to return it, 0 for the mask before the first edit. By default it
        is the mask that is being edited here, otherwise the one after the last edit.
        """
        with self._guard:
            if upto is None and image in self._open:
                return self._open[image].state.mask.copy()
        with self.database.read() as connection:
            (last,) = connection.execute(_LAST, (image,)).fetchone()
            number = last if upto is None else upto
            place = connection.execute(
                "SELECT session, position FROM journal WHERE image = ? AND "
                + ("number = ?" if number else "position = 1 + coalesce(?, 0)"),
                (image, number),
            ).fetchone()
            if place is None:
                known = f"the last one is number {last}" if last else "it has none"
                raise InputError(f"The journal has no edit {number or 0} of this image; {known}. Choose another one.")
            steps = connection.execute(f"{_STEPS} AND position <= ? ORDER BY position", place).fetchall()
            return replay(steps, name_of(connection, image)).mask

    def last_mask(self, image: str, without: Collection[int] = ()) -> Labels | None:
        """Return the last mask to continue from, without discarded and compacted edits; None if there is none.

        `without` has numbers of edits, see `Unfinished.upto`, of whose sessions the user has not decided yet.
        """
        undecided = ", ".join(str(int(number)) for number in without)
        with self.database.read() as connection:
            (number,) = connection.execute(
                "SELECT max(number) FROM journal j JOIN journal_sessions s ON s.id = j.session"
                " WHERE j.image = ? AND j.pixels IS NOT NULL AND coalesce(s.ending, '') != 'discarded'"
                f" AND s.id NOT IN (SELECT session FROM journal WHERE image = ? AND number IN ({undecided}))",
                (image, image),
            ).fetchone()
        return None if number is None else self.restore(image, number)

    def close(self, image: str, action: Answer, upto: int | None = None, own: bool = False) -> None:
        """Mark edits as finished; they stay in the journal, and edits in other windows stay open.

        Further editing here starts a new session. With `upto` only the edits that this one belongs to are closed, with
        `own` only what we edit ourselves, and nothing that a crash has left.
        """
        with self._guard:
            known = self._open.get(image)
            closed = self._close_on_disk(image, action, upto, own, "" if known is None else known.editor)
            if known is not None and (upto is None or known.session in closed):
                self._open[image] = _Open(
                    known.target, known.editor, known.model, known.threshold, MaskState(known.state.mask)
                )
                self._touch(image)

    def unfinished(self, own: bool = False) -> list[Unfinished]:
        """Edits that were never approved, saved or discarded and nobody works on any more, latest first.

        With `own`, also those made here.
        """
        living = self._owner.others() | (set() if own else {self._owner.id})
        found = []
        with self.database.read() as connection:
            for session, owner, count, last in connection.execute(_UNFINISHED.format("")).fetchall():
                target = None if owner in living else target_of(connection, session)
                if target is not None:
                    time = max((edit.time for edit in _edits(connection, "session = ?", session)), default="")
                    damage = next(iter(complaints(connection, target.image)), "")
                    found.append(Unfinished(target, count, time, last, damage))
        return sorted(found, key=lambda left: left.time, reverse=True)

    def edits(self, image: str | None = None) -> list[Edit]:
        """All edits of an image, oldest first; without one, of all images."""
        with self.database.read() as connection:
            return _edits(connection, "? IS NULL OR image = ?1", image)

    def has_edits(self, image: str) -> bool:
        """Whether an image was ever edited; fast enough for the window's thread."""
        with self.database.read() as connection:
            return bool(connection.execute("SELECT 1 FROM journal WHERE image = ?", (image,)).fetchone())

    def images(self) -> list[str]:
        """Content hashes of the images that were edited."""
        with self.database.read() as connection:
            tables = ("journal_heads", "journal_sessions", "journal")  # of which damage may have emptied one
            together = " UNION ".join(f"SELECT image FROM {table}" for table in tables)
            return [str(image) for (image,) in connection.execute(f"{together} ORDER BY image")]

    def verify(self, image: str) -> list[str]:
        """A sentence for each entry of an image that was changed, lost or cut off; empty if the journal is intact."""
        with self.database.read() as connection:
            return complaints(connection, image)

    def release(self) -> None:
        """Stop editing, so that unfinished edits can be restored, here or elsewhere."""
        with self._guard:
            self._open.clear()
            self._owner.release()
            self._owner = _Owner(self.database.folder / "owners")

    def _carry_on(self, image: str, mask: Labels) -> bool:
        """Resume unfinished edits that resulted in exactly this mask, if nobody works on them any more."""
        with self.database.read() as connection:
            left = connection.execute(_UNFINISHED.format("AND s.image = ?"), (image,)).fetchall()
        living = self._owner.others() if left else set()
        for session, owner, *_ in reversed(left):
            if owner in living or owner == self._owner.id:
                continue
            with self.database.read() as connection:
                target, edits = target_of(connection, session), _edits(connection, "session = ?", session)
                steps = connection.execute(f"{_STEPS} ORDER BY position", (session,)).fetchall()
            if target is None or not edits or not _same((state := replay(steps, target.name)).mask, mask):
                continue
            with self.database.write(f"The unfinished edits of {target.name} were not resumed") as connection:
                self._owner.hold()
                connection.execute("UPDATE journal_sessions SET owner = ? WHERE id = ?", (self._owner.id, session))
            last = edits[-1]
            self._open[image] = _Open(
                *(target, last.editor, last.model, last.threshold, state, session),
                is_begun=True,
                seconds=last.seconds_so_far,
            )
            return True
        return False

    def _touch(self, image: str) -> None:
        """Make an image the most recent one, and compress the masks of older ones."""
        self._open.move_to_end(image)
        for other in list(self._open)[:-_UNFOLDED]:
            self._open[other].fold()

    def _write_beginning(self, connection: sqlite3.Connection, known: _Open) -> int:
        """Write the initial mask if necessary; returns the session."""
        # If the file was deleted meanwhile, start a new session with the mask as known here.
        is_there = connection.execute(
            "SELECT 1 FROM journal_sessions WHERE id = ? AND image = ? AND owner = ? AND ending IS NULL",
            (known.session, known.target.image, self._owner.id),
        ).fetchone()
        session = known.session
        if session is None or not is_there:
            row = known.target.image, self._owner.id
            session = connection.execute("INSERT INTO journal_sessions (image, owner) VALUES (?, ?)", row).lastrowid
            assert session is not None
        if not (known.is_begun and is_there):
            mask = known.state.mask
            beginning = Beginning(
                known.target, now(), known.editor, known.model, known.threshold, mask.shape, mask.dtype.str
            )
            append(connection, known.target.image, session, "begin", asdict(beginning), pixels=whole(mask))
        return session

    def _close_on_disk(self, image: str, action: Answer, upto: int | None, own: bool, editor: str) -> set[int]:
        """Close sessions that nobody else works on; returns them."""
        with self.database.read() as connection:
            if not connection.execute(_UNFINISHED.format("AND s.image = ?"), (image,)).fetchall():
                return set()
        living = self._owner.others()
        with self.database.write(f"The edits were not marked as {action}") as connection:
            rows = connection.execute(_UNFINISHED.format("AND s.image = ?"), (image,)).fetchall()
            ours = self._owner.id
            closing = {session for session, owner, *_ in rows if (owner == ours if own else owner not in living)}
            if upto is not None:
                closing &= {
                    session
                    for (session,) in connection.execute(
                        "SELECT session FROM journal WHERE image = ? AND number = ?", (image, upto)
                    )
                }
            for session in sorted(closing):
                connection.execute("UPDATE journal_sessions SET ending = ? WHERE id = ?", (action, session))
                record = {"action": action, "time": now(), "editor": editor}
                append(connection, image, session, "close", record)
        return closing


def _edits(connection: sqlite3.Connection, where: str, value: object) -> list[Edit]:
    """The readable ones; `verify` reports the others."""
    edits = []
    for (record,) in connection.execute(
        f"SELECT record FROM journal WHERE kind = 'edit' AND ({where}) ORDER BY id", (value,)
    ):
        with suppress(InputError):
            edits.append(from_json(Edit, record))
    return edits


def _same(one: Labels, other: Labels) -> bool:
    """Whether two masks have the same labels, whatever their dtype."""
    return one.shape == other.shape and bool(np.array_equal(one, other))
