"""Native detail: the model runs again, at the image's own pixels, around each piece of what it finds.

In the working frame a structure of 60 pixels in an image of 4096 is three cells. So after the whole image come tiles of
an image that is much larger than the frame, which find what is too small for the whole, and then windows around each
piece. What a window shows counts where a second one, framed otherwise, agrees: where there is no structure the model
draws something all the same, but not the same thing twice.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from napari_wavegms.files.formats.ome_zarr import Plane, in_level
from napari_wavegms.segment.box_prompt import Box
from napari_wavegms.segment.postprocess import strongest, threshold_probability
from napari_wavegms.segment.preprocessing import FloatArray, Preprocessing, prepare, restore

if TYPE_CHECKING:
    from napari_wavegms.segment.segmenter import Segmenter

# Chosen by benchmarks/native_detail.py.
CONTEXTS = (0.75, 1.5)  # surroundings in the two windows of a piece, as a share of its longer side, on each side
LEAST = 112  # pixels; least side of a window
GAIN = 1.5  # times smaller a window must be than where its piece was seen, or the piece stays as it is
ROUNDS = 3  # a piece in a window may be smaller than it was in the whole image, and get a smaller window
OVERLAPPING = 0.5  # of the smaller of two answers, or the piece stays as it is
# What the answers on a piece that only a tile shows must have: intersection over union, and mean probability inside.
AGREEING, SURE, SURE_AFAR = 0.75, 0.95, 0.93
TILE = 4  # pixels of the image in a cell of a tile
MOST_TILES = 20  # along a side; in larger images tiles are larger
OVERLAP = 0.25  # of tiles; a larger part of a tile's side is no piece of it, as the whole image shows that
LARGE = 1 / 16  # of the image's longer side; where a piece is longer, the image needs no tiles
MOST_PIECES = 256  # that get windows in a round, so that time and memory are bounded
_FAINT = 0.3  # probability up to which a piece in the whole image extends
_PEAK = 0.8  # probability that a piece in a window must reach somewhere
_SMALLEST = 6  # cells of a piece in a window
_SEAM = 0.1  # of a window's side, over which it is blended into what is around it
_BATCH = 8
_BLOCK = 1024  # rows at a time

Detail = Literal["whole", "native"]

OnWindow = Callable[[int, int], object]
"""Told how many windows are done, of how many that are known so far; what it raises stops the work."""


class Levels(tuple[Any, ...]):
    """A plane, (H, W) or (H, W, 3 or 4), and coarser copies of it, of which ``level[rows, columns]`` reads a window.

    As an array it is its coarsest level of at least 512 rows or columns, or else its finest.
    """

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        rows, columns = self[0].shape[:2]
        return np.asarray(_read(self, Box(0, rows, 0, columns), 256), dtype)


class Pyramid:
    """The levels of an image of any axes, the finest first: numpy, dask or zarr. An index reads a plane's `Levels`."""

    def __init__(self, levels: Sequence[Any]) -> None:
        self._levels = levels
        self.shape, self.dtype = tuple(levels[0].shape), levels[0].dtype

    def __getitem__(self, index: tuple[int | slice, ...]) -> Levels:
        return Levels(Plane(level, in_level(index, self.shape, level.shape)) for level in self._levels)


