"""A question in the panel, never in a dialog that blocks the window."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QFrame, QHBoxLayout, QScrollArea, QVBoxLayout

from napari_wavegms.widgets.qt.controls import WrappedLabel, fill, push_button
from napari_wavegms.widgets.qt.docks import enclosing
from napari_wavegms.widgets.qt.lifetime import single_shot


class Question(QFrame):
    """A sentence with one button for each answer; Escape takes the question back."""

    answered = Signal(str)  # the answer whose button was pressed

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("wavegmsQuestion")
        self.setStyleSheet("#wavegmsQuestion { border: 1px solid #d0a53c; border-radius: 3px; }")
        self._words, self._buttons = WrappedLabel(), QHBoxLayout()
        fill(QVBoxLayout(self), self._words, self._buttons, margin=6)
        self._settled = single_shot(self, 0, self._scroll_here)
        self.hide()

    def ask(self, sentence: str, answers: Mapping[str, tuple[str, str]], preferred: str = "") -> None:
        """Show a question instead of the one before.

        `answers` has for each answer what its button says, and its tooltip; Enter gives the `preferred` one, if any.
        """
        self.dismiss()
        self._words.say(sentence)
        buttons = {answer: push_button(*words, partial(self._answer, answer)) for answer, words in answers.items()}
        for button in buttons.values():
            self._buttons.addWidget(button, 1)
        self.show()
        self._settled.start()
        if preferred:
            buttons[preferred].setAutoDefault(True)  # without this, Enter presses a button in a dialog only
            buttons[preferred].setDefault(True)
            buttons[preferred].setFocus()

    def dismiss(self) -> None:
        """Take the question back."""
        while (item := self._buttons.takeAt(0)) is not None:
            if (button := item.widget()) is not None:
                button.hide()
                button.deleteLater()  # not at once: its own press may be what brought us here
        self.hide()

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Let Escape take the question back."""
        if event is not None and event.key() == Qt.Key.Key_Escape:
            self.dismiss()
        else:
            super().keyPressEvent(event)

    def _scroll_here(self) -> None:
        if (area := enclosing(self, QScrollArea)) is not None:
            area.ensureWidgetVisible(self, 0, 0)

    def _answer(self, answer: str) -> None:
        self.dismiss()
        self.answered.emit(answer)
