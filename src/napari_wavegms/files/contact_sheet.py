"""Many images on one sheet, each with the outlines of two masks and lines of text under it."""

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
from napari_wavegms.files.labels import output_file
from napari_wavegms.files.overlay import LABEL_COLOR, TRUTH_COLOR, visible

TILE = 256  # pixels; the longer side of a picture
COLUMNS = 5

_GAP = 12
_TEXT, _HEADING = 14, 18  # font sizes
_DASH, _PAUSE = 7.0, 5.0
_PAPER, _INK = (255, 255, 255), (20, 20, 20)

Place = tuple[float, float]


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

    pixels = np.rint(visible(np.asarray(image))).astype(np.uint8)
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
    return montage(cells, fill=_PAPER, grid_shape=grid, padding_width=_GAP, channel_axis=-1)