@dataclass(frozen=True, slots=True, eq=False)
class FineProbability:
    """A probability in two resolutions: of the whole image, and finer in patches of it.

    Attributes
    ----------
    shape : tuple of int
        Rows and columns of the image, at its finest level.
    whole : ndarray of shape (h, w) or (K, h, w), float32
        Probability of the whole image, of any size, or of its K classes.
    patches : tuple of (Box, ndarray of shape (S, S) or (K, S, S), float32)
        Where the model ran again, in pixels of the image, and its answer; later ones lie over earlier ones.
    intensity : tuple of float or None
        The values that became black and white everywhere.
    is_uniform : bool
        All pixels are alike; nothing is found.
    """

    shape: tuple[int, int]
    whole: FloatArray
    patches: tuple[tuple[Box, FloatArray], ...]
    intensity: tuple[float, float] | None
    is_uniform: bool

    def probability(self, rows: npt.NDArray[Any], columns: npt.NDArray[Any]) -> FloatArray:
        """The probability (..., len(rows), len(columns)), float32 in [0, 1], at any ascending places.

        They are in pixels of the image, whose centres are whole numbers, so that a window or a coarser level of it
        costs no more memory than what is asked for.
        """
        result = _sampled(self.whole, Box(0, self.shape[0], 0, self.shape[1]), rows, columns)
        for box, patch in self.patches:
            part = _within(rows, box.rows), _within(columns, box.columns)
            down, across = rows[part[0]], columns[part[1]]
            if down.size and across.size:
                ramps = _ramp(down, box.rows, self.shape[0]), _ramp(across, box.columns, self.shape[1])
                inside = result[..., *part]  # a view
                inside += np.multiply.outer(*ramps).astype(np.float32) * (_sampled(patch, box, down, across) - inside)
        return np.clip(result, 0, 1, out=result)

    def labels(self, rows: npt.NDArray[Any], columns: npt.NDArray[Any], threshold: float) -> npt.NDArray[np.uint8]:
        """The mask (len(rows), len(columns)) at any ascending places, see `probability`."""
        found = self.probability(rows, columns)
        confidence, classes = (found, None) if found.ndim == 2 else strongest(found)
        return threshold_probability(confidence, threshold, classes)

    def highest(self, rows: slice, columns: slice) -> float:
        """At least the highest probability within rows and columns, without computing it."""
        asked = Box(rows.start, rows.stop, columns.start, columns.stop)
        if any(_meet(asked, box) for box, _ in self.patches):
            return 1.0
        down, across = (cells / side for cells, side in zip(self.whole.shape[-2:], self.shape, strict=True))
        first, left = max(0, math.floor(asked.top * down) - 1), max(0, math.floor(asked.left * across) - 1)
        last, right = math.ceil(asked.bottom * down) + 1, math.ceil(asked.right * across) + 1
        return float(self.whole[..., first:last, left:right].max())

    def full(self) -> FloatArray:
        """The probability (..., H, W) of the whole image at its own pixels."""
        result = np.empty((*self.whole.shape[:-2], *self.shape), np.float32)
        for rows, columns in self._blocks():
            result[..., rows, :] = self.probability(rows, columns)
        return result

    def strongest(self) -> tuple[FloatArray, npt.NDArray[np.uint8] | None]:
        """The highest of the classes' probabilities (H, W), and which class that is; None where there is one class."""
        if self.whole.ndim == 2:
            return self.full(), None
        confidence, classes = np.empty(self.shape, np.float32), np.empty(self.shape, np.uint8)
        for rows, columns in self._blocks():
            confidence[rows], classes[rows] = strongest(self.probability(rows, columns))
        return confidence, classes

    def _blocks(self) -> Iterator[tuple[npt.NDArray[Any], npt.NDArray[Any]]]:
        """Rows and columns of the image, as many as fit into little memory."""
        columns = np.arange(self.shape[1])
        for top in range(0, self.shape[0], _BLOCK):
            yield np.arange(top, min(top + _BLOCK, self.shape[0])), columns


