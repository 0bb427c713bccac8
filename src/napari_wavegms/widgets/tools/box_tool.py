"""Draw one rectangle, and the model segments again inside it: one box, one undo step."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from napari.components import ViewerModel
from napari.layers import Labels, Shapes
from qtpy.QtCore import QObject, Signal

from napari_wavegms.errors import InputError
from napari_wavegms.model.registry import NO_MODEL
from napari_wavegms.segment.box_prompt import Box, BoxResult, pasted, segment_box
from napari_wavegms.segment.planes import StackPlan, in_volume, used_window
from napari_wavegms.segment.preprocessing import Window
from napari_wavegms.segment.segmenter_cache import LoadSegmenter, Progress, SegmenterCache
from napari_wavegms.widgets.jobs import JobRunner, Outcome, cached_segmenter
from napari_wavegms.widgets.layers import mask_layers
from napari_wavegms.widgets.layers.image_info import ChannelChoice, ImageFacts
from napari_wavegms.widgets.layers.mask_history import Mask, PlaneKey, Written, memory_of, plane_key, read_plane
from napari_wavegms.widgets.layers.placement import Placement
from napari_wavegms.widgets.layers.stroke_guard import DragWatch
from napari_wavegms.widgets.layers.undoable import describe_change, write_planes
from napari_wavegms.widgets.layers.viewer import camera_of, remove_layers
from napari_wavegms.widgets.qt.lifetime import single_shot

State = Literal["idle", "drawing", "running"]
DRAW = "Drag a box around the structure. Press Escape to cancel."
CANCELLED = "Box cancelled. The mask is unchanged."
NOTHING = "The model found nothing in this box, so the mask is unchanged. Draw the box closer, or use the brush."
UNCHANGED = "Box: the model agrees with the mask, which is unchanged."
LOST = "The mask was removed or resized during segmentation, so the result was discarded."
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
    window : tuple of float, str or None
        Which grey values become black and white; None for what the model's card says.
    """

    name: str
    model: Path
    device: str = "auto"
    threshold: float = 0.5
    channel: ChannelChoice | None = None
    window: Window | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Target:
    """Where the box is drawn: a plane of a mask, and the plane of the image under it."""

    mask: Labels
    mask_shape: tuple[int, ...]
    key: PlaneKey
    pixels: Any
    plan: StackPlan
    choices: BoxChoices

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the plane."""
        rows, columns = (length for length, at in zip(self.mask_shape, self.key, strict=True) if at is None)
        return rows, columns

    def whole(self) -> Written | None:
        """What the same model has given for the whole plane, where it is known."""
        memory = memory_of(self.mask)
        plane = None if memory is None else memory.planes.get(self.key)
        if memory is None or plane is None or memory.model != self.choices.name:
            return None
        return plane.ours(read_plane(self.mask, self.key))


def _box_job(
    pixels: Any,
    plan: StackPlan,
    box: Box,
    choices: BoxChoices,
    whole: Written | None,
    label: int,
    load: LoadSegmenter,
    cache: SegmenterCache,
) -> Generator[Progress, None, BoxResult]:
    """Load the model where needed and segment the box in a plane of `pixels`; runs in the worker's thread."""
    segmenter = yield from cached_segmenter(choices.model, choices.device, load, cache, choices.window)
    yield Progress("Segmenting the box…")
    segmenter = in_volume(segmenter, pixels, plan)
    known = None
    # Of several classes the most probable one is known, which need not be the one in the box.
    if whole is not None and whole.labels is None and whole.window == used_window(segmenter, pixels):
        known = np.asarray(whole.probability, np.float32)
    plane = np.asarray(pixels[plan.indices[0]])
    return segment_box(segmenter, plane, box, threshold=choices.threshold, label=label, whole=known)


