"""The form of "Wave-GMS Fine-tune": it reports what a person wants and shows what it is given; it knows no viewer."""

from __future__ import annotations

from collections.abc import Iterable

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QButtonGroup, QHBoxLayout, QRadioButton, QVBoxLayout, QWidget

from napari_wavegms.finetune.presets import Preset
from napari_wavegms.widgets.finetune.lists import PairsList, VersionsList
from napari_wavegms.widgets.finetune.plot import LearningPlot
from napari_wavegms.widgets.forms.device_row import DeviceRow
from napari_wavegms.widgets.forms.model_row import ModelRow
from napari_wavegms.widgets.qt.controls import RunRow, StatusLine, WrappedLabel, fill, form, push_button, set_why_not
from napari_wavegms.widgets.qt.question import Question
from napari_wavegms.widgets.tools.comparison import VerdictRow
from napari_wavegms.wording import rough_duration

FINE_TUNE = "Fine-tune", "Train on the images above, and keep the new model as a version"
STOP = "Stop, keep best", "Stop after this step, score the best so far, and keep it"


class FineTunePanel(QWidget):
    """The panel. Setters show something and never answer with a signal."""

    add_folder_requested = Signal()
    keep_requested = Signal()

    def __init__(self, presets: Iterable[Preset]) -> None:
        super().__init__()
        self.pairs, self.versions = PairsList(), VersionsList()
        self.forgetting, self.labels, self.verdict = Question(), Question(), VerdictRow()
        self.model_row, self.device_row = ModelRow(), DeviceRow()
        self.learn_row, self._status, self.plot = RunRow(*FINE_TUNE, *STOP), StatusLine(), LearningPlot()
        self.say = self._status.say
        # How many training images there are; what waits for a decision; why the first model of the list is the first.
        self.counts, self.ready, self.why_start = (WrappedLabel() for _ in range(3))
        self._presets, self._learn = list(presets), QButtonGroup(self)
        tooltip = "Store the open images with their masks, so that later training includes them."
        self._keep = push_button("", tooltip, self.keep_requested.emit)
        self._lay_out()
        self.set_keep(0)
        self.plot.hide()
        self._status.setToolTip("DSC (Dice similarity coefficient): 0 is no overlap with your masks, 1 is equal.")
        self.model_row.failed.connect(lambda sentence: self.say(sentence, "problem"))

    @property
    def status(self) -> str:
        """The sentence that was said last."""
        return self._status.sentence

    @property
    def preset(self) -> Preset:
        """The chosen preset."""
        return self._presets[self._learn.checkedId()]

    def set_keep(self, number: int) -> None:
        """Offer to store so many corrections."""
        self._keep.setText(f"Store {number} for later training" if number else "Store for later training")
        why_not = "" if number else "Every open image that is ready is stored already, or there is none."
        set_why_not([self._keep], why_not)

    def _lay_out(self) -> None:
        tooltip = "Add a folder of images and masks, together or in folders “images” and “masks” inside."
        add = push_button("Add folder…", tooltip, self.add_folder_requested.emit)
        top = fill(QHBoxLayout(), self.counts, add)
        top.setStretch(0, 1)
        learn = fill(QVBoxLayout(), spacing=2)
        for number, preset in enumerate(self._presets):
            button = QRadioButton(f"{preset.title}: {preset.purpose} ({rough_duration(preset.seconds)})")
            button.setToolTip(preset.details)
            button.setChecked(not number)
            self._learn.addButton(button, number)
            learn.addWidget(button)
        choices = form(("Start from", self.model_row), ("", self.why_start), ("Device", self.device_row))
        gathered = (top, self.pairs, self.forgetting, self.ready, self._keep)
        # What became of a press stands right below the button, where it is seen without scrolling.
        learned = (learn, choices, self.learn_row, self.labels, self._status, self.verdict, self.plot, self.versions)
        fill(QVBoxLayout(self), *gathered, *learned, margin=8, spacing=8).addStretch(1)