def refine(segmenter: Segmenter, levels: Sequence[Any], on_window: OnWindow | None = None) -> FineProbability:
    """Segment an image as a whole and, in native detail, again at its own pixels around each piece that is found.

    Pieces so large that they would gain nothing stay as the whole image shows them. In an image much larger than the
    working frame, in which no piece is longer than a sixteenth of it, at most 27 x 27 overlapping tiles are searched
    for pieces that are too small for the whole. Black and white are those of the whole image, and so is the network,
    where a model has two.

    Parameters
    ----------
    levels : sequence of array-like
        The image (H, W) or (H, W, 1, 3 or 4), and coarser copies of it in falling order, such as a pyramid's: numpy,
        dask or zarr. Each window is read by itself, from the coarsest level that shows it in full detail.
    on_window : callable, optional
        See `OnWindow`.

    Raises
    ------
    InputError
        If the array is no such image.

    Examples
    --------
    >>> from napari_wavegms import Segmenter
    >>> native = Segmenter.from_checkpoint("default", device="cpu").with_detail("native")
    >>> found = refine(native, [np.zeros((900, 700), np.uint8)])
    >>> found.full().shape, found.patches
    ((900, 700), ())
    """
    shape = (int(levels[0].shape[0]), int(levels[0].shape[1]))
    everything = Box(0, shape[0], 0, shape[1])
    prepared = prepare(_read(levels, everything, segmenter.preprocessing.size), segmenter.preprocessing)
    answer, predict = segmenter.predict(prepared)
    whole = restore(answer, prepared)
    if prepared.is_uniform:  # of which the network would make a mask all the same
        whole = np.zeros_like(whole)
    is_flat = prepared.intensity is not None and prepared.intensity[0] >= prepared.intensity[1]
    if is_flat or prepared.is_uniform or segmenter.detail == "whole":
        return FineProbability(shape, whole, (), prepared.intensity, prepared.is_uniform)
    # Margins are left out of the whole image only: in a window, a uniform background is none.
    rules = replace(segmenter.preprocessing, aspect="squash", margins=False, window=prepared.intensity)
    windows = _Windows(levels, shape, rules, whole.shape[:-2], predict, on_window)
    patches: list[tuple[Box, FloatArray]] = []
    cells = _places(everything, rules.size)
    pieces = _pieces(
        _of_any(_sampled(whole, everything, *cells)), everything, _FAINT, 0.5, max(shape) / GAIN, smallest=1
    )
    for _ in range(ROUNDS):
        seen = windows.twice(_merged(pieces[:MOST_PIECES]))
        found = [(window, answer) for window, answer, overlapping, _ in seen if overlapping >= OVERLAPPING]
        patches += found
        pieces = [
            piece
            for window, answer in found
            for piece in _pieces(_of_any(answer), window, 0.5, _PEAK, _longer(window) / GAIN)
        ]
    detail = FineProbability(shape, whole, tuple(patches), prepared.intensity, False)
    # In an image whose structure the whole shows, tiles find parts of it, and what only looks like it.
    shown = _pieces(_of_any(detail.probability(*cells)), everything, 0.5, 0.5, math.inf)
    is_shown = any(_longer(piece) > LARGE * max(shape) for piece in shown)
    pieces = []
    for tile, answer in windows.run([] if is_shown else _tiles(shape, rules.size)):
        for piece in _pieces(_of_any(answer), tile, 0.5, _PEAK, OVERLAP * _longer(tile), is_tile=True):
            seen_before = any(_meet(piece, other) for other in pieces)
            if not seen_before and detail.probability(*_places(piece)).max() < 0.5:
                pieces.append(piece)
    seen = windows.twice(pieces[:MOST_PIECES])
    patches += [(window, answer) for window, answer, _, is_sure in seen if is_sure]
    return replace(detail, patches=tuple(patches))


