"""Scores of a model on pairs, as `wavegms evaluate` measures them, rounded for cards and tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from napari_wavegms.learn.evaluate import Report, evaluate
from napari_wavegms.learn.pairs import Pair
from napari_wavegms.segment.segmenter import Segmenter


def score(segmenter: Segmenter, pairs: Sequence[Pair]) -> dict[str, Any]:
    """Mean scores; how many images have no HD95 stands beside them where there are any."""
    return rounded(evaluate(segmenter, pairs))


def rounded(report: Report) -> dict[str, Any]:
    found = {
        "n": len(report.images),
        "dsc": round(report.dsc, 4),
        "iou": round(report.iou, 4),
        "hd95": None if report.hd95 is None else round(report.hd95, 2),
    }
    return found | ({"hd95_undefined": report.hd95_undefined} if report.hd95_undefined else {})
