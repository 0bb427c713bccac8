"""Load a model once and share it: a cache of segmenters by file content and device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Protocol


class DeviceLike(Protocol):
    """A processor and why it was chosen."""

    @property
    def name(self) -> str:
        """Such as ``"cpu"``."""

    @property
    def reason(self) -> str:
        """Such as ``"CPU: no NVIDIA support installed"``."""


class SegmenterLike(Protocol):
    """What the panel needs of `napari_wavegms.Segmenter`."""

    @property
    def device(self) -> DeviceLike:
        """Where it computes."""

    def segment(self, image: Any, /) -> Any:
        """Give the segmentation of one plane, with its probability."""


LoadSegmenter = Callable[[Path, str], SegmenterLike]


@dataclass(frozen=True, slots=True)
class Progress:
    """What is going on, for the panel to say."""

    sentence: str


def load_segmenter(model: Path, device: str) -> SegmenterLike:
    """Load the real thing."""
    from napari_wavegms.segment.segmenter import Segmenter

    return Segmenter.from_checkpoint(model, device=device)


class SegmenterCache:
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


SEGMENTER_CACHE = SegmenterCache()


def _fingerprint(model: Path, device: str) -> object:
    """Tell one state of a model file from another; a file that is gone equals nothing."""
    try:
        status = model.stat()
    except OSError:
        return object()
    return (model, status.st_mtime_ns, status.st_size, device)
