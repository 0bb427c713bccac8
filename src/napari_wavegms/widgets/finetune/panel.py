"""The form of "Wave-GMS Fine-tune": it tells what a person wants and shows what it is told, and knows no viewer."""

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
from napari_wavegms.widgets.qt.run_button import RunRow
from napari_wavegms.widgets.qt.wrapped_label import WrappedLabel
from napari_wavegms.wording import duration

_SPELLED_OUT = "DSC: Dice similarity coefficient, from 0 (no overlap with your masks) to 1 (the same)."


class FineTunePanel(QWidget):
    """The panel. Setters show something and never answer with a signal.

    Signals
    -------
    add_folder_requested()
    keep_requested()
    look_requested()

    Attributes
    ----------
    pairs : PairsList
    versions : VersionsList
    model_row : ModelRow
    device_row : DeviceRow
    learn_row : RunRow
    plot : LearningPlot
    status : str
        The sentence shown last.
    """

    add_folder_requested = Signal()
    keep_requested = Signal()
    look_requested = Signal()

    def __init__(self, speeds: Iterable[Preset], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.pairs = PairsList()
        self.versions = VersionsList()
        self.model_row = ModelRow()
        self.device_row = DeviceRow()
        self.learn_row = RunRow(
            "Fine-tune",
            "Learn from the pairs above. The model in use is left alone until a better one is there.",
            "Stop, keep best",
            "End the training; the best model so far is scored and kept.",
        )
        self.plot = LearningPlot()
        self.status = self._details = ""
        self._speeds = list(speeds)
        self._add, self._keep = QPushButton("Add folder…"), QPushButton("Keep corrections")
        self._look, self._copy = QPushButton("look"), QPushButton("Copy details")
        self._count, self._ready, self._why_start, self._outcome, self._status = (WrappedLabel() for _ in range(5))
        self._learn = QButtonGroup(self)
        self._versions_label = QLabel("Versions")
        self._lay_out()
        self._connect()

    @property
    def speed(self) -> Preset:
        """The speed that is chosen."""
        return self._speeds[self._learn.checkedId()]

    def choose_speed(self, key: str) -> None:
        """Choose a speed by its key."""
        number = next(i for i, speed in enumerate(self._speeds) if speed.key == key)
        button = self._learn.button(number)
        assert button is not None
        button.setChecked(True)

    def set_counts(self, sentence: str, readiness: str) -> None:
        """Say how many pairs there are, and whether they are ready."""
        self._count.say(sentence)
        self._ready.say(readiness)

    def set_keep(self, number: int) -> None:
        """Offer to keep so many corrections."""
        self._keep.setEnabled(bool(number))
        self._keep.setText(f"Keep {number} correction{'' if number == 1 else 's'}" if number else "Keep corrections")
        self._keep.setToolTip(
            "Store the images and masks of the open pairs, so that they are learned from next time too."
            if number
            else "All open pairs that are ready are kept already, or there is none."
        )

    def set_why_start(self, sentence: str) -> None:
        """Say why the first model of the list is the first."""
        self._why_start.say(sentence)

    def set_outcome(self, sentence: str, can_look: bool) -> None:
        """Show the score before and now."""
        self._outcome.say(sentence)
        self._look.setVisible(can_look)

    def set_looking(self, looking: bool) -> None:
        """Let the button say what a press would do."""
        self._look.setText("hide" if looking else "look")

    def show_versions_label(self, there: bool) -> None:
        """Show the title of the versions, or not."""
        self._versions_label.setVisible(there)

    def set_status(self, sentence: str, kind: Literal["news", "problem"] = "news", details: str = "") -> None:
        """Say in words what happened; `details` can be copied."""
        self.status = sentence
        self._status.say(f"⚠ {sentence}" if kind == "problem" and sentence else sentence)
        self._details = details
        self._copy.setVisible(bool(details))

    def _lay_out(self) -> None:
        top = QHBoxLayout()
        top.addWidget(QLabel("Pairs"))
        top.addWidget(self._count, 1)
        top.addWidget(self._add)
        learn = QVBoxLayout()
        learn.setSpacing(2)
        for number, speed in enumerate(self._speeds):
            button = QRadioButton(f"{speed.title}   about {duration(speed.seconds)}")
            button.setToolTip(speed.promise)
            self._learn.addButton(button, number)
            learn.addWidget(button)
        self.choose_speed(self._speeds[0].key)
        grid = QGridLayout()
        grid.setColumnStretch(1, 1)
        grid.addWidget(QLabel("Learn"), 0, 0)
        grid.addLayout(learn, 0, 1)
        grid.addWidget(QLabel("Start from"), 1, 0)
        grid.addWidget(self.model_row, 1, 1)
        grid.addWidget(self._why_start, 2, 1)
        grid.addWidget(QLabel("Device"), 3, 0, Qt.AlignmentFlag.AlignTop)
        grid.addWidget(self.device_row, 3, 1)
        outcome = QHBoxLayout()
        outcome.addWidget(self._outcome, 1)
        outcome.addWidget(self._look)
        column = QVBoxLayout(self)
        column.setContentsMargins(8, 8, 8, 8)
        column.setSpacing(8)
        # What became of a press stands right below the button, where it is seen without scrolling.
        parts: list[QWidget | QLayout] = [top, self.pairs, self._ready, self._keep, grid, self.learn_row, self._status]
        for part in (*parts, self._copy, outcome, self.plot, self._versions_label, self.versions):
            column.addLayout(part) if isinstance(part, QLayout) else column.addWidget(part)
        column.addStretch(1)
        hidden: tuple[QWidget, ...] = (self.plot, self._look, self._copy, self._versions_label)
        for widget in hidden:
            widget.hide()
        self._add.setToolTip("Add a folder that holds the folders “images” and “masks”.")
        self._look.setToolTip("Show the held-out images with the masks before and after.")
        self._outcome.setToolTip(_SPELLED_OUT)

    def _connect(self) -> None:
        self._add.clicked.connect(lambda: self.add_folder_requested.emit())
        self._keep.clicked.connect(lambda: self.keep_requested.emit())
        self._look.clicked.connect(lambda: self.look_requested.emit())
        self.model_row.failed.connect(lambda sentence: self.set_status(sentence, "problem"))
        self._copy.clicked.connect(self._on_copy)

    def _on_copy(self) -> None:
        clipboard = QApplication.clipboard()
        if clipboard is not None:
            clipboard.setText(self._details)
