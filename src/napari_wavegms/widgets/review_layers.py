"""The open images of a viewer as a list to review."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from napari_wavegms.files.napari_writers import axes_from_names, spacing_from_scale
from napari_wavegms.review.content import content_hash
from napari_wavegms.review.corrections import CorrectionStore
from napari_wavegms.review.review_notes import NoteWriter
from napari_wavegms.review.worklist import OpenLayer, Worklist
from napari_wavegms.widgets.review_jobs import Pixels

if TYPE_CHECKING:
    from napari.layers import Image  # type: ignore[import-untyped]


def pixels_of(layer: Image) -> Pixels:
    """Give the image of a layer as plain values, its full resolution; the array is not read here."""
    pixels = layer.data[0] if layer.multiscale else layer.data
    axes = axes_from_names(layer.axis_labels, layer.ndim)
    spacing = None
    if layer.ndim == 2 or axes is not None:
        spacing = spacing_from_scale(layer.scale, [str(unit) for unit in layer.units], axes or "YX")
    return Pixels(pixels, bool(layer.rgb), tuple(layer.axis_labels), spacing, str(layer.source.path or ""))


def open_layers(
    images: Mapping[str, Pixels], names: Mapping[str, str], store: CorrectionStore, writer: NoteWriter | None = None
) -> Worklist:
    """Make a list of open images, known again by their content.

    Parameters
    ----------
    images, names : mapping
        By the ids of the layers.
    store : CorrectionStore
    writer : NoteWriter, optional

    Raises
    ------
    InputError
        If there is none, or one that holds no real numbers.
    """
    layers = [OpenLayer(key, names[key], content_hash(np.asarray(image.pixels))) for key, image in images.items()]
    return Worklist.of_layers(layers, store, writer=writer)
