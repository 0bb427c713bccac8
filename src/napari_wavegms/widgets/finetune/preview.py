"""Test images segmented by the previous and the new model, side by side."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_wavegms.learn.pairs import Pair
from napari_wavegms.segment.segmenter_cache import Progress
from napari_wavegms.widgets.finetune.pairs import SHOWN_BY_US

if TYPE_CHECKING:
    from napari.components import ViewerModel

MOST = 12  # test images are shown

# The names tell the outlines apart, and so do their widths where colours cannot.
_OUTLINES = (("yours", 3, "#f0e442"), ("previous", 1, "#e69f00"), ("new", 2, "#56b4e9"))


@dataclass(frozen=True, slots=True, eq=False)
class Preview:
    """Test images as stacks of one size, (N, H, W, 3) and (N, H, W), the smaller ones padded with black."""

    names: tuple[str, ...]
    images: npt.NDArray[np.uint8]
    masks: dict[str, npt.NDArray[np.uint8]]


def preview_job(
    pairs: Sequence[Pair], previous: Path, new: Path, device: str = "auto"
) -> Generator[Progress, None, Preview]:
    """Segment the first test images with both models.

    Raises
    ------
    CheckpointError
        If a model file is gone.
    """
    from napari_wavegms.model.device import reserve_ui_core
    from napari_wavegms.segment.preprocessing import as_image, scale_intensity
    from napari_wavegms.segment.segmenter import Segmenter

    reserve_ui_core()
    pairs = pairs[:MOST]
    rows, columns = (max(pair.mask.shape[axis] for pair in pairs) for axis in (0, 1))
    images = np.zeros((len(pairs), rows, columns, 3), np.uint8)
    masks = {name: np.zeros((len(pairs), rows, columns), np.uint8) for name, _, _ in _OUTLINES}
    models = {name: Segmenter.from_checkpoint(path, device) for name, path in (("previous", previous), ("new", new))}
    for i, pair in enumerate(pairs):
        yield Progress(f"Segmenting test image {i + 1} of {len(pairs)}…")
        height, width = pair.mask.shape
        scaled: npt.NDArray[Any] = scale_intensity(as_image(pair.image), (0.1, 99.9))[0]
        images[i, :height, :width] = np.rint(scaled * 255)  # grey is broadcast to three channels
        masks["yours"][i, :height, :width] = pair.mask != 0
        for name, model in models.items():
            masks[name][i, :height, :width] = model.segment(pair.image).mask
    return Preview(tuple(pair.name for pair in pairs), images, masks)


def is_shown(viewer: ViewerModel) -> bool:
    """Whether test images are shown."""
    return any(SHOWN_BY_US in layer.metadata for layer in viewer.layers)


def hide(viewer: ViewerModel) -> None:
    """Take them out of the viewer again."""
    for layer in [layer for layer in viewer.layers if SHOWN_BY_US in layer.metadata]:
        viewer.layers.remove(layer)


def show(viewer: ViewerModel, preview: Preview) -> None:
    """Add one stack of images with its three masks on top; the slider goes from image to image."""
    hide(viewer)
    mark = {SHOWN_BY_US: preview.names}
    viewer.add_image(preview.images, rgb=True, name="test images", metadata=dict(mark))
    for name, width, colour in _OUTLINES:
        layer = viewer.add_labels(
            preview.masks[name],
            name=f"test images: {name}",
            metadata=dict(mark),
            colormap={None: "transparent", 1: colour},
            opacity=1.0,
        )
        layer.contour = width
        layer.editable = False
