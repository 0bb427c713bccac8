"""Files that napari's own reader shows otherwise than the command line reads them are read again."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image as ImageLayer
from napari.layers import Labels
from npe2 import PluginManifest
from PIL import Image

from napari_wavegms.files.mask_writer import write_mask
from napari_wavegms.files.reading import read_image
from napari_wavegms.files.spacing import Spacing
from napari_wavegms.widgets.layers.reopened import read_again

GREY = np.arange(128, dtype=np.uint8).reshape(8, 16)


def test_a_turned_photo_stands_upright_and_our_mask_becomes_labels(npe2pm: Any, tmp_path: Path) -> None:
    npe2pm.register(PluginManifest.from_file(str(files("napari_builtins") / "builtins.yaml")))
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(GREY).save(tmp_path / "photo.png", exif=exif)
    Image.fromarray(GREY).save(tmp_path / "plain.png")
    write_mask(tmp_path / "photo_mask.png", GREY > 9, Spacing((0.5, 0.5), "mm"))
    write_mask(tmp_path / "photo_mask_1.tif", GREY > 9)
    viewer = ViewerModel()
    names = ["photo.png", "photo_mask.png", "photo_mask_1.tif", "plain.png"]
    viewer.open([tmp_path / name for name in names])
    plain = viewer.layers["plain"].data
    read_again(viewer)
    assert [layer.name for layer in viewer.layers] == ["photo", "photo_mask", "photo_mask_1", "plain"]
    assert [type(layer) for layer in viewer.layers] == [ImageLayer, Labels, Labels, ImageLayer]
    np.testing.assert_array_equal(viewer.layers["photo"].data, read_image(tmp_path / "photo.png").pixels)
    np.testing.assert_array_equal(viewer.layers["photo_mask"].data, GREY > 9)
    assert viewer.layers["photo_mask"].scale.tolist() == [0.5, 0.5]
    assert viewer.layers["plain"].data is plain
    viewer.layers["photo"].data = GREY  # somebody's own work is left alone from then on
    read_again(viewer)
    np.testing.assert_array_equal(viewer.layers["photo"].data, GREY)
