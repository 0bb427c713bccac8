"""The form of "Wave-GMS Segment": it tells what a person wants and shows what it is told, and knows no viewer."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import partial

from magicgui.widgets import CheckBox, RadioButtons
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFormLayout, QHBoxLayout, QLabel, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from napari_wavegms.widgets.forms.class_row import ClassRow
from napari_wavegms.widgets.forms.clean_up import CleanUpRow
from napari_wavegms.widgets.forms.device_row import DeviceRow
from napari_wavegms.widgets.forms.familiarity_label import FamiliarityLabel
from napari_wavegms.widgets.forms.model_row import ModelRow
from napari_wavegms.widgets.forms.threshold_row import ThresholdRow
from napari_wavegms.widgets.layers.image_info import ChannelChoice
from napari_wavegms.widgets.qt.controls import (
    ChoiceList,
    RunRow,
    StatusLine,
    WrappedLabel,
    fill,
    form,
    mark,
    push_button,
    set_why_not,
)
from napari_wavegms.widgets.qt.question import Question
from napari_wavegms.widgets.recording.unfinished import RestoreQuestion
from napari_wavegms.widgets.segment.measures import MeasureFold
from napari_wavegms.widgets.segment.request import Field, SegmentOptions, SegmentRequest
from napari_wavegms.wording import counted

THIS, ALL = "this", "all"
_TOOLS = {
    "mask": ("Mask", "Show or hide the mask."),
    "spot": ("Uncertain spot", "Go to the next place where the model is uncertain, and ring it."),
    "carry": (
        "Carry on",
        "Draw the other slices from those that you corrected or called right, which stay as they are.",
    ),
    "right": (
        "Slice is right",
        "Count what is shown as fixed, although you changed nothing; press again to undo.",
    ),
    "box": ("Box", "Draw a box around a structure; the model segments again inside it."),
    "save": ("Save mask…", "Save as TIFF with spacing and origin, or as PNG."),
    "load": ("Load mask…", "Open a mask file, of ours or of another program, as the mask of this image."),
}
SEGMENT = ("Segment", "Find the lesion; the result is an ordinary Labels layer.")


class SegmentPanel(QWidget):
    """The panel. Setters show something and never answer with a signal."""

    options_changed = Signal()  # something was chosen that decides what a run would do
    pressed = Signal(str)  # a plain button, of `_TOOLS` or "restart", or the box of the "probability" layer

    def __init__(self) -> None:
        super().__init__()
        self._image, self._channel, self._window = ChoiceList("no image is open"), ChoiceList(), ChoiceList()
        self._window.setAccessibleName("Grey values")
        self._noun = "frame"  # what the planes of a stack are called
        self._frames = RadioButtons(choices=(THIS, ALL), orientation="horizontal")
        self._frames.value = THIS
        self.model_row, self.device_row = ModelRow(), DeviceRow()
        self.run_row = RunRow(*SEGMENT, "Cancel", "Stop; what is finished stays.")
        self._again = self._button("restart", "Start again", "Segment all frames again.")
        self.question, self.restore, self.carry_question = Question(), RestoreQuestion(), Question()
        self.threshold_row = ThresholdRow()
        self.threshold_row.setToolTip(
            "The mask is where the probability reaches this. Moving it is quick: the network does not run."
        )
        self._probability = CheckBox(
            text="Probability layer", tooltip="Show the probability behind the mask, 0 to 1, as an image layer."
        )
        self._native = CheckBox(
            text="Native detail",
            tooltip="Segment again at the image's own pixels around each piece that is found, and search large images "
            "for small structures. It takes seconds.",
        )
        self.class_row = ClassRow()
        self.clean_up_row, self.measure_fold = CleanUpRow(), MeasureFold()
        self._tools = {name: self._button(name, *words) for name, words in _TOOLS.items()}
        for name in self._tools.keys() - {"mask"}:  # whose key is to be read
            self._tools[name].setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.light, self._status = FamiliarityLabel(), StatusLine()
        self.say = self._status.say
        self._description, self._plan, self._note, self.saved = (WrappedLabel() for _ in range(4))
        self._fields: dict[Field, QWidget] = {
            "image": self._image,
            "frames": self._frames.native,
            "channel": self._channel,
            "model": self.model_row.combo,
            "device": self.device_row.devices,
        }
        for name, field in self._fields.items():
            field.setAccessibleName(name.capitalize())
        self._form = self._lay_out()
        for field in (self._image, self._channel, self._window, self.device_row, self.model_row):
            field.chosen.connect(self.options_changed)
        for choice in (self._frames, self._native):
            choice.changed.connect(lambda: self.options_changed.emit())
        self.model_row.failed.connect(lambda sentence: self.say(sentence, "problem"))
        self._probability.changed.connect(lambda: self.pressed.emit("probability"))

    @property
    def status(self) -> str:
        """The sentence that was said last."""
        return self._status.sentence

    @property
    def options(self) -> SegmentOptions:
        """What is chosen now."""
        channel = self._channel.value
        return SegmentOptions(
            image=self._image.value,
            every=self._frames.value == ALL,
            channel=channel if isinstance(channel, ChannelChoice) else None,
            model=self.model_row.choice,
            device=self.device_row.wish,
            window=self._window.value,
            detail="native" if self._native.value else "whole",
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
        self._tools["load"].setEnabled(bool(request.description))
        self._name_frames("frame" if request.plan is None else request.plan.noun)
        self._channel.set_choices(request.channels, request.options.channel)
        self._window.set_choices(request.windows, request.options.window)
        self._note.say(request.note)
        for field, is_shown in (
            (self._frames.native, request.has_frames),
            (self._channel, bool(request.channels)),
            (self._window, bool(request.windows)),
        ):
            label = self._form.labelForField(field)
            assert label is not None
            label.setVisible(is_shown)
            field.setVisible(is_shown)
        for name in ("carry", "right"):
            self._tools[name].setVisible(request.has_frames)
        sentences = {problem.field: problem.sentence for problem in reversed(request.problems)}
        for name, field in self._fields.items():
            mark(field, sentences.get(name, ""))
        first = request.problems[0] if request.problems else None
        # What is wrong with the device stands under the device already.
        self.run_row.set_why_not(first.sentence if first else "", say=first is not None and first.field != "device")

    def set_preview(self, sentence: str) -> None:
        """Say which planes would be segmented."""
        if sentence != self._plan.sentence:
            self._plan.say(sentence)

    def set_left(self, frames: int) -> None:
        """Offer to go on with the frames that a stopped run has left, or to segment as usual where there are none."""
        go_on = (f"Continue: {counted(frames, self._noun)} left", f"Segment the {self._noun}s that are left.")
        self.run_row.set_label(*(go_on if frames else SEGMENT))
        self._again.setVisible(bool(frames))

    def set_probability(self, wanted: bool) -> None:
        """Tick the box or not."""
        with self._probability.changed.blocked():
            self._probability.value = wanted

    def set_mask_key(self, key: str) -> None:
        """Show the key that shows or hides the mask; empty for none."""
        self._tools["mask"].setText(f"{_TOOLS['mask'][0]}  {key}".rstrip())

    def set_boxing(self, state: str) -> None:
        """Show what the box is doing: ``"idle"``, ``"drawing"`` or ``"running"``."""
        self._tools["box"].setText(_TOOLS["box"][0] if state == "idle" else "Cancel box")

    def set_carrying(self, busy: bool) -> None:
        """Show whether slices are being drawn, which a press then stops."""
        self._tools["carry"].setText("Stop" if busy else _TOOLS["carry"][0])

    def set_why_no_mask(self, sentence: str) -> None:
        """Disable what needs a mask, with the reason; an empty sentence enables it."""
        need_mask = (self._tools[name] for name in self._tools.keys() - {"load"})
        set_why_not((*need_mask, *self.clean_up_row.buttons), sentence)
        self.class_row.set_why_not(sentence)

    def _lay_out(self) -> QFormLayout:
        choices = form(
            ("Image", self._image),
            ("", self._description),
            ("Frames", self._frames.native),
            ("", self._plan),
            ("Channel", self._channel),
            ("Grey\nvalues", self._window),
            ("", self._note),
            ("Model", self.model_row),
            ("Device", self.device_row),
            ("", self._native.native),
        )
        threshold = fill(QHBoxLayout(), QLabel("Threshold"), self.threshold_row, spacing=8)
        tools = (
            _heading("Look"),
            self._row("mask", "spot"),
            self._probability.native,
            _heading("Correct"),
            self.class_row,
            threshold,
            self._row("box"),
            self._row("carry", "right"),
            self.carry_question,
            self.clean_up_row,
            self.measure_fold,
            self._row("save", "load"),
        )
        asked = (self._again, self.question, self.restore)
        said = (self.light, self._status, self.saved)
        fill(QVBoxLayout(self), choices, self.run_row, *asked, *said, *tools, margin=8, spacing=5).addStretch(1)
        return choices

    def _name_frames(self, noun: str) -> None:
        """Call the planes of a stack frames or slices."""
        self._noun = noun
        label = self._form.labelForField(self._frames.native)
        assert isinstance(label, QLabel)
        label.setText(f"{noun.capitalize()}s")
        self._tools["right"].setText(f"{noun.capitalize()} is right")
        self._again.setToolTip(f"Segment all {noun}s again.")

    def _row(self, *names: str) -> QHBoxLayout:
        return fill(QHBoxLayout(), *(self._tools[name] for name in names))

    def _button(self, name: str, text: str, tooltip: str) -> QPushButton:
        return push_button(text, tooltip, partial(self.pressed.emit, name))


def _heading(text: str) -> QLabel:
    """The name of a group of tools."""
    label = QLabel(text)
    label.setStyleSheet("font-weight: bold;")
    return label
