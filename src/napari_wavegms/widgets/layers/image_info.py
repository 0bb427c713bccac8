"""What an image layer holds: shape, axes, channels."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.components import Dims
from napari.layers import Image

from napari_wavegms.errors import InputError
from napari_wavegms.files.geometry import geometry_of_layer
from napari_wavegms.files.spacing import is_length
from napari_wavegms.segment.planes import ChannelNeeded, StackPlan, dtype_of, plan_stack
from napari_wavegms.wording import sides

_MOST_CHANNELS = 8  # a longer axis is never offered as channels


@dataclass(frozen=True, slots=True)
class ChannelChoice:
    """One channel of one axis, both counted from 0."""

    axis: int
    channel: int

    @classmethod
    def of(cls, plan: StackPlan) -> ChannelChoice | None:
        """The channel that a plan reads; None for an image without channels."""
        return None if plan.channel_axis is None else cls(plan.channel_axis, plan.channel)


@dataclass(frozen=True, slots=True, eq=False)
class ImageFacts:
    """An image layer as it is now.

    Attributes
    ----------
    layer_id : hashable
    name : str
    pixels : array-like
        The full resolution of a multiscale image; not read here.
    levels : sequence of array-like or None
        All resolutions of a multiscale image, the finest first.
    shape : tuple of int
    dtype : dtype
    rgb : bool
    axis_labels : tuple of str
        Of the axes that are not colour; "slice" for one without a label that is measured as a length.
    planes : tuple of str
        What slices along each of those axes are called, such as axial; empty where nobody knows.
    seen : tuple of int
        The axes that the viewer shows whole.
    current : tuple of int
        The index that the viewer shows along each of those axes.
    description : str
        What the image is, in a line.
    displayed, values : tuple of float
        The values that the viewer shows black and white, and the range that they can be chosen from.
    """

    layer_id: Hashable
    name: str
    pixels: Any
    levels: Any
    shape: tuple[int, ...]
    dtype: Any
    rgb: bool
    axis_labels: tuple[str, ...]
    planes: tuple[str, ...]
    seen: tuple[int, ...]
    current: tuple[int, ...]
    description: str
    displayed: tuple[float, float]
    values: tuple[float, float]

    @classmethod
    def of(cls, layer: Image, dims: Dims) -> ImageFacts:
        """Read an image layer as the viewer's `dims` show it."""
        pixels = layer.data[0] if layer.multiscale else layer.data
        shape = tuple(int(length) for length in pixels.shape)
        dtype = dtype_of(pixels)
        geometry = geometry_of_layer(layer.metadata, shape)
        return cls(
            layer_id=layer.unique_id,
            name=str(layer.name),
            pixels=pixels,
            levels=layer.data if layer.multiscale else None,
            shape=shape,
            dtype=dtype,
            rgb=bool(layer.rgb),
            axis_labels=_names(layer, is_volume=geometry is not None),
            planes=tuple("" if geometry is None else geometry.plane(axis) for axis in range(layer.ndim)),
            seen=tuple(axis - dims.ndim + layer.ndim for axis in dims.displayed),
            current=_current(layer, shape, tuple(dims.point)),
            description=describe_image(shape, dtype, layer.rgb, layer.scale, layer.units),
            displayed=_range(layer.contrast_limits),
            values=_range(layer.contrast_limits_range),
        )

    def plan(self, every: bool = False, channel: ChannelChoice | None = None) -> StackPlan:
        """Decide which planes to segment: the one shown or every one, of a channel where there are some.

        Raises
        ------
        InputError
            If the image or the choice does not fit; `ChannelNeeded` where a channel has to be chosen.
        """
        return plan_stack(
            self.shape,
            self.dtype,
            self.rgb,
            self.axis_labels,
            self.current,
            every=every,
            channel_axis=channel.axis if channel else None,
            channel=channel.channel if channel else None,
        )

    def channel_choices(self, every: bool = False) -> list[tuple[str, ChannelChoice | None]]:
        """List the channels that may be chosen, with their names; empty where no axis could hold channels."""
        if self.rgb or len(self.shape) < 3:
            return []
        try:
            plan = self.plan(every)
        except ChannelNeeded as error:
            return [("choose one", None), *self._channels(error.axis, "")]
        except InputError:
            return []
        if plan.channel_axis is not None:
            return [("the one shown", None), *self._channels(plan.channel_axis, "")]
        short = [axis for axis in plan.frame_axes if self.shape[axis] <= _MOST_CHANNELS]
        found = [choice for axis in short for choice in self._channels(axis, f" on axis {axis}")]
        return [("no channels", None), *found] if found else []

    def _channels(self, axis: int, where: str) -> list[tuple[str, ChannelChoice | None]]:
        count = self.shape[axis]
        return [(f"{channel + 1} of {count}{where}", ChannelChoice(axis, channel)) for channel in range(count)]


