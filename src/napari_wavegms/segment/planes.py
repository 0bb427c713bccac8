"""Which planes of an image with more than two axes to segment, and segmenting them one at a time. No torch."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_wavegms.errors import InputError
from napari_wavegms.segment.refine import Levels
from napari_wavegms.wording import counted

if TYPE_CHECKING:
    from napari_wavegms.segment.segmenter import Segmentation, Segmenter

Index = tuple[int | slice, ...]

_CHANNEL_NAMES = frozenset({"c", "ch", "channel", "channels"})
_FRAME_NAMES = {"t": "frame", "time": "frame", "z": "slice", "depth": "slice", "slice": "slice"}
# A last axis this short behind two longer ones holds channels, not columns.
_MOST_TRAILING_CHANNELS = 8


class ChannelNeeded(InputError):
    """Several channels and none chosen; `choices` are their indices along `axis`."""

    def __init__(self, axis: int, count: int) -> None:
        self.axis = axis
        self.choices = tuple(range(count))
        named = " ".join(f"[{choice}]" for choice in self.choices[:8]) + (" ..." if count > 8 else "")
        super().__init__(f"This image has {count} channels; Wave-GMS reads grey or RGB. Choose one channel: {named}.")


@dataclass(frozen=True, slots=True)
class StackPlan:
    """Which planes of an array are to be segmented, and where their labels go; made by `plan_stack`."""

    shape: tuple[int, ...]
    dtype: str
    rgb: bool  # whether the last axis holds red, green, blue (and alpha)
    plane_axes: tuple[int, int]  # rows and columns
    channel_axis: int | None
    channel: int  # the index to read along it; 0 without one
    frame_axes: tuple[int, ...]  # those to go through, each longer than one
    frame_names: tuple[str, ...]  # "frame" or "slice" for each of them
    position: tuple[int, ...] | None  # the one position along `frame_axes` to segment, or None for all

    @property
    def planes(self) -> list[tuple[Index, Index]]:
        """Where each plane lies in the image and in its labels."""
        return [(index, self.label_index(number)) for number, index in enumerate(self.indices)]

    @property
    def total(self) -> int:
        """Number of planes to segment."""
        return 1 if self.position is not None else math.prod(self.shape[axis] for axis in self.frame_axes)

    @property
    def indices(self) -> tuple[Index, ...]:
        """Index of each plane within the array, in order; reads (H, W), or (H, W, colours) of an RGB image."""
        return tuple(self._index(i) for i in range(self.total))

    @property
    def kept_axes(self) -> tuple[int, ...]:
        """The axes that the labels have too: all but those of channels and colours."""
        return tuple(axis for axis in range(len(self.shape) - self.rgb) if axis != self.channel_axis)

    @property
    def labels_shape(self) -> tuple[int, ...]:
        """Shape of the labels of the whole array; axes of length one are kept."""
        return tuple(self.shape[axis] for axis in self.kept_axes)

    def order_from(self, current: Sequence[int]) -> tuple[int, ...]:
        """Number all planes from the one at `current`, an index along each axis, outwards.

        Examples
        --------
        >>> plan_stack((4, 512, 512), "uint8", rgb=False, every=True).order_from((2, 0, 0))
        (2, 3, 1, 0)
        """
        first = 0
        if self.position is None:
            for axis in self.frame_axes:
                first = first * self.shape[axis] + min(max(0, current[axis]), self.shape[axis] - 1)
        return tuple(sorted(range(self.total), key=lambda number: (abs(number - first), number < first)))

    def label_index(self, i: int) -> Index:
        """Index of the mask of plane ``indices[i]`` within labels of shape `labels_shape`."""
        index = self._index(i)
        return tuple(index[axis] for axis in self.kept_axes)

    @property
    def noun(self) -> str:
        """What is gone through: "slice", or "frame"."""
        return "slice" if {*self.frame_names} == {"slice"} else "frame"

    @property
    def sentence(self) -> str:
        """What is segmented, counted from 1: "frame 3 of 12 frames of 512 x 512, channel 1 of 3"."""
        rows, columns = (self.shape[axis] for axis in self.plane_axes)
        channels = 1 if self.channel_axis is None else self.shape[self.channel_axis]
        channel = f", channel {self.channel + 1} of {channels}" if channels > 1 else ""
        colour = ("RGB" if self.shape[-1] == 3 else "RGBA") if self.rgb else "grey"
        if not self.frame_axes:
            return f"{colour}, {self.dtype}, {rows} x {columns}{channel}"
        return f"{self._frames()} of {rows} x {columns}{', ' + colour if self.rgb else ''}{channel}"

    def _frames(self) -> str:
        every = _counted([self.shape[axis] for axis in self.frame_axes], self.frame_names)
        if self.position is None:
            return every
        here = zip(self.frame_names, self.position, strict=True)
        return ", ".join(f"{name} {at + 1}" for name, at in here) + f" of {every}"

    def _index(self, i: int) -> Index:
        """Whole along rows, columns and colours, one place along each other axis."""
        index: list[int | slice] = [0] * len(self.shape)
        for axis, at in zip(self.frame_axes, self._position(i), strict=True):
            index[axis] = at
        if self.channel_axis is not None:
            index[self.channel_axis] = self.channel
        for axis in (*self.plane_axes, *([-1] if self.rgb else [])):
            index[axis] = slice(None)
        return tuple(index)

    def _position(self, i: int) -> tuple[int, ...]:
        if self.position is not None or not self.frame_axes:
            return self.position or ()
        return tuple(int(at) for at in np.unravel_index(i, [self.shape[axis] for axis in self.frame_axes]))


@dataclass(frozen=True, slots=True)
class SliceDone:
    """A plane is segmented, the `number`-th of `total`; its mask goes to `index` in labels of the plan's shape."""

    index: Index
    number: int
    total: int
    segmentation: Segmentation
    window: tuple[float, float] | None = None  # see `used_window`


