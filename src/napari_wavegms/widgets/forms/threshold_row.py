"""The threshold: a slider and a number, moving together."""

from __future__ import annotations

from qtpy.QtCore import Qt, QTimer, Signal
from qtpy.QtWidgets import QDoubleSpinBox, QHBoxLayout, QSlider, QWidget

_STEPS = 100
_PAUSE_MS = 700  # arrow keys, wheel and typing have no release; a pause stands for it


class ThresholdRow(QWidget):
    """A number strictly between 0 and 1, in hundredths.

    Signals
    -------
    moved(float)
        At every change that a person makes, while it is made.
    settled(float)
        Once after them: the mouse button is released, or the keyboard rests.
    """

    moved = Signal(float)
    settled = Signal(float)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._slider = QSlider(Qt.Orientation.Horizontal)
        self._slider.setRange(1, _STEPS - 1)
        self._slider.setAccessibleName("Threshold")
        self._number = QDoubleSpinBox()
        self._number.setRange(1 / _STEPS, 1 - 1 / _STEPS)
        self._number.setSingleStep(1 / _STEPS)
        self._number.setDecimals(2)
        self._number.setKeyboardTracking(False)
        self._number.setButtonSymbols(QDoubleSpinBox.ButtonSymbols.NoButtons)
        self._number.setFixedWidth(48)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._slider, 1)
        row.addWidget(self._number)
        self._pause = QTimer(self)
        self._pause.setSingleShot(True)
        self._pause.setInterval(_PAUSE_MS)
        self.set_value(0.5)
        self._slider.valueChanged.connect(self._on_slider)
        self._slider.sliderReleased.connect(self._settle)
        self._number.valueChanged.connect(self._on_number)
        self._pause.timeout.connect(self._settle)

    @property
    def value(self) -> float:
        """The threshold."""
        return self._slider.value() / _STEPS

    @property
    def is_moving(self) -> bool:
        """Whether a change is being made that has not settled."""
        return self._slider.isSliderDown() or self._pause.isActive()

    def set_value(self, value: float) -> None:
        """Show a threshold without telling anybody."""
        step = round(value * _STEPS)
        for widget in (self._slider, self._number):
            widget.blockSignals(True)
        self._slider.setValue(step)
        self._number.setValue(step / _STEPS)
        for widget in (self._slider, self._number):
            widget.blockSignals(False)

    def settle(self) -> None:
        """Settle now what would settle after a pause."""
        if self._pause.isActive():
            self._settle()

    def _on_slider(self, step: int) -> None:
        self._change(step / _STEPS)

    def _on_number(self, value: float) -> None:
        self._change(value)

    def _change(self, value: float) -> None:
        self.set_value(value)
        self.moved.emit(self.value)
        if not self._slider.isSliderDown():
            self._pause.start()

    def _settle(self) -> None:
        self._pause.stop()
        self.settled.emit(self.value)
