"""A run of the Segment panel: the worker's half, the window's half, and what it says in the end."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from time import monotonic
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Labels

from napari_wavegms.segment.planes import SliceDone, segment_planes
from napari_wavegms.segment.segmenter_cache import LoadSegmenter, Progress, SegmenterCache
from napari_wavegms.storage.memory import ask_for_memory
from napari_wavegms.widgets.jobs import cached_segmenter, preload_napari_imports, stop_if_cancelled
from napari_wavegms.widgets.layers.mask_history import PlaneKey, Written, plane_key, selection
from napari_wavegms.widgets.layers.mask_layers import (
    add_mask,
    fill_plane,
    layer_by_id,
    mask_for,
    mask_place,
    update_mask,
)
from napari_wavegms.widgets.segment.request import SegmentRequest
from napari_wavegms.wording import TimeLeft, counted, duration, percent

_BYTES = 8  # for each pixel: its probability, its mask, and what lies between
_IN_PARTS = "Save it as OME-Zarr and run 'wavegms segment' on it, which writes the mask in parts."

if TYPE_CHECKING:
    from napari_wavegms.segment.ood import OODLevel


@dataclass(frozen=True, slots=True)
class Ready(Progress):
    """The model is loaded; `device_reason` says where it computes for the device `wish`, and why."""

    wish: str
    device_reason: str


@dataclass(frozen=True, slots=True)
class Finished:
    """All planes are segmented, in so many seconds, loading left out."""

    seconds: float
    device: str


Event = Progress | SliceDone


def segment_job(
    request: SegmentRequest, load: LoadSegmenter, cache: SegmenterCache, order: Sequence[int] | None = None
) -> Generator[Event, None, Finished]:
    """Load the model where needed and segment the planned planes, or some of them; runs in the worker's thread.

    Raises
    ------
    WaveGMSError
        If the model cannot be loaded, the device is not there, or the image does not fit.
    """
    assert request.options.model is not None
    assert request.plan is not None
    model, device = request.options.model.path, request.options.device
    segmenter = yield from cached_segmenter(model, device, load, cache, request.window)
    preload_napari_imports()
    yield Ready("Segmenting…", device, segmenter.device.reason)
    start = monotonic()
    if request.options.detail == "native":
        segmenter = segmenter.with_detail("native", stop_if_cancelled)
    rows, columns = (request.plan.shape[axis] for axis in request.plan.plane_axes)
    ask_for_memory(request.image_name, _BYTES * rows * columns, "for the mask of a plane", _IN_PARTS)
    yield from segment_planes(segmenter, request.array, request.plan, order)
    return Finished(monotonic() - start, segmenter.device.name)


def light_job(request: SegmentRequest) -> Generator[None, None, tuple[SegmentRequest, OODLevel]]:
    """Tell how similar the plane on screen is to the model's training images; runs in the worker's thread."""
    yield
    from napari_wavegms.segment.ood import level_of

    assert request.options.model is not None
    assert request.plan is not None
    index = request.plan.indices[request.order[0]]
    return request, level_of(request.options.model.card)(np.asarray(request.array[index]))


class SegmentRun:
    """The window's half of a run, which may be stopped and go on.

    The first run makes the mask and shows each plane as it comes. A later run collects them and writes them together,
    so that one undo brings all back; a person's edits of the mask stay with `keep_edits`. The threshold is asked for
    with each plane, because it may be moved during the run.
    """

    def __init__(
        self, viewer: ViewerModel, request: SegmentRequest, keep_edits: bool, threshold: Callable[[], float]
    ) -> None:
        self.request = request
        self.left = list(request.order)  # the planes to segment, in order
        self.time_left = TimeLeft()
        assert request.options.model is not None
        assert request.plan is not None
        self._model, self._plan = request.options.model.name, request.plan
        self._own_threshold = request.options.model.card.threshold
        self._viewer = viewer
        self._keep_edits, self._threshold = keep_edits, threshold
        self._came: dict[PlaneKey, Written] = {}  # since the run began or went on
        target = mask_for(viewer, request.options.image, self._plan)
        self._makes_mask = target is None
        self._mask_id = None if target is None else target.unique_id
        self._segmented: dict[PlaneKey, int] = {}  # and their pixels
        self._is_uniform = True

    @property
    def mask(self) -> Labels | None:
        """The layer that the run writes to; None before it exists and after somebody removed it."""
        return layer_by_id(self._viewer, self._mask_id)

    @property
    def done(self) -> int:
        """How many planes are segmented."""
        return len(self._segmented)

    def goes_on_with(self, request: SegmentRequest) -> bool:
        """Whether a press on Segment would only segment what this run, which was stopped, has left."""
        same = request == self.request and request.pixels is self.request.pixels
        return same and bool(self.left) and self.mask is not None

    def lost(self) -> str:
        """Say why the result has nowhere to go any more; empty while it has."""
        name, image = self.request.image_name, self._image()
        if image is None:
            return f"{name} was removed during segmentation, so the result was discarded."
        if (image.data[0] if image.multiscale else image.data) is not self.request.pixels:
            return f"{name} changed during segmentation, so the result was discarded. Press Segment again."
        if self._mask_id is not None and self.mask is None:
            return f"The mask of {name} was removed during segmentation, so the result was discarded."
        return ""

    def take(self, done: SliceDone) -> None:
        """Receive one plane."""
        key = plane_key(done.index)
        self.left.pop(0)
        detail = "native" if self.request.options.detail == "native" else ""
        found = done.segmentation
        written = Written(found.confidence, self._threshold(), found.classes, done.window, detail)
        self._came[key], self._segmented[key] = written, found.confidence.size
        self._is_uniform = self._is_uniform and done.segmentation.is_uniform
        if not self._makes_mask:
            return
        mask = self.mask
        if mask is None:
            mask = add_mask(self._viewer, self._image(), self._plan, self._model, {key: written})
            self._mask_id = mask.unique_id
        else:
            fill_plane(self._viewer, mask, key, written)

    def finish(self, finished: Finished | None) -> RunReport | None:
        """Write what is left to write, and report; None where nothing was segmented."""
        mask = self.mask
        if mask is None or not self._came:
            return None
        threshold, kept = self._threshold(), 0
        if not self._makes_mask:
            planes = {key: replace(written, threshold=threshold) for key, written in self._came.items()}
            mask_place(self._image(), self._plan).move(mask)
            kept = update_mask(mask, self._model, planes, "keep mine" if self._keep_edits else "replace")
        self._came, self.time_left = {}, TimeLeft()
        labelled = sum(int(np.count_nonzero(mask.data[selection(key)])) for key in self._segmented)
        return RunReport(
            image=self.request.image_name,
            labelled=labelled / sum(self._segmented.values()),
            planes=self.done,
            total=self._plan.total,
            threshold=threshold,
            kept=kept,
            finished=finished,
            own_threshold=self._own_threshold,
            is_uniform=self._is_uniform,
            noun=self._plan.noun,
        )

    def _image(self) -> Any:
        return layer_by_id(self._viewer, self.request.options.image)


@dataclass(frozen=True, slots=True)
class RunReport:
    """How a run went."""

    image: str  # name of the layer
    labelled: float  # part of the segmented pixels that is labelled, 0 to 1
    planes: int  # how many were segmented
    total: int  # of how many that were asked for
    threshold: float
    kept: int = 0  # how many of a person's edited pixels stayed
    finished: Finished | None = None  # None for a run that was stopped
    own_threshold: float | None = None  # the model's own, which is said where another one was used
    is_uniform: bool = False  # all pixels of each plane are alike
    noun: str = "frame"  # what a plane is called

    @property
    def sentence(self) -> str:
        """The report in words.

        Examples
        --------
        >>> RunReport("benign_12", 0.034, 1, 1, 0.5, finished=Finished(0.2, "cpu")).sentence
        '3.4 % of benign_12 labelled in 0.2 s on CPU.'
        """
        verb = "was" if self.kept == 1 else "were"
        kept = f" Your {counted(self.kept, 'edited pixel')} {verb} kept." if self.kept else ""
        if self.finished is None:
            done = f"{self.planes} of {self.total} {self.noun}s of {self.image}"
            return f"Cancelled after {done}; the finished {self.noun}s are kept.{kept}"
        if self.is_uniform:
            return (
                f"There is nothing to segment in {self.image}: all its pixels are alike.{kept or ' The mask is empty.'}"
            )
        if self.own_threshold is not None and round(self.own_threshold, 2) != round(self.threshold, 2):
            kept = f" The threshold is {self.threshold:.2f}; the model's own is {self.own_threshold:.2f}.{kept}"
        took = f"{duration(self.finished.seconds)} on {self.finished.device.upper()}"
        what = f"{self.planes} {self.noun}s of {self.image}" if self.planes > 1 else self.image
        if not self.labelled:
            return (
                f"Nothing found in {what} at threshold {self.threshold:.2f} ({took}). "
                f"Lower the threshold, or try another model.{kept}"
            )
        if self.planes > 1:
            return f"{what} segmented in {took}; {percent(self.labelled)} labelled.{kept}"
        return f"{percent(self.labelled)} of {what} labelled in {took}.{kept}"