@dataclass(frozen=True, slots=True)
class _Planes:
    """The planes of an array, each read when it is asked for."""

    array: Any
    indices: tuple[Index, ...]

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, number: int) -> Any:
        return self.array[self.indices[number]]


def segment_planes(
    segmenter: Segmenter, array: Any, plan: StackPlan, order: Sequence[int] | None = None
) -> Generator[SliceDone, None, None]:
    """Segment the planned planes one by one; closing the generator stops it between two planes.

    `array` has the planned shape and is whatever ``numpy.asarray(array[index])`` can read (numpy, dask, zarr, h5py): a
    lazy one computes each plane when its turn comes, and of a `Pyramid` windows are read. `order` has numbers of
    planes, by default all. Raises `InputError` if the shape is another one, or the segmenter refuses a plane, which is
    then named.
    """
    if tuple(array.shape) != plan.shape:
        raise InputError(
            f"This image has the shape {tuple(array.shape)}, but the plan was made for {plan.shape}. Plan it again."
        )
    indices, total = plan.indices, plan.total
    order = range(total) if order is None else order
    segmenter = in_volume(segmenter, array, plan)
    window = used_window(segmenter, array)
    for done, i in enumerate(order, start=1):
        try:
            plane = array[indices[i]]
            segmentation = segmenter.segment(plane if isinstance(plane, Levels) else np.asarray(plane))
        except InputError as error:
            raise InputError(f"Plane {i + 1} of {total}: {error}" if total > 1 else str(error)) from error
        yield SliceDone(plan.label_index(i), done, len(order), segmentation, window)


def in_volume(segmenter: Segmenter, array: Any, plan: StackPlan) -> Segmenter:
    """The segmenter for the planes of an array, of which the range of grey values may be one for all."""
    return segmenter.for_volume(_Planes(array, replace(plan, position=None).indices))


def used_window(segmenter: Segmenter, array: Any) -> tuple[float, float] | None:
    """The values of an array that become black and white, where neither each plane nor the model's card says them."""
    return None if dtype_of(array) in (np.bool_, np.uint8) else segmenter.window


def plan_stack(
    shape: Sequence[int],
    dtype: npt.DTypeLike,
    rgb: bool,
    axis_labels: Sequence[str] | None = None,
    current: Sequence[int] = (),
    every: bool = False,
    channel_axis: int | None = None,
    channel: int | None = None,
) -> StackPlan:
    """Decide which planes of an array to segment.

    A plane is made of the axes labelled y and x, or of the last two that are longer than one. An axis labelled c, or
    named as `channel_axis`, holds channels, of which one is read: `channel`, or else the current one; the other axes
    are frames or slices, of which `every` one is segmented, or the current one.

    Parameters
    ----------
    rgb : bool
        Whether the last axis holds 3 or 4 colours.
    axis_labels : sequence of str, optional
        One for each axis, that of the colours left out or not. Labels other than t, z, c, y, x are ignored.
    current : sequence of int
        The index shown along each axis but that of the colours; of more indices than axes the last ones count. Channels
        along one of the last two axes are not chosen by it: a viewer shows those axes whole.

    Raises
    ------
    ChannelNeeded
        If there are several channels and neither `channel` nor `current` chooses one. An unlabelled last axis too short
        for columns counts as channels.
    InputError
        If there is no plane in the array, or a choice lies outside it.

    Examples
    --------
    >>> plan_stack((12, 3, 512, 512), "uint16", rgb=False, axis_labels="tcyx", every=True, channel=0).sentence
    '12 frames of 512 x 512, channel 1 of 3'
    """
    sides = tuple(int(side) for side in shape)
    _check_array(sides, np.dtype(dtype), rgb)
    lengths = sides[:-1] if rgb else sides
    labels = _known_labels(axis_labels, len(lengths), rgb)
    shown = tuple(int(at) for at in current)[-len(lengths) :] if len(current) >= len(lengths) else ()
    channels = _find_channels(lengths, labels, rgb, channel_axis)
    chosen = _choose_channel(lengths, channels, channel, shown)
    plane = _find_plane(lengths, labels, channels)
    frames = tuple(axis for axis, side in enumerate(lengths) if side > 1 and axis not in (channels, *plane))
    names = tuple(_FRAME_NAMES.get(labels[axis], "frame") for axis in frames)
    position = None if every or not frames else _choose_frame([lengths[axis] for axis in frames], names, frames, shown)
    return StackPlan(sides, str(np.dtype(dtype)), rgb, plane, channels, chosen, frames, names, position)


