"""The threshold: a slider and a number, moving together."""

from __future__ import annotations

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import QDoubleSpinBox, QHBoxLayout, QSlider, QWidget

from napari_wavegms.widgets.qt.controls import fill, push_button
from napari_wavegms.widgets.qt.lifetime import single_shot

_STEPS = 100
_PAUSE = 700  # ms; arrow keys, wheel and typing have no release, so a pause stands for it


class ThresholdRow(QWidget):
    """A number strictly between 0 and 1, in hundredths.

    superqt's QLabeledDoubleSlider would do the same, but keys do not move it, and screen readers find 0 of 99 in it
    whatever it shows.
    """

    moved = Signal(float)  # at every change that a person makes, while it is made
    settled = Signal(float)  # once after them: the mouse button is released, or the keyboard rests

    def __init__(self) -> None:
        super().__init__()
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
        self._default: float | None = None
        self._reset = push_button("", "", self._use_default)
        self._reset.hide()
        fill(QHBoxLayout(self), self._slider, self._number, self._reset)
        self._pause = single_shot(self, _PAUSE, self._settle)
        self.set_value(0.5)
        self._slider.valueChanged.connect(self._on_slider)
        self._slider.sliderReleased.connect(self._settle)
        self._number.valueChanged.connect(self._change)

    @property
    def value(self) -> float:
        """The threshold."""
        return self._slider.value() / _STEPS

    @property
    def is_moving(self) -> bool:
        """Whether a change is being made that has not settled."""
        return self._slider.isSliderDown() or self._pause.isActive()

    def set_value(self, value: float) -> None:
        """Show a threshold, without a signal."""
        step = round(value * _STEPS)
        with QSignalBlocker(self._slider), QSignalBlocker(self._number):
            self._slider.setValue(step)
            self._number.setValue(step / _STEPS)
        self._offer_default()

    def set_default(self, value: float) -> None:
        """Show the model's own threshold, without a signal; beside another one stands a button that goes back to it."""
        self._default = value
        self._reset.setText(f"↺ {value:.2f}")
        self._reset.setToolTip(f"The model's own threshold is {value:.2f}. Press to use it.")
        self.set_value(value)

    def settle(self) -> None:
        """Settle now what would settle after a pause."""
        if self._pause.isActive():
            self._settle()

    def _on_slider(self, step: int) -> None:
        self._change(step / _STEPS)

    def _change(self, value: float) -> None:
        self.set_value(value)
        self.moved.emit(self.value)
        if not self._slider.isSliderDown():
            self._pause.start()

    def _offer_default(self) -> None:
        self._reset.setVisible(self._default is not None and round(self._default * _STEPS) != self._slider.value())

    def _use_default(self) -> None:
        if self._default is not None:
            self._change(self._default)
            self._settle()

    def _settle(self) -> None:
        self._pause.stop()
        self.settled.emit(self.value)
