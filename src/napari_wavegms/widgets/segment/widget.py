"""The coordinator of "Wave-GMS Segment": the only part of it that knows both the viewer and the panel."""

from __future__ import annotations

import sys
from collections.abc import Hashable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Labels
from napari.utils.notifications import show_error
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QVBoxLayout

from napari_wavegms.errors import CheckpointError, InputError, WaveGMSError
from napari_wavegms.segment.planes import SliceDone, StackPlan
from napari_wavegms.segment.segmenter_cache import (
    SEGMENTER_CACHE,
    LoadSegmenter,
    Progress,
    SegmenterCache,
    load_segmenter,
)
from napari_wavegms.widgets.forms.model_list import models_for_segmenting
from napari_wavegms.widgets.jobs import JobRunner, Outcome
from napari_wavegms.widgets.layers.image_info import FieldProblem, ImageFacts
from napari_wavegms.widgets.layers.mask_history import memory_of, plane_key
from napari_wavegms.widgets.layers.mask_layers import hand_to_painter, layer_by_id, mask_for, masks_of
from napari_wavegms.widgets.layers.overlay_layers import is_probability_layer
from napari_wavegms.widgets.layers.viewer import ViewerEvents
from napari_wavegms.widgets.qt.lifetime import DockedWidget
from napari_wavegms.widgets.qt.scroll_panel import ScrolledPanel
from napari_wavegms.widgets.segment.job import Finished, Ready, SegmentRequest, segment_job
from napari_wavegms.widgets.segment.panel import SegmentPanel
from napari_wavegms.widgets.segment.request import Resolved, resolve
from napari_wavegms.widgets.segment.run import SegmentRun, edits_sentence, run_sentence
from napari_wavegms.widgets.shortcuts import SEGMENT_KEY, Key
from napari_wavegms.widgets.tools.mask_tools import MaskTools
from napari_wavegms.widgets.tools.save_mask import SaveDialog, save_job, suggested_path

if TYPE_CHECKING:
    from napari.components import ViewerModel