def dtype_of(array: Any) -> np.dtype[Any]:
    """The dtype of any library's array; `object` for one that NumPy does not have, such as torch's bits.

    Examples
    --------
    >>> import torch
    >>> dtype_of(torch.zeros(2, dtype=torch.int16)), dtype_of(torch.empty(2, dtype=torch.bits8))
    (dtype('int16'), dtype('O'))
    """
    for name in (array.dtype, str(array.dtype).rpartition(".")[2]):
        with suppress(TypeError):
            return np.dtype(name)
    return np.dtype(object)


def _check_array(shape: tuple[int, ...], dtype: np.dtype[Any], rgb: bool) -> None:
    if dtype.kind not in "buif":
        raise InputError(
            f"This image holds {dtype} values; Wave-GMS reads real numbers. Convert it, to float32 for example."
        )
    if len(shape) < 2 + rgb:
        raise InputError(f"This image has the shape {shape}; Wave-GMS needs rows and columns. Open another image.")
    if 0 in shape:
        raise InputError(f"This image has the shape {shape} and no pixels. Open another one.")
    if rgb and shape[-1] not in (3, 4):
        raise InputError(
            f"This image has {shape[-1]} colours; RGB has 3, or 4 with alpha. Open it as grey, with a channel axis."
        )


def _known_labels(axis_labels: Sequence[str] | None, count: int, rgb: bool) -> list[str]:
    if axis_labels is None:
        return [""] * count
    labels = [str(label).strip().lower() for label in axis_labels]
    if len(labels) not in (count, count + rgb):
        raise InputError(f"There are {len(labels)} axis labels for {count} axes. Give one for each axis, or none.")
    return labels[:count]


def _find_channels(lengths: tuple[int, ...], labels: list[str], rgb: bool, wished: int | None) -> int | None:
    axes = len(lengths)
    if wished is not None:
        if not -axes <= wished < axes:
            raise InputError(
                f"Axis {wished} was given for the channels; this image has the axes 0 to {axes - 1}. Give one of those."
            )
        return wished % axes
    labelled = [axis for axis, label in enumerate(labels) if label in _CHANNEL_NAMES]
    if labelled or rgb or axes < 3 or {"y", "x"} <= set(labels):
        return labelled[0] if labelled else None
    short = 1 < lengths[-1] <= _MOST_TRAILING_CHANNELS < min(lengths[-3:-1])
    return axes - 1 if short else None


def _choose_channel(lengths: tuple[int, ...], axis: int | None, wished: int | None, shown: tuple[int, ...]) -> int:
    count = 1 if axis is None else lengths[axis]
    if wished is not None and not 0 <= wished < count:
        has = _counted([count], ["channel"])
        raise InputError(f"Channel {wished} was chosen; this image has {has}, counted from 0. Choose one of them.")
    if wished is not None or axis is None or count == 1:
        return wished or 0
    if not shown or axis >= len(lengths) - 2:
        raise ChannelNeeded(axis, count)
    return _choose_frame([count], ("channel",), (axis,), shown)[0]


def _find_plane(lengths: tuple[int, ...], labels: list[str], channels: int | None) -> tuple[int, int]:
    axes = [axis for axis in range(len(lengths)) if axis != channels]
    named = [axis for axis in axes if labels[axis] in ("y", "x")]
    long = [axis for axis in axes if lengths[axis] > 1]
    plane = next((pair[-2:] for pair in (named, long, axes) if len(pair) >= 2), None)
    if plane is None:
        raise InputError(
            f"Besides its channels this image has one axis, of {lengths[axes[0]]}; a plane has two. Give another axis."
        )
    return plane[0], plane[1]


def _choose_frame(
    lengths: list[int], names: tuple[str, ...], axes: tuple[int, ...], shown: tuple[int, ...]
) -> tuple[int, ...]:
    if not shown:
        raise InputError(
            f"This image has {_counted(lengths, names)} and none is shown. Choose one, or segment every {names[-1]}."
        )
    for length, name, axis in zip(lengths, names, axes, strict=True):
        if not 0 <= shown[axis] < length:
            raise InputError(
                f"The slider is at {shown[axis]}, but this image has the {name}s 0 to {length - 1}. "
                "Move the slider into the image."
            )
    return tuple(shown[axis] for axis in axes)


def _counted(lengths: Sequence[int], names: Sequence[str]) -> str:
    return " x ".join(counted(length, name) for length, name in zip(lengths, names, strict=True))
