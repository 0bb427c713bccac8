"""The one question that a second run may ask, asked in the panel and never in a dialog that blocks the window."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QFrame, QHBoxLayout, QVBoxLayout

from napari_wavegms.widgets.qt.layout import fill, push_button
from napari_wavegms.widgets.qt.wrapped_label import WrappedLabel

_KEEP = "Use the new mask except where you changed the old one."
_REPLACE = "Use the new mask everywhere. Ctrl+Z brings your edits back."


class EditsQuestion(QFrame):
    """Keep a person's edits, or replace the mask; Escape leaves everything as it is.

    Signals
    -------
    answered(bool)
        True to keep the edits, False to replace.
    """

    answered = Signal(bool)

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("wavegmsQuestion")
        self.setStyleSheet("#wavegmsQuestion { border: 1px solid #d0a53c; border-radius: 3px; }")
        self._words = WrappedLabel()
        self._keep = push_button("Keep my edits", _KEEP, lambda: self._answer(True))
        replace = push_button("Replace", _REPLACE, lambda: self._answer(False))
        buttons = fill(QHBoxLayout(), self._keep, replace)
        fill(QVBoxLayout(self), self._words, buttons, margin=6)
        self.hide()

    def ask(self, sentence: str) -> None:
        """Show the question; Enter keeps the edits."""
        self._words.say(sentence)
        self.show()
        self._keep.setFocus()

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Let Escape take the question back."""
        if event is not None and event.key() == Qt.Key.Key_Escape:
            self.hide()
        else:
            super().keyPressEvent(event)

    def _answer(self, keep: bool) -> None:
        self.hide()
        self.answered.emit(keep)
