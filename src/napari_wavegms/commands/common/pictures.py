"""Masks drawn over images, for pages, reports and eyes without napari: one by one, or many on a contact sheet."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from napari_wavegms.errors import InputError
from napari_wavegms.files.labels import label_colors, output_file, smallest_labels
from napari_wavegms.segment.preprocessing import as_image, scale_intensity

# Orange and sky blue of Okabe and Ito's palette, which colour-blind readers tell apart.
LABEL_COLOR = (230, 159, 0)
TRUTH_COLOR = (86, 180, 233)

_FILL = 0.3
_PERCENTILES = (0.1, 99.9)
_PIXELS_PER_LINE = 300

TILE = 256  # pixels; the longer side of a picture
COLUMNS = 5

_GAP = 12
_TEXT, _HEADING = 14, 18  # font sizes
_DASH, _PAUSE = 7.0, 5.0
_PAPER, _INK = (255, 255, 255), (20, 20, 20)

Place = tuple[float, float]


def overlay(image: ArrayLike, labels: ArrayLike, truth: ArrayLike | None = None) -> NDArray[np.uint8]:
    """Draw labels over an image, tinted and outlined, and the outline of a reference mask over both: (H, W, 3) uint8.

    The image is (H, W) or (H, W, 1, 3 or 4); bool and uint8 are shown as they are, other types between their 0.1 and
    99.9 percentiles. Label 1 is orange, others have the colours of written masks; `truth` is outlined in sky blue.
    Raises `InputError` if shapes or values do not fit.

    Examples
    --------
    >>> overlay([[0, 0], [0, 0]], [[1, 0], [0, 0]])[0].tolist()
    [[230, 159, 0], [0, 0, 0]]
    """
    canvas = _visible(image)
    mask = _fitting(labels, canvas)
    thickness = max(1, round(max(mask.shape) / _PIXELS_PER_LINE))
    colors = label_colors()[np.where(mask > 255, (mask - 2) % 254 + 2, mask)].astype(np.float64)
    colors[mask == 1] = LABEL_COLOR
    inside = mask > 0
    canvas[inside] += _FILL * (colors[inside] - canvas[inside])
    edge = _outline(mask, thickness)
    canvas[edge] = colors[edge]
    if truth is not None:
        canvas[_outline(_fitting(truth, canvas) > 0, thickness)] = TRUTH_COLOR
    return np.rint(canvas).astype(np.uint8)


def write_overlay(
    path: str | os.PathLike[str], image: ArrayLike, labels: ArrayLike, truth: ArrayLike | None = None
) -> Path:
    """Write `overlay` as a PNG; raises `InputError` for another ending or a place that cannot be written, too."""
    picture = Image.fromarray(overlay(image, labels, truth))
    with output_file(path, (".png",)) as file:
        picture.save(file, format="PNG")
    return Path(path)


def _visible(image: ArrayLike) -> NDArray[np.float64]:
    """An image as (H, W, 3) from 0 to 255."""
    scaled, _ = scale_intensity(as_image(image), _PERCENTILES)
    return np.repeat(scaled * 255.0, 3 // scaled.shape[-1], axis=-1).astype(np.float64)


def _fitting(labels: ArrayLike, canvas: NDArray[Any]) -> NDArray[np.int64]:
    mask = smallest_labels(labels)
    if mask.shape != canvas.shape[:2]:
        raise InputError(f"A mask of shape {mask.shape} does not fit an image of {canvas.shape[:2]} rows and columns.")
    return mask.astype(np.int64)


def _outline(mask: NDArray[Any], thickness: int) -> NDArray[np.bool_]:
    """The outermost pixels of each label; the image's border is no outline."""
    from scipy import ndimage
    from skimage import segmentation

    find_boundaries: Any = segmentation.find_boundaries  # typed in some versions only
    edge: NDArray[np.bool_] = find_boundaries(mask, connectivity=1, mode="inner")
    return edge if thickness == 1 else ndimage.binary_dilation(edge, iterations=thickness - 1) & (mask > 0)


@dataclass(frozen=True, slots=True)
class Tile:
    """An RGB picture of at most `TILE` pixels on a side, outlines drawn on it, and the lines of text under it."""

    picture: Image.Image
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Section:
    """Tiles under a heading."""

    heading: str
    tiles: tuple[Tile, ...]


