"""What happens in the worker's thread between a press on Segment and the answer.

Arrays, paths and settings come in, events go out; no layer, no widget, no Qt. Torch is imported here and only here.
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

from napari_wavegms.segment.planes import SliceDone, StackPlan, StackResult, segment_planes
from napari_wavegms.segment.segmenter_cache import (
    SEGMENTER_CACHE,
    LoadSegmenter,
    Progress,
    SegmenterCache,
    load_segmenter,
)
from napari_wavegms.widgets.jobs import preload_napari_imports


@dataclass(frozen=True, slots=True, eq=False)
class SegmentRequest:
    """All that a run needs, and nothing that belongs to the window.

    Attributes
    ----------
    pixels : array-like
        The image layer's array; read plane by plane.
    plan : StackPlan
    model : pathlib.Path
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
    """

    pixels: Any
    plan: StackPlan
    model: Path
    device: str


@dataclass(frozen=True, slots=True)
class Ready:
    """The model is loaded; `device_reason` tells where it computes and why."""

    device: str
    device_reason: str


@dataclass(frozen=True, slots=True)
class Finished:
    """All planes are segmented."""

    stack: StackResult
    seconds: float
    device: str


Event = Progress | Ready | SliceDone[Any]


def segment_job(
    request: SegmentRequest, load: LoadSegmenter = load_segmenter, shelf: SegmenterCache = SEGMENTER_CACHE
) -> Generator[Event, None, Finished]:
    """Load the model where needed and segment the planned planes.

    Parameters
    ----------
    request : SegmentRequest
    load : callable
        Gives a segmenter for a model file and a device.
    shelf : SegmenterCache
        Where the segmenter stays until the next run.

    Yields
    ------
    Progress, Ready, SliceDone
        In this order; one `SliceDone` per plane.

    Returns
    -------
    Finished
        With the seconds that segmenting took, loading left out.

    Raises
    ------
    WaveGMSError
        If the model cannot be loaded, the device is not there, or the image does not fit.
    """
    if "torch" not in sys.modules:
        yield Progress("Loading PyTorch (once)…")
    from napari_wavegms.model.device import reserve_ui_core

    reserve_ui_core()
    preload_napari_imports()
    if not shelf.holds(request.model, request.device):
        yield Progress("Loading the model…")
    segmenter = shelf.get(request.model, request.device, load)
    yield Ready(segmenter.device.name, segmenter.device.reason)
    start = monotonic()
    stack = yield from segment_planes(segmenter, request.pixels, request.plan)
    return Finished(stack, monotonic() - start, segmenter.device.name)
