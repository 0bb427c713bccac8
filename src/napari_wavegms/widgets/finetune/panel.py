"""The form of "Wave-GMS Fine-tune": it reports what a person wants and shows what it is given; it knows no viewer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QApplication,
    QButtonGroup,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLayout,
    QPushButton,
    QRadioButton,
    QVBoxLayout,
    QWidget,
)

from napari_wavegms.finetune.presets import Preset
from napari_wavegms.widgets.finetune.lists import PairsList, VersionsList
from napari_wavegms.widgets.finetune.plot import LearningPlot
from napari_wavegms.widgets.forms.device_row import DeviceRow
from napari_wavegms.widgets.forms.model_row import ModelRow
from napari_wavegms.widgets.qt.controls import RunRow, WrappedLabel
from napari_wavegms.widgets.qt.question import Question
from napari_wavegms.widgets.tools.comparison import VerdictRow
from napari_wavegms.wording import rough_duration

FINE_TUNE = "Fine-tune", "Train on the images above, and keep the new model as a version"
STOP = "Stop, keep best", "Stop after this step, score the best so far, and keep it"


class FineTunePanel(QWidget):
    """The panel. Setters show something and never answer with a signal.

    Signals
    -------
    add_folder_requested()
    keep_requested()

    Attributes
    ----------
    pairs : PairsList
    versions : VersionsList
    forgetting : Question
        Whether to forget stored corrections.
    verdict : VerdictRow
    model_row : ModelRow
    device_row : DeviceRow
    learn_row : RunRow
    plot : LearningPlot
    counts, ready, why_start : WrappedLabel
        How many training images there are; what waits for a decision; why the first model of the list is the first.
    status : str
        The sentence shown last.
    """

    add_folder_requested = Signal()
    keep_requested = Signal()

    def __init__(self, presets: Iterable[Preset]) -> None:
        super().__init__()
        self.pairs, self.versions = PairsList(), VersionsList()
        self.forgetting, self.verdict = Question(), VerdictRow()
        self.model_row, self.device_row = ModelRow(), DeviceRow()
        self.learn_row = RunRow(*FINE_TUNE, *STOP)
        self.plot = LearningPlot()
        self.status = self._details = ""
        self.counts, self.ready, self.why_start, self._status = (WrappedLabel() for _ in range(4))
        self._presets, self._learn = list(presets), QButtonGroup(self)
        self._add, self._keep = QPushButton("Add folder…"), QPushButton()
        self._copy = QPushButton("Copy details")
        self._versions_label = QLabel("Versions")
        self._lay_out()
        self.set_keep(0)
        for widget in (self.plot, self._copy, self._versions_label):
            widget.hide()
        self._add.clicked.connect(lambda: self.add_folder_requested.emit())
        self._keep.clicked.connect(lambda: self.keep_requested.emit())
        self.model_row.failed.connect(lambda sentence: self.set_status(sentence, "problem"))
        self._copy.clicked.connect(self._on_copy)

    @property
    def preset(self) -> Preset:
        """The chosen preset."""
        return self._presets[self._learn.checkedId()]

    def choose_preset(self, key: str) -> None:
        """Choose a preset by its key."""
        for button, preset in zip(self._learn.buttons(), self._presets, strict=True):
            button.setChecked(preset.key == key)

    def set_keep(self, number: int) -> None:
        """Offer to store so many corrections."""
        self._keep.setEnabled(bool(number))
        self._keep.setText(f"Store {number or ''} for later training".replace("  ", " "))
        self._keep.setToolTip(
            "Store the open images with their masks, so that later training includes them."
            if number
            else "Every open image that is ready is stored already, or there is none."
        )

    def show_versions_label(self, there: bool) -> None:
        """Show the title of the versions, or not."""
        self._versions_label.setVisible(there)

    def set_status(self, sentence: str, kind: Literal["news", "problem"] = "news", details: str = "") -> None:
        """Say what happened; `details` can be copied."""
        self.status, self._details = sentence, details
        self._status.say(f"⚠ {sentence}" if kind == "problem" and sentence else sentence)
        self._copy.setVisible(bool(details))

    def _lay_out(self) -> None:
        top, learn, grid = QHBoxLayout(), QVBoxLayout(), QGridLayout()
        top.addWidget(self.counts, 1)
        top.addWidget(self._add)
        learn.setSpacing(2)
        for number, preset in enumerate(self._presets):
            button = QRadioButton(f"{preset.title}: {preset.purpose} ({rough_duration(preset.seconds)})")
            button.setToolTip(preset.details)
            button.setChecked(not number)
            self._learn.addButton(button, number)
            learn.addWidget(button)
        grid.setColumnStretch(1, 1)
        grid.addLayout(learn, 0, 0, 1, 2)
        grid.addWidget(QLabel("Start from"), 1, 0)
        grid.addWidget(self.model_row, 1, 1)
        grid.addWidget(self.why_start, 2, 1)
        grid.addWidget(QLabel("Device"), 3, 0, Qt.AlignmentFlag.AlignTop)
        grid.addWidget(self.device_row, 3, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(8, 8, 8, 8)
        column.setSpacing(8)
        # What became of a press stands right below the button, where it is seen without scrolling.
        parts: list[QWidget | QLayout] = [
            top,
            self.pairs,
            self.forgetting,
            self.ready,
            self._keep,
            grid,
            self.learn_row,
            self._status,
        ]
        for part in (*parts, self._copy, self.verdict, self.plot, self._versions_label, self.versions):
            column.addLayout(part) if isinstance(part, QLayout) else column.addWidget(part)
        column.addStretch(1)
        self._add.setToolTip("Add a folder that holds the folders “images” and “masks”.")
        self._status.setToolTip("DSC (Dice similarity coefficient): 0 is no overlap with your masks, 1 is equal.")

    def _on_copy(self) -> None:
        if (clipboard := QApplication.clipboard()) is not None:
            clipboard.setText(self._details)
