"""Carry on: the slices around those that a person has fixed follow, shown as outlines until they are accepted."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Labels
from napari.utils.colormaps import CyclicLabelColormap
from qtpy.QtCore import QObject, Signal

from napari_wavegms.errors import InputError
from napari_wavegms.segment.between import NONE_FIXED, Carried, carry_on
from napari_wavegms.segment.planes import StackPlan, in_volume, used_window
from napari_wavegms.segment.preprocessing import Window
from napari_wavegms.segment.segmenter_cache import LoadSegmenter, Progress, SegmenterCache
from napari_wavegms.widgets.forms.model_row import ModelChoice
from napari_wavegms.widgets.jobs import JobRunner, Outcome, cached_segmenter
from napari_wavegms.widgets.layers import mask_layers
from napari_wavegms.widgets.layers.image_info import ImageFacts
from napari_wavegms.widgets.layers.mask_history import MaskMemory, PlaneKey, Written, memory_of, plane_key, read_plane
from napari_wavegms.widgets.layers.mask_history import selection as place_of
from napari_wavegms.widgets.layers.placement import Placement
from napari_wavegms.widgets.layers.viewer import remove_layers
from napari_wavegms.widgets.qt.question import Question
from napari_wavegms.widgets.segment.request import SegmentRequest
from napari_wavegms.wording import counted

_OUTLINES = CyclicLabelColormap(colors=["transparent", "yellow", "magenta", "lime"], background_value=0)
_ANSWERS = {
    "use": ("Use", "Write the outlined masks; one Ctrl+Z takes all of them back."),
    "discard": ("Discard", "Leave the masks as they are."),
}


@dataclass(frozen=True, slots=True, eq=False)
class CarryRequest:
    """What the worker needs: slices in order, of one stack."""

    pixels: Any
    plan: StackPlan  # of all slices
    numbers: range  # those of the stack in the plan
    keys: tuple[PlaneKey, ...]  # and in the mask
    fixed: Mapping[int, Any]  # masks by the number of their slice
    model: ModelChoice
    device: str
    threshold: float
    window: Window | None  # grey values that become black and white; None for what the model's card says
    # Written by the model, by the number of the slice.
    written: Mapping[int, Written]
    # Probabilities of the model by the number of the slice; the worker adds those that it computes.
    known: dict[int, Any] = field(default_factory=dict)


def carry_job(
    request: CarryRequest, load: LoadSegmenter, cache: SegmenterCache
) -> Generator[Progress, None, tuple[list[Carried], tuple[float, float] | None]]:
    """Draw the slices that are not fixed, and give the range of grey values; runs in the worker's thread."""
    segmenter = yield from cached_segmenter(request.model.path, request.device, load, cache, request.window)
    segmenter = in_volume(segmenter, request.pixels, request.plan)
    indices, window = request.plan.indices, used_window(segmenter, request.pixels)
    for number, written in request.written.items():
        if written.window == window:
            request.known.setdefault(number, written.probability)

    def probability_of(number: int) -> Any:
        if number not in request.known:
            plane = np.asarray(request.pixels[indices[request.numbers[number]]])
            request.known[number] = segmenter.segment(plane).confidence
        return request.known[number]

    made: list[Carried] = []
    noun = request.plan.noun
    for number in request.fixed:  # here rather than inside, where nothing can stop it
        yield Progress(f"Carrying on: comparing the model with the fixed {noun}s…")
        probability_of(number)
    for one in carry_on(request.fixed, probability_of, len(request.keys), request.threshold):
        made.append(one)
        yield Progress(f"Carrying on: {counted(len(made), noun)} drawn…")
    return made, window