def _names(layer: Image, is_volume: bool) -> tuple[str, ...]:
    def is_depth(axis: int, name: str, unit: str) -> bool:
        is_third = axis == layer.ndim - 3 and is_volume
        return name.lstrip("-").isdigit() and (is_third or (axis < layer.ndim - 2 and is_length(unit)))

    named = enumerate(zip(map(str, layer.axis_labels), map(str, layer.units), strict=True))
    return tuple("slice" if is_depth(axis, name, unit) else name for axis, (name, unit) in named)


def _current(layer: Image, shape: tuple[int, ...], world_point: tuple[float, ...]) -> tuple[int, ...]:
    """Find the pixel index under the viewer's sliders; they may stand beside a layer that is moved or short."""
    point = layer.world_to_data(np.asarray(world_point, float)[-layer.ndim :])
    rounded = np.clip(np.rint(np.nan_to_num(point)), 0, np.asarray(shape[: layer.ndim]) - 1)
    return tuple(int(place) for place in rounded)


def _range(limits: Sequence[float]) -> tuple[float, float]:
    return float(limits[0]), float(limits[1])


def describe_image(
    shape: Sequence[int], dtype: object, rgb: bool = False, scale: Sequence[float] = (), units: Sequence[object] = ()
) -> str:
    """Describe an image of this shape and dtype in a line.

    Parameters
    ----------
    shape, dtype, rgb
        Those of the whole array; with `rgb` its last axis holds 3 or 4 colours.
    scale, units : sequence
        World units per pixel, and their names, of each axis that is not colour; left out where they are only pixels.

    Examples
    --------
    >>> describe_image((12, 512, 512, 3), "uint8", rgb=True)
    '12 x 512 x 512, RGB, uint8'
    >>> describe_image((244, 320), "uint8", scale=(0.2, 0.2), units=("mm", "mm"))
    '244 x 320, grey, uint8, 0.2 mm/px'
    """
    lengths = sides(shape[:-1] if rgb else shape)
    colours = ("RGBA" if shape[-1] == 4 else "RGB") if rgb else "grey"
    parts = [lengths, colours, np.dtype(dtype).name, _spacing(scale, units)]  # type: ignore[call-overload]
    return ", ".join(part for part in parts if part)


def _spacing(scale: Sequence[float], units: Sequence[object]) -> str:
    """Write the pixel's size, or nothing where it is only pixels."""
    names, sizes = [_short_unit(unit) for unit in units][-3:], [float(size) for size in scale][-3:]
    if len({*names}) > 1:  # the first of three axes is one of time
        names, sizes = names[-2:], sizes[-2:]
    if len(names) < 2 or len(sizes) < 2 or names[0] != names[1] or names[0] in ("px", "pixel"):
        return ""
    if np.allclose(sizes, sizes[0]):
        return f"{sizes[0]:.3g} {names[0]}/px"
    return f"{' x '.join(f'{size:.3g}' for size in sizes)} {names[0]}/px"


def _short_unit(unit: object) -> str:
    # pint writes its short symbols under the format code "~"; a plain string has no such code.
    try:
        return f"{unit:~}"
    except ValueError:
        return str(unit)