class _Windows:
    """The model on windows of an image, in batches."""

    def __init__(
        self,
        levels: Sequence[Any],
        shape: tuple[int, int],
        rules: Preprocessing,
        classes: tuple[int, ...],
        predict: Callable[[FloatArray], FloatArray],
        on_window: OnWindow | None,
    ) -> None:
        self._levels, self._shape, self._rules, self._classes = levels, shape, rules, classes
        self._predict, self._tell = predict, on_window
        self._done = self._known = 0

    def run(self, boxes: Sequence[Box]) -> Iterator[tuple[Box, FloatArray]]:
        """Each box with its probability (S, S) or (K, S, S), 0 where all of its pixels are alike."""
        self._known += len(boxes)
        for first in range(0, len(boxes), _BATCH):
            part = boxes[first : first + _BATCH]
            frames = [prepare(_read(self._levels, box, self._rules.size), self._rules) for box in part]
            answers = np.zeros((len(part), *self._classes, self._rules.size, self._rules.size), np.float32)
            varied = [number for number, frame in enumerate(frames) if not frame.is_uniform]
            if varied:
                answers[varied] = self._predict(np.stack([frames[number].pixels for number in varied]))
            self._done += len(part)
            if self._tell is not None:
                self._tell(self._done, self._known)
            yield from zip(part, answers, strict=True)

    def twice(self, pieces: Sequence[Box]) -> Iterator[tuple[Box, FloatArray, float, bool]]:
        """Each piece's window, its answer, how much of it a wider window sees, too, and whether both are sure of it."""
        near, far = CONTEXTS
        framed = ((_window(piece, near, 0, self._shape), _window(piece, far, 0.1, self._shape)) for piece in pieces)
        answers = self.run([window for both in framed for window in both])
        for (window, answer), (wide, seen) in zip(answers, answers, strict=True):
            nearer, wider = _of_any(answer), _of_any(_sampled(seen, wide, *_places(window, answer.shape[-1])))
            one, other = nearer >= 0.5, wider >= 0.5
            common, either = int((one & other).sum()), int((one | other).sum())
            overlapping = common / max(1, min(int(one.sum()), int(other.sum())))
            agreeing = common > 0 and common >= AGREEING * either
            is_sure = agreeing and nearer[one].mean() >= SURE and wider[other].mean() >= SURE_AFAR
            yield window, answer, overlapping, bool(is_sure)


def _of_any(answer: FloatArray) -> FloatArray:
    """The highest of the classes' probabilities, (S, S)."""
    highest: FloatArray = answer if answer.ndim == 2 else answer.max(axis=0)
    return highest


def _read(levels: Sequence[Any], box: Box, size: int) -> npt.NDArray[Any]:
    """A window from the coarsest level that has twice the cells of the working frame, or else from the finest."""
    rows, columns = levels[0].shape[:2]
    for level in reversed(levels):
        down, across = level.shape[0] / rows, level.shape[1] / columns
        if level is levels[0] or max((box.bottom - box.top) * down, (box.right - box.left) * across) >= 2 * size:
            break
    first, left = math.floor(box.top * down), math.floor(box.left * across)
    return np.asarray(level[first : math.ceil(box.bottom * down), left : math.ceil(box.right * across)])


def _tiles(shape: tuple[int, int], size: int) -> list[Box]:
    """Overlapping squares that cover an image much larger than the working frame; none for others."""
    side = max(TILE * size, math.ceil(max(shape) / MOST_TILES))
    if max(shape) < 2 * side:
        return []
    tops, lefts = (
        [round(place) for place in np.linspace(0, max(0, length - side), math.ceil(max(0, length - side) / step) + 1)]
        for length, step in zip(shape, 2 * [side * (1 - OVERLAP)], strict=True)
    )
    return [Box(top, min(top + side, shape[0]), left, min(left + side, shape[1])) for top in tops for left in lefts]


def _pieces(
    answer: FloatArray,
    box: Box,
    low: float,
    high: float,
    longest: float,
    *,
    smallest: int = _SMALLEST,
    is_tile: bool = False,
) -> list[Box]:
    """The connected pieces of an answer in a box that reach `high` and are small enough, the surest first.

    Of a tile, those at its border are left out, which another tile shows whole.
    """
    from scipy import ndimage

    size = len(answer)
    down, across = (box.bottom - box.top) / size, (box.right - box.left) / size
    numbers, count = ndimage.label(answer >= low, np.ones((3, 3)))
    peaks = ndimage.maximum(answer, numbers, range(1, count + 1)) if count else []
    found = []
    for peak, (rows, columns) in zip(peaks, ndimage.find_objects(numbers), strict=True):
        cut = min(rows.start, columns.start) == 0 or max(rows.stop, columns.stop) == size
        if peak < high or (is_tile and cut) or (rows.stop - rows.start) * (columns.stop - columns.start) < smallest:
            continue
        piece = Box(
            math.floor(box.top + rows.start * down),
            math.ceil(box.top + rows.stop * down),
            math.floor(box.left + columns.start * across),
            math.ceil(box.left + columns.stop * across),
        )
        if (_longer(piece) if is_tile else _side(piece, CONTEXTS[0])) <= longest:
            found.append((float(peak), piece))
    return [piece for _, piece in sorted(found, key=lambda one: -one[0])]


