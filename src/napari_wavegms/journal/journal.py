"""Every edit of a mask, on disk before anybody is told so: who, when, on top of which model, and which pixels.

Each image has a file of its own, named by the image's content, so that no renaming loses it. The file only grows: it
says what a mask was when the edits began, what each edit changed, and whether they were approved, saved or discarded in
the end. Each line carries the hash of the line before.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from napari_wavegms.errors import InputError
from napari_wavegms.journal.export import write_table
from napari_wavegms.journal.files import JournalFolder
from napari_wavegms.journal.owners import Owner
from napari_wavegms.journal.patches import Band, Labels, MaskState, checked_mask
from napari_wavegms.journal.records import Answer, Edit, EditTarget, Unfinished
from napari_wavegms.journal.replay import CLOSE, RESUME, SESSION, Book, Session, signed
from napari_wavegms.journal.session import OpenMask, Step, replay, same
from napari_wavegms.storage.append_log import KIND, Record, now
from napari_wavegms.storage.atomic import explain_os_error
from napari_wavegms.storage.user_data import journal_folder

__all__ = ["Edit", "EditTarget", "Journal", "Unfinished", "journal_folder"]

_OWNERS = "owners"
_UNFOLDED = 8  # masks kept in memory; those of other open images are read again from their lines


class Journal:
    """The journal of a folder, which any number of processes may share, one instance each.

    Parameters
    ----------
    folder : path-like, optional
        `journal_folder()` by default. Made by the first edit.

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
        self.folder = journal_folder() if folder is None else Path(folder)
        self._owner = Owner(self.folder / _OWNERS)
        self._guard = threading.RLock()
        self._open: OrderedDict[str, OpenMask] = OrderedDict()
        self._files = JournalFolder(self.folder)

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

        Raises
        ------
        InputError
            If the mask holds no labels, or the image's journal cannot be read.
        """
        mask = checked_mask(np.asarray(mask))
        says = signed(editor, model, threshold)
        with self._guard:
            known = self._open.get(target.image)
            if known is not None and same(self._state(known).mask, mask):
                if not known.is_begun:
                    known.target, known.signed, known.begin = target, says, None
            elif known is None and (left := self._left_behind(target.image, mask)) is not None:
                self._open[target.image] = left
            else:
                self._open[target.image] = OpenMask.anew(target, mask, says, known)
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
        """Write down what changed since the last time; on return it is on disk, after an error nothing has changed.

        Parameters
        ----------
        image : str
            Content hash of the image, as in `begin`.
        mask : ndarray of shape (..., H, W), or mapping of Band to ndarray of shape (rows, W)
            The mask as it is now, or those of its rows that may have changed.
        editor, model, threshold
            As in `begin`.
        active_seconds : float
            What the edit took.

        Returns
        -------
        Edit or None
            None where nothing changed.

        Raises
        ------
        InputError
            If `begin` was not called for the image, the mask does not fit, or the disk refuses.
        """
        with self._guard:
            known = self._known(image)
            step = known.step(mask, editor=editor, model=model, threshold=threshold, active_seconds=active_seconds)
            if step is None:
                return None
            edit = self._write_edit(known, step)
            known.take(step, edit.seconds_so_far)
            return edit

    def restore(self, image: str, upto: int | None = None) -> Labels:
        """Give a mask as it was, bit by bit.

        Parameters
        ----------
        image : str
            Content hash of the image.
        upto : int, optional
            The number of the edit after which it is wanted, 0 for the mask before the first one. By default the mask
            that we edit, or else the one after the last edit.

        Returns
        -------
        ndarray of shape (..., H, W)
            A new array of the dtype that was recorded.

        Raises
        ------
        InputError
            If the journal does not know it.
        """
        with self._guard:
            if upto is None and image in self._open:
                return self._state(self._open[image]).mask.copy()
            story = self._book(image).story()
        upto = story.last_number if upto is None else upto
        session = story.session_of(upto)
        if session is None:
            count = len(story.edits)
            known = f"the last one is number {story.last_number}" if count else "it has none"
            raise InputError(f"The journal has no edit {upto} of this image; {known}. Choose another one.")
        if session.id in story.thinned:
            raise InputError(
                f"The steps that led to the approved mask of {session.target.name} were let go of long after it was "
                "approved. The mask itself is kept: open the image in Review."
            )
        return replay(session, upto).mask

    def close(self, image: str, how: Answer, upto: int | None = None) -> None:
        """Say that nothing is left to restore; the edits stay in the journal.

        What another window is working on stays open. If we go on editing, that counts as a new beginning.

        Parameters
        ----------
        image : str
            Content hash of the image.
        how : {"approved", "saved", "discarded"}
        upto : int, optional
            Close only the edits that this one belongs to, as in `Unfinished`.

        Raises
        ------
        InputError
            If the disk refuses.
        """
        with self._guard:
            known = self._open.get(image)
            ours = self._close_on_disk(image, how, upto, known)
            if known is not None and (ours or upto is None):
                self._open[image] = OpenMask.anew(known.target, self._state(known).mask, known.signed)
                self._touch(image)

    def unfinished(self, own: bool = False) -> list[Unfinished]:
        """What was never approved, saved or discarded, and nobody works on any more, the latest first.

        Parameters
        ----------
        own : bool
            Also what we edit ourselves.

        Raises
        ------
        InputError
            If a journal cannot be read.
        """
        with self._guard:
            found = [(session, book) for book in self._files.unclosed() for session in book.story().unfinished()]
            living = self._owner.living(session.owner for session, _ in found)
            if not own:
                living.add(self._owner.id)
            self._owner.sweep()
            left = [_unfinished(session, book) for session, book in found if session.owner not in living]
        return sorted(left, key=lambda one: one.time, reverse=True)

    def images(self) -> list[str]:
        """Content hashes of the images that were edited.

        Raises
        ------
        InputError
            If the folder cannot be read.
        """
        return self._files.images()

    def edits(self, image: str | None = None) -> list[Edit]:
        """All edits of an image, oldest first; without one, of all images.

        Raises
        ------
        InputError
            If a journal cannot be read.
        """
        images = self._files.images() if image is None else [image]
        with self._guard:
            return [edit for one in images for edit in self._book(one).story().edits]

    def verify(self, image: str) -> list[str]:
        """Check that every line of an image's journal follows from the one before.

        Returns
        -------
        list of str
            A sentence on each line that was changed, lost or damaged; empty when all is well.
        """
        with self._guard:
            return self._book(image).complaints()

    def export_csv(self, path: str | os.PathLike[str]) -> int:
        """Write all edits, and how they ended, as a table that spreadsheets open; give the number of rows.

        Raises
        ------
        InputError
            If a journal cannot be read, or the disk refuses.
        """
        with self._guard:
            return write_table(Path(path), [self._book(image).story() for image in self._files.images()])

    def release(self) -> None:
        """Stop editing: what is unfinished may be restored by others, and by us as if we came anew."""
        with self._guard:
            self._open.clear()
            self._files.drop_all()
            self._owner.release()
            self._owner = Owner(self.folder / _OWNERS)

    def _known(self, image: str) -> OpenMask:
        if image not in self._open:
            raise InputError("An edit came of an image whose beginning the journal was not told. Call begin() first.")
        self._touch(image)
        return self._open[image]

    def _left_behind(self, image: str, mask: Labels) -> OpenMask | None:
        """Take over unfinished edits that had come to this very mask, if nobody works on them any more."""
        book = self._book(image)
        candidates = book.story().unfinished()
        living = self._owner.living(session.owner for session in candidates)
        for session in reversed(candidates):
            state = None if session.owner in living else _readable(session)
            if state is not None and same(state.mask, mask):
                with (
                    explain_os_error(f"The edits of {session.target.name} are not carried on", self.folder),
                    book.ledger.writing(),
                ):
                    self._owner.hold()
                    book.append({KIND: RESUME, SESSION: session.id, "owner": self._owner.id, "time": now()})
                return OpenMask.taken_over(session, state)
        return None

    def _state(self, known: OpenMask) -> MaskState:
        is_folded = known.state is None and known.begin is None
        return known.mask(self._book(known.target.image).story() if is_folded else None)

    def _touch(self, image: str) -> None:
        """Make an image the latest one, and fold away the masks of those that were not edited for long."""
        self._open.move_to_end(image)
        self._state(self._open[image])
        for other in list(self._open)[:-_UNFOLDED]:
            self._open[other].fold(self._owner.id)
            self._files.drop(other)

    def _write_edit(self, known: OpenMask, step: Step) -> Edit:
        book = self._book(known.target.image)
        with (
            explain_os_error(f"The last edits of {known.target.name} are not on disk", self.folder),
            book.ledger.writing(),
        ):
            self._owner.hold()
            story = book.story()
            lines = [step.record | {"n": story.last_number + 1}]
            # Somebody may have removed the file meanwhile; then it begins anew with the mask as we know it.
            if not known.is_begun or known.id not in story.sessions:
                lines.insert(0, known.begin_record(self._owner.id))
            return book.append(*lines).sessions[known.id].edits[-1]

    def _close_on_disk(self, image: str, how: Answer, upto: int | None, known: OpenMask | None) -> bool:
        """Close what may be closed; tell whether our own edits were among it."""
        book = self._book(image)
        if not book.story().unfinished():
            return False
        name = next(iter(book.story().sessions.values())).target.name
        with (
            explain_os_error(f"That the edits of {name} are {how} was not written down", self.folder),
            book.ledger.writing(),
        ):
            story = book.story()
            still = story.unfinished()
            living = self._owner.living(session.owner for session in still)
            wanted = still if upto is None else [session for session in still if session is story.session_of(upto)]
            closing = [session for session in wanted if session.owner not in living]
            if closing:
                ending: Record = {KIND: CLOSE, "how": how, "sessions": [session.id for session in closing]}
                by = closing[-1].signed if known is None else known.signed
                book.append(ending | {"open": len(still) - len(closing), "time": now(), "editor": by.get("editor")})
        return known is not None and any(session.id == known.id for session in closing)

    def _book(self, image: str) -> Book:
        return self._files.book(image, keep=image in self._open)


def _readable(session: Session) -> MaskState | None:
    try:
        return replay(session)
    except InputError:
        return None


def _unfinished(session: Session, book: Book) -> Unfinished:
    last, complaints = session.edits[-1], book.complaints()
    return Unfinished(session.target, len(session.edits), last.time, last.number, complaints[0] if complaints else "")
