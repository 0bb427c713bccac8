"""What another program's mask says: labels, or a black and white mask in one of its many disguises."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_wavegms.errors import InputError
from napari_wavegms.files.formats.decoded import Decoded, alpha_of, over_black
from napari_wavegms.files.labels import smallest_labels

SOFT = "It has soft edges, which were cut at half."

_DARKEST_WHITE = 32  # below, values are labels that somebody counted
_NEAR = 0.12  # of white; what is closer to black or white is noise of it
_FLAT = 0.5  # share of the grey pixels from which they are areas, and so labels
_EDGES = 0.25  # largest share of a black and white mask that its soft edges take
_PICTURE = 16  # grey levels from which it is no mask at all
_OFF_COLOUR = 0.12  # of the brightest channel; how far a single colour's pixels may be from it
_STRAYS = 0.005  # share of the pixels that may be further
_LOSSY_STRAYS = 0.03  # the same where a JPEG halves the resolution of colour


def labels_of(decoded: Decoded, source: Path) -> tuple[NDArray[Any], str, str]:
    """Labels 0..n of stored values, their axes, and a sentence on what was done to them, if anything.

    Raises `InputError` for colours, fractions, negative numbers, pictures and trimaps; every sentence names the file.
    """
    if decoded.record is not None:
        return _smallest(_whole(decoded.pixels, source), source), decoded.axes, ""
    values, axes, palette = decoded.pixels, decoded.axes, decoded.palette
    if palette is not None:
        if not _is_grey(palette[np.unique(values)]):
            return _smallest(_black_is_background(values, palette), source), axes, ""
        values, axes = palette[values], f"{axes}S"
    if axes.endswith("S"):
        values, axes = _one_sample(values, source, lossy=decoded.lossy), axes[:-1]
    if "C" in axes and (channels := values.shape[axes.index("C")]) > 1:
        raise InputError(
            f"{source} has {channels} channels, but a mask has one label per pixel. Save the channel that is the mask, "
            f"or all of them as one picture with the labels 1 to {channels}."
        )
    values = _smallest(_whole(values, source), source)
    labels, note = _black_and_white(values, source, lossy=decoded.lossy)
    return labels, axes, note


def _smallest(values: NDArray[Any], source: Path) -> NDArray[Any]:
    try:
        return smallest_labels(values)
    except InputError as cause:
        raise InputError(f"{source}: {cause}") from cause


def _is_grey(colors: NDArray[np.uint8]) -> bool:
    """Whether the used colours of a palette only say how bright: then they, not their indices, are the mask."""
    return bool((colors[:, :3] == colors[:, :1]).all())


def _black_is_background(values: NDArray[Any], palette: NDArray[np.uint8]) -> NDArray[Any]:
    """Indices of a coloured palette, where black changes places with index 0 if a program sorted it elsewhere."""
    used = np.unique(values)
    black = [int(index) for index in used if not palette[index, :3].any()]
    if len(black) != 1 or black == [0] or not palette[0, :3].any():
        return values
    order = np.arange(len(palette))
    order[0], order[black[0]] = black[0], 0
    return np.asarray(order[values])


def _one_sample(values: NDArray[Any], source: Path, *, lossy: bool) -> NDArray[Any]:
    """One number for each pixel of colours (..., 2, 3 or 4): a shape in alpha, a grey level, or one colour on black."""
    if values.shape[-1] in (2, 4):
        alpha = alpha_of(values)
        if alpha.min() < alpha.max():
            visible = values[alpha >= 0.5][..., :-1]
            if not len(visible) or (visible == visible[0]).all():
                return np.rint(alpha * 255).astype(np.uint8)
        values = over_black(values)
    brightest = values.max(-1)
    if (values == values[..., :1]).all():
        return np.asarray(brightest)
    # One colour on black, perhaps with soft edges or a JPEG's noise, lies on a line through black.
    coloured = values[brightest >= (_typical(brightest) if lossy else brightest.max()) / 2]
    colour = np.asarray(np.median(coloured, 0) if lossy else values.reshape(-1, values.shape[-1]).max(0), np.float32)
    line = brightest[..., np.newaxis] / max(float(colour.max()), 1e-9) * colour
    off = np.abs(values - line).max(-1) > (2 if lossy else 1) * _OFF_COLOUR * colour.max()
    if off.mean() > (_LOSSY_STRAYS if lossy else _STRAYS):
        raise InputError(
            f"{source} is a colour image, but a mask has one label per pixel. Save it as grey levels or with a "
            "palette; if the folders of images and masks are swapped, swap them."
        )
    return np.asarray(brightest)


def _whole(values: NDArray[Any], source: Path) -> NDArray[Any]:
    """Labels that a program stored as floats; fractions are refused."""
    if values.dtype.kind != "f":
        return values
    if not np.isfinite(values).all() or (values != np.rint(values)).any() or np.abs(values).max() >= 2**53:
        raise InputError(f"{source} contains fractions, but a mask has whole numbers. Threshold it first.")
    return np.asarray(values, np.int64)


def _black_and_white(values: NDArray[Any], source: Path, *, lossy: bool) -> tuple[NDArray[Any], str]:
    """0 and white as 0 and 1, also where the edges are soft; labels as they are."""
    white = _typical(values) if lossy else int(values.max())
    levels = np.flatnonzero(np.bincount(values.ravel())) if white < 2**16 else np.unique(values)
    if white in (0xFF, 0xFFFF) and set(levels.tolist()) <= {0, white}:
        return np.asarray(values == white, np.uint8), ""
    if white < _DARKEST_WHITE or len(levels) < 3:
        return values, ""
    dark, bright = values <= _NEAR * white, np.abs(values.astype(np.int64) - white) <= _NEAR * white
    between = ~(dark | bright)
    if not lossy:
        if len(levels) == 3 and white in (0xFF, 0xFFFF) and levels[0] == 0 and 0.4 < levels[1] / white < 0.6:
            raise InputError(
                f"{source} has the grey levels {', '.join(map(str, levels))}, as a trimap has for background, unknown "
                "and structure. Save it as 0 and 255, with the unknown pixels as one of them."
            )
        if _are_areas(values, dark & (values > 0), between, bright):
            return values, ""
    if between.mean() <= _EDGES and min(dark.sum(), bright.sum()) >= between.sum() / (1 if lossy else 4):
        return np.asarray(values >= (white + 1) // 2, np.uint8), SOFT
    if len(levels) >= _PICTURE:
        raise InputError(
            f"{source} has {len(levels)} grey levels and looks like a picture, not like a mask. Threshold it first; if "
            "the folders of images and masks are swapped, swap them."
        )
    return values, ""


def _typical(values: NDArray[Any]) -> int:
    """White of a mask around whose edges a JPEG overshoots."""
    return int(np.median(values[values >= max(int(values.max()) / 2, 1)])) if values.any() else 0


def _are_areas(
    values: NDArray[Any], dark: NDArray[np.bool_], between: NDArray[np.bool_], bright: NDArray[np.bool_]
) -> bool:
    """Whether grey pixels are areas, and so labels, not soft edges or the noise of a JPEG around black and white."""
    flat = _flat(values)
    whitest = values == values.max()
    if between.any():
        return bool(flat[between].mean() >= _FLAT)
    if not (bright & ~whitest).any():
        return bool(flat[dark].mean() >= _FLAT)
    is_noise = dark.any() or np.count_nonzero(whitest) < _NEAR * np.count_nonzero(bright)
    return not is_noise and bool(flat[bright].mean() >= _FLAT)


def _flat(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Where a pixel equals a neighbour in its row and one in its column, as inside areas and not on soft edges."""
    flat = np.ones(values.shape, bool)
    for axis in (-2, -1):
        same = np.diff(values.astype(np.int64), axis=axis) == 0
        ends = [(0, 0)] * values.ndim
        ends[axis] = (1, 0)
        before = np.pad(same, ends)
        ends[axis] = (0, 1)
        flat &= before | np.pad(same, ends)
    return flat