def _merged(pieces: list[Box]) -> list[Box]:
    """The pieces, with those together that lie in one window of about the size of the larger one's."""
    merged: list[Box] = []
    for piece in sorted(pieces, key=_longer, reverse=True):
        for number, other in enumerate(merged):
            both = Box(
                min(piece.top, other.top),
                max(piece.bottom, other.bottom),
                min(piece.left, other.left),
                max(piece.right, other.right),
            )
            if _longer(both) <= 1.5 * max(LEAST / 2, _longer(other)):
                merged[number] = both
                break
        else:
            merged.append(piece)
    return merged


def _longer(box: Box) -> int:
    return max(box.bottom - box.top, box.right - box.left)


def _side(piece: Box, context: float) -> int:
    """The side of a piece's window."""
    return math.ceil(max(LEAST / (1 + 2 * CONTEXTS[0]), _longer(piece)) * (1 + 2 * context))


def _window(piece: Box, context: float, askew: float, shape: tuple[int, int]) -> Box:
    """The square around a piece, moved into the image, and cut only where the image is smaller."""
    side = _side(piece, context)
    spans = (piece.top + piece.bottom, askew, shape[0]), (piece.left + piece.right, -askew, shape[1])
    starts = [max(0, min(round((ends - side) / 2 + away * side), length - side)) for ends, away, length in spans]
    return Box(starts[0], min(starts[0] + side, shape[0]), starts[1], min(starts[1] + side, shape[1]))


def _meet(one: Box, other: Box) -> bool:
    return one.top < other.bottom and other.top < one.bottom and one.left < other.right and other.left < one.right


def _places(box: Box, count: int = 16) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """So many rows and columns of a box, the centres of equal cells."""
    cells = (np.arange(count) + 0.5) / count
    return box.top + cells * (box.bottom - box.top) - 0.5, box.left + cells * (box.right - box.left) - 0.5


def _sampled(values: FloatArray, box: Box, rows: npt.NDArray[Any], columns: npt.NDArray[Any]) -> FloatArray:
    """What fills a box, bilinearly at the crossings of rows and columns of the image."""
    for axis, (places, start, stop) in ((-2, (rows, box.top, box.bottom)), (-1, (columns, box.left, box.right))):
        count = values.shape[axis]
        at = np.clip((places + 0.5 - start) * (count / (stop - start)) - 0.5, 0, count - 1)
        low = at.astype(np.intp)
        part = np.expand_dims((at - low).astype(np.float32), -3 - axis)
        below, above = values.take(low, axis), values.take(np.minimum(low + 1, count - 1), axis)
        values = below + (above - below) * part
    return values


def _within(places: npt.NDArray[Any], span: slice) -> slice:
    first, last = np.searchsorted(places, (span.start - 0.5, span.stop - 0.5))
    return slice(int(first), int(last))


def _ramp(places: npt.NDArray[Any], span: slice, end: int) -> npt.NDArray[Any]:
    """1 inside a span, falling to 0 at its ends, but not at those of the image."""
    seam = max(1.0, _SEAM * (span.stop - span.start))
    up = np.inf if span.start == 0 else (places + 0.5 - span.start) / seam
    down = np.inf if span.stop == end else (span.stop - places - 0.5) / seam
    return np.minimum(np.minimum(up, down), np.ones(len(places)))
