"""What the panels do to the viewer."""

from __future__ import annotations

import gc

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image

from napari_wavegms.widgets.layers.viewer import remove_layers


def test_layers_go_and_the_collector_is_as_it_was() -> None:
    viewer = ViewerModel()
    gc.unfreeze()
    kept, gone = (viewer.add_image(np.zeros((4, 4)), name=name) for name in ("kept", "gone"))
    remove_layers(viewer, gone, None, Image(np.zeros((4, 4))))
    assert list(viewer.layers) == [kept]
    assert gc.get_freeze_count() == 0
    gc.freeze()
