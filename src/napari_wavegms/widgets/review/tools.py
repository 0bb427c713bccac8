"""The mask tools of Review."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from qtpy.QtCore import QObject, Signal

from napari_wavegms.segment.segmenter_cache import LoadSegmenter, SegmenterCache
from napari_wavegms.widgets.forms.clean_up import clean_up_active
from napari_wavegms.widgets.jobs import JobRunner, Outcome
from napari_wavegms.widgets.qt.lifetime import single_shot
from napari_wavegms.widgets.review.image import Shown
from napari_wavegms.widgets.review.panel import ReviewPanel, clean_up_of
from napari_wavegms.widgets.tools.box_tool import BoxChoices, BoxTool
from napari_wavegms.widgets.tools.changes_overlay import ChangesOverlay
from napari_wavegms.widgets.tools.mask_tools import MaskTools
from napari_wavegms.widgets.tools.uncertainty_tool import UncertaintyTool

if TYPE_CHECKING:
    from napari.components import ViewerModel


def fidelity_job(segmenter: Any, planes: Sequence[Any]) -> Generator[None, None, str]:
    """Tell whether the model could draw a mask, in a sentence that is empty where it could."""
    yield
    from napari_wavegms.segment.mask_fidelity import fidelity_sentence, survives

    device = segmenter.device.name
    return fidelity_sentence(
        min((survives(plane, segmenter.codec, segmenter.preprocessing, device) for plane in planes), default=1.0)
    )


_REST = 1500  # ms without an edit after which we ask whether the model could draw the mask

_APPROVED = "This mask is approved and locked. Press Un-approve to change it."


class ReviewTools(QObject):
    """Works on one image at a time.

    Parameters
    ----------
    viewer : ViewerModel
    panel : ReviewPanel
    load, shelf
        Where segmenters come from, and where they wait.

    Signals
    -------
    threshold_settled(float)
    """

    threshold_settled = Signal(float)

    def __init__(
        self, viewer: ViewerModel, panel: ReviewPanel, load: LoadSegmenter, shelf: SegmenterCache, parent: QObject
    ) -> None:
        super().__init__(parent)
        self._viewer, self._panel, self._load, self._shelf = viewer, panel, load, shelf
        self._shown: Shown | None = None
        # MaskTools asks no more of a panel than ours has.
        self._threshold = MaskTools(viewer, cast("Any", panel), panel)
        self.box = BoxTool(viewer, self._box_choices, why_not=self._why_not, load=load, shelf=shelf, parent=self)
        self.doubt = UncertaintyTool(viewer, self)
        self.changes = ChangesOverlay(viewer, self)
        self._drawable = JobRunner(self)
        self._rest = single_shot(self, _REST, self._ask_whether_drawable)
        self._drawable.ended.connect(self._on_drawable)
        for tool in (self.box, self.doubt):
            tool.said.connect(panel.set_status)
        self.box.state_changed.connect(panel.set_boxing)
        self.changes.counted.connect(self._on_counted)
        self.changes.hidden.connect(lambda: panel.set_checked("changes", False))
        panel.threshold_row.moved.connect(self._threshold.move_threshold)
        panel.threshold_row.settled.connect(self._on_settled)

    def actions(self) -> dict[str, Callable[[], object]]:
        """What each action of ours does."""
        tidy = {name: partial(self.tidy, name) for name in ("fill_holes", "keep_largest", "remove_islands", "smooth")}
        return {
            "box": self.start_box,
            "next_doubt": self.next_spot,
            "doubt_layer": partial(self._toggle, "doubt_layer"),
            "changes": partial(self._toggle, "changes"),
            **tidy,
        }

    def set(self, shown: Shown | None) -> None:
        """Work on another image, or on none; what was shown of the one before is hidden, and comes for the next."""
        doubt, changes = self._panel.wants_doubt, self._panel.wants_changes
        self._rest.stop()
        self._drawable.abandon()
        self.box.close()
        self.doubt.rest()
        self.changes.rest()
        self._panel.set_checked("doubt_layer", doubt)
        self._panel.set_checked("changes", changes)
        self._panel.set_hint("")
        self._shown = shown
        self._threshold.set_mask(None if shown is None else shown.mask)
        self.predicted()

    def settle(self) -> None:
        """End a threshold that is moving."""
        self._panel.threshold_row.settle()
        self._threshold.end_movement()

    def predicted(self) -> None:
        """Show anew what hangs on the prediction, which has come or is another."""
        shown = self._shown
        if shown is None or not shown.memory.planes:
            return
        if self._panel.wants_doubt:
            self.doubt.show_layer()
        if self._panel.wants_changes:
            self.changes.show(shown.mask)
        self._threshold.note_provenance()

    def edited(self) -> None:
        """Ask whether the model could draw the mask, as soon as the brush rests."""
        self._rest.start()

    def moved(self) -> None:
        """Follow a step to another frame."""
        self.doubt.refresh()

    def close(self) -> None:
        """Let go of everything."""
        self.set(None)
        self.doubt.close()
        self.changes.close()

    def start_box(self) -> None:
        """Let a person draw a box."""
        if self._shown is not None:
            self.settle()
            self.box.start()

    def next_spot(self) -> None:
        """Go to the next doubtful spot."""
        if self._shown is not None:
            self._viewer.layers.selection.active = self._shown.mask
            self.doubt.next()

    def tidy(self, action: str) -> None:
        """Tidy the mask as one undo step."""
        request = clean_up_of(action, self._panel.smallest)
        if self._shown is None or request is None:
            return
        self.settle()
        self._viewer.layers.selection.active = self._shown.mask
        if self._shown.approved:
            self._panel.set_status(_APPROVED, "problem")
        else:
            self._panel.set_status(clean_up_active(self._viewer, request))

    def layer_toggled(self, name: str) -> None:
        """Do what a press on the button of a layer asks for."""
        shown, wanted = self._shown, self._panel.wants_doubt if name == "doubt_layer" else self._panel.wants_changes
        if shown is None:
            return
        if name == "doubt_layer":
            self._viewer.layers.selection.active = shown.mask
            self.doubt.show_layer(wanted)
        elif not wanted:
            self.changes.hide()
        elif sentence := self.changes.show(shown.mask):
            self._panel.set_checked("changes", False)
            self._panel.set_status(sentence, "problem")

    def _toggle(self, name: str) -> None:
        button = self._panel.button(name)
        button.setChecked(not button.isChecked())
        self.layer_toggled(name)

    def _box_choices(self) -> BoxChoices | None:
        choice = self._panel.model_row.choice
        if choice is None:
            return None
        return BoxChoices(choice.name, choice.path, threshold=self._panel.threshold_row.value)

    def _why_not(self, mask: Any) -> str:
        shown = self._shown
        ours = shown is not None and mask.unique_id == shown.mask.unique_id
        return _APPROVED if ours and shown is not None and shown.approved else ""

    def _on_settled(self, threshold: float) -> None:
        self._threshold.settle_threshold(threshold)
        self.threshold_settled.emit(threshold)

    def _on_counted(self, added: int, removed: int) -> None:
        self._panel.set_status(f"Against the prediction: {added:,} px added (solid), {removed:,} px removed (striped).")

    def _ask_whether_drawable(self) -> None:
        shown, choice = self._shown, self._panel.model_row.choice
        if shown is None or shown.approved or choice is None or self._drawable.busy:
            return
        if not self._shelf.holds(choice.path, "auto"):
            return  # no model is loaded only to ask this
        segmenter = self._shelf.get(choice.path, "auto", self._load)
        if not hasattr(segmenter, "codec"):
            return
        planes = [np.array(shown.mask.data[label_index]) for _, label_index in shown.picture.planes]
        self._drawable.start(partial(fidelity_job, segmenter, [plane for plane in planes if plane.any()][:3]))

    def _on_drawable(self, outcome: Outcome) -> None:
        if isinstance(outcome.result, str):
            self._panel.set_hint(outcome.result)
