"""An image layer in a line."""

from __future__ import annotations

import numpy as np
import pint
import pytest

from napari_wavegms.widgets.layers.image_info import describe_image

MM, PIXEL = pint.Unit("mm"), pint.Unit("pixel")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (((244, 320), "uint8"), "244 x 320, grey, uint8"),
        (((244, 320), np.dtype("float32"), False, (1, 1), (PIXEL, PIXEL)), "244 x 320, grey, float32"),
        (((244, 320, 4), "uint8", True), "244 x 320, RGBA, uint8"),
        (((12, 244, 320, 3), "uint8", True), "12 x 244 x 320, RGB, uint8"),
        (((244, 320), "uint16", False, (0.2, 0.2), (MM, MM)), "244 x 320, grey, uint16, 0.2 mm/px"),
        (
            ((9, 244, 320), "bool", False, (3, 0.2, 0.25), ("mm",) * 3),
            "9 x 244 x 320, grey, bool, 3 x 0.2 x 0.25 mm/px",
        ),
    ],
)
def test_an_image_in_a_line(arguments: tuple[object, ...], line: str) -> None:
    assert describe_image(*arguments) == line
