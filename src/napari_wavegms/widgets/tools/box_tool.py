"""Draw one rectangle, and the model looks again inside it: one box, one undo step."""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from napari.layers import Image, Labels, Shapes
from qtpy.QtCore import QObject, Signal

from napari_wavegms.errors import InputError
from napari_wavegms.segment.box_prompt import Box, BoxResult, pasted
from napari_wavegms.segment.planes import StackPlan
from napari_wavegms.segment.segmenter_cache import (
    SEGMENTER_CACHE,
    LoadSegmenter,
    Progress,
    SegmenterCache,
    load_segmenter,
)
from napari_wavegms.widgets.jobs import JobRunner, Outcome
from napari_wavegms.widgets.layers.image_info import ChannelChoice, ImageFacts, SegmentOptions
from napari_wavegms.widgets.layers.mask_history import Mask, PlaneKey, Probability, memory_of, plane_key
from napari_wavegms.widgets.layers.mask_layers import NO_MASK, active_mask, layer_by_id, plane_on_screen, why_not_write
from napari_wavegms.widgets.layers.overlay_layers import is_probability_layer
from napari_wavegms.widgets.layers.placement import Placement
from napari_wavegms.widgets.layers.stroke_guard import DragWatch
from napari_wavegms.widgets.layers.undoable import read_plane, write_planes
from napari_wavegms.widgets.layers.viewer import camera_of
from napari_wavegms.widgets.qt.lifetime import single_shot
from napari_wavegms.widgets.tools.box_job import BoxRequest, box_job

if TYPE_CHECKING:
    from napari.components import ViewerModel

State = Literal["idle", "drawing", "running"]
DRAW = "Drag a box around the structure. Escape puts the box away."
NOTHING = "The model finds nothing in this box, so nothing was changed. Draw it closer, or use the brush."
LOST = "The mask was removed or changed its size while Wave-GMS looked into the box; the answer was dropped."
_PAINTING = {"paint", "erase", "fill", "polygon"}
_EDGE = 2  # pixels of the screen


@dataclass(frozen=True, slots=True)
class BoxChoices:
    """What is chosen in the panel when a box is drawn.

    Attributes
    ----------
    name : str
        The model's name, which tells whether an earlier probability is from the same one.
    model : pathlib.Path
    device : str
    threshold : float
        In (0, 1).
    channel : ChannelChoice or None
    """

    name: str
    model: Path
    device: str = "auto"
    threshold: float = 0.5
    channel: ChannelChoice | None = None


@dataclass(frozen=True, slots=True)
class BoxPasted:
    """What a box has changed in a mask."""

    mask_id: Hashable
    key: PlaneKey
    box: Box
    added: int
    removed: int

    @property
    def sentence(self) -> str:
        """What happened, in words."""
        if not self.added and not self.removed:
            return "Box: the model finds what is drawn there already."
        counts = ((self.added, "added"), (self.removed, "removed"))
        changes = " and ".join(f"{count:,} px {verb}" for count, verb in counts if count)
        return f"Box: {changes}. Ctrl+Z takes it back."


