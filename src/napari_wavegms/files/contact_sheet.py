"""Many images on one sheet, each with the outlines of two masks and a line of text under it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from napari_wavegms.errors import InputError
from napari_wavegms.files.labels import output_file
from napari_wavegms.files.overlay import LABEL_COLOR, TRUTH_COLOR, visible

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont, ImageFont

    Font = FreeTypeFont | ImageFont

TILE = 256  # pixels; the longer side of a picture
COLUMNS = 5

_GAP = 12
_TEXT = 14
_HEADING = 18
_LINE = 2
_DASH, _PAUSE = 7.0, 5.0
_PAPER, _INK = (255, 255, 255), (20, 20, 20)

Place = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Tile:
    """One image of the sheet.

    Attributes
    ----------
    picture : PIL.Image.Image
        RGB, at most `TILE` pixels on a side, the outlines drawn on it.
    lines : tuple of str
        What stands under it.
    """

    picture: Image.Image
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Section:
    """Tiles under a heading."""

    heading: str
    tiles: tuple[Tile, ...]


def make_tile(image: ArrayLike, predicted: ArrayLike, truth: ArrayLike, *lines: str) -> Tile:
    """Shrink or enlarge an image to a tile and draw the outlines of two masks on it.

    Parameters
    ----------
    image : array-like
        (H, W) grey or (H, W, 1, 3 or 4) colour, shown as `napari_wavegms.files.overlay.overlay` shows it.
    predicted, truth : array-like
        (H, W), foreground where not 0; outlined orange and solid, and sky blue and dashed.
    *lines : str
        What stands under the tile.

    Raises
    ------
    InputError
        Shapes that do not fit each other, or values that are no image.
    """
    pixels = np.rint(visible(np.asarray(image))).astype(np.uint8)
    masks = [np.asarray(mask) != 0 for mask in (predicted, truth)]
    for mask in masks:
        if mask.shape != pixels.shape[:2]:
            raise InputError(
                f"A mask of shape {mask.shape} does not fit an image of {pixels.shape[:2]} rows and columns."
            )
    scale = TILE / max(pixels.shape[:2])
    height, width = (max(1, round(side * scale)) for side in pixels.shape[:2])
    picture = Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS)
    from PIL.ImageDraw import Draw

    draw = Draw(picture)
    for mask, color, dashed in zip(masks, (LABEL_COLOR, TRUTH_COLOR), (False, True), strict=True):
        for line in _outlines(mask, height / mask.shape[0], width / mask.shape[1]):
            for part in dashes(line) if dashed else [line]:
                draw.line(part, fill=color, width=_LINE)
    return Tile(picture, lines)


def write_contact_sheet(path: str | os.PathLike[str], title: str, sections: Sequence[Section]) -> Path:
    """Write a sheet as a PNG; replaces the file in one step and returns its path.

    Under the title stands which outline is which.

    Raises
    ------
    InputError
        Another ending than ``.png``, or a place that cannot be written.
    """
    sheet = _sheet(title, sections)
    with output_file(path, (".png",)) as neighbour:
        sheet.save(neighbour, format="PNG")
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


def _sheet(title: str, sections: Sequence[Section]) -> Image.Image:
    from PIL.ImageDraw import Draw
    from PIL.ImageFont import load_default

    small, large = load_default(_TEXT), load_default(_HEADING)
    columns = min(COLUMNS, max((len(section.tiles) for section in sections), default=1))
    legend = "Orange, solid: what the model drew. Blue, dashed: the true mask."
    needed = max(_width(title, large), _width(legend, small)) + 2 * _GAP
    width = max(_GAP + columns * (TILE + _GAP), needed)
    height = 2 * _GAP + _HEADING + 2 * _TEXT + sum(_height(section) for section in sections)
    sheet = Image.new("RGB", (width, height), _PAPER)
    draw = Draw(sheet)
    draw.text((_GAP, _GAP), title, fill=_INK, font=large)
    draw.text((_GAP, _GAP + _HEADING + _TEXT // 2), legend, fill=_INK, font=small)
    top = 2 * _GAP + _HEADING + 2 * _TEXT
    for section in sections:
        draw.text((_GAP, top), section.heading, fill=_INK, font=large)
        for number, tile in enumerate(section.tiles):
            row, column = divmod(number, COLUMNS)
            place = (_GAP + column * (TILE + _GAP), top + _HEADING + _GAP + row * _cell(section))
            _put(sheet, draw, tile, place, small)
        top += _height(section)
    return sheet


def _put(sheet: Image.Image, draw: ImageDraw, tile: Tile, place: tuple[int, int], font: Font) -> None:
    """Draw one tile on the floor of its square, its lines under it."""
    left, top = place
    width, height = tile.picture.size
    sheet.paste(tile.picture, (left + (TILE - width) // 2, top + TILE - height))
    for number, line in enumerate(tile.lines):
        draw.text((left, top + TILE + 2 + number * (_TEXT + 3)), _shortened(line, font), fill=_INK, font=font)


def _shortened(line: str, font: Font) -> str:
    """The line with its middle left out where it is wider than a tile."""
    kept = len(line)
    short = line
    while _width(short, font) > TILE and kept > 1:
        kept -= 1
        short = f"{line[: -(-kept // 2)]}...{line[len(line) - kept // 2 :]}"
    return short


def _width(text: str, font: Any) -> int:
    return int(font.getlength(text) + 0.5)


def _cell(section: Section) -> int:
    """Height of a tile with its lines and the gap below."""
    return TILE + max((len(tile.lines) for tile in section.tiles), default=0) * (_TEXT + 3) + _GAP


def _height(section: Section) -> int:
    rows = -(-len(section.tiles) // COLUMNS)
    return _HEADING + _GAP + rows * _cell(section) + _GAP
