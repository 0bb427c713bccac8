"""What the journal says: that nothing is lost, and what was left behind."""

from __future__ import annotations

from datetime import datetime

from napari_wavegms.journal.records import Edit, Unfinished
from napari_wavegms.wording import counted, duration, moment, rough_duration


def saved_sentence(edit: Edit | None, age: float | None, waits: bool, problem: str) -> str:
    """Say what changed since the edits began, and when it was saved; or why it could not be.

    Parameters
    ----------
    edit : Edit or None
        The last one on disk.
    age : float or None
        Seconds since it was saved.
    waits : bool
        Whether something is not saved yet.
    problem : str
        Why, if the disk refuses.

    Examples
    --------
    >>> saved_sentence(None, None, waits=False, problem="")
    ''
    """
    if problem:
        return problem
    if edit is None:
        return "Saving." if waits else ""
    changed = f"Changed {edit.differing:,} px, {duration(max(1, round(edit.seconds_so_far)))}."
    if waits or age is None:
        return f"{changed} Saving."
    return f"{changed} Saved {rough_duration(age)} ago."


def restore_sentence(left: Unfinished, now: datetime | None = None) -> str:
    """Ask what is to become of edits that were left behind.

    Parameters
    ----------
    left : Unfinished
    now : datetime, optional
        With a time zone; in it the time is told.
    """
    when = moment(left.time, now) or "an unknown time"
    return f"Wave-GMS found {counted(left.edits, 'unsaved edit')} on {left.target.name} from {when}."
