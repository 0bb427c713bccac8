"""The colours that labels wear in the files we write."""

from __future__ import annotations

import colorsys
from functools import cache

import numpy as np
from numpy.typing import NDArray

_GOLDEN_RATIO = 0.618033988749895


@cache
def label_colors() -> NDArray[np.uint8]:
    """Colours of labels 0 to 255, all different: (256, 3) uint8.

    The background is black and label 1 white, so that a mask of one class looks, and reads in programs that expand
    palettes, like the usual 0/255 mask. The others walk around the colour circle by the golden ratio, always bright.
    """
    colors = np.zeros((256, 3), np.uint8)
    colors[1] = 255
    for label in range(2, 256):
        hue = (0.04 + label * _GOLDEN_RATIO) % 1.0
        saturation, value = ((0.85, 1.0), (0.6, 1.0), (0.85, 0.8))[label % 3]
        colors[label] = [round(255 * part) for part in colorsys.hsv_to_rgb(hue, saturation, value)]
    colors.flags.writeable = False
    return colors
