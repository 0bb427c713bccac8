"""What happens in the worker's thread between a drawn box and the answer."""

from __future__ import annotations

import sys
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from napari_wavegms.segment.segmenter_cache import (
    SEGMENTER_CACHE,
    LoadSegmenter,
    Progress,
    SegmenterCache,
    load_segmenter,
)
from napari_wavegms.widgets.layers.mask_history import Probability

if TYPE_CHECKING:
    from napari_wavegms.segment.box_prompt import Box, BoxResult, Segments


@dataclass(frozen=True, slots=True, eq=False)
class BoxRequest:
    """All that a run needs, and nothing that belongs to the window.

    Attributes
    ----------
    pixels : array-like
        The image layer's array.
    index : tuple of int or slice
        Gives the plane, (H, W) or (H, W, colours), of `pixels`.
    box : Box
    model : pathlib.Path
    device : str
    threshold : float
    whole : ndarray of shape (H, W) or None
        What the same model gave for the whole plane, where it is known.
    """

    pixels: Any
    index: tuple[int | slice, ...]
    box: Box
    model: Path
    device: str
    threshold: float
    whole: Probability | None = None


def box_job(
    request: BoxRequest, load: LoadSegmenter = load_segmenter, shelf: SegmenterCache = SEGMENTER_CACHE
) -> Generator[Progress, None, BoxResult]:
    """Load the model where needed and segment the box.

    Yields
    ------
    Progress

    Returns
    -------
    BoxResult

    Raises
    ------
    WaveGMSError
        If the model cannot be loaded, the device is not there, or the image does not fit.
    """
    if "torch" not in sys.modules:
        yield Progress("Loading PyTorch (once)…")
    from napari_wavegms.model.device import reserve_ui_core

    reserve_ui_core()
    if not shelf.holds(request.model, request.device):
        yield Progress("Loading the model…")
    segmenter = cast("Segments", shelf.get(request.model, request.device, load))
    yield Progress("Looking into the box…")
    from napari_wavegms.segment.box_prompt import segment_box

    plane = np.asarray(request.pixels[request.index])
    whole = None if request.whole is None else np.asarray(request.whole, np.float32)
    return segment_box(segmenter, plane, request.box, threshold=request.threshold, whole=whole)
