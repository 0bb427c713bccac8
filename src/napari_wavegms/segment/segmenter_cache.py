"""Load a model once and share it: a cache of segmenters by file content and device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Protocol


class DeviceLike(Protocol):
    """A device name such as ``"cpu"``, and why it was chosen."""

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def reason(self) -> str: ...  # noqa: D102


class SegmenterLike(Protocol):
    """What the panels need of `napari_wavegms.Segmenter`."""

    @property
    def device(self) -> DeviceLike: ...  # noqa: D102

    def segment(self, image: Any, /) -> Any:
        """Segment one plane."""


LoadSegmenter = Callable[[Path, str], SegmenterLike]


@dataclass(frozen=True, slots=True)
class Progress:
    """What a job is doing, to be shown."""

    sentence: str


def load_segmenter(model: Path, device: str) -> SegmenterLike:
    """Load a segmenter from a file."""
    from napari_wavegms.segment.segmenter import Segmenter

    return Segmenter.from_checkpoint(model, device=device)


class SegmenterCache:
    """Keeps the segmenter of the last run; a model file that was replaced, as fine-tuning does, is read again."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._key: object = None
        self._segmenter: SegmenterLike | None = None

    def holds(self, model: Path, device: str) -> bool:
        """Whether the segmenter of this file and device is loaded."""
        return self._segmenter is not None and self._key == _fingerprint(model, device)

    def get(self, model: Path, device: str, load: LoadSegmenter) -> SegmenterLike:
        """Return the segmenter, loading it if necessary."""
        with self._lock:
            if not self.holds(model, device) or self._segmenter is None:
                self._segmenter = None  # two models at once are too much for a small machine
                key = _fingerprint(model, device)
                self._segmenter = load(model, device)
                self._key = key
            return self._segmenter


SEGMENTER_CACHE = SegmenterCache()


def _fingerprint(model: Path, device: str) -> object:
    """Identity of one state of a model file; a missing file equals nothing."""
    try:
        status = model.stat()
    except OSError:
        return object()
    return (model, status.st_mtime_ns, status.st_size, device)
