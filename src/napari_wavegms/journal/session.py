"""One image that we edit: what its journal knows of the mask, and the lines that say what changed."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from napari_wavegms.errors import InputError
from napari_wavegms.journal.patches import Band, Labels, MaskState, Patch, bands_of, checked_mask
from napari_wavegms.journal.records import EditTarget
from napari_wavegms.journal.replay import (
    BEGIN,
    EDIT,
    SESSION,
    Session,
    Story,
    form_of,
    mask_of,
    patches_of,
    replayed,
    signed,
)
from napari_wavegms.storage.append_log import KIND, Record, now


@dataclass(slots=True, eq=False)
class Step:
    """What is to be written down, and what is known once it is.

    Attributes
    ----------
    record : dict
        The line of the edit, without its number.
    state : MaskState
        The mask with the edit.
    signed : dict
        By whom, and on top of which model.
    """

    record: Record
    state: MaskState
    signed: Record
    patches: list[Patch]


@dataclass(slots=True, eq=False)
class OpenMask:
    """An image that we edit: what is on disk of it, and the mask that its lines come to."""

    target: EditTarget
    signed: Record
    id: str = field(default_factory=lambda: secrets.token_hex(4))
    begin: Record | None = None  # the beginning, where it is not on disk and its mask not in memory
    is_begun: bool = False  # whether the beginning is on disk
    state: MaskState | None = None
    seconds: float = 0.0
    idle: float = 0.0  # seconds of work that came to nothing yet
    edits: int = 0

    @classmethod
    def anew(cls, target: EditTarget, mask: Labels, says: Record, before: OpenMask | None = None) -> OpenMask:
        """A beginning: of new edits, or in the middle of those that are on disk."""
        fresh = cls(target, says, state=MaskState(mask))
        if before is not None and before.edits:
            fresh.id, fresh.edits, fresh.seconds, fresh.idle = before.id, before.edits, before.seconds, before.idle
        return fresh

    @classmethod
    def taken_over(cls, session: Session, state: MaskState) -> OpenMask:
        """Go on with unfinished edits that had come to this mask."""
        return cls(
            *(session.target, dict(session.signed), session.id),
            is_begun=True,
            state=state,
            seconds=session.seconds,
            edits=len(session.edits),
        )

    def mask(self, story: Story | None) -> MaskState:
        """The mask as it is now; read again from its lines, `story`, where it was folded away."""
        if self.state is None:
            if self.begin is not None:
                self.state = replayed([self.begin])
            else:
                self.state = replay(None if story is None else story.sessions.get(self.id))
        return self.state

    def fold(self, owner: str) -> None:
        """Let go of the mask in memory."""
        if self.state is not None:
            self.begin = None if self.is_begun else self.begin_record(owner)
            self.state = None

    def begin_record(self, owner: str) -> Record:
        """The line that says what the mask is before it is edited."""
        if self.begin is not None:
            return self.begin
        line = {KIND: BEGIN, SESSION: self.id, "owner": owner, "time": now()}
        return line | {"target": self.target.as_dict()} | self.signed | mask_of(self.mask(None))

    def step(
        self,
        mask: Labels | Mapping[Band, Labels],
        *,
        editor: str,
        model: str,
        threshold: float | None,
        active_seconds: float,
    ) -> Step | None:
        """Find out what changed; None where nothing did. The mask must be in memory.

        Raises
        ------
        InputError
            If the mask does not fit.
        """
        was = self.mask(None)
        state, is_reformed, bands = _fitted(was, mask)
        patches = state.patches_to(bands)
        if not patches and not is_reformed:
            self.idle += active_seconds
            return None
        says = signed(editor, model, threshold, self.signed)
        seconds = round(self.idle + active_seconds, 1)
        record = _edit_record(self.id, was, state, patches, seconds) | says
        return Step(record | (form_of(state.mask) if is_reformed else {}), state, says, patches)

    def take(self, step: Step, seconds: float) -> None:
        """Note that a step is on disk."""
        step.state.apply(step.patches)
        self.state, self.idle, self.signed = step.state, 0.0, self.signed | step.signed
        self.seconds, self.edits, self.is_begun, self.begin = seconds, self.edits + 1, True, None


def same(one: Labels, other: Labels) -> bool:
    """Whether two masks have the same labels, whatever their dtype."""
    return one.shape == other.shape and bool(np.array_equal(one, other))


def replay(session: Session | None, upto: int | None = None) -> MaskState:
    """Follow a session's lines.

    Raises
    ------
    InputError
        If there is none, or its beginning is damaged.
    """
    try:
        return replayed([] if session is None else session.records, upto)
    except ValueError as cause:
        name = "this image" if session is None else session.target.name
        raise InputError(
            f"The edits of {name} cannot be restored: the line that says what they began with is damaged or gone. "
            "Open the image again, and segment it anew."
        ) from cause


def _fitted(state: MaskState, mask: Labels | Mapping[Band, Labels]) -> tuple[MaskState, bool, Mapping[Band, Labels]]:
    """The state to compare with, whether it got another shape, and the bands to compare."""
    if isinstance(mask, Mapping):
        bands = _checked_bands(state, mask)
        shape = state.mask.shape
        dtype = next((rows.dtype for rows in bands.values()), state.mask.dtype)
    else:
        whole = checked_mask(np.asarray(mask))
        shape, dtype = whole.shape, whole.dtype
        bands = {band: band.of(whole) for band in bands_of(shape)}
    if (shape, dtype) == (state.mask.shape, state.mask.dtype):
        return state, False, bands
    reformed = state.reformed(shape, dtype)
    # Another dtype alone is no edit; it is written down with the first pixel that changes.
    is_edit = shape != state.mask.shape or bool(reformed.patches_to(bands))
    return (reformed, True, bands) if is_edit else (state, False, {})


def _checked_bands(state: MaskState, mask: Mapping[Band, Labels]) -> dict[Band, Labels]:
    bands = {band: checked_mask(np.asarray(rows)) for band, rows in mask.items()}
    shape = state.mask.shape
    for band, rows in bands.items():
        if len(band.plane) != len(shape) - 2 or band.of(state.mask).shape != rows.shape:
            raise InputError(
                f"Rows of shape {rows.shape} came for {band} of a mask of shape {shape}. Record the whole mask."
            )
    return bands


def _edit_record(session: str, was: MaskState, state: MaskState, patches: list[Patch], seconds: float) -> Record:
    change = state.change_of(patches)
    removed = change.removed
    if was.mask.shape != state.mask.shape:
        removed += int(np.count_nonzero(was.mask))  # they went with the old shape
    line: Record = {KIND: EDIT, SESSION: session, "time": now(), "seconds": seconds}
    counts: Record = {"added": change.added, "removed": removed, "differing": change.differing}
    if change.relabelled:
        counts["relabelled"] = change.relabelled
    return line | counts | patches_of(patches)
