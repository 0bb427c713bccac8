"""One tidying step on one plane of a mask, and what it did in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from napari_wavegms.widgets.mask_memory import Mask

SMOOTHING_RADIUS = 2  # pixels


@dataclass(frozen=True, slots=True)
class CleanUp:
    """What to do; `smallest` is the size in pixels of the smallest island that stays."""

    step: Literal["fill_holes", "remove_islands", "keep_largest", "smooth"]
    smallest: int = 0


def cleaned(plane: Mask, request: CleanUp) -> Mask:
    """Give a tidied copy of a plane of labels.

    Parameters
    ----------
    plane : ndarray of int, shape (H, W)
    request : CleanUp

    Returns
    -------
    ndarray of shape (H, W)
        Of the same dtype.
    """
    from napari_wavegms.segment import postprocess

    match request.step:
        case "fill_holes":
            return postprocess.fill_holes(plane)
        case "remove_islands":
            return postprocess.remove_islands(plane, request.smallest)
        case "keep_largest":
            return postprocess.keep_largest(plane)
        case "smooth":
            return postprocess.smooth(plane, SMOOTHING_RADIUS)


def in_words(request: CleanUp, before: Mask, after: Mask) -> str:
    """Say what a step changed."""
    added = int(np.count_nonzero((before == 0) & (after != 0)))
    removed = int(np.count_nonzero((before != 0) & (after == 0)))
    name = {
        "fill_holes": "Fill holes",
        "remove_islands": f"Remove islands below {request.smallest} px",
        "keep_largest": "Keep largest",
        "smooth": "Smooth",
    }[request.step]
    if not added and not removed:
        return f"{name}: there was nothing to do."
    changes = [f"{count:,} px {verb}" for count, verb in ((added, "added"), (removed, "removed")) if count]
    return f"{name}: {' and '.join(changes)}. Ctrl+Z takes it back."
