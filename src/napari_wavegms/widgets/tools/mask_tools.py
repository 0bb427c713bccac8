"""What can be done to the mask on screen: another threshold, cleaning up, saving."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from napari.components import ViewerModel
from napari.layers import Labels
from qtpy.QtCore import QObject, Signal

from napari_wavegms.files.napari_writers import PROVENANCE_KEY
from napari_wavegms.files.provenance import Provenance
from napari_wavegms.model.registry import classes_of
from napari_wavegms.widgets.forms.clean_up import CleanUp, clean_up_active
from napari_wavegms.widgets.forms.threshold_row import ThresholdRow
from napari_wavegms.widgets.layers.mask_history import MaskMemory, PlaneKey, Written, memory_of, read_plane
from napari_wavegms.widgets.layers.mask_layers import layer_by_id, shown_key
from napari_wavegms.widgets.qt.lifetime import single_shot
from napari_wavegms.widgets.tools.live_threshold import LiveThreshold
from napari_wavegms.widgets.tools.save_mask import SaveRequest
from napari_wavegms.wording import percent

NO_MASK = "There is no mask yet. Press Segment first."


class MaskTools(QObject):
    """Works on one mask at a time, and follows the threshold slider.

    Signals
    -------
    said(str, str)
        A sentence for the status line, and ``"problem"`` where it is one.
    """

    said = Signal(str, str)

    def __init__(self, viewer: ViewerModel, threshold: ThresholdRow, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._threshold = threshold
        self._mask: Labels | None = None
        self._memory: MaskMemory | None = None
        self._live: LiveThreshold | None = None  # from the first movement on
        # An undo comes as a refresh, like a step through a stack; to follow once after a burst of them is enough.
        self._follow_soon = single_shot(self, 50, self._follow)
        threshold.moved.connect(self._on_moved)
        threshold.settled.connect(self._on_settled)

    @property
    def mask(self) -> Labels | None:
        """The mask that is worked on."""
        return self._mask

    def set_mask(self, mask: Labels | None) -> None:
        """Work on another mask, or on none."""
        same = self._mask is not None and mask is not None and mask.unique_id == self._mask.unique_id
        if same and memory_of(mask) is self._memory:  # Review shows one image after another in one layer
            return
        self.close()
        self._mask, self._memory = mask, memory_of(mask)
        if mask is not None:
            mask.events.set_data.connect(self._on_set_data)
            self._follow()

    def end_movement(self) -> None:
        """Let the memory know where a moving threshold has brought the mask, before anybody else asks or writes."""
        if self._live is not None:
            self._live.end()

    def clean_up(self, request: CleanUp) -> None:
        """Tidy the plane on screen, as one undo step."""
        self._threshold.settle()
        if self._mask is None:
            self.said.emit(NO_MASK, "problem")
        else:
            self._viewer.layers.selection.active = self._mask
            self.said.emit(clean_up_active(self._viewer, request), "")

    def save_request(self, path: Path) -> SaveRequest | None:
        """Collect what a file of this mask needs; None without a mask."""
        self._threshold.settle()
        if self._mask is None or self._memory is None:
            return None
        edited = self._memory.edited_pixels(self._mask.data, self._memory.planes) > 0
        about = replace(self._provenance(self._memory), edited=edited, **classes_of(self._memory.model))
        return SaveRequest.of(path, self._mask, about)

    def note_provenance(self) -> None:
        """Note in the layer where it comes from, so that napari's own Save Selected Layers can write it too."""
        if self._mask is not None and self._memory is not None:
            classes = classes_of(self._memory.model)
            classes = classes if len(classes.get("class_names", ())) > 2 else {}  # a mask of one class needs no names
            self._mask.metadata[PROVENANCE_KEY] = replace(self._provenance(self._memory), **classes).as_dict()

    def close(self) -> None:
        """Let go of the mask."""
        self._follow_soon.stop()
        if self._live is not None:
            self._live.close()
        if self._mask is not None:
            self._mask.events.set_data.disconnect(self._on_set_data)
        self._mask = self._memory = self._live = None

    def _on_moved(self, threshold: float) -> None:
        """Show a threshold in the plane on screen while it moves."""
        key = self._shown()
        if key is not None:
            self._move(threshold, [key])

    def _on_settled(self, threshold: float) -> None:
        """Use a threshold for all planes, and end the undo step."""
        if self._memory is not None:
            self._move(threshold, list(self._memory.planes))
            self.end_movement()
            self.note_provenance()

    def _move(self, threshold: float, keys: list[PlaneKey]) -> None:
        if self._mask is None or self._memory is None or not keys:
            return
        if self._live is None:
            self._live = LiveThreshold(self._mask, self._memory)
        self._live.move(threshold, keys)
        planes = [read_plane(self._mask, key) for key in keys]
        labelled = sum(int(np.count_nonzero(plane)) for plane in planes) / sum(plane.size for plane in planes)
        where = "all segmented frames" if len(keys) > 1 else "the image"
        self.said.emit(f"{percent(labelled)} of {where} labelled at threshold {threshold:.2f}.", "")

    def _provenance(self, memory: MaskMemory) -> Provenance:
        image = layer_by_id(self._viewer, memory.image_id)
        source = "" if image is None else Path(image.source.path or image.name).name
        ours = self._ours()
        how = {} if ours is None else {"window": ours.window, "detail": ours.detail}
        made = Provenance.now(memory.model, self._threshold_in_mask(), source, **how)
        channel = memory.channel
        return made if channel is None else replace(made, channel_axis=channel.axis, channel=channel.channel)

    def _shown(self) -> PlaneKey | None:
        if self._mask is None or self._memory is None:
            return None
        return shown_key(self._viewer, self._mask, self._memory)

    def _threshold_in_mask(self) -> float:
        """The threshold that the mask was really made with, also after an undo."""
        ours = self._ours()
        return ours.threshold if ours is not None else self._threshold.value

    def _ours(self) -> Written | None:
        """What we wrote into the plane on screen, or into the first one."""
        key = self._shown() or (next(iter(self._memory.planes), None) if self._memory else None)
        if self._mask is None or self._memory is None or key is None:
            return None
        return self._memory.planes[key].ours(read_plane(self._mask, key))

    def _on_set_data(self) -> None:
        writing = self._live is not None and self._live.writing
        if not writing and not self._threshold.is_moving:
            self._follow_soon.start()

    def _follow(self) -> None:
        """Follow an undo, or a step to another frame: the slider shows what the mask on screen was made with."""
        if self._shown() is not None and not self._threshold.is_moving:
            self._threshold.set_value(self._threshold_in_mask())
