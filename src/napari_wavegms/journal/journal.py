"""Every edit of a mask, on disk before anybody is told so: who, when, on top of which model, and which pixels.

An image is known by its content, so that no renaming loses its edits. Entries are only added: what a mask was when the
edits began, what each edit changed, and whether they were approved, saved or discarded in the end.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass

import numpy as np

from napari_wavegms.errors import InputError
from napari_wavegms.journal.history import append, complaints, name_of, replay, target_of, whole
from napari_wavegms.journal.owners import Owner
from napari_wavegms.journal.patches import Band, Labels, MaskState, checked_mask, compare, pack
from napari_wavegms.journal.records import Answer, Beginning, Edit, EditTarget, Unfinished
from napari_wavegms.storage.database import Database, from_json, now

_UNFOLDED = 8  # masks kept as they are; those of other open images are folded

_UNFINISHED = (
    "SELECT s.id, s.owner, count(*), max(j.number) FROM journal_sessions s JOIN journal j ON j.session = s.id"
    " WHERE s.ending IS NULL AND j.kind = 'edit' {} GROUP BY s.id ORDER BY s.id"
)
_STEPS = "SELECT kind, record, pixels FROM journal WHERE session = ? AND kind IN ('begin', 'edit')"


@dataclass(slots=True, eq=False)
class _Open:
    """An image that we edit: what is on disk of it, and the mask that this comes to."""

    target: EditTarget
    editor: str
    model: str
    threshold: float | None
    kept: MaskState | bytes
    session: int | None = None
    is_begun: bool = False  # whether what the mask began with is on disk
    seconds: float = 0.0
    idle: float = 0.0  # seconds of work that came to nothing yet

    @property
    def state(self) -> MaskState:
        if isinstance(self.kept, bytes):
            self.kept = MaskState.unfold(self.kept)
        return self.kept

    def fold(self) -> None:
        if isinstance(self.kept, MaskState):
            self.kept = self.kept.folded()


class Journal:
    """The journal of a user's folder, which any number of processes may share, one instance each.

    `image` is the content hash of an image throughout. Where the database cannot be read or written, every method
    raises `InputError` with a sentence, and nothing has changed.

    Parameters
    ----------
    folder : path-like, optional
        See `Database`.

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
        self._owner, self._is_held = Owner(self.database.folder / "owners"), False
        self._guard = threading.RLock()
        self._open: OrderedDict[str, _Open] = OrderedDict()

    def begin(
        self, target: EditTarget, mask: Labels, *, editor: str, model: str = "", threshold: float | None = None
    ) -> None:
        """Say what a mask is before it is edited, such as what the model drew. Nothing is written before an edit.

        Where the mask is what it was when we last heard of it, nothing happens. Where it is what somebody's unfinished
        edits had come to, and nobody works on them any more, these edits are carried on.

        Parameters
        ----------
        target : EditTarget
        mask : ndarray of whole numbers, shape (..., H, W)
            Copied.
        editor : str
        model : str
            The model that drew it, if any.
        threshold : float, optional
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
        """Write down what changed since the last time; on return it is on disk. None where nothing changed.

        Parameters
        ----------
        mask : ndarray of shape (..., H, W), or mapping of Band to ndarray of shape (rows, W)
            The mask as it is now, or those of its rows that may have changed.
        active_seconds : float
            What the edit took.

        Raises
        ------
        InputError
            Also if `begin` was not called for the image, or the mask does not fit.
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
                self._hold()
                session = self._write_beginning(connection, known)
                (last,) = connection.execute("SELECT max(number) FROM journal WHERE image = ?", (image,)).fetchone()
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
        """Give a mask as it was, bit by bit, in the dtype that was recorded.

        Parameters
        ----------
        upto : int, optional
            The number of the edit after which it is wanted, 0 for the mask before the first one. By default the mask
            that we edit, or else the one after the last edit.
        """
        with self._guard:
            if upto is None and image in self._open:
                return self._open[image].state.mask.copy()
        with self.database.read() as connection:
            (last,) = connection.execute("SELECT max(number) FROM journal WHERE image = ?", (image,)).fetchone()
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
        """Give the last mask that somebody may want to go on with; None where there is none.

        Discarded edits are left out, and those whose pixels were let go of.

        Parameters
        ----------
        without : collection of int
            Numbers of edits, see `Unfinished.upto`: what belongs together with them is left out too, because a person
            has not yet said what is to become of it.
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
        """Say that nothing is left to restore; the edits stay in the journal.

        What another window is working on stays open. If we go on editing, that counts as a new beginning.

        Parameters
        ----------
        action : {"approved", "saved", "discarded"}
        upto : int, optional
            Close only the edits that this one belongs to, as in `Unfinished`.
        own : bool
            Close only what we edit ourselves, and nothing that a crash has left.
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
        """What was never approved, saved or discarded, and nobody works on any more, the latest first.

        Parameters
        ----------
        own : bool
            Also what we edit ourselves.
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
        """Whether an image was ever edited; a glance that a window can afford."""
        with self.database.read() as connection:
            return bool(connection.execute("SELECT 1 FROM journal_heads WHERE image = ?", (image,)).fetchone())

    def images(self) -> list[str]:
        """Content hashes of the images that were edited."""
        with self.database.read() as connection:
            return [image for (image,) in connection.execute("SELECT image FROM journal_heads ORDER BY image")]

    def verify(self, image: str) -> list[str]:
        """Sentences on each entry of an image's journal that was changed, lost or cut off; empty when all is well."""
        with self.database.read() as connection:
            return complaints(connection, image)

    def release(self) -> None:
        """Stop editing: what is unfinished may be restored by others, and by us as if we came anew."""
        with self._guard:
            self._open.clear()
            self._owner.release()
            self._owner, self._is_held = Owner(self.database.folder / "owners"), False

    def _carry_on(self, image: str, mask: Labels) -> bool:
        """Take over unfinished edits that had come to this very mask, if nobody works on them any more."""
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
                self._hold()
                connection.execute("UPDATE journal_sessions SET owner = ? WHERE id = ?", (self._owner.id, session))
            last = edits[-1]
            self._open[image] = _Open(
                *(target, last.editor, last.model, last.threshold, state, session),
                is_begun=True,
                seconds=last.seconds_so_far,
            )
            return True
        return False

    def _hold(self) -> None:
        if not self._is_held:
            self._owner.hold()
            self._is_held = True

    def _touch(self, image: str) -> None:
        """Make an image the latest one, and fold the masks of those that were not edited for long."""
        self._open.move_to_end(image)
        for other in list(self._open)[:-_UNFOLDED]:
            self._open[other].fold()

    def _write_beginning(self, connection: sqlite3.Connection, known: _Open) -> int:
        """Have what the mask began with on disk; gives the session."""
        # Somebody may have removed the file meanwhile; then it begins anew with the mask as we know it.
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
        """Close what may be closed; gives the sessions."""
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
    """Those that can be read; what was changed in the others is told by `verify`."""
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