class BoxTool(QObject):
    """Works on the active mask, whoever made it.

    A pixel of another label than the one being painted is left alone. Nothing is noted in the mask's memory: what a box
    drew counts as a person's edit, so that a later run keeps it.

    Parameters
    ----------
    viewer : ViewerModel
    choices : callable
        Returns the model, device and threshold of the moment, or None without a model.
    why_not : callable, optional
        Says why a mask may not be written to, such as one that is approved; an empty sentence where it may.
    load, cache
        How segmenters are loaded, and where they are kept for the next run.

    Signals
    -------
    said(str, str)
        A sentence for the status line, and ``"problem"`` where it is one.
    state_changed(str)
        ``"idle"``, ``"drawing"`` or ``"running"``.
    """

    said = Signal(str, str)
    state_changed = Signal(str)

    def __init__(
        self,
        viewer: ViewerModel,
        choices: Callable[[], BoxChoices | None],
        *,
        why_not: Callable[[Labels], str] = lambda _mask: "",
        load: LoadSegmenter,
        cache: SegmenterCache,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._choices = choices
        self._why_not = why_not
        self._load, self._cache = load, cache
        self._state: State = "idle"
        self._target: _Target | None = None
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
        """Let a person draw the box; a second call cancels it."""
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
        """Remove the box, or discard the result that is on its way; nothing is written."""
        if self._state != "idle":
            self.close()
            self.said.emit(CANCELLED, "")

    def close(self) -> None:
        """Let go of everything."""
        self._runner.abandon()
        self._end()

    # Drawing

    def _find_target(self) -> _Target:
        choices, mask = self._choices(), mask_layers.active_mask(self._viewer)
        if choices is None:
            raise InputError(NO_MODEL)
        if mask is None:
            raise InputError(mask_layers.NO_MASK)
        if sentence := mask_layers.why_not_write(self._viewer, mask) or self._why_not(mask):
            raise InputError(sentence)
        known = memory_of(mask) is not None
        facts, plan = self._image_of(mask, mask_layers.channel_of(mask) if known else choices.channel)
        key = plane_key(plan.label_index(0))
        if key != mask_layers.plane_on_screen(self._viewer, mask):
            raise InputError(
                "This view shows the image from the side. Press Ctrl+E until it shows rows and columns, "
                "then draw the box."
            )
        return _Target(mask, mask.data.shape, key, facts.pixels, plan, choices)

    def _image_of(self, mask: Labels, channel: ChannelChoice | None) -> tuple[ImageFacts, StackPlan]:
        """Find the image under a mask: the one it was made from, or else the topmost that it covers."""
        memory = memory_of(mask)
        images = mask_layers.open_images(self._viewer)
        if memory is not None:
            images = [layer for layer in images if layer.unique_id == memory.image_id] or images
        refused: InputError | None = None
        for layer in images:
            facts = ImageFacts.of(layer, self._viewer.dims)
            try:
                plan = facts.plan(channel=channel)
            except InputError as error:
                refused = refused or error
                continue
            if plan.labels_shape == mask.data.shape:
                return facts, plan
        raise refused or InputError(f"No open image has the size of {mask.name}. Open its image.")

    def _open_sketch(self, mask: Labels) -> None:
        pixel = max(1e-9, camera_of(self._viewer).zoom * float(np.abs(mask.scale[-2:]).mean()))
        sketch = self._viewer.add_shapes(
            ndim=mask.ndim,
            name="Box",
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
        for emitter in self._leaving:
            emitter.connect(self._on_left)

    @property
    def _leaving(self) -> tuple[Any, Any]:
        """What in the viewer may take the sketch out of reach."""
        return self._viewer.layers.selection.events.active, self._viewer.dims.events.ndisplay

    def _on_drag(self, sketch: Shapes, event: Any) -> Generator[None, None, None]:
        start = sketch.world_to_data(event.position)
        yield
        while event.type == "mouse_move":
            yield
        self._corners = np.array([start, sketch.world_to_data(event.position)], float)
        self._take_soon.start()

    def _on_left(self) -> None:
        self._leave_soon.start()

    def _leave(self) -> None:
        """Cancel the box if another layer was chosen, the sketch removed or the view turned to 3-D."""
        if self._viewer.layers.selection.active is not self._sketch or self._viewer.dims.ndisplay != 2:
            self.cancel()

    def _take(self) -> None:
        """Segment inside the rectangle that was drawn."""
        sketch, target = self._sketch, self._target
        if sketch is None or target is None:
            return
        in_plane = [axis for axis, at in enumerate(target.key) if at is None]
        try:
            box = Box.around(self._corners[:, in_plane], target.shape)
        except InputError as error:
            sketch.data = []
            self.said.emit(str(error), "problem")
            return
        self._close_sketch()
        self._watch = DragWatch(target.mask)
        self._set_state("running")
        what = (target.pixels, target.plan, box, target.choices, target.whole(), int(target.mask.selected_label))
        self._runner.start(partial(_box_job, *what, self._load, self._cache))

    def _close_sketch(self) -> None:
        """Take the temporary layer out, and give the brush back."""
        sketch, self._sketch = self._sketch, None
        self._take_soon.stop()
        self._leave_soon.stop()
        if sketch is None:
            return
        for emitter in self._leaving:
            emitter.disconnect(self._on_left)
        was_active = self._viewer.layers.selection.active in (sketch, None)
        remove_layers(self._viewer, sketch)
        mask = None if self._target is None else mask_layers.layer_by_id(self._viewer, self._target.mask.unique_id)
        if mask is not None and was_active:
            self._viewer.layers.selection.active = mask
            if mask.mode not in _PAINTING:
                mask.mode = "paint"

    # The answer

    def _on_progress(self, event: object) -> None:
        if isinstance(event, Progress):
            self.said.emit(event.sentence, "")

    def _on_end(self, outcome: Outcome) -> None:
        target = self._target
        if target is not None and self._watch is not None and isinstance(outcome.result, BoxResult):
            self._watch.when_free(partial(self._paste, target, outcome.result))
            return
        self._end()
        if outcome.error is not None:
            self.said.emit(str(outcome.error), "problem")

    def _paste(self, target: _Target, result: BoxResult) -> None:
        self._end()
        mask = target.mask
        if mask_layers.layer_by_id(self._viewer, mask.unique_id) is None or mask.data.shape != target.mask_shape:
            self.said.emit(LOST, "problem")
        elif sentence := self._why_not(mask):  # it may have been approved meanwhile
            self.said.emit(sentence, "problem")
        elif not result.mask.any():
            self.said.emit(NOTHING, "problem")
        else:
            before = np.array(read_plane(mask, target.key))
            after = pasted(before, result, _label_for(int(mask.selected_label), before))
            write_planes(mask, {target.key: after})
            change = describe_change(before, after)
            self.said.emit(f"Box: {change}. Press Ctrl+Z to undo." if change else UNCHANGED, "")

    def _end(self) -> None:
        self._close_sketch()
        if self._watch is not None:
            self._watch.close()
        self._watch = self._target = None
        self._set_state("idle")

    def _set_state(self, state: State) -> None:
        if state != self._state:
            self._state = state
            self.state_changed.emit(state)


def _label_for(selected: int, plane: Mask) -> int:
    """Choose the label to draw with: the brush's, unless the plane has just one and that is another, such as 255."""
    there = np.unique(plane[plane != 0])
    return int(there[0]) if there.size == 1 and selected not in there else selected or 1
