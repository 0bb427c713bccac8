"""The coordinator of "Wave-GMS Segment": the only part of it that knows both the viewer and the panel."""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from napari.components import ViewerModel
from napari.layers import Labels
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QVBoxLayout

from napari_wavegms.errors import CheckpointError, InputError, WaveGMSError
from napari_wavegms.segment.planes import SliceDone
from napari_wavegms.segment.segmenter_cache import SEGMENTER_CACHE, LoadSegmenter, SegmenterCache, load_segmenter
from napari_wavegms.widgets.forms.model_row import models_for_segmenting
from napari_wavegms.widgets.jobs import JobRunner, Outcome
from napari_wavegms.widgets.layers import mask_layers
from napari_wavegms.widgets.layers.image_info import ChannelChoice, ImageFacts
from napari_wavegms.widgets.layers.mask_history import memory_of, plane_key
from napari_wavegms.widgets.layers.reopened import read_again
from napari_wavegms.widgets.layers.viewer import ViewerEvents, notify_if_hidden
from napari_wavegms.widgets.qt.controls import fill
from napari_wavegms.widgets.qt.docks import DockedWidget, ScrolledPanel
from napari_wavegms.widgets.segment.carry import CarryOn
from napari_wavegms.widgets.segment.measures import Measures
from napari_wavegms.widgets.segment.panel import SegmentPanel
from napari_wavegms.widgets.segment.request import Problem, SegmentOptions, SegmentRequest, make_request
from napari_wavegms.widgets.segment.run import Event, Finished, Ready, SegmentRun, light_job, segment_job
from napari_wavegms.widgets.segment.strokes import Strokes
from napari_wavegms.widgets.shortcuts import SEGMENT_KEY, Key, bind_mask_key
from napari_wavegms.widgets.tools.box_tool import BoxChoices, BoxTool
from napari_wavegms.widgets.tools.class_tool import ClassTool
from napari_wavegms.widgets.tools.load_mask import MaskLoader
from napari_wavegms.widgets.tools.mask_tools import NO_MASK, MaskTools
from napari_wavegms.widgets.tools.save_mask import SaveDialog, SaveRequest, save_job, suggested_path, why_not_overwrite
from napari_wavegms.widgets.tools.uncertainty_tool import UncertaintyTool
from napari_wavegms.wording import counted

if TYPE_CHECKING:
    from napari_wavegms.segment.ood import OODLevel

_EDITS = {
    "keep": ("Keep my edits", "Use the new mask except where you changed the old one."),
    "replace": ("Replace", "Use the new mask everywhere. Ctrl+Z brings your edits back."),
}


