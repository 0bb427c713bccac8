"""Held-out images in the viewer, with what was corrected, and the masks before and after, as outlines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_wavegms.widgets.finetune_job import Looked
from napari_wavegms.widgets.finetune_pairs import SHOWN_BY_US

if TYPE_CHECKING:
    from napari.components import ViewerModel  # type: ignore[import-untyped]

# The names tell the outlines apart, and so do their widths where colours cannot.
_OUTLINES = (("corrected", 3, "#f0e442"), ("before", 1, "#e69f00"), ("after", 2, "#56b4e9"))


def is_shown(viewer: ViewerModel) -> bool:
    """Whether held-out images are being looked at."""
    return any(SHOWN_BY_US in layer.metadata for layer in viewer.layers)


def hide(viewer: ViewerModel) -> None:
    """Take them out of the viewer again."""
    for layer in [layer for layer in viewer.layers if SHOWN_BY_US in layer.metadata]:
        viewer.layers.remove(layer)


def show(viewer: ViewerModel, looked: Looked) -> None:
    """Add one stack of images with its three masks on top; the slider goes from image to image."""
    hide(viewer)
    mark = {SHOWN_BY_US: looked.names}
    viewer.add_image(looked.images, rgb=True, name="held-out images", metadata=dict(mark))
    for name, width, colour in _OUTLINES:
        layer = viewer.add_labels(
            getattr(looked, name),
            name=f"held-out: {name}",
            metadata=dict(mark),
            colormap={None: "transparent", 1: colour},
            opacity=1.0,
        )
        layer.contour = width
        layer.editable = False
