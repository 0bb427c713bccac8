"""After a fine-tuning: test images as the previous and the new model segment them, and the choice between the two."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from napari.utils.colormaps import CyclicLabelColormap
from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QWidget

from napari_wavegms.finetune.events import FineTuneResult
from napari_wavegms.learn.pairs import Pair
from napari_wavegms.segment.segmenter_cache import Progress, reserve_ui_core
from napari_wavegms.widgets.jobs import JobRunner, Outcome
from napari_wavegms.widgets.layers.mask_layers import SHOWN_BY_US
from napari_wavegms.widgets.layers.viewer import remove_layers
from napari_wavegms.widgets.qt.controls import fill, push_button
from napari_wavegms.widgets.qt.lifetime import single_shot

if TYPE_CHECKING:
    from napari.components import ViewerModel

MOST = 12  # test images are shown

# The names tell the outlines apart, and so do their widths where colours cannot.
_OUTLINES = (("yours", 3, "#f0e442"), ("previous", 1, "#e69f00"), ("new", 2, "#56b4e9"))


@dataclass(frozen=True, slots=True, eq=False)
class Preview:
    """Test images as stacks of one size, (N, H, W, 3) and (N, H, W), the smaller ones padded with black."""

    names: tuple[str, ...]
    images: npt.NDArray[np.uint8]
    masks: dict[str, npt.NDArray[np.uint8]]


def preview_job(
    pairs: Sequence[Pair], previous: Path, new: Path, device: str = "auto"
) -> Generator[Progress, None, Preview]:
    """Segment the first test images with both models.

    Raises
    ------
    CheckpointError
        If a model file is gone.
    """
    from napari_wavegms.segment.preprocessing import as_image, scale_intensity
    from napari_wavegms.segment.segmenter import Segmenter

    reserve_ui_core()
    pairs = pairs[:MOST]
    rows, columns = (max(pair.mask.shape[axis] for pair in pairs) for axis in (0, 1))
    images = np.zeros((len(pairs), rows, columns, 3), np.uint8)
    masks = {name: np.zeros((len(pairs), rows, columns), np.uint8) for name, _, _ in _OUTLINES}
    models = {name: Segmenter.from_checkpoint(path, device) for name, path in (("previous", previous), ("new", new))}
    for i, pair in enumerate(pairs):
        yield Progress(f"Segmenting test image {i + 1} of {len(pairs)}…")
        height, width = pair.mask.shape
        scaled: npt.NDArray[Any] = scale_intensity(as_image(pair.image), (0.1, 99.9))[0]
        images[i, :height, :width] = np.rint(scaled * 255)  # grey is broadcast to three channels
        masks["yours"][i, :height, :width] = pair.mask != 0
        for name, model in models.items():
            masks[name][i, :height, :width] = model.with_window(pair.window).segment(pair.image).mask
    return Preview(tuple(pair.name for pair in pairs), images, masks)


def _is_shown(viewer: ViewerModel) -> bool:
    """Whether test images are shown."""
    return any(SHOWN_BY_US in layer.metadata for layer in viewer.layers)


def _show(viewer: ViewerModel, preview: Preview) -> Iterator[None]:
    """Add one stack of images with its three masks on top, a layer a step; the slider goes from image to image."""
    mark = {SHOWN_BY_US: preview.names}
    viewer.add_image(preview.images, rgb=True, name="test images", metadata=dict(mark))
    for name, width, colour in _OUTLINES:
        yield
        layer = viewer.add_labels(
            preview.masks[name],
            name=f"test images: {name}",
            metadata=dict(mark),
            # A dictionary of colours would have numba compile for a second first.
            colormap=CyclicLabelColormap(colors=["transparent", colour], background_value=0),
            opacity=1.0,
        )
        layer.contour = width
        layer.editable = False


class VerdictRow(QWidget):
    """Two equal buttons, for the new model and the current one, and one that compares them.

    Signals
    -------
    chosen(bool)
        Whether the new model is to be used, where the scores could not tell.
    compare_requested()
    """

    chosen = Signal(bool)
    compare_requested = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._use, self._keep = (push_button("", "", partial(self.chosen.emit, wanted)) for wanted in (True, False))
        tooltip = "Show the test images with the masks of both models."
        self._compare = push_button("", tooltip, self.compare_requested.emit)
        row = fill(QHBoxLayout(self), self._use, self._keep, self._compare)
        for place in range(3):
            row.setStretch(place, 1)
        self.set_comparing(False)
        self.set_outcome(False)

    def set_outcome(self, can_compare: bool, choice: tuple[str, str] | None = None) -> None:
        """Offer to compare the models, and to choose between the new one and the current one, by name."""
        self._compare.setVisible(can_compare)
        buttons: tuple[QPushButton, ...] = (self._use, self._keep)
        for button, verb, name in zip(buttons, ("Use", "Keep"), choice or ("", ""), strict=True):
            button.setText(f"{verb} {name}")
            button.setVisible(choice is not None)

    def set_comparing(self, comparing: bool) -> None:
        """Let the button say what a press would do."""
        self._compare.setText("Hide comparison" if comparing else "Compare")


class Verdict(QObject):
    """Offers what a fine-tuning came to in a row of buttons, and shows the comparison.

    Signals
    -------
    said(str, str)
        A sentence for the status line, and ``"problem"`` where it is one.
    chosen(FineTuneResult, bool)
        The last result, and whether its model is to be used.
    """

    said = Signal(str, str)
    chosen = Signal(object, bool)

    def __init__(self, viewer: ViewerModel, row: VerdictRow, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer, self._row = viewer, row
        self._last: FineTuneResult | None = None
        self._device = "auto"
        self._layers: Iterator[None] | None = None  # that are still to be added
        self._next_layer = single_shot(self, 0, self._add_layer)  # the window draws in between
        self._runner = JobRunner(self)
        self._runner.progressed.connect(self._on_progress)
        self._runner.ended.connect(self._on_end)
        row.chosen.connect(self._on_chosen)
        row.compare_requested.connect(self.compare)

    def offer(self, result: FineTuneResult, device: str = "auto") -> None:
        """Offer to compare the models, and to choose where the scores could not tell."""
        self._last, self._device = result, device
        unsure = result.version is not None and result.verdict is not None and result.verdict.unsure
        self._show((result.version.name, result.compared_with.stem) if result.version and unsure else None)

    def decided(self) -> None:
        """Take the two buttons away."""
        self._show(None)

    def compare(self) -> None:
        """Show the test images with the masks of both models, or take them away again."""
        last = self._last
        if _is_shown(self._viewer):
            self.hide()
        elif last is not None and last.path is not None and last.held_out and not self._runner.busy:
            self._runner.start(partial(preview_job, last.held_out, last.compared_with, last.path, self._device))
        self.refresh()

    def refresh(self) -> None:
        """Notice when somebody has removed the comparison."""
        self._row.set_comparing(_is_shown(self._viewer))

    def hide(self) -> None:
        """Take the comparison out of the viewer again, whoever shows it."""
        self._layers = None
        remove_layers(self._viewer, *(layer for layer in self._viewer.layers if SHOWN_BY_US in layer.metadata))
        self.refresh()

    def close(self) -> None:
        """Stop."""
        self._layers = None
        self._runner.abandon()

    def _show(self, choice: tuple[str, str] | None) -> None:
        last = self._last
        self._row.set_outcome(last is not None and last.version is not None and bool(last.held_out), choice)

    def _on_chosen(self, wants_new: bool) -> None:
        last = self._last
        if last is None or last.version is None:
            return
        self.decided()
        if not wants_new:
            name = last.compared_with.stem
            self.said.emit(f"{name} stays in use; {last.version.name} is in the list of versions.", "news")
        self.chosen.emit(last, wants_new)

    def _on_progress(self, event: object) -> None:
        if isinstance(event, Progress):
            self.said.emit(event.sentence, "news")

    def _on_end(self, outcome: Outcome) -> None:
        if outcome.error is not None:
            self.said.emit(str(outcome.error), "problem")
        elif isinstance(outcome.result, Preview):
            self.hide()
            self._layers = _show(self._viewer, outcome.result)
            self._add_layer()

    def _add_layer(self) -> None:
        if self._layers is None:
            return
        if next(self._layers, self) is self:
            self._layers = None
            self.said.emit("Outlines: thick = yours, medium = new model, thin = previous model.", "news")
        else:
            self._next_layer.start()
        self.refresh()
