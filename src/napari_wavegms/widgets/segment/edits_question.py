"""The one question that a second run may ask, asked in the panel and never in a dialog that blocks the window."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFrame, QHBoxLayout, QPushButton, QVBoxLayout

from napari_wavegms.widgets.qt.wrapped_label import WrappedLabel


class EditsQuestion(QFrame):
    """Keep a person's edits, or replace the mask.

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
        keep = QPushButton("Keep my edits")
        replace = QPushButton("Replace")
        keep.setToolTip("Use the new mask except where you changed the old one.")
        replace.setToolTip("Use the new mask everywhere. Ctrl+Z brings your edits back.")
        buttons = QHBoxLayout()
        buttons.addWidget(keep)
        buttons.addWidget(replace)
        column = QVBoxLayout(self)
        column.setContentsMargins(6, 6, 6, 6)
        column.setSpacing(4)
        column.addWidget(self._words)
        column.addLayout(buttons)
        keep.clicked.connect(lambda: self._answer(True))
        replace.clicked.connect(lambda: self._answer(False))
        self._keep = keep
        self.hide()

    def ask(self, sentence: str) -> None:
        """Show the question; Enter keeps the edits."""
        self._words.say(sentence)
        self.show()
        self._keep.setFocus()

    def _answer(self, keep: bool) -> None:
        self.hide()
        self.answered.emit(keep)
