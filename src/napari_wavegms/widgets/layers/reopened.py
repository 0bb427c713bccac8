"""Layers that napari's own reader opened otherwise than the command line reads their files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari.layers import Image, Layer

from napari_wavegms.errors import InputError
from napari_wavegms.files.napari_reader import differs_in_napari, read_layers

if TYPE_CHECKING:
    from napari.components import ViewerModel

_NAPARI = "napari"


def read_again(viewer: ViewerModel) -> None:
    """Show files as the command line reads them: turned photos upright, and our masks as Labels.

    Each layer is looked at once, and only as long as it has the data that napari read.
    """
    for layer in [layer for layer in viewer.layers if _is_napari_s(layer)]:
        layer.metadata[_SEEN] = True
        path = Path(str(layer.source.path))
        if not differs_in_napari(path):
            continue
        try:
            ((data, meta, kind),) = read_layers(str(path))
        except InputError:
            continue
        if kind == "image":
            if data.ndim == layer.data.ndim:
                layer.data = data
            continue
        place, name = viewer.layers.index(layer), str(layer.name)
        mask = Layer.create(data, meta, kind)
        # The mask first: napari's canvas does not survive an empty viewer in between.
        viewer.layers.insert(place + 1, mask)
        viewer.layers.remove(layer)
        mask.name = name


_SEEN = "wavegms_read_again"


def _is_napari_s(layer: Layer) -> bool:
    source = layer.source
    is_plain = type(layer) is Image and not layer.multiscale and _SEEN not in layer.metadata
    return is_plain and source.reader_plugin == _NAPARI and bool(source.path) and source.parent is None
