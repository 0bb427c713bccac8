"""The tools that work on the mask on screen, and what they say."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
from qtpy.QtCore import QObject

from napari_wavegms.files.napari_writers import PROVENANCE_KEY
from napari_wavegms.files.provenance import Provenance
from napari_wavegms.widgets.forms.clean_up import CleanUp, clean_up_sentence, cleaned
from napari_wavegms.widgets.forms.threshold_row import ThresholdRow
from napari_wavegms.widgets.layers.mask_history import MaskMemory, PlaneKey, memory_of
from napari_wavegms.widgets.layers.mask_layers import layer_by_id, shown_key
from napari_wavegms.widgets.layers.overlay_layers import has_probability, hide_probability, show_probability
from napari_wavegms.widgets.layers.undoable import OneStep, read_plane, write_planes
from napari_wavegms.widgets.qt.lifetime import single_shot
from napari_wavegms.widgets.tools.live_threshold import LiveThreshold
from napari_wavegms.widgets.tools.save_mask import SaveRequest, mask_provenance, save_request

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Labels


def threshold_sentence(labelled: float, threshold: float, every: bool) -> str:
    """Say what a threshold makes of the mask."""
    where = "all segmented frames" if every else "the image"
    return f"{_percent(labelled)} of {where} labelled at threshold {threshold:.2f}."


def _percent(part: float) -> str:
    if 0 < part < 0.0005:
        return "less than 0.1 %"
    return f"{part * 100:.1f} %"


NO_MASK = "There is no mask yet. Press Segment first."


class MaskPanel(Protocol):
    """What the tools need of the panel that they belong to."""

    @property
    def threshold_row(self) -> ThresholdRow:
        """The row with the threshold slider."""

    def set_status(self, sentence: str, kind: Literal["news", "problem"] = "news") -> None:
        """Say what happened."""


class ProbabilityPanel(Protocol):
    """What the tools need of a panel that can show the probability as a layer."""

    @property
    def wants_probability(self) -> bool:
        """Whether the probability is to be shown as a layer."""

    def set_probability(self, wanted: bool) -> None:
        """Tick the probability box or not."""

    def set_mask_there(self, why_not: str) -> None:
        """Switch on what needs a mask, or off with the reason."""


class MaskTools(QObject):
    """Works on one mask at a time: the newest one that we made for the chosen image.

    Parameters
    ----------
    viewer : ViewerModel
    panel : MaskPanel
        Told about threshold and status.
    probability : ProbabilityPanel, optional
        The same panel, where it can show the probability.
    """

    def __init__(
        self, viewer: ViewerModel, panel: MaskPanel, parent: QObject, probability: ProbabilityPanel | None = None
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._panel = panel
        self._probability = probability
        self._mask: Labels | None = None
        self._memory: MaskMemory | None = None
        self._step: OneStep | None = None
        self._live: LiveThreshold | None = None
        self._probability_shown = False
        # Undo comes as a refresh, like moving through a stack; one look after a burst of them is enough.
        self._look = single_shot(self, 50, self._on_look)

    @property
    def mask(self) -> Labels | None:
        """The mask that is worked on."""
        return self._mask

    def set_mask(self, mask: Labels | None) -> None:
        """Work on another mask, or on none."""
        before = self._mask
        same = before is not None and mask is not None and mask.unique_id == before.unique_id
        same = same and memory_of(mask) is self._memory  # Review shows one image after another in one layer
        if not same:
            self._let_go()
            self._mask, self._memory = mask, memory_of(mask)
            if mask is not None and self._memory is not None:
                self._step = OneStep(mask)
                self._live = LiveThreshold(self._step, self._memory)
                mask.events.set_data.connect(self._on_set_data)
                self._on_look()
        if self._probability is None:
            return
        self._probability.set_mask_there("" if mask is not None else NO_MASK)
        shown = mask is not None and has_probability(self._viewer, mask)
        # The first mask of an image obeys the box; after that the box shows what is there, and notices a removed layer.
        if shown or (self._probability_shown if same else before is not None):
            self._probability.set_probability(shown)
        self._probability_shown = shown

    def refresh_probability(self) -> None:
        """Make the probability layer agree with the box in the panel."""
        self.end_movement()
        if self._mask is None or self._probability is None:
            return
        if self._probability.wants_probability:
            show_probability(self._viewer, self._mask)
        else:
            hide_probability(self._viewer, self._mask)

    def move_threshold(self, threshold: float) -> None:
        """Show a threshold in the plane on screen while it moves."""
        key = self._shown()
        if key is not None:
            self._rethreshold(threshold, [key])

    def settle_threshold(self, threshold: float) -> None:
        """Take a threshold for all planes, and end the undo step."""
        if self._memory is None or self._live is None:
            return
        self._rethreshold(threshold, list(self._memory.planes))
        self._live.end()
        self.note_provenance()

    def end_movement(self) -> None:
        """Let the memory know where a moving threshold has brought the mask, before anybody else asks or writes."""
        if self._live is not None:
            self._live.end()

    def clean_up(self, request: CleanUp) -> None:
        """Tidy the plane on screen, as one undo step."""
        self._panel.threshold_row.settle()
        key = self._shown()
        if self._mask is None or key is None:
            self._panel.set_status(NO_MASK if self._mask is None else "This frame has no mask yet.", "problem")
            return
        before = np.array(read_plane(self._mask, key))
        after = cleaned(before, request)
        write_planes(self._mask, {key: after})
        self._panel.set_status(clean_up_sentence(request, before, after))

    def save_request(self, path: Path) -> SaveRequest | None:
        """Collect what a file of this mask needs; None without a mask."""
        self._panel.threshold_row.settle()
        if self._mask is None or self._memory is None:
            return None
        return save_request(path, self._mask, self._provenance())

    def note_provenance(self) -> None:
        """Leave in the layer where it comes from, so that napari's own Save Selected Layers can write it too."""
        if self._mask is not None and self._memory is not None:
            self._mask.metadata[PROVENANCE_KEY] = self._provenance().as_dict()

    def close(self) -> None:
        """Let go of everything."""
        self._let_go()

    def _rethreshold(self, threshold: float, keys: list[PlaneKey]) -> None:
        if self._mask is None or self._live is None or not keys:
            return
        self._live.move(threshold, keys)
        planes = [read_plane(self._mask, key) for key in keys]
        labelled = sum(int(np.count_nonzero(plane)) for plane in planes) / sum(plane.size for plane in planes)
        self._panel.set_status(threshold_sentence(labelled, threshold, len(keys) > 1))

    def _provenance(self) -> Provenance:
        image = None if self._memory is None else layer_by_id(self._viewer, self._memory.image_id)
        model = "" if self._memory is None else self._memory.model
        return mask_provenance(image, model, self._threshold_in_mask())

    def _shown(self) -> PlaneKey | None:
        if self._mask is None or self._memory is None:
            return None
        return shown_key(self._viewer, self._mask, self._memory)

    def _threshold_in_mask(self) -> float:
        """The threshold that the mask was really made with, also after an undo."""
        key = self._shown() or (next(iter(self._memory.planes), None) if self._memory else None)
        if self._mask is None or self._memory is None or key is None:
            return self._panel.threshold_row.value
        ours = self._memory.planes[key].ours(read_plane(self._mask, key))
        return ours.threshold if ours is not None else self._panel.threshold_row.value

    def _on_set_data(self, _event: object = None) -> None:
        if self._step is not None and not self._step.writing and not self._panel.threshold_row.is_moving:
            self._look.start()

    def _on_look(self) -> None:
        """Follow an undo, or a step to another frame: the slider stands where the mask on screen was made."""
        if self._shown() is not None and not self._panel.threshold_row.is_moving:
            self._panel.threshold_row.set_value(self._threshold_in_mask())

    def _let_go(self) -> None:
        self._look.stop()
        self.end_movement()
        if self._step is not None and self._mask is not None:
            self._step.close()
            self._mask.events.set_data.disconnect(self._on_set_data)
        self._mask = self._memory = self._step = self._live = None
