"""Scores of a model: DSC, IoU and HD95 per image at the working size, as in the paper, or per volume in mm."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_wavegms.learn.events import run_to_end
from napari_wavegms.learn.metrics import class_masks, dice, hd95, iou
from napari_wavegms.model.classes import classes_for, values_in
from napari_wavegms.segment.postprocess import strongest, threshold_probability
from napari_wavegms.segment.preprocessing import prepare_labels

if TYPE_CHECKING:
    from napari_wavegms.learn.pairs import Pair, PairArrays
    from napari_wavegms.segment.segmenter import Segmenter


@dataclass(frozen=True, slots=True)
class ImageScored:
    """Scores of one image, or of a volume as a whole; `hd95` is None where one of the two masks is empty.

    It is in pixels of the working frame, or in the `unit` of a volume: mm, or its own voxels where it has no spacing.
    Of several classes they are the means over those that are in the image or were found there, whose DSC is `by_class`.
    """

    name: str
    dsc: float
    iou: float
    hd95: float | None
    number: int
    total: int
    unit: str = "pixel"
    by_class: Mapping[int, float] = field(default_factory=dict)


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
    def by_class(self) -> dict[int, float]:
        """Mean DSC of each class over the images in which it is or was found; empty for a model of one class."""
        labels = sorted({label for scored in self.images for label in scored.by_class})
        return {
            label: float(np.mean([scored.by_class[label] for scored in self.images if label in scored.by_class]))
            for label in labels
        }

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
            **({"by_class": {str(label): dsc for label, dsc in self.by_class.items()}} if self.by_class else {}),
            "images": [
                {"name": s.name, "dsc": s.dsc, "iou": s.iou, "hd95": s.hd95}
                | ({} if s.unit == "pixel" else {"hd95_unit": s.unit})
                | ({"by_class": {str(label): dsc for label, dsc in s.by_class.items()}} if s.by_class else {})
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
    InputError
        If a mask has labels that are no classes of the model, see `load_pairs`.

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


def iter_evaluate(
    segmenter: Segmenter, pairs: Sequence[Pair], classes: int | None = None
) -> Generator[ImageScored, None, Report]:
    """Score a model on pairs, one after the other: the generator form of `evaluate`.

    `classes` says how many the masks have, where that is more than the model draws: of those it finds nothing.
    """
    scores = []
    classes = max(classes or 0, segmenter.classes)
    volume, of_volume = None, segmenter
    for number, pair in enumerate(pairs, start=1):
        if pair.volume is not volume:  # whose planes follow each other
            volume, of_volume = pair.volume, segmenter.for_volume(pair.volume)
        probability = of_volume.with_window(pair.window).frame_probability(pair.image)
        confidence, most_probable = (probability, None) if probability.ndim == 2 else strongest(probability)
        predicted = threshold_probability(confidence, segmenter.threshold, most_probable)
        truth = prepare_labels(pair.mask, segmenter.preprocessing)
        classes_for(values_in(truth), None, classes, pair.name)  # raises where there is another one
        about: dict[str, Any] = {"name": pair.name, "number": number, "total": len(pairs)}
        scored = _scored(predicted, truth, classes, pair.known, **about)
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
    classes_for(values_in(volume.mask), None, segmenter.classes, volume.name)  # raises where there is another one
    about: dict[str, Any] = {"name": volume.name, "number": 1, "total": 1, "unit": "pixel" if sizes is None else "mm"}
    return _scored(predicted, volume.mask, segmenter.classes, None, sizes, **about)


def _scored(
    predicted: npt.NDArray[Any],
    truth: npt.NDArray[Any],
    classes: int,
    known: Collection[int] | None,
    sizes: Sequence[float] | None = None,
    **about: Any,
) -> ImageScored:
    """The scores of a mask: of all that is labelled where there is one class, otherwise class by class."""
    by_class = {} if classes == 1 else class_masks(predicted, truth, known)
    nothing = np.zeros_like(truth, bool)
    both = [(predicted != 0, truth != 0)] if classes == 1 else [*by_class.values()] or [(nothing, nothing)]
    distances = [distance for pair in both if not math.isnan(distance := hd95(pair[0], pair[1], sizes))]
    return ImageScored(
        dsc=float(np.mean([dice(*pair) for pair in both])),
        iou=float(np.mean([iou(*pair) for pair in both])),
        hd95=float(np.mean(distances)) if distances else None,
        by_class={label: dice(*pair) for label, pair in by_class.items()},
        **about,
    )
