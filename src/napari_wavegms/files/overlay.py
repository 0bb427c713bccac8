"""A mask drawn over its image, for pages, reports and eyes without napari."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from napari_wavegms.errors import InputError
from napari_wavegms.files.labels import label_colors, output_file, smallest_labels

# Orange and sky blue of Okabe and Ito's palette, which colour-blind readers tell apart.
LABEL_COLOR = (230, 159, 0)
TRUTH_COLOR = (86, 180, 233)

_FILL = 0.3
_PERCENTILES = (0.1, 99.9)
_PIXELS_PER_LINE = 300


def overlay(image: ArrayLike, labels: ArrayLike, truth: ArrayLike | None = None) -> NDArray[np.uint8]:
    """Draw labels over an image, tinted and outlined, and the outline of a reference mask over both: (H, W, 3) uint8.

    The image is (H, W) or (H, W, 1, 3 or 4); bool and uint8 are shown as they are, other types between their 0.1 and
    99.9 percentiles. Label 1 is orange, others have the colours of written masks; `truth` is outlined in sky blue.
    Raises `InputError` if shapes or values do not fit.

    Examples
    --------
    >>> overlay([[0, 0], [0, 0]], [[1, 0], [0, 0]])[0].tolist()
    [[230, 159, 0], [0, 0, 0]]
    """
    canvas = visible(np.asarray(image))
    mask = _fitting(labels, canvas)
    thickness = max(1, round(max(mask.shape) / _PIXELS_PER_LINE))
    colors = label_colors()[np.where(mask > 255, (mask - 2) % 254 + 2, mask)].astype(np.float64)
    colors[mask == 1] = LABEL_COLOR
    inside = mask > 0
    canvas[inside] += _FILL * (colors[inside] - canvas[inside])
    edge = _outline(mask, thickness)
    canvas[edge] = colors[edge]
    if truth is not None:
        canvas[_outline(_fitting(truth, canvas) > 0, thickness)] = TRUTH_COLOR
    return np.rint(canvas).astype(np.uint8)


def write_overlay(
    path: str | os.PathLike[str], image: ArrayLike, labels: ArrayLike, truth: ArrayLike | None = None
) -> Path:
    """Write `overlay` as a PNG; raises `InputError` for another ending or a place that cannot be written, too."""
    picture = Image.fromarray(overlay(image, labels, truth))
    with output_file(path, (".png",)) as file:
        picture.save(file, format="PNG")
    return Path(path)


def visible(image: NDArray[Any]) -> NDArray[np.float64]:
    """An image as (H, W, 3) from 0 to 255."""
    if image.dtype.kind not in "buif" or image.size == 0:
        raise InputError(f"An image of real numbers is needed, but this is {image.dtype} of shape {image.shape}.")
    if image.ndim == 2:
        image = image[..., np.newaxis]
    if image.ndim != 3 or image.shape[-1] not in (1, 3, 4):
        raise InputError(
            f"An image of (H, W) or (H, W, 3) is needed, but this has shape {image.shape}. Pick one plane."
        )
    return np.repeat(_scaled(image[..., :3]), 3 // min(image.shape[-1], 3), axis=-1)


def _scaled(image: NDArray[Any]) -> NDArray[np.float64]:
    if image.dtype in (np.uint8, np.bool_):
        return image * (255.0 if image.dtype == np.bool_ else 1.0)
    values = image.astype(np.float64)
    finite = values[np.isfinite(values)]
    low, high = np.percentile(finite, _PERCENTILES) if finite.size else (0.0, 0.0)
    if not 0 < high - low < np.inf:
        return np.zeros(values.shape)
    bounded = np.clip(np.nan_to_num(values, nan=low, posinf=high, neginf=low), low, high)
    return np.asarray((bounded - low) / (high - low) * 255.0)


def _fitting(labels: ArrayLike, canvas: NDArray[Any]) -> NDArray[np.int64]:
    mask = smallest_labels(labels)
    if mask.shape != canvas.shape[:2]:
        raise InputError(f"A mask of shape {mask.shape} does not fit an image of {canvas.shape[:2]} rows and columns.")
    return mask.astype(np.int64)


def _outline(mask: NDArray[Any], thickness: int) -> NDArray[np.bool_]:
    """The outermost pixels of each label; the image's border is no outline."""
    from scipy import ndimage
    from skimage import segmentation

    find_boundaries: Any = segmentation.find_boundaries  # typed in some versions only
    edge: NDArray[np.bool_] = find_boundaries(mask, connectivity=1, mode="inner")
    return edge if thickness == 1 else ndimage.binary_dilation(edge, iterations=thickness - 1) & (mask > 0)
