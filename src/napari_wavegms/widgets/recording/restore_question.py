"""What to do with edits that a crash, or a closed window, has left behind; asked in the panel, never in a dialog."""

from __future__ import annotations

from functools import partial

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_wavegms.journal.records import Unfinished
from napari_wavegms.widgets.recording.messages import restore_sentence

_ANSWERS = {
    "restore": ("Restore", "Bring the mask back as you left it."),
    "both": ("Show both", "Show the mask as you left it in a layer of its own, beside the present one."),
    "discard": ("Discard", "Go on without these edits. They stay in the journal."),
}


class RestoreQuestion(QFrame):
    """Restore the edits, show them beside the present mask, or discard them.

    Signals
    -------
    answered(str, str)
        Content hash of the image, and ``"restore"``, ``"both"`` or ``"discard"``.

    Attributes
    ----------
    asked : Unfinished or None
        What was asked about last.
    """

    answered = Signal(str, str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
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
        """Show the question; Enter restores. One that is not answered yet is taken back."""
        self.asked = left
        self._words.setText(f"{restore_sentence(left)} {left.damage}".rstrip())
        self.show()
        self._buttons["restore"].setFocus()

    def take_back(self) -> None:
        """Hide the question unanswered, as when another image is shown; the edits stay in the journal."""
        self.hide()

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
