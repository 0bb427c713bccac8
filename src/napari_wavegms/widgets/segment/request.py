"""What a press on Segment would do: one frozen value, made of the image and of what is chosen in the panel."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from napari_wavegms.errors import InputError
from napari_wavegms.model.registry import NO_MODEL
from napari_wavegms.segment.planes import ChannelNeeded, StackPlan
from napari_wavegms.segment.preprocessing import VOLUME, WINDOWS, Window
from napari_wavegms.segment.refine import Detail, Pyramid
from napari_wavegms.widgets.forms.device_row import device_hint, installed_torch
from napari_wavegms.widgets.forms.model_row import ModelChoice
from napari_wavegms.widgets.layers.image_info import ChannelChoice, ImageFacts

NO_IMAGE = "No image is open. Open one with File → Open, or a sample with File → Open Sample → Wave-GMS."

Field = Literal["image", "frames", "channel", "model", "device"]
DISPLAYED = "displayed"
"""What is chosen instead of a window where it is to be that of the viewer."""


@dataclass(frozen=True, slots=True)
class SegmentOptions:
    """What is chosen in the panel."""

    image: Hashable | None = None  # unique_id of the image layer
    every: bool = False  # all frames, not only the one shown
    channel: ChannelChoice | None = None  # None: no channels, or the one shown of an axis that is labelled as channels
    model: ModelChoice | None = None
    device: str = "auto"
    window: Window | None = None  # which grey values become black and white; None: what the model's card says
    detail: Detail = "whole"


@dataclass(frozen=True, slots=True)
class Problem:
    """An option that cannot be met: the field it was chosen in, and a sentence that says why and what to do."""

    field: Field
    sentence: str


@dataclass(frozen=True, slots=True)
class SegmentRequest:
    """What a press on Segment would do, or why it can do nothing."""

    options: SegmentOptions  # with the image that is meant, and a channel only where the image has it
    problems: tuple[Problem, ...]  # why nothing can be segmented; empty where it can
    image_name: str = ""
    description: str = ""  # what the image is, in a line
    windows: tuple[tuple[str, Window | None], ...] = ()  # ranges of grey values that may be chosen, by name
    window: Window | None = None  # the one that is used
    note: str = ""  # what speaks against it
    channels: tuple[tuple[str, ChannelChoice | None], ...] = ()  # what may be chosen, by name
    plan: StackPlan | None = None  # the planes to segment; None where there are none
    pixels: Any = field(default=None, compare=False, repr=False)  # the layer's array, read plane by plane
    levels: Any = field(default=None, compare=False, repr=False)  # of a multiscale layer, the finest first
    order: tuple[int, ...] = field(default=(), compare=False, repr=False)  # of the planes, the one on screen first
    along: str = ""  # how the planes lie: the axis that is gone through, and what slices along it are called
    aside: str = field(default="", compare=False)  # what the viewer shows where it shows no such plane

    @property
    def array(self) -> Any:
        """What is read to segment it: of a multiscale layer, windows of the level that fits."""
        return self.pixels if self.levels is None else Pyramid(self.levels)

    @property
    def has_frames(self) -> bool:
        """Whether there is a choice between one frame and all."""
        return self.plan is not None and bool(self.plan.frame_axes)

    @property
    def preview(self) -> str:
        """Which planes would be segmented; empty for a plain image, whose description says it all."""
        if self.plan is None or (not self.plan.frame_axes and self.plan.channel_axis is None):
            return ""
        goes_on = self.plan.position is None and len(self.plan.frame_axes) == 1
        outwards = f", from {self.plan.noun} {self.order[0] + 1} outwards" if goes_on else ""
        return f"Segments {self.plan.sentence}{self.along}{outwards}. {self.aside}".rstrip()


def make_request(facts: ImageFacts | None, options: SegmentOptions, refused: Problem | None) -> SegmentRequest:
    """Bring an image and the options together; `refused` is what the last run found wrong with them."""
    if facts is None:
        return SegmentRequest(options, (Problem("image", NO_IMAGE),))
    channels = tuple(facts.channel_choices(options.every))
    channel = options.channel if options.channel in {choice for _, choice in channels} else None
    plan, problems = None, [] if refused is None else [refused]
    try:
        plan = facts.plan(options.every, channel)
    except ChannelNeeded as error:
        count = len(error.choices)  # counted from 1 here, as in the list and in the plan's sentence
        sentence = f"This image has {count} channels; Wave-GMS reads grey or RGB. Choose one under Channel."
        problems.append(Problem("channel", sentence))
    except InputError as error:
        problems.append(Problem("image", str(error)))
    if options.model is None:
        problems.append(Problem("model", NO_MODEL))
    hint = device_hint(options.device, installed_torch())
    if hint.impossible:
        problems.append(Problem("device", hint.sentence))
    windows = window_choices(facts, plan)
    choice = options.window if options.window in dict(windows).values() else None
    options = replace(options, image=facts.layer_id, channel=channel, window=choice)
    odd = choice in WINDOWS.values() and facts.values[0] >= 0  # air is -1000
    return SegmentRequest(
        options,
        tuple(problems),
        facts.name,
        facts.description,
        windows=windows,
        window=facts.displayed if choice == DISPLAYED else choice,
        note=f"{facts.name} has no value below 0, so it is hardly in Hounsfield units." * odd,
        channels=channels,
        plan=plan,
        pixels=facts.pixels,
        levels=facts.levels,
        order=() if plan is None else plan.order_from(facts.current),
        along=_along(facts, plan),
        aside=_aside(facts, plan),
    )


def _along(facts: ImageFacts, plan: StackPlan | None) -> str:
    if plan is None or plan.noun != "slice":
        return ""
    axis = plan.frame_axes[-1]
    return f", axis {axis}" + (f" ({facts.planes[axis]})" if facts.planes[axis] else "")


def _aside(facts: ImageFacts, plan: StackPlan | None) -> str:
    if plan is None or len(facts.seen) != 2 or not plan.frame_axes or {*facts.seen} == {*plan.plane_axes}:
        return ""
    hidden = [axis for axis in plan.plane_axes if axis not in facts.seen]
    name = facts.planes[hidden[-1]]
    return f"The view is from another side{f' ({name})' * bool(name)}; press Ctrl+E to turn it."


def window_choices(facts: ImageFacts, plan: StackPlan | None) -> tuple[tuple[str, Window | None], ...]:
    """Ranges of grey values that may be chosen for an image, by name; empty where its values are used as they are."""
    if facts.rgb or facts.dtype in (np.bool_, np.uint8):
        return ()
    whole: tuple[tuple[str, Window | None], ...] = (("of the whole volume", VOLUME),)
    return (
        ("as the model says", None),
        *(whole if plan is not None and plan.frame_axes else ()),
        ("as displayed", DISPLAYED),
        *((f"CT {name}, {low:g} to {high:g} HU", (low, high)) for name, (low, high) in WINDOWS.items()),
    )
