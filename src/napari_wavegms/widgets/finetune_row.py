"""The Fine-tune button, which becomes "Stop, keep best" and then lets go of the last scores too."""

from __future__ import annotations

from qtpy.QtWidgets import QWidget

from napari_wavegms.widgets.run_row import RunRow


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
