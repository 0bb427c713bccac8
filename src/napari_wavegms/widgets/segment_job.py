"""What happens in the worker's thread between a press on Segment and the answer.

Arrays, paths and settings come in, events go out; no layer, no widget, no Qt. Torch is imported here and only here.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import Any, Protocol

from napari_wavegms.segment.stacks import SliceDone, StackPlan, StackResult, segment_planes
from napari_wavegms.widgets.jobs import leave_a_core_to_the_window


class DeviceLike(Protocol):
    """A processor and why it was chosen."""

    @property
    def name(self) -> str:
        """Such as ``"cpu"``."""

    @property
    def reason(self) -> str:
        """Such as ``"CPU: this build of torch has no CUDA"``."""


class SegmenterLike(Protocol):
    """What the panel needs of `napari_wavegms.Segmenter`."""

    @property
    def device(self) -> DeviceLike:
        """Where it computes."""

    def segment(self, image: Any, /) -> Any:
        """Give the segmentation of one plane, with its probability."""


LoadSegmenter = Callable[[Path, str], SegmenterLike]


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
class Announced:
    """What is going on, for the panel to say."""

    sentence: str


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


Event = Announced | Ready | SliceDone[Any]


def load_segmenter(model: Path, device: str) -> SegmenterLike:
    """Load the real thing."""
    from napari_wavegms.segment.segmenter import Segmenter

    return Segmenter.from_checkpoint(model, device=device)


class SegmenterShelf:
    """Keeps the segmenter of the last run, so that the next press does not read the model file again.

    A model file that was replaced, as fine-tuning does, is read anew.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._key: object = None
        self._segmenter: SegmenterLike | None = None

    def holds(self, model: Path, device: str) -> bool:
        """Whether the segmenter of this very file and device is at hand."""
        return self._segmenter is not None and self._key == _fingerprint(model, device)

    def get(self, model: Path, device: str, load: LoadSegmenter) -> SegmenterLike:
        """Give the segmenter, loading it where it is not at hand."""
        with self._lock:
            if not self.holds(model, device) or self._segmenter is None:
                self._segmenter = None  # two models at once would be one too many for a small machine
                key = _fingerprint(model, device)
                self._segmenter = load(model, device)
                self._key = key
            return self._segmenter


SHELF = SegmenterShelf()


def segment_job(
    request: SegmentRequest, load: LoadSegmenter = load_segmenter, shelf: SegmenterShelf = SHELF
) -> Generator[Event, None, Finished]:
    """Load the model where needed and segment the planned planes.

    Parameters
    ----------
    request : SegmentRequest
    load : callable
        Gives a segmenter for a model file and a device.
    shelf : SegmenterShelf
        Where the segmenter stays until the next run.

    Yields
    ------
    Announced, Ready, SliceDone
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
        yield Announced("Loading PyTorch (once)…")
    leave_a_core_to_the_window()
    fetch_what_napari_fetches_late()
    if not shelf.holds(request.model, request.device):
        yield Announced("Loading the model…")
    segmenter = shelf.get(request.model, request.device, load)
    yield Ready(segmenter.device.name, segmenter.device.reason)
    start = monotonic()
    stack = yield from segment_planes(segmenter, request.pixels, request.plan)
    return Finished(stack, monotonic() - start, segmenter.device.name)


def fetch_what_napari_fetches_late() -> None:
    """Import here what napari imports in the window's thread, half a second long, for its first Labels layer."""
    for module in ("pandas", "skimage.color"):
        with suppress(ImportError):
            import_module(module)


def _fingerprint(model: Path, device: str) -> object:
    """Tell one state of a model file from another; a file that is gone equals nothing."""
    try:
        status = model.stat()
    except OSError:
        return object()
    return (model, status.st_mtime_ns, status.st_size, device)
