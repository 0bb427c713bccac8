"""The model as a magnifying glass: run it again on the surroundings of a box, at the image's own resolution.

A structure that is small in the image is tiny in the network's frame. In a window around the box it fills the frame,
and the box itself is information: there is a structure in it, which fills a good part of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_wavegms.errors import InputError
from napari_wavegms.segment.postprocess import threshold_probability
from napari_wavegms.segment.preprocessing import FloatArray, Preprocessing, as_image, scale_intensity

if TYPE_CHECKING:
    from napari_wavegms.segment.segmenter import Segmenter

# The first three are chosen by benchmarks/boxes.py.
CONTEXT = 0.25  # surroundings shown to the model on each side, as a share of the box's longer side
LEAST_SHARE = 0.3  # of the box that the structure is assumed to fill; a touching ellipse fills 0.79
FAINTEST = 0.02  # probability below which a pixel is never labelled
SMALLEST = 4  # pixels; least rows and columns of a box


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle of whole pixels, half-open as in numpy: `bottom` and `right` are the first ones outside."""

    top: int
    bottom: int
    left: int
    right: int

    @classmethod
    def around(cls, corners: npt.ArrayLike, shape: tuple[int, int]) -> Box:
        """The box of every pixel of an image of this shape that a rectangle touches.

        `corners` (N, 2) are rows and columns in pixels, where whole numbers are pixel centres, as in napari. What lies
        outside is cut off; raises `InputError` if fewer than `SMALLEST` rows or columns are left.
        """
        points = np.asarray(corners, float)
        (top, left), (bottom, right) = points.min(axis=0), points.max(axis=0)
        rows, columns = shape
        box = cls(
            max(0, math.floor(top + 0.5)),
            min(rows, math.ceil(bottom + 0.5)),
            max(0, math.floor(left + 0.5)),
            min(columns, math.ceil(right + 0.5)),
        )
        return box.checked(shape)

    @property
    def rows(self) -> slice:
        """Rows of the box."""
        return slice(self.top, self.bottom)

    @property
    def columns(self) -> slice:
        """Columns of the box."""
        return slice(self.left, self.right)

    def checked(self, shape: tuple[int, int]) -> Box:
        """Return the box if it lies in an image of this shape and is large enough; raise `InputError` otherwise."""
        inside = self.top >= 0 and self.bottom <= shape[0] and self.left >= 0 and self.right <= shape[1]
        height, width = self.bottom - self.top, self.right - self.left
        if not inside or min(height, width) < SMALLEST:
            size = f"has {max(0, height)} x {max(0, width)} pixels in" if inside else "extends beyond"
            raise InputError(
                f"The box {size} the image of {shape[0]} x {shape[1]}; it needs {SMALLEST} x {SMALLEST} inside. "
                "Draw it around the structure."
            )
        return self

    def window(self, shape: tuple[int, int], context: float = CONTEXT) -> Box:
        """The surroundings that are shown to the model, `context` longer sides more on each side.

        Square, since the network's frame is, but for what the border of an image of this shape cuts off.
        """
        height, width = self.bottom - self.top, self.right - self.left
        side = (1 + 2 * context) * max(height, width)
        above, beside = (side - height) / 2, (side - width) / 2
        return Box(
            max(0, math.floor(self.top - above)),
            min(shape[0], math.ceil(self.bottom + above)),
            max(0, math.floor(self.left - beside)),
            min(shape[1], math.ceil(self.right + beside)),
        )


@dataclass(frozen=True, slots=True, eq=False)
class BoxResult:
    """What the model finds in a box: mask and probability of the box's shape, its place, and the threshold used.

    The threshold is lower than the given one where that would have left the box nearly empty.
    """

    mask: npt.NDArray[np.uint8]
    probability: FloatArray
    rows: slice
    columns: slice
    threshold: float


def segment_box(
    segmenter: Segmenter,
    image: npt.ArrayLike,
    box: Box,
    *,
    threshold: float = 0.5,
    label: int = 1,
    whole: FloatArray | None = None,
    context: float = CONTEXT,
    least_share: float = LEAST_SHARE,
) -> BoxResult:
    """Run the model on a box and its surroundings, as large as its frame allows.

    `image` is whole, (H, W) or (H, W, 1, 3 or 4), because its values, not only the window's, decide what is black and
    white. The average with `whole` (H, W), the probability of the whole image, misses less than either. `threshold`
    in (0, 1) is lowered, at most to `FAINTEST`, until `least_share` of the box is labelled. `label` is a class of a
    model of several; where it has no such class, whichever is the most probable is drawn. Raises `InputError` if image,
    box or threshold do not fit.

    Examples
    --------
    >>> from napari_wavegms import Segmenter
    >>> segmenter = Segmenter.from_checkpoint("default", device="cpu")
    >>> result = segment_box(segmenter, np.zeros((90, 80), np.uint8), Box(10, 40, 20, 60))
    >>> result.mask.shape, result.rows
    ((30, 40), slice(10, 40, None))
    """
    pixels = as_image(image)
    shape = (pixels.shape[0], pixels.shape[1])
    box.checked(shape)
    if whole is not None and whole.shape != shape:
        raise InputError(f"The image is {shape[0]} x {shape[1]} pixels and the probability has shape {whole.shape}.")
    window = box.window(shape, context)
    answer = segmenter.segment(_window_of(pixels, window, segmenter.preprocessing))
    found = answer.confidence
    if answer.classes is not None and 0 < label <= segmenter.classes:
        found = answer.probability[label - 1]
    top, left = box.top - window.top, box.left - window.left
    inside = found[top : top + box.bottom - box.top, left : left + box.right - box.left]
    if whole is not None:
        inside = np.mean([inside, whole[box.rows, box.columns]], axis=0, dtype=np.float32)
    probability = np.ascontiguousarray(inside)
    level = _level(probability, threshold, least_share)
    return BoxResult(threshold_probability(probability, level), probability, box.rows, box.columns, level)


def pasted(plane: npt.NDArray[Any], result: BoxResult, label: int) -> npt.NDArray[Any]:
    """A copy of a plane of labels (H, W) with one label replaced inside the box; other labels stay."""
    after = plane.copy()
    inside = after[result.rows, result.columns]  # a view
    free = (inside == 0) | (inside == label)
    inside[free] = np.where(result.mask[free] != 0, label, 0)
    return after


def _window_of(pixels: npt.NDArray[Any], window: Box, rules: Preprocessing) -> npt.NDArray[Any]:
    """Cut out the window, with the intensities that it has in the whole image."""
    if pixels.dtype not in (np.bool_, np.uint8):
        # As uint8, which the segmenter does not rescale.
        scaled, _ = scale_intensity(pixels, rules.percentiles, rules.window)
        pixels = np.rint(scaled[window.rows, window.columns] * 255).astype(np.uint8)
    else:
        pixels = pixels[window.rows, window.columns]
    return np.ascontiguousarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)


def _level(probability: FloatArray, threshold: float, least_share: float) -> float:
    """Lower the threshold as far as necessary to label the least share of the box."""
    enough = float(np.quantile(probability, 1 - least_share)) if least_share > 0 else 1.0
    return min(threshold, max(FAINTEST, enough))