def make_tile(image: ArrayLike, predicted: ArrayLike, truth: ArrayLike, *lines: str) -> Tile:
    """Scale an image, (H, W) or (H, W, 1, 3 or 4), to a tile with the outlines of two masks (H, W) and lines of text.

    The prediction is orange and solid, the truth sky blue and dashed. Raises `InputError` if shapes or values do not
    fit.
    """
    from PIL.ImageDraw import Draw

    pixels = np.rint(_visible(image)).astype(np.uint8)
    shape = pixels.shape[:2]
    height, width = (max(1, round(side * TILE / max(shape))) for side in shape)
    picture = Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS)
    draw = Draw(picture)
    for labels, color, dashed in ((predicted, LABEL_COLOR, False), (truth, TRUTH_COLOR, True)):
        mask = np.asarray(labels) != 0
        if mask.shape != shape:
            raise InputError(f"A mask of shape {mask.shape} does not fit an image of {shape} rows and columns.")
        for line in _outlines(mask, height / shape[0], width / shape[1]):
            for part in dashes(line) if dashed else [line]:
                draw.line(part, fill=color, width=2)
    return Tile(picture, lines)


def write_contact_sheet(path: str | os.PathLike[str], title: str, sections: Sequence[Section]) -> Path:
    """Write a sheet as a PNG, in one step; raises `InputError` for another ending or a place that cannot be written."""
    legend = "Orange, solid: prediction. Blue, dashed: true mask."
    columns = min(COLUMNS, max((len(section.tiles) for section in sections), default=1))
    parts = [_text(title, _HEADING), _text(legend, _TEXT)]
    for section in sections:
        parts += [_text(section.heading, _HEADING), _tiles(section, columns)]
    widest = max(part.shape[1] for part in parts)
    sheet = np.concatenate(
        [np.pad(part, ((0, 0), (0, widest - part.shape[1]), (0, 0)), constant_values=255) for part in parts]
    )
    with output_file(path, (".png",)) as file:
        Image.fromarray(sheet).save(file, format="PNG")
    return Path(path)


def dashes(line: Sequence[Place]) -> list[list[Place]]:
    """Cut a line into dashes of equal length, with pauses between them.

    Examples
    --------
    >>> dashes([(0.0, 0.0), (20.0, 0.0)])
    [[(0.0, 0.0), (7.0, 0.0)], [(12.0, 0.0), (19.0, 0.0)]]
    """
    places = np.asarray(line, float)
    along = np.concatenate([[0.0], np.hypot(*np.diff(places, axis=0).T).cumsum()])
    parts = []
    for start in np.arange(0.0, along[-1], _DASH + _PAUSE):
        end = min(start + _DASH, along[-1])
        stops = [start, *along[(along > start) & (along < end)], end]
        across, down = (np.interp(stops, along, places[:, axis]).tolist() for axis in (0, 1))
        parts.append(list(zip(across, down, strict=True)))
    return parts


def _outlines(mask: NDArray[np.bool_], down: float, across: float) -> list[list[Place]]:
    """Closed lines (x, y) around the foreground, in the pixels of a picture scaled by `down` and `across`."""
    from skimage import measure

    find_contours: Any = measure.find_contours  # typed in some versions only
    framed = np.pad(mask, 1).astype(np.float32)  # background around, so that every line closes
    return [
        [((column - 0.5) * across, (row - 0.5) * down) for row, column in line] for line in find_contours(framed, 0.5)
    ]


def _text(text: str, size: int, width: int | None = None) -> NDArray[np.uint8]:
    """A line of text as pixels; where it is wider than `width`, its middle is left out."""
    from PIL.ImageDraw import Draw
    from PIL.ImageFont import load_default

    font = load_default(size)
    short, kept = text, len(text)
    while width and font.getlength(short) > width and kept > 1:
        kept -= 1
        short = f"{text[: -(-kept // 2)]}...{text[len(text) - kept // 2 :]}"
    left = 0 if width else _GAP
    line = Image.new("RGB", (width or int(font.getlength(short)) + 2 * _GAP, size + size // 2), _PAPER)
    Draw(line).text((left, 2), short, fill=_INK, font=font)
    return np.asarray(line)


def _tiles(section: Section, columns: int) -> NDArray[np.uint8]:
    """The tiles of a section in rows, each picture on the floor of its square."""
    from skimage.util import montage

    most = max((len(tile.lines) for tile in section.tiles), default=0)
    cells = []
    for tile in section.tiles:
        square = Image.new("RGB", (TILE, TILE), _PAPER)
        square.paste(tile.picture, ((TILE - tile.picture.width) // 2, TILE - tile.picture.height))
        lines = [*tile.lines, *[""] * (most - len(tile.lines))]
        cells.append(np.concatenate([np.asarray(square), *(_text(line, _TEXT, TILE) for line in lines)]))
    grid = (-(-len(cells) // columns), columns)
    return montage(cells, fill=_PAPER, grid_shape=grid, padding_width=_GAP, channel_axis=-1)  # type: ignore[no-any-return]
