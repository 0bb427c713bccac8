"""What to do with edits that a crash has left behind."""

from __future__ import annotations

from datetime import datetime

from napari_wavegms.journal.records import Unfinished
from napari_wavegms.widgets.qt.question import Question
from napari_wavegms.wording import counted, moment

_ANSWERS = {
    "restore": ("Restore", "Restore the mask as you left it."),
    "both": ("Show both", "Show the unsaved mask as an outline next to the current one."),
    "discard": ("Discard", "Continue without these edits. They remain in the journal."),
}


def restore_sentence(left: Unfinished, now: datetime | None = None) -> str:
    """How many unsaved edits there are, on what and from when; `now` has a time zone, in which the time is given."""
    when = moment(left.time, now) or "an unknown time"
    return f"Wave-GMS found {counted(left.edits, 'unsaved edit')} on {left.target.name} from {when}."


class RestoreQuestion(Question):
    """Restore the edits (``"restore"``), show them beside the present mask (``"both"``), or ``"discard"`` them.

    Attributes
    ----------
    asked : Unfinished or None
        What the last question was about.
    """

    def __init__(self) -> None:
        super().__init__()
        self.asked: Unfinished | None = None

    def ask_about(self, left: Unfinished) -> None:
        """Show a question instead of the one before; Enter restores."""
        self.asked = left
        self.ask(f"{restore_sentence(left)} {left.damage}".rstrip(), _ANSWERS, preferred="restore")
