"""The form of "Wave-GMS Segment": it tells what a person wants and shows what it is told, and knows no viewer."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Literal

from magicgui.widgets import CheckBox, RadioButtons
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QApplication, QGridLayout, QLabel, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from napari_wavegms.widgets.forms.clean_up import CleanUpRow
from napari_wavegms.widgets.forms.device_row import DeviceRow
from napari_wavegms.widgets.forms.model_row import ModelRow
from napari_wavegms.widgets.forms.threshold_row import ThresholdRow
from napari_wavegms.widgets.layers.image_info import ChannelChoice, Field, FieldProblem, SegmentOptions
from napari_wavegms.widgets.qt.combo_box import ChoiceList
from napari_wavegms.widgets.qt.run_button import RunRow
from napari_wavegms.widgets.qt.validation import mark
from napari_wavegms.widgets.qt.wrapped_label import WrappedLabel
from napari_wavegms.widgets.segment.edits_question import EditsQuestion

THIS_FRAME, ALL_FRAMES = "this frame", "all frames"
_WARNING = "⚠ "


class SegmentPanel(QWidget):
    """The panel. Setters show something and never answer with a signal.

    Signals
    -------
    wishes_changed()
        Something was chosen that decides what a run would do.
    model_changed()
        Another model was chosen; `wishes_changed` follows.
    probability_toggled(bool)
    save_requested()

    Attributes
    ----------
    status : str
        The sentence shown last.
    """

    wishes_changed = Signal()
    model_changed = Signal()
    probability_toggled = Signal(bool)
    save_requested = Signal()

    def __init__(self, key: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._image = ChoiceList("no image is open")
        self._frames = RadioButtons(choices=(THIS_FRAME, ALL_FRAMES), orientation="horizontal")
        self._frames.value = THIS_FRAME
        frames: QWidget = self._frames.native
        frames.setStyleSheet("QGroupBox { border: none; margin: 0; padding: 0; }")
        frames.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self._channel = ChoiceList()
        self.model_row = ModelRow()
        self.device_row = DeviceRow()
        self.run_row = RunRow(
            "Segment",
            "Find the lesion; the result is an ordinary Labels layer.",
            "Cancel",
            "Stop; what is finished stays.",
            key,
        )
        self.question = EditsQuestion()
        self.threshold_row = ThresholdRow()
        self._probability = CheckBox(text="Probability layer")
        self.clean_up_row = CleanUpRow()
        self._save = QPushButton("Save mask…")
        self._copy = QPushButton("Copy details")
        self._copy.setToolTip("Copy what a developer needs to know about this problem.")
        self.status = self._details = ""
        self._description, self._plan, self._status = (WrappedLabel() for _ in range(3))
        self._lay_out()
        self._connect()

    @property
    def wishes(self) -> SegmentOptions:
        """What is chosen now."""
        model = self.model_row.choice
        channel = self._channel.value
        return SegmentOptions(
            image=self._image.value,
            every=self._frames.value == ALL_FRAMES,
            channel=channel if isinstance(channel, ChannelChoice) else None,
            model=model.path if model else None,
            device=self.device_row.wish,
        )

    @property
    def wants_probability(self) -> bool:
        """Whether the probability is to be shown as a layer."""
        return bool(self._probability.value)

    def set_images(self, images: Sequence[tuple[str, Hashable]], chosen: Hashable | None) -> None:
        """Show the image layers as (name, id), one of them chosen."""
        self._image.set_choices(images, chosen)

    def set_description(self, description: str) -> None:
        """Show in a line what the chosen image is."""
        self._description.say(description)

    def set_stack(self, has_frames: bool, sentence: str) -> None:
        """Offer this frame or all, with a sentence about what would be segmented."""
        self._frames_label.setVisible(has_frames)
        self._frames.native.setVisible(has_frames)
        self._plan.say(sentence)

    def set_channels(self, channels: Sequence[tuple[str, ChannelChoice | None]], chosen: ChannelChoice | None) -> None:
        """Offer channels; with none to offer the field goes."""
        self._channel.set_choices(channels, chosen)
        self._channel_label.setVisible(bool(channels))
        self._channel.setVisible(bool(channels))

    def set_probability(self, wanted: bool) -> None:
        """Tick the box or not."""
        with self._probability.changed.blocked():
            self._probability.value = wanted

    def set_complaints(self, complaints: Sequence[FieldProblem]) -> None:
        """Mark the fields whose wishes cannot be met, and switch the button off while there are any."""
        sentences = {complaint.field: complaint.sentence for complaint in reversed(complaints)}
        for name, field in self._fields().items():
            mark(field, sentences.get(name, ""))
        first = complaints[0] if complaints else None
        # What is wrong with the device stands under the device already.
        self.run_row.set_why_not(first.sentence if first else "", say=first is not None and first.field != "device")

    def set_mask_there(self, why_not: str) -> None:
        """Switch on what needs a mask, or off with the reason."""
        self.clean_up_row.set_why_not(why_not)
        self._save.setEnabled(not why_not)
        self._save.setToolTip(why_not or "Save as TIFF with spacing and origin, or as PNG.")

    def set_status(self, sentence: str, kind: Literal["news", "problem"] = "news", details: str = "") -> None:
        """Say in words what happened; `details` can be copied."""
        self.status = sentence
        self._status.say(f"{_WARNING if kind == 'problem' and sentence else ''}{sentence}")
        self._details = details
        self._copy.setVisible(bool(details))

    def _fields(self) -> dict[Field, QWidget]:
        return {
            "image": self._image,
            "frames": self._frames.native,
            "channel": self._channel,
            "model": self.model_row.combo,
            "device": self.device_row.devices,
        }

    def _lay_out(self) -> None:
        self._frames_label, self._channel_label, device = QLabel("Frames"), QLabel("Channel"), QLabel("Device")
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
            (device, self.device_row),
        ]
        for row, (label, field) in enumerate(rows):
            if label is not None:
                # Beside the list of devices, not beside the sentence below it.
                grid.addWidget(
                    label, row, 0, Qt.AlignmentFlag.AlignTop if field is self.device_row else Qt.AlignmentFlag(0)
                )
            grid.addWidget(field, row, 1)
        grid.setAlignment(device, Qt.AlignmentFlag.AlignTop)  # beside the list, not beside the sentence below it
        threshold = QGridLayout()
        threshold.addWidget(QLabel("Threshold"), 0, 0)
        threshold.addWidget(self.threshold_row, 0, 1)
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
        self._copy.hide()
        self.set_stack(False, "")
        self.set_channels((), None)
        self.threshold_row.setToolTip(
            "The mask is where the probability reaches this. Moving it is quick: the network does not run."
        )
        self._probability.tooltip = "Show the probability behind the mask, 0 to 1, as an image layer."

    def _connect(self) -> None:
        for choices in (self._image, self._channel, self.device_row):
            choices.chosen.connect(self._on_wish)
        self._frames.changed.connect(self._on_wish)
        self.model_row.chosen.connect(self._on_model)
        self.model_row.failed.connect(lambda sentence: self.set_status(sentence, "problem"))
        self._probability.changed.connect(self._on_probability)
        self._save.clicked.connect(self._on_save)
        self._copy.clicked.connect(self._on_copy)

    def _on_wish(self, _value: object = None) -> None:
        self.wishes_changed.emit()

    def _on_model(self) -> None:
        self.model_changed.emit()
        self.wishes_changed.emit()

    def _on_probability(self, wanted: bool) -> None:
        self.probability_toggled.emit(wanted)

    def _on_save(self) -> None:
        self.save_requested.emit()

    def _on_copy(self) -> None:
        clipboard = QApplication.clipboard()
        if clipboard is not None:
            clipboard.setText(self._details)
