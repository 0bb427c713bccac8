"""Labels as integers of the smallest type, and the colours they are drawn in."""

from __future__ import annotations

import colorsys
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_wavegms.errors import InputError
from napari_wavegms.storage.atomic import atomic_write, remedy

_DEFAULT_AXES = {2: "YX", 3: "ZYX", 4: "TZYX", 5: "TZCYX"}


@contextmanager
def output_file(path: str | os.PathLike[str], suffixes: tuple[str, ...]) -> Iterator[Path]:
    """A neighbour file to write, moved onto `path` at the end; errors of the disk become an `InputError`."""
    target = Path(path)
    if target.suffix.lower() not in suffixes:
        raise InputError(f"'{target.name}' does not end in {' or '.join(suffixes)}; give the file that ending.")
    if target.is_dir():
        raise InputError(f"{target} is a folder; give the name of a file in it.")
    try:
        with atomic_write(target) as neighbour:
            yield neighbour
    except OSError as cause:
        raise InputError(f"{target} cannot be written ({cause.strerror or cause}); {remedy(cause)}") from cause


def smallest_labels(labels: ArrayLike) -> NDArray[Any]:
    """Labels as uint8, uint16 or uint32, the smallest that holds them; raises `InputError` where none does."""
    array = np.asarray(labels)
    if array.dtype.kind not in "bui":
        raise InputError(f"A mask holds whole numbers, but this is {array.dtype}. Threshold or round it first.")
    if array.ndim < 2 or array.size == 0:
        raise InputError(f"A mask has rows and columns, but this has shape {array.shape}. Choose another array.")
    low, high = int(array.min()), int(array.max())
    if low < 0:
        raise InputError(f"A mask holds labels from 0 up, but this has label {low}. Set negative labels to 0.")
    for dtype in (np.uint8, np.uint16, np.uint32):
        if high <= np.iinfo(dtype).max:
            return array.astype(dtype)
    raise InputError(f"Label {high} does not fit into 32 bits; renumber the labels from 1 up.")


def checked_axes(axes: str | None, ndim: int) -> str:
    """One letter per axis, ending in YX; ZYX, TZYX or TZCYX where none are given. `InputError` if they do not fit."""
    if axes is None:
        if ndim not in _DEFAULT_AXES:
            raise InputError(f"A mask has two to five axes, but this has {ndim}. Save a part of it.")
        return _DEFAULT_AXES[ndim]
    # An image's axes may be given for its mask: colour samples are the one axis that a mask does not have.
    letters = axes.upper().removesuffix("S") if len(axes) == ndim + 1 else axes.upper()
    if len(letters) != ndim or not letters.endswith("YX") or ndim > max(_DEFAULT_AXES):
        raise InputError(
            f"The axes {axes!r} do not fit an array of {ndim} axes. Give a letter for each, at most five, ending in YX."
        )
    return letters


def spatial_count(axes: str) -> int:
    """How many of the axes are spatial."""
    return sum(letter in "ZYX" for letter in axes)


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


@cache
def overlay_colors() -> NDArray[np.uint8]:
    """The same for labels that are shown over their image: 1 cyan and 2 orange, which are seen on tissue and skin."""
    colors = label_colors().copy()
    colors[1:3] = (0, 230, 255), (255, 153, 0)
    colors.flags.writeable = False
    return colors


_COLOR = re.compile(r"#[0-9a-fA-F]{6}")


def class_colors_over_image(class_colors: Sequence[str]) -> NDArray[np.uint8]:
    """`overlay_colors`, in which classes have their own, "#rrggbb" from label 1 up; what is no such colour is left out.

    Examples
    --------
    >>> class_colors_over_image(["#ff0000", "", "#0000ff"])[:4].tolist()
    [[0, 0, 0], [255, 0, 0], [255, 153, 0], [0, 0, 255]]
    """
    colors = overlay_colors().copy()
    for label, color in enumerate(class_colors[: len(colors) - 1], start=1):
        if _COLOR.fullmatch(color):
            colors[label] = list(bytes.fromhex(color[1:]))
    return colors


def palette_of(class_names: Sequence[str], class_colors: Sequence[str]) -> NDArray[np.uint8]:
    """The palette of a mask's file: `label_colors` of one class, and of several what is shown over the image."""
    return class_colors_over_image(class_colors) if len(class_names) > 2 else label_colors()
