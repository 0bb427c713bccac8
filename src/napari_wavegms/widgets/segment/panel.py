"""The form of "Wave-GMS Segment": it tells what a person wants and shows what it is told, and knows no viewer."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from magicgui.widgets import CheckBox, RadioButtons
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QApplication, QGridLayout, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_wavegms.widgets.forms.clean_up import CleanUpRow
from napari_wavegms.widgets.forms.device_row import DeviceRow
from napari_wavegms.widgets.forms.model_row import ModelRow
from napari_wavegms.widgets.forms.threshold_row import ThresholdRow
from napari_wavegms.widgets.layers.image_info import ChannelChoice
from napari_wavegms.widgets.qt.combo_box import ChoiceList
from napari_wavegms.widgets.qt.run_button import RunRow
from napari_wavegms.widgets.qt.validation import mark
from napari_wavegms.widgets.qt.wrapped_label import WrappedLabel
from napari_wavegms.widgets.segment.edits_question import EditsQuestion
from napari_wavegms.widgets.segment.request import Field, SegmentOptions, SegmentRequest

THIS_FRAME, ALL_FRAMES = "this frame", "all frames"


class SegmentPanel(QWidget):
    """The panel. Setters show something and never answer with a signal.

    Signals
    -------
    options_changed()
        Something was chosen that decides what a run would do.
    model_changed()
        Another model was chosen; `options_changed` follows.
    probability_toggled(bool)
    save_requested()

    Attributes
    ----------
    status : str
        The sentence shown last.
    """

    options_changed = Signal()
    model_changed = Signal()
    probability_toggled = Signal(bool)
    save_requested = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._image = ChoiceList("no image is open")
        self._channel = ChoiceList()
        self._frames = RadioButtons(choices=(THIS_FRAME, ALL_FRAMES), orientation="horizontal")
        self._frames.value = THIS_FRAME
        self.model_row, self.device_row = ModelRow(), DeviceRow()
        self.run_row = RunRow(
            "Segment",
            "Find the lesion; the result is an ordinary Labels layer.",
            "Cancel",
            "Stop; what is finished stays.",
        )
        self.question = EditsQuestion()
        self.threshold_row = ThresholdRow()
        self.threshold_row.setToolTip(
            "The mask is where the probability reaches this. Moving it is quick: the network does not run."
        )
        self._probability = CheckBox(
            text="Probability layer", tooltip="Show the probability behind the mask, 0 to 1, as an image layer."
        )
        self.clean_up_row = CleanUpRow()
        self._save = QPushButton("Save mask…")
        self._need_mask = {**self.clean_up_row.buttons, self._save: "Save as TIFF with spacing and origin, or as PNG."}
        self._copy = QPushButton("Copy details")
        self._copy.setToolTip("Copy what a developer needs to know about this problem.")
        self._copy.hide()
        self.status = self._details = ""
        self._description, self._plan, self._status = (WrappedLabel() for _ in range(3))
        self._fields: dict[Field, QWidget] = {
            "image": self._image,
            "frames": self._frames.native,
            "channel": self._channel,
            "model": self.model_row.combo,
            "device": self.device_row.devices,
        }
        for name, field in self._fields.items():
            field.setAccessibleName(name.capitalize())
        self._lay_out()
        self._connect()

    @property
    def options(self) -> SegmentOptions:
        """What is chosen now."""
        channel = self._channel.value
        return SegmentOptions(
            image=self._image.value,
            every=self._frames.value == ALL_FRAMES,
            channel=channel if isinstance(channel, ChannelChoice) else None,
            model=self.model_row.choice,
            device=self.device_row.wish,
        )

    @property
    def wants_probability(self) -> bool:
        """Whether the probability is to be shown as a layer."""
        return bool(self._probability.value)

    def set_images(self, images: Sequence[tuple[str, Hashable]], chosen: Hashable | None) -> None:
        """Show the image layers as (name, id), one of them chosen."""
        self._image.set_choices(images, chosen)

    def set_request(self, request: SegmentRequest) -> None:
        """Show what is understood of the image, which channels there are, and what is wrong with which field."""
        self._description.say(request.description)
        self._frames_label.setVisible(request.has_frames)
        self._frames.native.setVisible(request.has_frames)
        self._plan.say(request.preview)
        self._channel.set_choices(request.channels, request.options.channel)
        self._channel_label.setVisible(bool(request.channels))
        self._channel.setVisible(bool(request.channels))
        sentences = {problem.field: problem.sentence for problem in reversed(request.problems)}
        for name, field in self._fields.items():
            mark(field, sentences.get(name, ""))
        first = request.problems[0] if request.problems else None
        # What is wrong with the device stands under the device already.
        self.run_row.set_why_not(first.sentence if first else "", say=first is not None and first.field != "device")

    def set_probability(self, wanted: bool) -> None:
        """Tick the box or not."""
        with self._probability.changed.blocked():
            self._probability.value = wanted

    def set_why_no_mask(self, sentence: str) -> None:
        """Disable what needs a mask, with the reason; an empty sentence enables it."""
        for button, tooltip in self._need_mask.items():
            button.setEnabled(not sentence)
            button.setToolTip(sentence or tooltip)

    def set_status(self, sentence: str, kind: str = "", details: str = "") -> None:
        """Say what happened, ``"problem"`` or not; `details` can be copied."""
        self.status = sentence
        self._status.say(f"⚠ {sentence}" if kind == "problem" and sentence else sentence)
        self._details = details
        self._copy.setVisible(bool(details))

    def _lay_out(self) -> None:
        self._frames_label, self._channel_label = QLabel("Frames"), QLabel("Channel")
        grid = QGridLayout()
        grid.setHorizontalSpacing(8)
        grid.setVerticalSpacing(4)
        grid.setColumnStretch(1, 1)
        rows: list[tuple[QLabel | None, QWidget]] = [
            (QLabel("Image"), self._image),
            (None, self._description),
            (self._frames_label, self._frames.native),
            (None, self._plan),
            (self._channel_label, self._channel),
            (QLabel("Model"), self.model_row),
            (QLabel("Device"), self.device_row),
        ]
        for row, (label, field) in enumerate(rows):
            if label is not None:
                # Beside the list of devices, not beside the sentence below it.
                top = Qt.AlignmentFlag.AlignTop if field is self.device_row else Qt.AlignmentFlag(0)
                grid.addWidget(label, row, 0, top)
            grid.addWidget(field, row, 1)
        threshold = QHBoxLayout()
        threshold.addWidget(QLabel("Threshold"))
        threshold.addWidget(self.threshold_row, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(8, 8, 8, 8)
        column.setSpacing(8)
        column.addLayout(grid)
        column.addWidget(self.run_row)
        column.addWidget(self.question)
        column.addLayout(threshold)
        for widget in (self._probability.native, self.clean_up_row, self._save, self._status, self._copy):
            column.addWidget(widget)
        column.addStretch(1)

    def _connect(self) -> None:
        for field in (self._image, self._channel, self.device_row):
            field.chosen.connect(self.options_changed)
        self._frames.changed.connect(self._on_frames)
        self.model_row.chosen.connect(self.model_changed)
        self.model_row.chosen.connect(self.options_changed)
        self.model_row.failed.connect(self._on_failed)
        self._probability.changed.connect(self._on_probability)
        self._save.clicked.connect(self._on_save)
        self._copy.clicked.connect(self._on_copy)

    def _on_frames(self) -> None:
        self.options_changed.emit()

    def _on_probability(self, wanted: bool) -> None:
        self.probability_toggled.emit(wanted)

    def _on_failed(self, sentence: str) -> None:
        self.set_status(sentence, "problem")

    def _on_save(self) -> None:
        self.save_requested.emit()

    def _on_copy(self) -> None:
        clipboard = QApplication.clipboard()
        if clipboard is not None:
            clipboard.setText(self._details)
