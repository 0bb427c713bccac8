"""A run of the Segment panel: start it, follow it, say what it came to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_wavegms.segment.planes import SliceDone
from napari_wavegms.widgets.layers.mask_history import PlaneKey, Probability, Written, plane_key, selection
from napari_wavegms.widgets.layers.mask_layers import add_mask, fill_plane, layer_by_id, mask_for, update_mask
from napari_wavegms.widgets.segment.job import SegmentRequest
from napari_wavegms.widgets.tools.mask_tools import _percent
from napari_wavegms.wording import TimeLeft, counted, duration

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Labels


@dataclass(frozen=True, slots=True)
class RunReport:
    """How a run went.

    Attributes
    ----------
    image : str
        Name of the image layer.
    labelled : float
        Part of the segmented pixels that is labelled, 0 to 1.
    planes, total : int
        How many planes were segmented, of how many that were asked for.
    threshold : float
    kept : int
        How many of a person's edited pixels stayed.
    seconds : float or None
        What segmenting took; None for a run that was stopped.
    device : str
    """

    image: str
    labelled: float
    planes: int
    total: int
    threshold: float
    kept: int = 0
    seconds: float | None = None
    device: str = ""


def run_sentence(report: RunReport) -> str:
    """Say how a run went.

    Examples
    --------
    >>> run_sentence(RunReport("benign_12", 0.034, 1, 1, 0.5, seconds=0.2, device="cpu"))
    '3.4 % of benign_12 labelled in 0.2 s on CPU.'
    """
    verb = "was" if report.kept == 1 else "were"
    kept = f" Your {counted(report.kept, 'edited pixel')} {verb} kept." if report.kept else ""
    if report.seconds is None:
        done = f"{report.planes} of {report.total} frames of {report.image}"
        return f"Cancelled after {done}; the finished ones are kept.{kept}"
    took = f"in {duration(report.seconds)} on {report.device.upper()}"
    if not report.labelled:
        of_frames = f"{report.planes} frames of " if report.planes > 1 else ""
        return (
            f"Nothing in {of_frames}{report.image} reaches the threshold {report.threshold:.2f} ({took}). "
            f"Lower the threshold, or try another model.{kept}"
        )
    if report.planes > 1:
        return f"{report.planes} frames of {report.image} segmented {took}; {_percent(report.labelled)} labelled.{kept}"
    return f"{_percent(report.labelled)} of {report.image} labelled {took}.{kept}"


def edits_sentence(mask: str, pixels: int) -> str:
    """Ask what a second run may do to a person's edits."""
    return f"You edited {counted(pixels, 'pixel')} of “{mask}”. Segment again and keep them?"


class SegmentRun:
    """The window's side of a run; the worker's side is `segment_job`.

    The first run makes the mask and shows each plane as it comes. A later run collects them and writes them together,
    so that one undo brings all back.

    Parameters
    ----------
    viewer : ViewerModel
    image : napari.layers.Image
    request : SegmentRequest
    model : str
        The model's name.
    keep_edits : bool
        Whether a person's edits of an earlier mask stay.
    threshold : callable
        Gives the threshold of the moment; it may be moved while the run goes on.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        image: Image,
        request: SegmentRequest,
        model: str,
        keep_edits: bool,
        threshold: Callable[[], float],
    ) -> None:
        self.request = request
        self.time_left = TimeLeft()
        self.image_id = image.unique_id
        self._viewer = viewer
        self._image_name = str(image.name)
        self._model = model
        self._keep_edits = keep_edits
        self._threshold = threshold
        self._probabilities: dict[PlaneKey, Probability] = {}
        target = mask_for(viewer, image.unique_id, request.plan)
        self._makes_mask = target is None
        self._mask_id = None if target is None else target.unique_id

    @property
    def mask(self) -> Labels | None:
        """The layer that the run writes to; None before it exists and after somebody removed it."""
        return layer_by_id(self._viewer, self._mask_id)

    def lost(self) -> str:
        """Say why the answer has nowhere to go any more; empty while it has."""
        image = layer_by_id(self._viewer, self.image_id)
        if image is None:
            return f"{self._image_name} was removed while Wave-GMS worked on it; the answer was dropped."
        if tuple((image.data[0] if image.multiscale else image.data).shape) != self.request.plan.shape:
            return (
                f"{self._image_name} changed while Wave-GMS worked on it; the answer was dropped. Press Segment again."
            )
        if self._mask_id is not None and self.mask is None:
            return f"The mask of {self._image_name} was removed while Wave-GMS worked; the answer was dropped."
        return ""

    def take(self, done: SliceDone[Any]) -> None:
        """Receive one plane."""
        key = plane_key(done.index)
        self._probabilities[key] = done.segmentation.probability
        if not self._makes_mask:
            return
        written = Written(done.segmentation.probability, self._threshold())
        mask = self.mask
        if mask is None:
            image = layer_by_id(self._viewer, self.image_id)
            self._mask_id = add_mask(self._viewer, image, self.request.plan, self._model, {key: written}).unique_id
        else:
            fill_plane(self._viewer, mask, key, written)

    def finish(self, seconds: float | None = None, device: str = "") -> RunReport | None:
        """Write what is left to write, and report; None where nothing was segmented.

        Parameters
        ----------
        seconds : float, optional
            What segmenting took; None for a run that was stopped.
        device : str
            Where it ran.
        """
        mask = self.mask
        if mask is None or not self._probabilities:
            return None
        threshold, kept = self._threshold(), 0
        if not self._makes_mask:
            planes = {key: Written(probability, threshold) for key, probability in self._probabilities.items()}
            kept = update_mask(mask, self._model, planes, "keep mine" if self._keep_edits else "replace")
        labelled = [np.count_nonzero(mask.data[selection(key)]) for key in self._probabilities]
        pixels = sum(probability.size for probability in self._probabilities.values())
        return RunReport(
            image=self._image_name,
            labelled=sum(labelled) / pixels,
            planes=len(self._probabilities),
            total=self.request.plan.total,
            threshold=threshold,
            kept=kept,
            seconds=seconds,
            device=device,
        )
