"""A line of words that never widens the dock, and how a panel is scrolled where the window is low."""

from __future__ import annotations

import re

from qtpy.QtCore import QEvent, QObject, QSize, Qt
from qtpy.QtWidgets import QFrame, QLabel, QScrollArea, QSizePolicy, QWidget

_LONG_WORD = re.compile(r"\S{25,}")


class Words(QLabel):
    """Wrapped text that hides while it is empty.

    Attributes
    ----------
    sentence : str
        What was said last, as it was given.
    """

    def __init__(self, sentence: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
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


class _Scrolled(QScrollArea):
    """Scrolls up and down only, so it is never narrower than what it holds."""

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Notice when the panel needs another width; a scroll area keeps that to itself."""
        if event is not None and event.type() == QEvent.Type.LayoutRequest:
            self.updateGeometry()
        return super().eventFilter(watched, event)

    def minimumSizeHint(self) -> QSize:
        """As wide as the panel has to be, bar included."""
        hint, inside, bar = super().minimumSizeHint(), self.widget(), self.verticalScrollBar()
        if inside is not None and bar is not None:
            hint.setWidth(inside.minimumSizeHint().width() + bar.sizeHint().width())
        return hint


def scrolled(panel: QWidget) -> QScrollArea:
    """Let a panel be scrolled up and down, without a frame."""
    area = _Scrolled()
    area.setWidget(panel)
    area.setWidgetResizable(True)
    area.setFrameShape(QFrame.Shape.NoFrame)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    return area
