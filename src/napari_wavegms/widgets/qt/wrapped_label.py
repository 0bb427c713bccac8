"""A sentence that wraps, so that it never widens the dock."""

from __future__ import annotations

import re

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QSizePolicy

_LONG_WORD = re.compile(r"\S{25,}")


class WrappedLabel(QLabel):
    """Wrapped text that can be selected, and hides while it is empty.

    Attributes
    ----------
    sentence : str
        The text as it was given.
    """

    def __init__(self, sentence: str = "") -> None:
        super().__init__()
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.setWordWrap(True)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.say(sentence)

    def say(self, sentence: str) -> None:
        """Show a sentence, or nothing."""
        self.sentence = sentence
        # A long file or layer name may be broken after its punctuation; the break takes no width.
        self.setText(_LONG_WORD.sub(lambda word: re.sub(r"([/\\_.-])", "\\1\u200b", word[0]), sentence))
        self.setVisible(bool(sentence))