class CarryOn(QObject):
    """Works on the last axis of slices or frames of one mask at a time.

    Fixed are the slices that a person edited, and those that a person called right. A press starts; another one stops.
    """

    said = Signal(str, str)  # a sentence, and "problem" where it is one
    busy_changed = Signal(bool)

    def __init__(
        self, viewer: ViewerModel, question: Question, load: LoadSegmenter, cache: SegmenterCache, parent: QObject
    ) -> None:
        super().__init__(parent)
        self._viewer, self._question, self._load, self._cache = viewer, question, load, cache
        self._request: CarryRequest | None = None
        self._mask: Labels | None = None
        self._made: list[Carried] = []
        self._range: tuple[float, float] | None = None  # of grey values, of those
        self._preview: Labels | None = None
        self._runner = JobRunner(self)
        self._runner.progressed.connect(lambda event: self.said.emit(event.sentence, ""))
        self._runner.ended.connect(self._on_end)
        question.answered.connect(self.answer)

    def call_right(self, mask: Labels | None) -> None:
        """Count the slice on screen as fixed although nobody edited it, or no longer."""
        memory = memory_of(mask)
        if mask is None or memory is None or (why_not := mask_layers.why_not_write(self._viewer, mask)):
            self.said.emit(mask_layers.NO_MASK if mask is None or memory is None else why_not, "problem")
            return
        key = mask_layers.plane_on_screen(self._viewer, mask)
        memory.right ^= {key}
        now = "is fixed: Carry on will not change it" if key in memory.right else "is no longer called right"
        self.said.emit(f"What is shown {now}.", "")

    def press(self, mask: Labels | None, facts: ImageFacts | None, chosen: SegmentRequest, threshold: float) -> None:
        """Start, or stop what runs."""
        if self._runner.busy:
            self._runner.cancel()
            return
        self.answer("discard")
        try:
            request = self._make(mask, facts, chosen, threshold)
        except InputError as error:
            self.said.emit(str(error), "problem")
            return
        self._request, self._mask = request, mask
        self.busy_changed.emit(True)
        self._runner.start(partial(carry_job, request, self._load, self._cache))

    def close(self) -> None:
        """Stop, and take the preview away."""
        if self._runner.busy:
            self._runner.abandon()
            self.busy_changed.emit(False)
        self.answer("discard")

    def answer(self, how: str) -> None:
        """Do what was answered to the preview: ``"use"`` or ``"discard"`` it."""
        remove_layers(self._viewer, self._preview)
        self._preview, made, self._made = None, self._made, []
        self._question.dismiss()
        request, mask, memory = self._request, self._mask, memory_of(self._mask)
        if how != "use" or request is None or mask is None or memory is None or mask not in self._viewer.layers:
            return
        planes = {
            request.keys[one.number]: Written(one.probability, request.threshold, one.labels, self._range)
            for one in made
            if not _is_fixed(mask, memory, request.keys[one.number])  # edited while the preview was shown
        }
        mask_layers.update_mask(mask, request.model.name, planes, "replace")
        mask_layers.hand_to_painter(self._viewer, mask)
        noun = request.plan.noun
        worth = "" if not made else f" The next one worth correcting is {noun} {_most_doubtful(made) + 1}."
        self.said.emit(f"{counted(len(planes), noun)} drawn.{worth} Press Ctrl+Z to undo.", "")

    def _make(
        self, mask: Labels | None, facts: ImageFacts | None, chosen: SegmentRequest, threshold: float
    ) -> CarryRequest:
        memory, model = memory_of(mask), chosen.options.model
        if mask is None or memory is None or facts is None or model is None:
            raise InputError(mask_layers.NO_MASK)
        plan = facts.plan(every=True, channel=memory.channel)
        numbers = _slices_of(plan, facts.current)
        keys = tuple(plane_key(plan.label_index(number)) for number in numbers)
        fixed = {at: np.array(read_plane(mask, key)) for at, key in enumerate(keys) if _is_fixed(mask, memory, key)}
        if not any(plane.any() for plane in fixed.values()):
            raise InputError(NONE_FIXED)
        before, known = self._request, {}
        if before is not None and before.pixels is facts.pixels:
            same = (before.keys, before.model.path, before.window) == (keys, model.path, chosen.window)
            known = dict(before.known) if same else {}
        written = {}
        if memory.model == model.name:
            for at, key in enumerate(keys):
                ours = memory.plane(key).ours(read_plane(mask, key))
                if ours is not None and ours.labels is None:
                    written[at] = ours
        device, window = chosen.options.device, chosen.window
        return CarryRequest(facts.pixels, plan, numbers, keys, fixed, model, device, threshold, window, written, known)

    def _on_end(self, outcome: Outcome) -> None:
        self.busy_changed.emit(False)
        request, mask = self._request, self._mask
        if outcome.error is not None:
            self.said.emit(str(outcome.error), "problem")
        elif outcome.cancelled or request is None or mask is None or mask not in self._viewer.layers:
            self.said.emit("Stopped. Nothing was changed.", "")
        elif not outcome.result[0]:
            self.said.emit(
                f"There is nothing to draw: no {request.plan.noun} lies between fixed ones, and beyond them the model "
                f"sees nothing that goes on. Fix {request.plan.noun}s further apart.",
                "",
            )
        else:
            self._made, self._range = outcome.result
            self._show(request, mask)

    def _show(self, request: CarryRequest, mask: Labels) -> None:
        """Show what was drawn as an outline, and go to the slice of the largest doubt."""
        data = np.zeros(mask.data.shape, mask.data.dtype)
        for one in self._made:
            key = request.keys[one.number]
            data[place_of(key)] = Written(one.probability, request.threshold, one.labels).mask()
        active = self._viewer.layers.selection.active
        self._preview = self._viewer.add_labels(
            data,
            name=f"{str(mask.name).removesuffix(' mask')} carried on",
            **Placement.of(mask).as_arguments(),
        )
        self._preview.metadata[mask_layers.SHOWN_BY_US] = True
        self._preview.colormap = _OUTLINES
        self._preview.contour, self._preview.opacity, self._preview.editable = 2, 1, False
        self._viewer.layers.selection.active = active
        doubtful = _most_doubtful(self._made)
        mask_layers.go_to(self._viewer, mask, request.keys[doubtful])
        self.said.emit("", "")
        noun = request.plan.noun
        drawn, fixed = counted(len(self._made), noun), counted(len(request.fixed), f"fixed {noun}")
        sentence = f"{drawn} drawn from {fixed}. {noun.capitalize()} {doubtful + 1}, shown, is the most doubtful."
        self._question.ask(sentence, _ANSWERS, preferred="use")


def _most_doubtful(made: list[Carried]) -> int:
    return max(made, key=lambda one: one.doubt).number


def _is_fixed(mask: Labels, memory: MaskMemory, key: PlaneKey) -> bool:
    """Whether a person edited a slice, or called it right."""
    return key in memory.right or memory.edited_pixels(mask.data, [key]) > 0


def _slices_of(plan: StackPlan, current: tuple[int, ...]) -> range:
    """The planes along the last axis of slices or frames, at the present place along others."""
    if not plan.frame_axes:
        raise InputError("This image is a single plane; Carry on needs a stack of slices or frames.")
    length = plan.shape[plan.frame_axes[-1]]
    here = plan.order_from(current)[0]
    return range(here - here % length, here - here % length + length)
