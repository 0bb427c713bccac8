"""The button that starts a job, and becomes a progress bar with Cancel while it runs."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QLabel, QProgressBar, QPushButton, QSizePolicy, QVBoxLayout, QWidget


class RunRow(QWidget):
    """A button that becomes its own Cancel, a bar, and a line of words.

    Signals
    -------
    start_requested()
    cancel_requested()

    Parameters
    ----------
    label : str
        What the button does.
    key : str
        The key that does the same, printed on the button; empty for none.
    """

    start_requested = Signal()
    cancel_requested = Signal()

    def __init__(self, label: str, key: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._label = label
        self._key = key
        self._busy = False
        self._why_not = ""
        self._say = False
        self._button = QPushButton()
        self._button.setMinimumHeight(32)
        self._bar = QProgressBar()
        self._bar.setTextVisible(False)
        self._bar.setMaximumHeight(8)
        self._words = QLabel()
        self._words.setWordWrap(True)
        self._words.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(3)
        for widget in (self._button, self._bar, self._words):
            column.addWidget(widget)
        self._button.clicked.connect(self._on_click)
        self.set_idle()

    @property
    def is_enabled(self) -> bool:
        """Whether a press would do something."""
        return self._button.isEnabled()

    def set_key(self, key: str) -> None:
        """Print another key on the button, or none."""
        self._key = key
        if not self._busy:
            self.set_idle()

    def set_why_not(self, sentence: str, say: bool = True) -> None:
        """Switch the button off and say why, on hover and maybe below it; on again with an empty sentence."""
        self._why_not = sentence
        self._say = say
        if not self._busy:
            self.set_idle()

    def set_idle(self) -> None:
        """Offer to start."""
        self._busy = False
        self._button.setText(f"{self._label}    {self._key}".rstrip())
        self._button.setEnabled(not self._why_not)
        self._button.setToolTip(self._why_not or "Find the lesion; the result is an ordinary Labels layer.")
        self._bar.hide()
        said = bool(self._why_not) and self._say
        self._words.setText(f"⚠ {self._why_not}" if said else "")
        self._words.setVisible(said)

    def set_busy(self, words: str) -> None:
        """Show that work has begun whose length nobody knows yet."""
        self._busy = True
        self._button.setText("Cancel")
        self._button.setEnabled(True)
        self._button.setToolTip("Stop; what is finished stays.")
        self._bar.setRange(0, 0)
        self._bar.show()
        self.set_words(words)

    def set_progress(self, done: int, total: int, words: str) -> None:
        """Show how far the work is."""
        self._bar.setRange(0, total)
        self._bar.setValue(done)
        self.set_words(words)

    def set_cancelling(self) -> None:
        """Show that stopping is under way."""
        self._button.setEnabled(False)
        self._button.setText("Cancelling…")
        self._bar.setRange(0, 0)

    def set_words(self, words: str) -> None:
        """Say what is going on; at once, even if what follows keeps the interpreter busy."""
        self._words.setText(words)
        self._words.setVisible(bool(words))
        self._words.repaint()

    def _on_click(self) -> None:
        if self._busy:
            self.cancel_requested.emit()
        else:
            self.start_requested.emit()


class LearnRow(RunRow):
    """A run row in the words of learning."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Fine-tune", "", parent)

    def set_idle(self) -> None:
        """Offer to start."""
        super().set_idle()
        if not self._why_not:
            self._button.setToolTip(
                "Learn from the pairs above. The model in use is left alone until a better one is there."
            )

    def set_busy(self, words: str) -> None:
        """Show that work has begun."""
        super().set_busy(words)
        self._button.setText("Stop, keep best")
        self._button.setToolTip("End the learning; the best so far is scored and kept.")

    def set_stopping(self) -> None:
        """Show that a stop is under way."""
        self._button.setEnabled(False)
        self._button.setText("Stopping…")
        self._bar.setRange(0, 0)

    def offer_to_skip(self) -> None:
        """Let a person leave before the last scores are in."""
        self._button.setEnabled(True)
        self._button.setText("Skip scoring")
        self._button.setToolTip("Keep the new model unscored and not in use.")
