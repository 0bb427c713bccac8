"""The button that starts a job, and becomes a progress bar with Cancel while it runs."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QProgressBar, QPushButton, QVBoxLayout, QWidget

from napari_wavegms.widgets.qt.layout import fill
from napari_wavegms.widgets.qt.wrapped_label import WrappedLabel


class RunRow(QWidget):
    """A button that becomes its own Cancel, a bar, and a line of words.

    Parameters
    ----------
    label, tooltip : str
        What the button does.
    cancel, cancel_tooltip : str
        The same of the button that it becomes.

    Signals
    -------
    start_requested()
    cancel_requested()
    """

    start_requested = Signal()
    cancel_requested = Signal()

    def __init__(self, label: str, tooltip: str, cancel: str, cancel_tooltip: str) -> None:
        super().__init__()
        self._label, self._tooltip = label, tooltip
        self._cancel = (cancel, cancel_tooltip)
        self._key = self._why_not = ""
        self._busy = self._say = False
        self._button, self._bar, self._words = QPushButton(), QProgressBar(), WrappedLabel()
        self._button.setMinimumHeight(32)
        self._bar.setTextVisible(False)
        self._bar.setMaximumHeight(8)
        fill(QVBoxLayout(self), self._button, self._bar, self._words, spacing=3)
        self._button.clicked.connect(self._on_click)
        self.set_idle()

    @property
    def is_enabled(self) -> bool:
        """Whether a press would do something."""
        return self._button.isEnabled()

    def set_key(self, key: str) -> None:
        """Show the key that does the same on the button; empty for none."""
        self._key = key
        if not self._busy:
            self.set_idle()

    def set_label(self, label: str, tooltip: str) -> None:
        """Name what the button does now."""
        if (label, tooltip) != (self._label, self._tooltip):
            self._label, self._tooltip = label, tooltip
            if not self._busy:
                self.set_idle()

    def set_why_not(self, sentence: str, say: bool = True) -> None:
        """Disable the button and say why, on hover and with `say` below it; an empty sentence enables it."""
        if (sentence, say) != (self._why_not, self._say):
            self._why_not, self._say = sentence, say
            if not self._busy:
                self.set_idle()

    def set_idle(self) -> None:
        """Offer to start."""
        self._busy = False
        self._show(f"{self._label}    {self._key}".rstrip(), self._why_not or self._tooltip, enabled=not self._why_not)
        self._bar.hide()
        self._words.say(f"⚠ {self._why_not}" if self._why_not and self._say else "")

    def set_busy(self, words: str) -> None:
        """Show that work has begun whose length is not known yet."""
        self._busy = True
        self.offer(*self._cancel)
        self._bar.setRange(0, 0)
        self._bar.show()
        self.set_words(words)

    def set_progress(self, done: int, total: int, words: str) -> None:
        """Show how far the work is."""
        self._bar.setRange(0, total)
        self._bar.setValue(done)
        self.set_words(words)

    def set_stopping(self, text: str) -> None:
        """Show that the work is about to stop."""
        self._show(text, "", enabled=False)
        self._bar.setRange(0, 0)

    def offer(self, text: str, tooltip: str) -> None:
        """Offer another way to end the work; a press is `cancel_requested` too."""
        self._show(text, tooltip, enabled=True)

    def set_words(self, words: str) -> None:
        """Say what is going on; at once, even if what follows keeps the interpreter busy."""
        self._words.say(words)
        self._words.repaint()

    def _show(self, text: str, tooltip: str, enabled: bool) -> None:
        self._button.setText(text)
        self._button.setToolTip(tooltip)
        self._button.setEnabled(enabled)

    def _on_click(self) -> None:
        (self.cancel_requested if self._busy else self.start_requested).emit()
