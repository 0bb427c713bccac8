"""Any image array to the network's frame and back: the only place where numpy's axes become torch's.

Outside, an image is (H, W), (H, W, 3) or (H, W, 4) of any numeric dtype. Inside, it is (3, S, S) float32 in [0, 1].
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, Protocol, get_args

import numpy as np
import numpy.typing as npt

from napari_wavegms.errors import InputError
from napari_wavegms.files.formats.decoded import over_black

Aspect = Literal["squash", "letterbox"]
FloatArray = npt.NDArray[np.float32]
_BLOCK = 256  # rows at a time, so that what is computed along the way stays small
Box = tuple[int, int, int, int]
"""Top, left, height and width of a part of an image, in pixels."""
TOLERANCE = 0.04
"""Values (of 0 to 1) by which a pixel of a margin may differ from the margin's colour; JPEG's ripples are smaller."""
_STRAY = 0.002  # share of a line's pixels that may differ by more, such as specks of dust
_LEAST_SIDE = 0.25  # share of either side that must be left, or nothing is cut

WINDOWS = {
    "lung": (-1350.0, 150.0),
    "soft-tissue": (-150.0, 250.0),
    "bone": (-500.0, 1300.0),
    "brain": (0.0, 80.0),
    "liver": (-45.0, 105.0),
}
"""Ranges of CT in Hounsfield units, as radiologists look at them."""

VOLUME = "volume"
"""What is chosen instead of a window where the percentiles are to be those of the volume."""

Window = tuple[float, float] | str
"""Values that become 0 and 1, or `VOLUME`."""

_MOST_PLANES, _MOST_VALUES = 64, 2**16  # that are looked at for them: planes of a volume, and values of a plane


class Planes(Protocol):
    """The planes of a volume, each read when it is asked for."""

    def __len__(self) -> int: ...

    def __getitem__(self, number: int, /) -> Any: ...


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How images are prepared for a model; kept in its card."""

    size: int = 224  # side of the square working frame in pixels, a multiple of 8
    aspect: Aspect = "squash"  # stretched to the square, as the paper does, or padded with black
    # Percentiles of the finite pixels that become 0 and 1; bool and uint8 are not rescaled (255 is 1).
    percentiles: tuple[float, float] = (0.1, 99.9)
    margins: bool = False  # whether uniform margins (black bars, a letterbox) are left out of the frame
    # Values that become 0 and 1 instead of the percentiles, such as of `WINDOWS`: the same in every image and slice.
    window: tuple[float, float] | None = None
    of_volume: bool = False  # whether the percentiles are those of all planes of a volume instead of each plane's own

    def __post_init__(self) -> None:
        if self.size < 8 or self.size % 8:
            raise InputError(f"The working size is {self.size}; it must be a positive multiple of 8, such as 224.")
        if self.aspect not in get_args(Aspect):
            raise InputError(f"The aspect rule is '{self.aspect}'; it must be 'squash' or 'letterbox'.")
        low, high = self.percentiles
        if not 0 <= low < high <= 100:
            raise InputError(f"The percentiles are {low} and {high}; they must ascend within 0 to 100.")
        if self.window is not None and not -math.inf < self.window[0] < self.window[1] < math.inf:
            raise InputError(
                f"The window is {self.window[0]} to {self.window[1]}; it must ascend, such as -150 to 250."
            )

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> Preprocessing:
        """Read what `as_dict` wrote."""
        low, high = settings["percentiles"]
        window = settings.get("window")
        return cls(
            int(settings["size"]),
            settings["aspect"],
            (float(low), float(high)),
            bool(settings.get("margins", False)),
            None if window is None else (float(window[0]), float(window[1])),
            bool(settings.get("of_volume", False)),
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain values for the card; the last three only where they are set, so that fingerprints stay."""
        return {name: value for name, value in asdict(self).items() if value not in (False, None)}

    def with_window(self, choice: Window) -> Preprocessing:
        """The same with a window, or with `VOLUME`."""
        if isinstance(choice, str):
            return replace(self, window=None, of_volume=choice == VOLUME)
        return replace(self, window=choice, of_volume=False)

    def for_volume(self, planes: Planes | None) -> Preprocessing:
        """The rules for the planes of one volume: percentiles `of_volume` are found in 64 of them, as their window."""
        if planes is None or not self.of_volume or self.window is not None or len(planes) < 2:
            return self
        values = []
        for place in np.linspace(0, len(planes) - 1, min(len(planes), _MOST_PLANES)):
            plane = np.asarray(planes[round(place)])
            if plane.dtype in (np.bool_, np.uint8):
                return self
            step = math.ceil(math.sqrt(max(1.0, plane.shape[0] * plane.shape[1] / _MOST_VALUES)))
            some = plane[::step, ::step].astype(np.float64)
            values.append(some[np.isfinite(some)])
        found = np.concatenate(values)
        low, high = (float(value) for value in np.percentile(found, self.percentiles)) if found.size else (0.0, 0.0)
        return replace(self, window=(low, high)) if -math.inf < low < high < math.inf else self


@dataclass(frozen=True, slots=True)
class Prepared:
    """An image in the network's frame, and how to get back to the source."""

    pixels: FloatArray  # (3, S, S), in [0, 1]
    shape: tuple[int, int]  # rows and columns of the source
    frame: tuple[int, int, int, int]  # the part of the frame that the image fills
    # The source values that became 0 and 1; None where the dtype itself says it (bool, uint8).
    intensity: tuple[float, float] | None
    box: Box | None = None  # the part of the source that is in the frame; None where that is all of it
    is_uniform: bool = False  # all pixels of the source are alike, so that there is nothing to segment


def prepare(image: npt.ArrayLike, preprocessing: Preprocessing) -> Prepared:
    """Bring an image, (H, W) or (H, W, 1, 3 or 4) of any real dtype, into the network's frame.

    Grey is repeated to three channels; with a fourth (alpha) the image lies over black, as a viewer shows it. NaN
    counts as the darkest value, infinities as the ends of the range; a constant image becomes black, or its own grey
    for bool and uint8. Raises `InputError` if the array is no such image, or has no pixels.
    """
    array = as_image(image)
    scaled, intensity = scale_intensity(array, preprocessing.percentiles, preprocessing.window)
    shape = (array.shape[0], array.shape[1])
    box = content_box(scaled) if preprocessing.margins else (0, 0, *shape)
    frame = fit_frame(box[2:], preprocessing)
    pixels = np.zeros((3, preprocessing.size, preprocessing.size), np.float32)
    pixels[:, *_inside(frame)] = resize(np.moveaxis(scaled[_inside(box)], 2, 0), frame[2:])
    np.clip(pixels, 0, 1, out=pixels)  # weights of a resized pixel may sum to a little more than 1
    is_uniform = np.array_equal(array, np.broadcast_to(array[:1, :1], array.shape), equal_nan=array.dtype.kind == "f")
    return Prepared(pixels, shape, frame, intensity, None if box == (0, 0, *shape) else box, is_uniform)


def restore(probability: FloatArray, prepared: Prepared) -> FloatArray:
    """Bring probability (..., S, S) back to the source's (..., H, W), float32 in [0, 1], 0 in margins left out."""
    leading = probability.shape[:-2]
    inside = np.ascontiguousarray(probability[..., *_inside(prepared.frame)], np.float32)
    box = prepared.box or (0, 0, *prepared.shape)
    restored = np.zeros((*leading, *prepared.shape), np.float32)
    restored[..., *_inside(box)] = resize(inside.reshape(-1, *inside.shape[-2:]), box[2:]).reshape(*leading, *box[2:])
    return np.clip(restored, 0, 1, out=restored)


def in_whole_frame(probability: FloatArray, prepared: Prepared, preprocessing: Preprocessing) -> FloatArray:
    """Probability (..., S, S) in the frame of the whole image, margins included, where every model is scored alike."""
    return probability if prepared.box is None else in_frame(restore(probability, prepared), preprocessing)


def in_frame(probability: FloatArray, preprocessing: Preprocessing) -> FloatArray:
    """Bring the probability of an image (..., H, W) into its frame (..., S, S)."""
    *leading, rows, columns = probability.shape
    frame = fit_frame((rows, columns), preprocessing)
    whole = np.zeros((*leading, preprocessing.size, preprocessing.size), np.float32)
    whole[..., *_inside(frame)] = resize(probability.reshape(-1, rows, columns), frame[2:]).reshape(
        *leading, *frame[2:]
    )
    return whole


def prepare_mask(mask: npt.ArrayLike, preprocessing: Preprocessing, box: Box | None = None) -> npt.NDArray[np.bool_]:
    """Bring a mask (H, W), truthy = foreground, into the network's frame: (S, S) bool, see `prepare_labels`."""
    framed: npt.NDArray[np.bool_] = prepare_labels(mask, preprocessing, box) != 0
    return framed


def prepare_labels(mask: npt.ArrayLike, preprocessing: Preprocessing, box: Box | None = None) -> npt.NDArray[Any]:
    """Bring labels (H, W), 0 = background, into the network's frame: (S, S), nearest neighbour.

    With the `box` of its image's `Prepared` it is framed as the image was, otherwise as a whole.
    """
    array = np.asarray(mask)
    if array.ndim != 2 or 0 in array.shape:
        raise InputError(f"The mask has shape {array.shape}; a mask has rows and columns. Choose one plane.")
    array = array if box is None else array[_inside(box)]
    frame = fit_frame((array.shape[0], array.shape[1]), preprocessing)
    rows = _nearest(array.shape[0], frame[2])
    columns = _nearest(array.shape[1], frame[3])
    framed = np.zeros((preprocessing.size, preprocessing.size), array.dtype)
    framed[_inside(frame)] = array[np.ix_(rows, columns)]
    return framed


def content_box(image: npt.NDArray[Any]) -> Box:
    """The part of an image (H, W) or (H, W, C), in [0, 1], that uniform margins surround.

    The whole image where there are none, or where less than a quarter of either side would be left.
    """
    pixels = image[:, :, None] if image.ndim == 2 else image
    rows, columns = pixels.shape[:2]
    # Columns are judged within the rows that are left, so that text beside a bar above does not keep a bar beside it.
    top, bottom = _uniform_lines(pixels), rows - _uniform_lines(pixels[::-1])
    if bottom - top < _LEAST_SIDE * rows:
        return 0, 0, rows, columns
    across = pixels[top:bottom].swapaxes(0, 1)
    left, right = _uniform_lines(across), columns - _uniform_lines(across[::-1])
    if right - left < _LEAST_SIDE * columns:
        return 0, 0, rows, columns
    return top, left, bottom - top, right - left


def _uniform_lines(lines: npt.NDArray[Any]) -> int:
    """How many of the first lines (N, M, C) are of one colour, the first line's median."""
    colour = np.median(lines[0], axis=0)
    for number, line in enumerate(lines):  # one by one, as most images end it at the first
        if (np.abs(line - colour) > TOLERANCE).any(axis=1).mean() > _STRAY:
            return number
    return len(lines)


def as_image(image: npt.ArrayLike) -> npt.NDArray[Any]:
    """An image as (H, W, 1 or 3), dtype unchanged, RGBA over black; `InputError` unless it is a plane with pixels."""
    array = np.asarray(image)
    if array.dtype.kind not in "biuf":
        raise InputError(f"The image holds {array.dtype} values; Wave-GMS reads real numbers. Convert it first.")
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3:
        raise InputError(
            f"The image has shape {array.shape}; Wave-GMS reads one plane, (rows, columns) or (rows, columns, 3). "
            "Choose one slice."
        )
    channels = array.shape[2]
    if channels not in (1, 3, 4):
        raise InputError(f"This image has {channels} channels; Wave-GMS reads grey or RGB. Choose one channel.")
    if array.size == 0:
        raise InputError(f"The image has shape {array.shape} and no pixels. Choose another image.")
    return over_black(array) if channels == 4 else array


def scale_intensity(
    image: npt.NDArray[Any], percentiles: tuple[float, float], window: tuple[float, float] | None = None
) -> tuple[FloatArray, tuple[float, float] | None]:
    """Scale to [0, 1] float32; also return the source values that became 0 and 1 (None for bool and uint8).

    They are those of `window`, or else the image's percentiles.
    """
    if image.dtype == np.bool_:
        return image.astype(np.float32), None
    if image.dtype == np.uint8:
        return image.astype(np.float32) / np.float32(255), None
    if image.dtype.kind in "iu" and image.dtype.itemsize <= 2:
        return _scaled_levels(image, percentiles, window)
    # float64 holds every integer up to uint32 and every float exactly; the ends may still overflow when subtracted.
    values = image.astype(np.float64)
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        return np.zeros(image.shape, np.float32), window or (0.0, 0.0)
    low, high = window or (float(value) for value in np.percentile(finite, percentiles))
    with np.errstate(over="ignore", invalid="ignore"):
        span = high - low
        scaled = (values - low) / span if 0 < span < np.inf else (values / 2 - low / 2) / (high / 2 - low / 2 or 1.0)
    return np.nan_to_num(scaled, nan=0.0, posinf=1.0, neginf=0.0).clip(0, 1).astype(np.float32), (low, high)


def _scaled_levels(
    image: npt.NDArray[Any], percentiles: tuple[float, float], window: tuple[float, float] | None
) -> tuple[FloatArray, tuple[float, float]]:
    """`scale_intensity` of at most 65,536 levels, the same but for rounding, with a fraction of the memory."""
    least = int(np.iinfo(image.dtype).min)
    levels = np.arange(least, np.iinfo(image.dtype).max + 1)
    blocks = [slice(top, top + _BLOCK) for top in range(0, len(image), _BLOCK)]
    low, high = window or _ends(image, percentiles, levels, blocks)
    table = ((levels - low) / ((high - low) or 1.0)).clip(0, 1).astype(np.float32)
    scaled = np.empty(image.shape, np.float32)
    for rows in blocks:
        scaled[rows] = table[image[rows].astype(np.int32) - least]
    return scaled, (low, high)


def _ends(
    image: npt.NDArray[Any], percentiles: tuple[float, float], levels: npt.NDArray[np.int64], blocks: list[slice]
) -> tuple[float, float]:
    """The percentiles of an image of few levels, counted block by block."""
    least = int(levels[0])
    counts = np.zeros(len(levels), np.int64)
    for rows in blocks:
        counts += np.bincount((image[rows].astype(np.int32) - least).ravel(), minlength=len(levels))
    below = np.cumsum(counts)
    ends = []
    for place in (image.size - 1) * np.asarray(percentiles) / 100:
        # numpy interpolates between the two nearest values; of two values it needs no more than those.
        two = levels[np.searchsorted(below, [int(place), min(int(place) + 1, image.size - 1)], side="right")]
        ends.append(float(np.percentile(two.astype(np.float64), 100 * (place - int(place)))))
    return ends[0], ends[1]


def _inside(box: Box) -> tuple[slice, slice]:
    top, left, height, width = box
    return slice(top, top + height), slice(left, left + width)


def fit_frame(shape: tuple[int, int], preprocessing: Preprocessing) -> Box:
    """Top, left, height and width that an image of `shape` fills in the working frame."""
    size = preprocessing.size
    if preprocessing.aspect == "squash":
        return 0, 0, size, size
    scale = size / max(shape)
    height, width = (max(1, round(side * scale)) for side in shape)
    return (size - height) // 2, (size - width) // 2, height, width


def resize(planes: FloatArray, shape: tuple[int, int]) -> FloatArray:
    """Resize planes (C, H, W) bilinearly, area-weighted where they shrink."""
    if planes.shape[1:] == shape:
        return planes
    import torch
    import torch.nn.functional as F

    tensor = torch.from_numpy(np.ascontiguousarray(planes))[None]
    resized = F.interpolate(tensor, size=shape, mode="bilinear", align_corners=False, antialias=True)[0]
    return resized.numpy()


def _nearest(source: int, target: int) -> npt.NDArray[np.intp]:
    """Source indices nearest to the centres of `target` equal cells."""
    return np.minimum(((np.arange(target) + 0.5) * source / target).astype(np.intp), source - 1)