@dataclass(frozen=True, slots=True, eq=False)
class _Target:
    """Where the box is drawn: a plane of a mask, and the plane of the image under it."""

    mask: Labels
    mask_shape: tuple[int, ...]
    key: PlaneKey
    pixels: Any
    index: tuple[int | slice, ...]
    choices: BoxChoices

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the plane."""
        rows, columns = (length for length, at in zip(self.mask_shape, self.key, strict=True) if at is None)
        return rows, columns


class BoxTool(QObject):
    """Works on the active mask, whoever made it.

    A pixel of another label than the one being painted is left alone. Nothing is noted in the mask's memory: what a box
    drew counts as a person's edit, so that a later run keeps it.

    Parameters
    ----------
    viewer : ViewerModel
    choices : callable
        Gives the model, device and threshold of the moment, or None without a model.
    why_not : callable, optional
        Says why a mask may not be written to, such as one that is approved; an empty sentence where it may.
    load, shelf
        Where segmenters come from, and where they wait for the next run.

    Signals
    -------
    said(str, str)
        A sentence for the status line, and ``"problem"`` where it is one.
    state_changed(str)
        ``"idle"``, ``"drawing"`` or ``"running"``.
    pasted(BoxPasted)
        The mask has been written to, or was found to need nothing.
    """

    said = Signal(str, str)
    state_changed = Signal(str)
    pasted = Signal(object)

    def __init__(
        self,
        viewer: ViewerModel,
        choices: Callable[[], BoxChoices | None],
        *,
        why_not: Callable[[Labels], str] = lambda _mask: "",
        load: LoadSegmenter = load_segmenter,
        shelf: SegmenterCache = SEGMENTER_CACHE,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._choices = choices
        self._why_not = why_not
        self._load = load
        self._shelf = shelf
        self._state: State = "idle"
        self._target: _Target | None = None
        self._box: Box | None = None
        self._sketch: Shapes | None = None
        self._corners = np.zeros((2, 2))
        self._watch: DragWatch | None = None
        self._runner = JobRunner(self)
        self._runner.progressed.connect(self._on_progress)
        self._runner.ended.connect(self._on_end)
        # A rectangle is taken from the layer after napari has finished drawing it, not while it does.
        self._take_soon = single_shot(self, 0, self._take)
        # Nor is the layer removed while napari is about to remove it, or to select another one.
        self._leave_soon = single_shot(self, 0, self._leave)

    @property
    def state(self) -> State:
        """What is going on."""
        return self._state

    def start(self) -> None:
        """Let a person draw the box; a second call puts it away again, or drops the answer that is on its way."""
        if self._state != "idle":
            self.cancel()
            return
        try:
            self._target = self._find_target()
        except InputError as error:
            self.said.emit(str(error), "problem")
            return
        self._open_sketch(self._target.mask)
        self._set_state("drawing")
        self.said.emit(DRAW, "")

    def cancel(self) -> None:
        """Put the box away, or drop the answer that is on its way; nothing is written."""
        if self._state == "idle":
            return
        self._runner.abandon()
        self._end()
        self.said.emit("The box was put away; nothing was changed.", "")

    def close(self) -> None:
        """Let go of everything."""
        self._runner.abandon()
        self._end()

    # Drawing

    def _find_target(self) -> _Target:
        choices, mask = self._choices(), active_mask(self._viewer)
        if choices is None:
            raise InputError("No model is chosen. Choose one, or open a model file with the … button.")
        if mask is None:
            raise InputError(NO_MASK)
        if sentence := why_not_write(self._viewer, mask) or self._why_not(mask):
            raise InputError(sentence)
        facts, plan = self._image_of(mask, choices.channel)
        key = plane_key(plan.label_index(0))
        if key != plane_on_screen(self._viewer, mask):
            raise InputError(
                "The view shows this image from the side. Press Ctrl+E until rows and columns are on screen, "
                "and draw the box then."
            )
        return _Target(mask, mask.data.shape, key, facts.pixels, plan.indices[0], choices)

    def _image_of(self, mask: Labels, channel: ChannelChoice | None) -> tuple[ImageFacts, StackPlan]:
        """Find the image under a mask: the one it was made from, or else the topmost that it covers."""
        memory = memory_of(mask)
        images = [
            layer
            for layer in reversed(self._viewer.layers)
            if isinstance(layer, Image) and not is_probability_layer(layer)
        ]
        if memory is not None:
            images = [layer for layer in images if layer.unique_id == memory.image_id] or images
        refused: InputError | None = None
        for layer in images:
            facts = ImageFacts.of(layer, tuple(self._viewer.dims.point))
            try:
                plan = facts.plan(SegmentOptions(layer.unique_id, channel=channel))
            except InputError as error:
                refused = refused or error
                continue
            if plan.labels_shape == mask.data.shape:
                return facts, plan
        raise refused or InputError(
            f"No open image has the size of {mask.name}, so there is nothing to look at. Open its image."
        )

    def _open_sketch(self, mask: Labels) -> None:
        pixel = max(1e-9, camera_of(self._viewer).zoom * float(np.abs(mask.scale[-2:]).mean()))
        sketch = self._viewer.add_shapes(
            ndim=mask.ndim,
            name="Box to look into",
            edge_color="yellow",
            face_color="transparent",
            edge_width=_EDGE / pixel,
            **Placement.of(mask).as_arguments(),
        )
        sketch.current_edge_width = _EDGE / pixel
        sketch.bind_key("Escape", lambda _layer: self.cancel(), overwrite=True)
        sketch.mode = "add_rectangle"
        # Behind napari's own callback, which draws: the layer may lag behind a quick hand, press and release do not.
        sketch.mouse_drag_callbacks.append(self._on_drag)
        self._sketch = sketch
        self._viewer.layers.selection.active = sketch
        self._viewer.layers.selection.events.active.connect(self._on_left)
        self._viewer.dims.events.ndisplay.connect(self._on_left)

    def _on_drag(self, sketch: Shapes, event: Any) -> Generator[None, None, None]:
        start = sketch.world_to_data(event.position)
        yield
        while event.type == "mouse_move":
            yield
        self._corners = np.array([start, sketch.world_to_data(event.position)], float)
        self._take_soon.start()

    def _on_left(self, _event: object = None) -> None:
        self._leave_soon.start()

    def _leave(self) -> None:
        """Put the box away if another layer was chosen, the sketch removed or the view turned to 3-D."""
        if self._viewer.layers.selection.active is not self._sketch or self._viewer.dims.ndisplay != 2:
            self.cancel()

    def _take(self) -> None:
        """Look into the rectangle that was drawn."""
        sketch, target = self._sketch, self._target
        if sketch is None or target is None:
            return
        in_plane = [axis for axis, at in enumerate(target.key) if at is None]
        try:
            self._box = Box.around(self._corners[:, in_plane], target.shape)
        except InputError as error:
            sketch.data = []
            self.said.emit(str(error), "problem")
            return
        self._close_sketch()
        self._watch = DragWatch(target.mask)
        self._set_state("running")
        choices = target.choices
        request = BoxRequest(
            target.pixels,
            target.index,
            self._box,
            choices.model,
            choices.device,
            choices.threshold,
            self._whole(target),
        )
        self._runner.start(partial(box_job, request, self._load, self._shelf))

    def _whole(self, target: _Target) -> Probability | None:
        """Give what the same model has said of the whole plane, where we know it."""
        memory = memory_of(target.mask)
        plane = None if memory is None else memory.planes.get(target.key)
        if memory is None or plane is None or memory.model != target.choices.name:
            return None
        ours = plane.ours(read_plane(target.mask, target.key))
        return None if ours is None else ours.probability

    def _close_sketch(self) -> None:
        """Take the temporary layer out, and give the brush back."""
        sketch, self._sketch = self._sketch, None
        self._take_soon.stop()
        self._leave_soon.stop()
        if sketch is None:
            return
        self._viewer.layers.selection.events.active.disconnect(self._on_left)
        self._viewer.dims.events.ndisplay.disconnect(self._on_left)
        was_active = self._viewer.layers.selection.active in (sketch, None)
        if sketch in self._viewer.layers:
            self._viewer.layers.remove(sketch)
        mask = None if self._target is None else layer_by_id(self._viewer, self._target.mask.unique_id)
        if mask is not None and was_active:
            self._viewer.layers.selection.active = mask
            if mask.mode not in _PAINTING:
                mask.mode = "paint"

    # The answer

    def _on_progress(self, event: object) -> None:
        if isinstance(event, Progress):
            self.said.emit(event.sentence, "")

    def _on_end(self, outcome: Outcome) -> None:
        if outcome.error is not None or not isinstance(outcome.result, BoxResult) or self._watch is None:
            self._end()
            if outcome.error is not None:
                self.said.emit(str(outcome.error), "problem")
            return
        self._watch.when_free(partial(self._paste, outcome.result))

    def _paste(self, result: BoxResult) -> None:
        target, box = self._target, self._box
        self._end()
        if target is None or box is None:
            return
        mask = target.mask
        if layer_by_id(self._viewer, mask.unique_id) is None or mask.data.shape != target.mask_shape:
            self.said.emit(LOST, "problem")
        elif sentence := self._why_not(mask):  # it may have been approved meanwhile
            self.said.emit(sentence, "problem")
        elif not result.mask.any():
            self.said.emit(NOTHING, "problem")
        else:
            before = np.array(read_plane(mask, target.key))
            after = pasted(before, result, _label_for(int(mask.selected_label), before))
            write_planes(mask, {target.key: after})
            added, removed = ((before == 0) & (after != 0)).sum(), ((before != 0) & (after == 0)).sum()
            report = BoxPasted(mask.unique_id, target.key, box, int(added), int(removed))
            self.said.emit(report.sentence, "")
            self.pasted.emit(report)

    def _end(self) -> None:
        self._close_sketch()
        if self._watch is not None:
            self._watch.close()
        self._watch = self._target = self._box = None
        self._set_state("idle")

    def _set_state(self, state: State) -> None:
        if state != self._state:
            self._state = state
            self.state_changed.emit(state)


def _label_for(selected: int, plane: Mask) -> int:
    """Choose the label to draw with: the brush's, unless the plane has just one and that is another, such as 255."""
    there = np.unique(plane[plane != 0])
    return int(there[0]) if there.size == 1 and selected not in there else selected or 1
