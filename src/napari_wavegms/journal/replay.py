"""What the lines of one image's journal come to: who began where, what followed, and what was never finished."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from napari_wavegms.journal.patches import MaskState, Patch, bands_of
from napari_wavegms.journal.records import Edit, EditTarget, broken_links, chained, last_link, line_bytes
from napari_wavegms.storage.append_log import KIND, Ledger, Record

BEGIN, EDIT, RESUME, CLOSE, THINNED = "begin", "edit", "resume", "close", "thinned"
SESSION = "session"
_SIGNED = ("editor", "model", "threshold")
_UNREADABLE = (KeyError, TypeError, ValueError, IndexError, OverflowError, zlib.error)


@dataclass(slots=True, eq=False)
class Session:
    """Edits that follow from each other, from where they began until they were approved, saved or discarded.

    Attributes
    ----------
    id : str
    target : EditTarget
        As it was when they began.
    owner : str
        Who works on it.
    records : list of dict
        The lines that say what the mask was: the beginnings and the edits.
    edits : list of Edit
    closed : bool
    """

    id: str
    target: EditTarget
    owner: str
    records: list[Record]
    signed: Record
    edits: list[Edit] = field(default_factory=list)
    closed: bool = False

    @property
    def seconds(self) -> float:
        """What the edits took."""
        return self.edits[-1].seconds_so_far if self.edits else 0.0

    @property
    def is_unfinished(self) -> bool:
        """Whether there is something to restore."""
        return bool(self.edits) and not self.closed


class Story:
    """What the lines of one image's journal come to.

    Attributes
    ----------
    sessions : dict of str to Session
    edits : list of Edit
        Of all sessions, in the order of the lines.
    closings : list of (EditTarget, dict)
        The lines that say how edits ended.
    thinned : set of str
        Ids of sessions whose pixels were let go of.
    count, unread : int
        How many lines there were, and how many of them lack something and were passed over.
    """

    def __init__(self) -> None:
        self.sessions: dict[str, Session] = {}
        self.edits: list[Edit] = []
        self.closings: list[tuple[EditTarget, Record]] = []
        self.thinned: set[str] = set()
        self.count = self.unread = 0

    @property
    def last_number(self) -> int:
        """The number of the last edit, 0 before the first."""
        return max((edit.number for edit in self.edits), default=0)

    def add(self, records: Sequence[Record]) -> None:
        """Take in the lines that have come since the last time."""
        for record in records:
            self.count += 1
            try:
                self._take(record)
            except _UNREADABLE:
                self.unread += 1

    def session_of(self, number: int) -> Session | None:
        """The session in which an edit was made; the first one for the number 0."""
        if number == 0:
            return next(iter(self.sessions.values()), None)
        having = (one for one in self.sessions.values() if any(edit.number == number for edit in one.edits))
        return next(having, None)

    def unfinished(self) -> list[Session]:
        """The sessions in which there is something to restore, in the order in which they began."""
        return [session for session in self.sessions.values() if session.is_unfinished]

    def _take(self, record: Record) -> None:
        kind = record[KIND]
        if kind == CLOSE:
            self._close(record)
        elif kind == BEGIN:
            self._begin(record)
        elif kind == EDIT:
            self._edit(record)
        elif kind == THINNED:
            self.thinned |= set(record["sessions"])
        elif kind == RESUME:
            self.sessions[record[SESSION]].owner = str(record["owner"])

    def _begin(self, record: Record) -> None:
        name, target = str(record[SESSION]), EditTarget.from_dict(record["target"])
        signed = {key: record.get(key) for key in _SIGNED}
        session = self.sessions.get(name)
        if session is None:
            self.sessions[name] = Session(name, target, str(record["owner"]), [record], signed)
        else:
            session.target, session.signed = target, signed
            session.records.append(record)

    def _edit(self, record: Record) -> None:
        session = self.sessions[record[SESSION]]
        session.signed |= {key: record[key] for key in _SIGNED if key in record}
        threshold = session.signed["threshold"]
        seconds = float(record["seconds"])
        edit = Edit(
            image=session.target.image,
            name=session.target.name,
            number=int(record["n"]),
            time=str(record["time"]),
            editor=str(session.signed["editor"] or ""),
            model=str(session.signed["model"] or ""),
            threshold=None if threshold is None else float(threshold),
            added=int(record["added"]),
            removed=int(record["removed"]),
            relabelled=int(record.get("relabelled", 0)),
            differing=int(record["differing"]),
            active_seconds=seconds,
            seconds_so_far=session.seconds + seconds,
            bytes=int(record.get("bytes", 0)) or line_bytes(record),
        )
        session.records.append(record)
        session.edits.append(edit)
        self.edits.append(edit)

    def _close(self, record: Record) -> None:
        closed = [self.sessions[name] for name in record["sessions"] if name in self.sessions]
        for session in closed:
            session.closed = True
        if closed:
            self.closings.append((closed[-1].target, record))


class Book:
    """The file of one image, and what its lines come to.

    Parameters
    ----------
    path : pathlib.Path

    Raises
    ------
    InputError
        If it cannot be read, or is from a newer version of the program.
    """

    def __init__(self, path: Path) -> None:
        self.ledger = Ledger(path)
        self._generation = 0
        self._story = Story()

    def story(self) -> Story:
        """What the lines come to, those that others have added meanwhile included."""
        generation, records = self.ledger.snapshot()
        if generation != self._generation:
            self._generation, self._story = generation, Story()
        self._story.add(records[self._story.count :])
        return self._story

    def append(self, *lines: Record) -> Story:
        """Add lines, tied to the last one; only inside ``ledger.writing()``.

        Raises
        ------
        OSError
            If the disk refuses.
        """
        self.ledger.append(chained(lines, last_link(self.ledger.read())))
        return self.story()

    def complaints(self) -> list[str]:
        """Sentences on what was changed, lost or damaged in the file; empty when all is well."""
        story, records = self.story(), self.ledger.read()
        name = next((session.target.name for session in story.sessions.values()), "this image")
        sentences = list(self.ledger.warnings)
        for place in broken_links(records):
            line = records[place]
            what = f"Edit {line['n']}" if "n" in line else f"A line on {line[KIND]!r}"
            sentences.append(
                f"{what} of {name}, or the line before it, was changed or lost after it was written; a mask that is "
                "restored may lack pixels. Compare it with the image before you approve it."
            )
        if story.unread:
            lines = "1 line" if story.unread == 1 else f"{story.unread} lines"
            sentences.append(f"In the journal of {name}, {lines} could not be understood and stayed out of the mask.")
        return sentences


def signed(editor: str, model: str, threshold: float | None, before: Record | None = None) -> Record:
    """Who, with which model and threshold: for a line, without what was already said `before`."""
    values = {"editor": editor, "model": model, "threshold": threshold}
    return {key: value for key, value in values.items() if before is None or before.get(key) != value}


def mask_of(state: MaskState) -> Record:
    """The keys of a line that say a whole mask."""
    mask = state.mask
    empty = MaskState.empty(mask.shape, mask.dtype)
    patches = empty.patches_to({band: band.of(mask) for band in bands_of(mask.shape)})
    return form_of(mask) | patches_of(patches)


def form_of(mask: Any) -> Record:
    """The keys of a line that say the shape and dtype of a mask."""
    return {"shape": list(mask.shape), "dtype": mask.dtype.str}


def patches_of(patches: Iterable[Patch]) -> Record:
    """The key of a line that says what changed."""
    return {"patches": [patch.as_list() for patch in patches]}


def replayed(records: Iterable[Record], upto: int | None = None) -> MaskState:
    """Follow a session's lines.

    Parameters
    ----------
    records : iterable of dict
        As in `Session.records`, the first one a beginning.
    upto : int, optional
        The number of the last edit to follow.

    Raises
    ------
    ValueError
        If the first line cannot be read. Of later ones, what cannot be read is passed over.
    """
    state: MaskState | None = None
    for record in records:
        try:
            state = _followed(state, record)
        except _UNREADABLE as cause:
            if state is None:
                raise ValueError("the beginning cannot be read") from cause
        if upto is not None and int(record.get("n", 0)) >= upto:
            break
    if state is None:
        raise ValueError("no beginning")
    return state


def _followed(state: MaskState | None, record: Record) -> MaskState:
    if state is None or "shape" in record:
        shape, dtype = tuple(int(length) for length in record["shape"]), np.dtype(record["dtype"])
        if dtype.kind not in "bui":
            raise ValueError("a mask of no whole numbers")
        if state is None or record[KIND] == BEGIN:
            return MaskState(_applied(MaskState.empty(shape, dtype), record).mask)
        state = state.reformed(shape, dtype)
    return _applied(state, record)


def _applied(state: MaskState, record: Record) -> MaskState:
    patches = [Patch.from_list(plain, state.mask.dtype) for plain in record["patches"]]
    for patch in patches:
        if patch.of(state.mask).shape != patch.changed.shape:
            raise ValueError("a patch outside the mask")
    state.apply(patches)
    return state
