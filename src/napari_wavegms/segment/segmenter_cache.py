"""Load a model once and share it: a cache of segmenters by file content and device."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_wavegms.segment.segmenter import Segmenter

LoadSegmenter = Callable[[Path, str], "Segmenter"]


@dataclass(frozen=True, slots=True)
class Progress:
    """What a job is doing, to be shown."""

    sentence: str


def load_segmenter(model: Path, device: str) -> Segmenter:
    """Load a segmenter from a file."""
    from napari_wavegms.segment.segmenter import Segmenter

    return Segmenter.from_checkpoint(model, device=device)


def reserve_ui_core() -> None:
    """Leave one processor core to the user interface; applies to the calling thread."""
    import torch

    # What this process may use, where the system tells.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    torch.set_num_threads(max(1, min(torch.get_num_threads(), cores - 1)))


class SegmenterCache:
    """Keeps the segmenter of the last run; a model file that was replaced, as fine-tuning does, is read again."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._key: object = None
        self._segmenter: Segmenter | None = None

    def holds(self, model: Path, device: str) -> bool:
        """Whether the segmenter of this file and device is loaded."""
        return self._segmenter is not None and self._key == _fingerprint(model, device)

    def get(self, model: Path, device: str, load: LoadSegmenter) -> Segmenter:
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