class SegmentWidget(DockedWidget):
    """The dock widget that napari opens; `load` runs in the worker's thread."""

    # napari passes the viewer by this name.
    def __init__(
        self, napari_viewer: ViewerModel, load: LoadSegmenter = load_segmenter, cache: SegmenterCache = SEGMENTER_CACHE
    ) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._load, self._cache = load, cache
        self._images: list[tuple[str, Hashable]] = []  # names and ids of those that may be segmented
        self._image_id: Hashable | None = None
        self._refused: Problem | None = None  # what the last run found wrong with an option that stands unchanged
        self._request = SegmentRequest(SegmentOptions(), ())
        self._run: SegmentRun | None = None
        self._stopped: SegmentRun | None = None  # the last run, where it was stopped: its other planes can be segmented
        self._is_loaded = False  # the model of the running job
        self._ready: Ready | None = None  # what was told last
        self._saving: SaveRequest | None = None
        self._probability_shown = False
        self._key = Key(SEGMENT_KEY, self.segment)
        self.panel = SegmentPanel()
        self._tools = MaskTools(napari_viewer, self.panel.threshold_row, self)
        self._uncertainty = UncertaintyTool(napari_viewer, self)
        self._box = BoxTool(napari_viewer, self._box_choices, load=load, cache=cache, parent=self)
        self._masks = MaskLoader(napari_viewer, self)
        self._carry = CarryOn(napari_viewer, self.panel.carry_question, load, cache, self)
        self._classes = ClassTool(napari_viewer, self.panel.class_row, self)
        self._measures = Measures(napari_viewer, self.panel.measure_fold, self)
        self._lights: dict[Hashable, tuple[SegmentRequest, OODLevel]] = {}  # by the image
        self._buttons: dict[str, Callable[[], object]] = {
            "box": self._start_box,
            "carry": self._carry_on,
            "right": lambda: self._carry.call_right(self._tools.mask),
            "load": lambda: self._masks.ask(self._image_id, self._channel),
            "mask": lambda: mask_layers.toggle_mask(napari_viewer),
            "probability": self._show_probability,
            "restart": self.restart,
            "save": self._ask_where_to_save,
            "spot": self._next_spot,
        }
        self._strokes = Strokes(napari_viewer, self.panel)
        self._runner, self._saver, self._lighter = (JobRunner(self) for _ in range(3))
        self._events = ViewerEvents(napari_viewer, layers=self._on_layers, active=self._on_active, view=self._refresh)
        fill(QVBoxLayout(self), scrolled := ScrolledPanel(self.panel))
        measures = self.panel.measure_fold
        measures.fold.unfolded.connect(partial(scrolled.ensureWidgetVisible, measures, 0, 0))
        self._connect()
        self._open()

    @property
    def busy(self) -> bool:
        """Whether a segmentation runs."""
        return self._runner.busy

    def segment(self) -> None:
        """Do what a press on Segment does."""
        if self._runner.busy:
            self.panel.say("Wave-GMS is still segmenting. Wait for it, or press Cancel.", "problem")
            return
        self.panel.threshold_row.settle()
        request = self._request
        if request.plan is None or request.problems:
            self._say_problem(request.problems[0].sentence)
            return
        if self._stopped is not None and self._stopped.goes_on_with(request):
            self._start(stopped=self._stopped)
            return
        mask = mask_layers.mask_for(self._viewer, request.options.image, request.plan)
        memory = memory_of(mask)
        if mask is not None and memory is not None:
            keys = (plane_key(request.plan.label_index(number)) for number in range(request.plan.total))
            if edits := memory.edited_pixels(mask.data, keys):
                question = f"You edited {counted(edits, 'pixel')} of “{mask.name}”. Segment again and keep them?"
                self.panel.question.ask(question, _EDITS, preferred="keep")
                return
        self._start()

    def restart(self) -> None:
        """Segment all planes again, those of a stopped run that are finished too."""
        self._stopped = None
        self._offer_rest()
        self.segment()

    def cancel(self) -> None:
        """Stop the running segmentation; what is finished stays."""
        if self._runner.busy:
            self._runner.cancel()
            self.panel.run_row.set_stopping("Cancelling…")

    def save_mask(self, path: Path) -> None:
        """Write the chosen image's mask to a file."""
        request = self._tools.save_request(path)
        if request is None or self._saver.busy:
            return
        if sentence := why_not_overwrite(self._viewer, path):
            self._say_problem(sentence)
            return
        self.panel.say(f"Saving {path.name}…")
        self._saving = request
        self._saver.start(partial(save_job, request))

    def save_table(self, path: Path) -> None:
        """Write what was measured to a file."""
        self._measures.save(path)

    def load_mask(self, path: Path) -> None:
        """Make a mask from a file the mask of the chosen image."""
        self._tools.end_movement()
        self._masks.load(path, self._image_id, self._channel)

    def refresh_models(self) -> None:
        """Read the list of models again, as after a training; the best so far comes first."""
        self.panel.model_row.set_models(models_for_segmenting())

    def _catch_up(self) -> None:
        self.refresh_models()

    def _connect(self) -> None:
        panel = self.panel
        panel.run_row.start_requested.connect(self.segment)
        panel.run_row.cancel_requested.connect(self.cancel)
        panel.pressed.connect(lambda name: self._buttons[name]())
        panel.question.answered.connect(lambda answer: self._start(answer == "keep"))
        panel.options_changed.connect(self._on_options)
        panel.model_row.chosen.connect(self._on_model)
        panel.clean_up_row.requested.connect(self._tools.clean_up)
        self._classes.added.connect(self.refresh_models)
        for speaker in (self._tools, self._uncertainty, self._masks, self._box, self._carry, self._classes):
            speaker.said.connect(panel.say)
        self._runner.progressed.connect(self._on_progress)
        self._runner.ended.connect(self._on_end)
        self._saver.ended.connect(self._on_saved)
        self._lighter.ended.connect(self._on_light)
        self._box.state_changed.connect(panel.set_boxing)
        self._carry.busy_changed.connect(panel.set_carrying)

    def _open(self) -> None:
        if self._events.is_open:
            return
        self._events.open()
        self._strokes.open()
        self._classes.open()
        self.panel.run_row.set_key(self._key.printed if self._key.bind(self._viewer) else "")
        self.panel.set_mask_key(bind_mask_key(self._viewer, mask_layers.toggle_mask))
        self.refresh_models()
        self._on_layers()
        self._on_active()
        self._refresh()  # without any image, too

    def _close(self) -> None:
        self._events.close()
        self._key.unbind()
        self._runner.abandon()
        self._run = None
        self._strokes.close()
        self._tools.close()
        self._uncertainty.close()
        self._box.close()
        self._carry.close()
        self._measures.close()
        self._classes.close()
        self._masks.close()
        self.panel.run_row.set_idle()

    # What is seen in the viewer

    def _read_again(self) -> None:
        read_again(self._viewer)

    def _on_layers(self) -> None:
        QTimer.singleShot(0, self._read_again)  # later, because napari is in the middle of adding a layer
        lost = "" if self._run is None else self._run.lost()
        images = [(str(layer.name), layer.unique_id) for layer in mask_layers.open_images(self._viewer)]
        if images != self._images:
            self._images = images
            ids = [image_id for _, image_id in images]
            self._choose(self._image_id if self._image_id in ids else next(iter(ids), None))
        else:  # a mask came or went: the request is the same
            self._find_mask()
            self._offer_rest()
        if lost:
            self._drop(lost)

    def _on_active(self) -> None:
        active = self._viewer.layers.selection.active
        memory = memory_of(active) if isinstance(active, Labels) else None
        self._turn_to(memory.image_id if memory is not None else getattr(active, "unique_id", None))

    def _turn_to(self, image_id: Hashable | None) -> None:
        """Choose the image that a person turned to."""
        if image_id != self._image_id and image_id in [known for _, known in self._images]:
            self._choose(image_id)

    def _choose(self, image_id: Hashable | None) -> None:
        if image_id != self._image_id:  # what was said and asked about another is over
            self.panel.say("")
            self.panel.question.dismiss()
        self._image_id = image_id
        self._events.watch(mask_layers.layer_by_id(self._viewer, image_id))
        self.panel.set_images(self._images, image_id)
        self._refresh()

    def _refresh(self) -> None:
        """Find out what a press would do now, and which mask it would change, and show what is new of it."""
        image = mask_layers.layer_by_id(self._viewer, self._image_id)
        facts = None if image is None else ImageFacts.of(image, self._viewer.dims)
        before, self._request = self._request, make_request(facts, self.panel.options, self._refused)
        if self._request != before:
            self.panel.set_request(self._request)
        self.panel.set_preview(self._request.preview)
        self._find_mask()
        self._show_light()
        self._offer_rest()

    def _offer_rest(self) -> None:
        """Offer to go on with a run that was stopped, as long as that is what a press would do."""
        stopped = self._stopped
        self.panel.set_left(len(stopped.left) if stopped is not None and stopped.goes_on_with(self._request) else 0)

    def _find_mask(self) -> None:
        """Work on the mask that a run would update, or else on the newest of the image."""
        before, plan = self._tools.mask, self._request.plan
        mask = None if plan is None else mask_layers.mask_for(self._viewer, self._image_id, plan)
        mask = mask or next((layer for layer, _ in mask_layers.masks_of(self._viewer, self._image_id)), None)
        same = before is not None and mask is not None and mask.unique_id == before.unique_id
        if not same:
            if before is not None:
                self._uncertainty.rest()
                self._box.close()
                self._carry.close()
                if self._run is None:
                    self.panel.say("")  # it was about that mask
            self._tools.set_mask(mask)
            self._strokes.watch(mask)
            self._measures.set_mask(mask)
            self._classes.set_mask(mask)
            self.panel.set_why_no_mask("" if mask is not None else NO_MASK)
        shown = mask is not None and mask_layers.has_probability(self._viewer, mask)
        # The first mask of an image obeys the box; after that the box shows what is there, and notices a removed layer.
        if shown or (self._probability_shown if same else before is not None):
            self.panel.set_probability(shown)
        self._probability_shown = shown

    # What is done in the panel

    def _on_options(self) -> None:
        self.panel.question.dismiss()
        self._refused = None
        image = self.panel.options.image
        if image != self._image_id:
            self._turn_to(image)
        else:
            self._refresh()

    def _on_model(self) -> None:
        choice = self.panel.model_row.choice
        if choice is not None:
            self.panel.threshold_row.set_default(choice.card.threshold)

    def _show_probability(self) -> None:
        """Make the probability layer agree with the box in the panel."""
        self._tools.end_movement()
        mask = self._tools.mask
        if mask is not None:
            mask_layers.show_probability(self._viewer, mask, self.panel.wants_probability)

    def _next_spot(self) -> None:
        self._tools.end_movement()
        self._viewer.layers.selection.active = self._tools.mask
        self._uncertainty.next()

    def _ask_where_to_save(self) -> None:
        image = mask_layers.layer_by_id(self._viewer, self._image_id)
        if image is not None:
            dialog = SaveDialog(suggested_path(str(image.name), image.source.path), self)
            dialog.chosen.connect(self.save_mask)
            dialog.open()

    @property
    def _channel(self) -> ChannelChoice | None:
        """The channel that a run would segment."""
        plan = self._request.plan
        return None if plan is None else ChannelChoice.of(plan)

    def _start_box(self) -> None:
        self._tools.end_movement()
        if self._box.state == "idle":
            self._viewer.layers.selection.active = self._tools.mask
        self._box.start()

    def _carry_on(self) -> None:
        self._tools.end_movement()
        image = mask_layers.layer_by_id(self._viewer, self._image_id)
        facts = None if image is None else ImageFacts.of(image, self._viewer.dims)
        self._carry.press(self._tools.mask, facts, self._request, self.panel.threshold_row.value)

    def _box_choices(self) -> BoxChoices | None:
        options, window = self._request.options, self._request.window
        if options.model is None:
            return None
        threshold = self.panel.threshold_row.value
        return BoxChoices(options.model.name, options.model.path, options.device, threshold, options.channel, window)

    def _on_light(self, outcome: Outcome) -> None:
        if outcome.result is not None:
            request, light = outcome.result
            self._lights[request.options.image] = request, light
            self._show_light()

    def _show_light(self) -> None:
        """Show how similar the image is to the training images, once that is known of it and of the chosen model."""
        request, (known, light) = self._request, self._lights.get(self._image_id, (None, None))
        same = known is not None and known.pixels is request.pixels and known.options.model == request.options.model
        self.panel.light.tell(light if same else None)

    # The run

    def _start(self, keep_edits: bool = True, stopped: SegmentRun | None = None) -> None:
        request, threshold = self._request, self.panel.threshold_row
        if self._runner.busy or request.problems:
            return
        self._run = run = stopped or SegmentRun(self._viewer, request, keep_edits, lambda: threshold.value)
        self._is_loaded, self._stopped = False, None
        self._offer_rest()
        self.panel.say("")
        self.panel.run_row.set_busy("Segmenting…" if "torch" in sys.modules else "Loading PyTorch (once)…")
        self._runner.start(partial(segment_job, run.request, self._load, self._cache, tuple(run.left)))

    def _on_progress(self, event: Event) -> None:
        if self._run is None:
            return
        if isinstance(event, SliceDone):
            self._on_slice(self._run, event)
            return
        self.panel.run_row.set_words(event.sentence)
        if isinstance(event, Ready):
            self._is_loaded = True
            if event != self._ready:
                self._ready = event
                self.panel.device_row.tell(event.wish, event.device_reason)

    def _on_slice(self, run: SegmentRun, event: SliceDone) -> None:
        if sentence := run.lost():
            self._drop(sentence)
            return
        self._tools.end_movement()
        run.take(event)
        total = run.done + len(run.left)
        if total > 1:
            left = run.time_left.text(run.done, total)
            words = f"{run.done} of {total} done" + (f", {left}" if left else "")
            self.panel.run_row.set_progress(run.done, total, words)

    def _on_end(self, outcome: Outcome) -> None:
        run, self._run = self._run, None
        self.panel.run_row.set_idle()
        if run is None:
            return
        if sentence := run.lost():
            self.panel.say(sentence, "problem")
            return
        self._tools.end_movement()
        report = run.finish(outcome.result if isinstance(outcome.result, Finished) else None)
        if outcome.error is not None:
            kept = f" {counted(report.planes, f'finished {report.noun}')} kept." if report is not None else ""
            self._on_failure(outcome.error, kept, outcome.details)
        else:
            self.panel.say(report.sentence if report else "Cancelled. Nothing was changed.")
        self._stopped = run if report is not None and run.left else None
        self._offer_rest()
        if run.mask is not None and report is not None:
            self._tools.note_provenance()
            self._measures.refresh()
            self._show_probability()
            mask_layers.hand_to_painter(self._viewer, run.mask)
            self._lighter.abandon()
            self._lighter.start(partial(light_job, run.request))

    def _on_failure(self, error: WaveGMSError, kept: str, details: str) -> None:
        if isinstance(error, CheckpointError):
            self._refused = Problem("model", str(error))
        elif isinstance(error, InputError) and not self._is_loaded:
            self._refused = Problem("device", str(error))
        self._refresh()
        self._say_problem(f"{error}{kept}", details)

    def _drop(self, sentence: str) -> None:
        """Stop a run whose result has nowhere to go."""
        self._runner.abandon()
        self._run = None
        self.panel.run_row.set_idle()
        self.panel.say(sentence, "problem")

    def _on_saved(self, outcome: Outcome) -> None:
        if outcome.error is not None:
            self._say_problem(str(outcome.error), outcome.details)
        elif isinstance(outcome.result, Path):
            if self._saving is not None:
                self._strokes.note_saved(self._saving.labels)
            self.panel.say(f"Saved {outcome.result.name} in {outcome.result.parent}.")

    def _say_problem(self, sentence: str, details: str = "") -> None:
        self.panel.say(sentence, "problem", details)
        notify_if_hidden(self.panel, sentence)
