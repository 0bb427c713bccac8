"""The mask tools of Review."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from qtpy.QtCore import QObject

from napari_wavegms.segment.segmenter_cache import LoadSegmenter, SegmenterCache
from napari_wavegms.widgets.forms.clean_up import CleanUp, clean_up_active
from napari_wavegms.widgets.forms.model_row import ModelChoice
from napari_wavegms.widgets.jobs import JobRunner, Outcome
from napari_wavegms.widgets.layers.mask_layers import toggle_mask
from napari_wavegms.widgets.qt.lifetime import single_shot
from napari_wavegms.widgets.review.layers import Shown
from napari_wavegms.widgets.review.panel import LAYERS, LOCKED, ReviewPanel
from napari_wavegms.widgets.tools.box_tool import BoxChoices, BoxTool
from napari_wavegms.widgets.tools.changes_overlay import ChangesOverlay
from napari_wavegms.widgets.tools.class_tool import ClassTool
from napari_wavegms.widgets.tools.mask_tools import MaskTools
from napari_wavegms.widgets.tools.save_mask import SaveRequest
from napari_wavegms.widgets.tools.uncertainty_tool import UncertaintyTool

if TYPE_CHECKING:
    from napari.components import ViewerModel

Step = Literal["fill_holes", "keep_largest", "remove_islands", "smooth"]

_REST = 1500  # ms without an edit after which the mask is checked
_MOST_PLANES = 3  # of a stack that are checked


def fidelity_job(segmenter: Any, planes: Sequence[Any]) -> Generator[None, None, str]:
    """Give a hint where the model cannot reproduce a mask; empty where it can."""
    yield
    from napari_wavegms.finetune.mask_fidelity import fidelity_sentence, roundtrip_dice

    device = segmenter.device.name
    return fidelity_sentence(
        min((roundtrip_dice(plane, segmenter.codec, segmenter.preprocessing, device) for plane in planes), default=1.0)
    )


class ReviewTools(QObject):
    """Works on one image at a time."""

    def __init__(self, viewer: ViewerModel, panel: ReviewPanel, load: LoadSegmenter, cache: SegmenterCache) -> None:
        super().__init__(panel)
        self._viewer, self._panel, self._load, self._cache = viewer, panel, load, cache
        self._shown: Shown | None = None
        self._mask_tools = MaskTools(viewer, panel.threshold_row, self)
        self.box = BoxTool(viewer, self._box_choices, why_not=self._why_not, load=load, cache=cache, parent=self)
        self.uncertainty = UncertaintyTool(viewer, self)
        self.classes = ClassTool(viewer, panel.class_row, self)
        self.changes = ChangesOverlay(viewer, self)
        self._checker = JobRunner(self)
        self._checker.ended.connect(self._on_checked)
        self._rest = single_shot(self, _REST, self._check_mask)
        self._model: ModelChoice | None = None  # to check the mask with
        for tool in (self._mask_tools, self.box, self.uncertainty, self.classes):
            tool.said.connect(panel.say)
        self.box.state_changed.connect(panel.set_boxing)
        self.changes.counted.connect(self._on_counted)
        self.changes.hidden.connect(lambda: panel.set_checked("changes", False))

    def actions(self) -> dict[str, Callable[[], object]]:
        """What each button does here."""
        return {
            "box": self.start_box,
            "next_uncertain": self.next_uncertain,
            "undo": self.undo,
            **{name: partial(self._show_layer, name) for name in LAYERS},
            "mask": partial(toggle_mask, self._viewer),
            **{name: partial(self.clean_up, name) for name in get_args(Step)},
        }

    def set(self, shown: Shown | None) -> None:
        """Work on another image, or on none; layers that were on are hidden, and come again for the next image."""
        self._rest.stop()
        self._checker.abandon()
        self.box.close()
        self.uncertainty.rest()
        if self._panel.is_checked("changes"):
            self.changes.rest()
        self._show_hint("")
        self._shown = shown
        for tool in (self._mask_tools, self.classes):
            tool.set_mask(None if shown is None else shown.mask)
        self.predicted()

    def settle(self) -> None:
        """End a threshold that is moving."""
        self._panel.threshold_row.settle()
        self._mask_tools.end_movement()

    def save_request(self, path: Path) -> SaveRequest | None:
        """Collect what a file of the mask on screen needs; None without a mask."""
        self.settle()
        return self._mask_tools.save_request(path)

    def predicted(self) -> None:
        """Update what depends on the prediction, which has come or is another."""
        shown = self._shown
        if shown is None or not shown.memory.planes:
            return
        if self._panel.is_checked("uncertainty"):
            self.uncertainty.show_layer()
        if self._panel.is_checked("changes"):
            self.changes.show(shown.mask)
        self._mask_tools.note_provenance()
        self.classes.set_mask(shown.mask)  # of another model, perhaps

    def check_mask_soon(self, model: ModelChoice | None) -> None:
        """Check whether the model can reproduce the mask, as soon as the brush rests."""
        self._model = model
        self._rest.start()

    def close(self) -> None:
        """Remove all layers of the tools."""
        self.set(None)
        self.classes.close()
        self.uncertainty.close()
        self.changes.close()

    def start_box(self) -> None:
        """Have a person draw a box, or cancel it."""
        if self._shown is not None:
            self.settle()
            self.box.start()

    def next_uncertain(self) -> None:
        """Go to the next uncertain region."""
        if self._shown is not None:
            self._viewer.layers.selection.active = self._shown.mask
            self.uncertainty.next()

    def clean_up(self, step: Step) -> None:
        """Clean the mask up, as one undo step."""
        shown = self._shown
        if shown is None:
            return
        self.settle()
        self._viewer.layers.selection.active = shown.mask
        if shown.approved:
            self._panel.say(LOCKED, "problem")
            return
        self._panel.say(clean_up_active(self._viewer, CleanUp(step, self._panel.smallest)))

    def undo(self) -> None:
        """Undo the last step, unless the mask is locked."""
        if self._shown is not None and not self._shown.approved:
            self.settle()
            self._shown.mask.undo()

    def _show_layer(self, name: str) -> None:
        """Show or remove a layer, as its button says."""
        shown, is_on = self._shown, self._panel.is_checked(name)
        if shown is None:
            return
        if name == "uncertainty":
            self._viewer.layers.selection.active = shown.mask
            self.uncertainty.show_layer(is_on)
        elif not is_on:
            self.changes.hide()
        elif sentence := self.changes.show(shown.mask):
            self._panel.set_checked("changes", False)
            self._panel.say(sentence, "problem")

    def _box_choices(self) -> BoxChoices | None:
        choice = self._panel.model_row.choice
        if choice is None:
            return None
        return BoxChoices(choice.name, choice.path, threshold=self._panel.threshold_row.value)

    def _why_not(self, mask: Any) -> str:
        shown = self._shown
        return LOCKED if shown is not None and shown.approved and mask.unique_id == shown.mask.unique_id else ""

    def _on_counted(self, added: int, removed: int) -> None:
        self._panel.say(f"Compared with the prediction: {added:,} px added (solid), {removed:,} px removed (striped).")

    def _check_mask(self) -> None:
        shown, model = self._shown, self._model
        if shown is None or shown.approved or model is None or self._checker.busy:
            return
        if not self._cache.holds(model.path, "auto"):
            return  # no model is loaded only for this
        segmenter = self._cache.get(model.path, "auto", self._load)
        if hasattr(segmenter, "codec"):
            labels = np.asarray(shown.mask.data)
            planes = (plane for plane in labels.reshape(-1, *labels.shape[-2:]) if plane.any())
            copies = [plane.copy() for plane in islice(planes, _MOST_PLANES)]
            self._checker.start(partial(fidelity_job, segmenter, copies))

    def _on_checked(self, outcome: Outcome) -> None:
        if isinstance(outcome.result, str):
            self._show_hint(outcome.result)

    def _show_hint(self, sentence: str) -> None:
        self._panel.hint.say(f"⚠ {sentence}" if sentence else "")
