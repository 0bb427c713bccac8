"""Scores of a model: DSC, IoU and HD95 per image at the working size, as in the paper, or per volume in mm."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_wavegms.learn.events import run_to_end
from napari_wavegms.learn.metrics import dice, hd95, iou
from napari_wavegms.segment.postprocess import threshold_probability
from napari_wavegms.segment.preprocessing import prepare_mask

if TYPE_CHECKING:
    from napari_wavegms.learn.pairs import Pair, PairArrays
    from napari_wavegms.segment.segmenter import Segmenter


@dataclass(frozen=True, slots=True)
class ImageScored:
    """Scores of one image, or of a volume as a whole; `hd95` is None where one of the two masks is empty.

    It is in pixels of the working frame, or in the `unit` of a volume: mm, or its own voxels where it has no spacing.
    """

    name: str
    dsc: float
    iou: float
    hd95: float | None
    number: int
    total: int
    unit: str = "pixel"


@dataclass(frozen=True, slots=True)
class Report:
    """Scores of all images and their means; `hd95` is the mean over the images where it is defined."""

    images: tuple[ImageScored, ...]

    @property
    def dsc(self) -> float:
        """Mean Dice similarity coefficient, 0–1."""
        return float(np.mean([scored.dsc for scored in self.images]))

    @property
    def iou(self) -> float:
        """Mean intersection over union, 0–1."""
        return float(np.mean([scored.iou for scored in self.images]))

    @property
    def hd95(self) -> float | None:
        """Mean 95th percentile Hausdorff distance, None if undefined everywhere, or if the images differ in unit."""
        if len({scored.unit for scored in self.images}) > 1:
            return None
        defined = [scored.hd95 for scored in self.images if scored.hd95 is not None]
        return float(np.mean(defined)) if defined else None

    @property
    def hd95_undefined(self) -> int:
        """How many images have no HD95 because one of their masks is empty."""
        return sum(scored.hd95 is None for scored in self.images)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as `wavegms evaluate --json` writes them."""
        return {
            "n": len(self.images),
            "dsc": self.dsc,
            "iou": self.iou,
            "hd95": self.hd95,
            "hd95_undefined": self.hd95_undefined,
            "images": [
                {"name": s.name, "dsc": s.dsc, "iou": s.iou, "hd95": s.hd95}
                | ({} if s.unit == "pixel" else {"hd95_unit": s.unit})
                for s in self.images
            ],
        }


def evaluate(
    model: Segmenter | str | os.PathLike[str],
    pairs: Sequence[Pair],
    *,
    on_event: Callable[[ImageScored], object] | None = None,
) -> Report:
    """Score a model on images with true masks.

    Parameters
    ----------
    model : Segmenter, str or path-like
        A segmenter, the name of an installed model, or a model file.
    pairs : sequence of Pair
        Images and true masks.
    on_event : callable, optional
        Called with the scores of each image as soon as they are known.

    Returns
    -------
    Report
        Scores of each image and their means, at the model's working size.

    Raises
    ------
    CheckpointError
        If the model cannot be loaded.

    Examples
    --------
    >>> from napari_wavegms.learn.pairs import Pair
    >>> from napari_wavegms.samples import ultrasound_phantom
    >>> phantom = ultrasound_phantom(seed=0)
    >>> report = evaluate("breast-ultrasound", [Pair("phantom", phantom.image, phantom.mask)])
    >>> 0 <= report.dsc <= 1
    True
    """
    if isinstance(model, str | os.PathLike):
        from napari_wavegms.segment.segmenter import Segmenter

        model = Segmenter.from_checkpoint(model)
    return run_to_end(iter_evaluate(model, pairs), on_event)


def iter_evaluate(segmenter: Segmenter, pairs: Sequence[Pair]) -> Generator[ImageScored, None, Report]:
    """Score a model on pairs, one after the other: the generator form of `evaluate`."""
    scores = []
    volume, of_volume = None, segmenter
    for number, pair in enumerate(pairs, start=1):
        if pair.volume is not volume:  # whose planes follow each other
            volume, of_volume = pair.volume, segmenter.for_volume(pair.volume)
        probability = of_volume.with_window(pair.window).frame_probability(pair.image)
        predicted = threshold_probability(probability, segmenter.threshold)
        truth = prepare_mask(pair.mask, segmenter.preprocessing)
        distance = hd95(predicted, truth)
        scored = ImageScored(
            pair.name,
            dsc=dice(predicted, truth),
            iou=iou(predicted, truth),
            hd95=None if math.isnan(distance) else distance,
            number=number,
            total=len(pairs),
        )
        scores.append(scored)
        yield scored
    return Report(tuple(scores))


def score_volume(segmenter: Segmenter, volume: PairArrays) -> ImageScored:
    """Score a model on a volume as a whole: segmented slice by slice, compared at its own voxels, HD95 in mm."""
    segmenter = segmenter.for_volume(volume.image)
    predicted = np.stack([segmenter.segment(plane).mask for plane in volume.image])
    spacing = volume.spacing
    is_length = spacing is not None and spacing.is_length and len(spacing.size) == predicted.ndim
    sizes = spacing.in_unit("mm").size if spacing is not None and is_length else None
    distance = hd95(predicted, volume.mask, sizes)
    return ImageScored(
        volume.name,
        dsc=dice(predicted, volume.mask),
        iou=iou(predicted, volume.mask),
        hd95=None if math.isnan(distance) else distance,
        number=1,
        total=1,
        unit="pixel" if sizes is None else "mm",
    )
