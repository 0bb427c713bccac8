"""What to do with edits that a crash has left behind; asked in the panel, never in a dialog."""

from __future__ import annotations

from datetime import datetime
from functools import partial

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QVBoxLayout

from napari_wavegms.journal.records import Unfinished
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


class RestoreQuestion(QFrame):
    """Restore the edits, show them beside the present mask, or discard them.

    Signals
    -------
    answered(str, str)
        Content hash of the image, and ``"restore"``, ``"both"`` or ``"discard"``.

    Attributes
    ----------
    asked : Unfinished or None
        What the last question was about.
    """

    answered = Signal(str, str)

    def __init__(self) -> None:
        super().__init__()
        self.asked: Unfinished | None = None
        self.setObjectName("wavegmsQuestion")
        self.setStyleSheet("#wavegmsQuestion { border: 1px solid #d0a53c; border-radius: 3px; }")
        self._words = QLabel()
        self._words.setWordWrap(True)
        self._buttons = {answer: self._button(answer) for answer in _ANSWERS}
        buttons = QHBoxLayout()
        for button in self._buttons.values():
            buttons.addWidget(button)
        column = QVBoxLayout(self)
        column.setContentsMargins(6, 6, 6, 6)
        column.setSpacing(4)
        column.addWidget(self._words)
        column.addLayout(buttons)
        self.hide()

    def ask(self, left: Unfinished) -> None:
        """Show a question instead of the one before; Enter restores."""
        self.asked = left
        self._words.setText(f"{restore_sentence(left)} {left.damage}".rstrip())
        self.show()
        self._buttons["restore"].setFocus()

    def _button(self, answer: str) -> QPushButton:
        text, tooltip = _ANSWERS[answer]
        button = QPushButton(text)
        button.setToolTip(tooltip)
        # Without this, Enter presses a button in a dialog only.
        button.setAutoDefault(True)
        button.setDefault(answer == "restore")
        button.clicked.connect(partial(self._answer, answer))
        return button

    def _answer(self, answer: str, _checked: bool = False) -> None:
        self.hide()
        if self.asked is not None:
            self.answered.emit(self.asked.target.image, answer)
