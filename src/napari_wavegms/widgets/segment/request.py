"""From what is wished and what is there to what a run would do, or why it can do nothing: one frozen answer."""

from __future__ import annotations

from dataclasses import dataclass

from napari_wavegms.errors import InputError
from napari_wavegms.segment.planes import ChannelNeeded, StackPlan
from napari_wavegms.widgets.forms.device_row import device_hint, installed_torch
from napari_wavegms.widgets.layers.image_info import FieldProblem, ImageFacts, SegmentOptions

NO_IMAGE = "No image is open. Open one with File → Open, or a sample with File → Open Sample → Wave-GMS."
NO_MODEL = "No model is installed here. Open a model file with the … button."


@dataclass(frozen=True, slots=True, eq=False)
class Resolved:
    """What a press on Segment would do.

    Attributes
    ----------
    facts : ImageFacts or None
        The chosen image; None without one.
    plan : StackPlan or None
        The planes to segment; None where the image or the wishes do not allow any.
    complaints : tuple of FieldProblem
        Why it cannot be done; empty where it can.
    """

    facts: ImageFacts | None = None
    plan: StackPlan | None = None
    complaints: tuple[FieldProblem, ...] = ()

    @property
    def has_frames(self) -> bool:
        """Whether there is a choice between one frame and all."""
        return self.plan is not None and bool(self.plan.frame_axes)

    @property
    def preview(self) -> str:
        """Which planes would be segmented; empty for a plain image, whose description says it all."""
        if self.plan is None or (not self.plan.frame_axes and self.plan.channel_axis is None):
            return ""
        return f"Segments {self.plan.sentence}"


def resolve(facts: ImageFacts | None, wishes: SegmentOptions, refused: FieldProblem | None) -> Resolved:
    """Bring wishes and facts together.

    Parameters
    ----------
    facts : ImageFacts or None
        The chosen image as it is.
    wishes : SegmentOptions
    refused : FieldProblem or None
        What the last run found wrong with a wish that still stands.
    """
    if facts is None:
        return Resolved(complaints=(FieldProblem("image", NO_IMAGE),))
    plan, complaints = None, [] if refused is None else [refused]
    try:
        plan = facts.plan(wishes)
    except ChannelNeeded as error:
        count = len(error.choices)  # counted from 1 here, as in the list and in the plan's sentence
        sentence = f"This image has {count} channels; Wave-GMS reads grey or RGB. Choose one under Channel."
        complaints.append(FieldProblem("channel", sentence))
    except InputError as error:
        complaints.append(FieldProblem("image", str(error)))
    if wishes.model is None:
        complaints.append(FieldProblem("model", NO_MODEL))
    hint = device_hint(wishes.device, installed_torch())
    if hint.impossible:
        complaints.append(FieldProblem("device", hint.sentence))
    return Resolved(facts, plan, tuple(complaints))