class SegmentWidget(DockedWidget):
    """The dock widget that napari opens.

    Parameters
    ----------
    napari_viewer : ViewerModel
        napari gives it by this name.
    load : callable
        Loads a segmenter for a model file and a device, in the worker's thread.
    shelf : SegmenterCache
        Where segmenters wait for the next run.
    """

    def __init__(
        self, napari_viewer: ViewerModel, load: LoadSegmenter = load_segmenter, shelf: SegmenterCache = SEGMENTER_CACHE
    ) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._load = load
        self._shelf = shelf
        self._image_id: Hashable | None = None
        self._run: SegmentRun | None = None
        self._ready = False  # the model of the running job is loaded
        self._refused: FieldProblem | None = None  # what the last run found wrong with a wish that stands unchanged
        self._key = Key(SEGMENT_KEY, self.segment)
        self.panel = SegmentPanel()
        self._tools = MaskTools(napari_viewer, self.panel, self.panel, self.panel)
        self._runner = JobRunner(self)
        self._saver = JobRunner(self)
        self._events = ViewerEvents(napari_viewer)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(ScrolledPanel(self.panel))
        self._connect()
        self._open()

    @property
    def busy(self) -> bool:
        """Whether a segmentation runs."""
        return self._runner.busy

    def segment(self) -> None:
        """Do what a press on Segment does."""
        if self._runner.busy:
            self.panel.set_status("Wave-GMS is still segmenting. Wait for it, or press Cancel.", "problem")
            return
        self.panel.threshold_row.settle()
        resolved = self._resolve()
        if resolved.facts is None or resolved.plan is None or resolved.complaints:
            self._say_problem(resolved.complaints[0].sentence)
            return
        mask = mask_for(self._viewer, resolved.facts.layer_id, resolved.plan)
        memory = memory_of(mask)
        keys = [plane_key(resolved.plan.label_index(number)) for number in range(resolved.plan.total)]
        edits = memory.edited_pixels(mask.data, keys) if mask is not None and memory is not None else 0
        if mask is not None and edits:
            self.panel.question.ask(edits_sentence(str(mask.name), edits))
            return
        self._start(resolved.facts, resolved.plan, keep_edits=True)

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
        self.panel.set_status(f"Saving {path.name}…")
        self._saver.start(partial(save_job, request))

    def refresh_models(self) -> None:
        """Read the list of models again, as after a training; the best so far comes first."""
        self.panel.model_row.set_models(models_for_segmenting())

    def showEvent(self, event: QShowEvent | None) -> None:
        """Look for new models whenever the panel comes into view."""
        self.refresh_models()
        super().showEvent(event)

    def _connect(self) -> None:
        panel = self.panel
        panel.run_row.start_requested.connect(self.segment)
        panel.run_row.cancel_requested.connect(self.cancel)
        panel.question.answered.connect(self._on_answer)
        panel.wishes_changed.connect(self._on_wishes)
        panel.model_changed.connect(self._on_model)
        panel.threshold_row.moved.connect(self._tools.move_threshold)
        panel.threshold_row.settled.connect(self._tools.settle_threshold)
        panel.clean_up_row.requested.connect(self._tools.clean_up)
        panel.probability_toggled.connect(lambda _wanted: self._tools.refresh_probability())
        panel.save_requested.connect(self._ask_where_to_save)
        self._runner.progressed.connect(self._on_progress)
        self._runner.ended.connect(self._on_end)
        self._saver.ended.connect(self._on_saved)
        self._events.layers_changed.connect(self._on_layers)
        self._events.active_changed.connect(self._on_active)
        self._events.view_changed.connect(self._refresh)

    def _open(self) -> None:
        if self._events.is_open:
            return
        self._events.open()
        self.panel.run_row.set_key(self._key.printed if self._key.bind(self._viewer) else "")
        self.refresh_models()
        self._on_layers()
        self._on_active()

    def _close(self) -> None:
        self._events.close()
        self._key.unbind()
        self._runner.abandon()
        self._run = None
        self._tools.close()
        self.panel.run_row.set_idle()

    # What is seen in the viewer

    def _images(self) -> list[Image]:
        layers = reversed(self._viewer.layers)
        return [layer for layer in layers if isinstance(layer, Image) and not is_probability_layer(layer)]

    def _on_layers(self) -> None:
        for layer in self._viewer.layers:
            if isinstance(layer, Labels):
                self._key.bind(layer)
        if self._run is not None and (sentence := self._run.lost()):
            self._drop(sentence)
        images = self._images()
        ids = [layer.unique_id for layer in images]
        self._choose(self._image_id if self._image_id in ids else next(iter(ids), None))

    def _on_active(self) -> None:
        active = self._viewer.layers.selection.active
        memory = memory_of(active) if isinstance(active, Labels) else None
        chosen = memory.image_id if memory is not None else getattr(active, "unique_id", None)
        if any(layer.unique_id == chosen for layer in self._images()):
            self._choose_anew(chosen)

    def _choose_anew(self, image_id: Hashable | None) -> None:
        """Take the image that a person turned to; what was said about another is over."""
        if image_id != self._image_id:
            self.panel.set_status("")
            self._choose(image_id)

    def _choose(self, image_id: Hashable | None) -> None:
        if image_id != self._image_id:
            self.panel.question.hide()
        self._image_id = image_id
        self._events.watch(layer_by_id(self._viewer, image_id))
        self._refresh()

    def _refresh(self) -> None:
        """Show what is understood of the chosen image, and whether it can be segmented."""
        panel = self.panel
        panel.set_images([(str(layer.name), layer.unique_id) for layer in self._images()], self._image_id)
        resolved = self._resolve()
        plan = resolved.plan
        panel.set_description(resolved.facts.description if resolved.facts else "")
        panel.set_stack(resolved.has_frames, resolved.preview)
        panel.set_complaints(resolved.complaints)
        target = mask_for(self._viewer, self._image_id, plan) if plan is not None else None
        newest = next((layer for layer, _ in masks_of(self._viewer, self._image_id)), None)
        self._tools.set_mask(target or newest)

    def _resolve(self) -> Resolved:
        image = layer_by_id(self._viewer, self._image_id)
        facts = None if image is None else ImageFacts.of(image, tuple(self._viewer.dims.point))
        if facts is not None:
            self._offer_channels(facts)
        return resolve(facts, self.panel.wishes, self._refused)

    def _offer_channels(self, facts: ImageFacts) -> None:
        wishes = self.panel.wishes
        choices = facts.channel_choices(wishes)
        known = {choice for _, choice in choices}
        self.panel.set_channels(choices, wishes.channel if wishes.channel in known else None)

    # What is done in the panel

    def _on_wishes(self) -> None:
        self.panel.question.hide()
        self._refused = None
        if self.panel.wishes.image != self._image_id:
            self._choose_anew(self.panel.wishes.image)
        else:
            self._refresh()

    def _on_model(self) -> None:
        choice = self.panel.model_row.choice
        if choice is not None:
            self.panel.threshold_row.set_value(choice.card.threshold)

    def _on_answer(self, keep_edits: bool) -> None:
        resolved = self._resolve()
        if resolved.facts is not None and resolved.plan is not None and not resolved.complaints:
            self._start(resolved.facts, resolved.plan, keep_edits)

    def _ask_where_to_save(self) -> None:
        image = layer_by_id(self._viewer, self._image_id)
        if image is not None:
            dialog = SaveDialog(suggested_path(str(image.name), image.source.path), self)
            dialog.chosen.connect(self.save_mask)
            dialog.open()

    # The run

    def _start(self, facts: ImageFacts, plan: StackPlan, keep_edits: bool) -> None:
        choice = self.panel.model_row.choice
        image = layer_by_id(self._viewer, facts.layer_id)
        if choice is None or image is None or self._runner.busy:
            return
        request = SegmentRequest(facts.pixels, plan, choice.path, self.panel.wishes.device)
        threshold = self.panel.threshold_row
        self._run = SegmentRun(self._viewer, image, request, choice.name, keep_edits, lambda: threshold.value)
        self._ready = False
        self.panel.set_status("")
        self.panel.run_row.set_busy("Segmenting…" if "torch" in sys.modules else "Loading PyTorch (once)…")
        self._runner.start(partial(segment_job, request, self._load, self._shelf))

    def _on_progress(self, event: object) -> None:
        run, row = self._run, self.panel.run_row
        if run is None:
            return
        if isinstance(event, Progress):
            row.set_words(event.sentence)
        elif isinstance(event, Ready):
            self._ready = True
            self.panel.device_row.tell(run.request.device, event.device_reason)
            row.set_words("Segmenting…")
        elif isinstance(event, SliceDone):
            self._on_slice(run, event)

    def _on_slice(self, run: SegmentRun, event: SliceDone[Any]) -> None:
        if sentence := run.lost():
            self._drop(sentence)
            return
        self._tools.end_movement()
        run.take(event)
        if event.total > 1:
            left = run.time_left.text(event.number, event.total)
            words = f"{event.number} of {event.total} done" + (f", {left}" if left else "")
            self.panel.run_row.set_progress(event.number, event.total, words)

    def _on_end(self, outcome: Outcome) -> None:
        run, self._run = self._run, None
        self.panel.run_row.set_idle()
        if run is None:
            return
        if sentence := run.lost():
            self.panel.set_status(sentence, "problem")
            return
        self._tools.end_movement()
        finished = outcome.result if isinstance(outcome.result, Finished) else None
        report = run.finish(finished.seconds, finished.device) if finished else run.finish()
        if outcome.error is not None:
            kept = f" The {report.planes} finished frames are kept." if report is not None else ""
            self._on_failure(outcome.error, kept, outcome.details)
        else:
            self.panel.set_status(run_sentence(report) if report else "Cancelled; nothing was changed.")
        if run.mask is not None and report is not None:
            self._refresh()
            self._tools.note_provenance()
            self._tools.refresh_probability()
            hand_to_painter(self._viewer, run.mask)

    def _on_failure(self, error: WaveGMSError, kept: str, details: str) -> None:
        if isinstance(error, CheckpointError):
            self._refused = FieldProblem("model", str(error))
        elif isinstance(error, InputError) and not self._ready:
            self._refused = FieldProblem("device", str(error))
        self._refresh()
        self._say_problem(f"{error}{kept}", details)

    def _drop(self, sentence: str) -> None:
        """Stop a run whose answer has nowhere to go."""
        self._runner.abandon()
        self._run = None
        self.panel.run_row.set_idle()
        self.panel.set_status(sentence, "problem")

    def _on_saved(self, outcome: Outcome) -> None:
        if outcome.error is not None:
            self._say_problem(str(outcome.error), outcome.details)
        elif isinstance(outcome.result, Path):
            self.panel.set_status(f"Saved {outcome.result.name} in {outcome.result.parent}.")

    def _say_problem(self, sentence: str, details: str = "") -> None:
        self.panel.set_status(sentence, "problem", details)
        if not self.panel.isVisible():  # a closed tab or a hidden dock: nobody would read it there
            show_error(sentence)
