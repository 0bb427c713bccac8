"""What an image layer holds, read once into plain values, and what could be segmented of it."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_wavegms.errors import InputError
from napari_wavegms.segment.stacks import ChannelNeeded, StackPlan, plan_stack
from napari_wavegms.widgets.describe import describe_image
from napari_wavegms.widgets.wishes import ChannelChoice, Wishes

if TYPE_CHECKING:
    from napari.layers import Image  # type: ignore[import-untyped]

MOST_CHANNELS = 8  # a longer axis is never offered as channels


@dataclass(frozen=True, slots=True, eq=False)
class ImageFacts:
    """An image layer as it is now.

    Attributes
    ----------
    layer_id : hashable
    name : str
    pixels : array-like
        The full resolution of a multiscale image; not read here.
    shape : tuple of int
    dtype : dtype
    rgb : bool
    axis_labels : tuple of str
        Of the axes that are not colour.
    current : tuple of int
        The index that the viewer shows along each of those axes.
    description : str
        One line for the owner of the image.
    """

    layer_id: Hashable
    name: str
    pixels: Any
    shape: tuple[int, ...]
    dtype: Any
    rgb: bool
    axis_labels: tuple[str, ...]
    current: tuple[int, ...]
    description: str

    @classmethod
    def of(cls, layer: Image, world_point: tuple[float, ...]) -> ImageFacts:
        """Read an image layer; `world_point` is where the viewer's sliders stand, in world units."""
        pixels = layer.data[0] if layer.multiscale else layer.data
        shape = tuple(int(length) for length in pixels.shape)
        dtype = np.dtype(pixels.dtype)
        return cls(
            layer_id=layer.unique_id,
            name=str(layer.name),
            pixels=pixels,
            shape=shape,
            dtype=dtype,
            rgb=bool(layer.rgb),
            axis_labels=tuple(layer.axis_labels),
            current=_current(layer, shape, world_point),
            description=describe_image(shape, dtype, layer.rgb, layer.scale, layer.units),
        )

    def plan(self, wishes: Wishes) -> StackPlan:
        """Decide which planes to segment.

        Raises
        ------
        InputError
            If the image or the wishes do not fit; `ChannelNeeded` where a channel has to be chosen.
        """
        chosen = wishes.channel
        return plan_stack(
            self.shape,
            self.dtype,
            self.rgb,
            self.axis_labels,
            self.current,
            every=wishes.every,
            channel_axis=chosen.axis if chosen else None,
            channel=chosen.channel if chosen else None,
        )

    def channel_choices(self, wishes: Wishes) -> list[tuple[str, ChannelChoice | None]]:
        """List the channels that a person may choose from; empty where no axis could hold channels."""
        if self.rgb or len(self.shape) < 3:
            return []
        try:
            plan = self.plan(replace(wishes, channel=None))
        except ChannelNeeded as error:
            return [("choose one", None), *self._channels(error.axis, "")]
        except InputError:
            return []
        if plan.channel_axis is not None:
            return [("the one shown", None), *self._channels(plan.channel_axis, "")]
        short = [axis for axis in plan.frame_axes if self.shape[axis] <= MOST_CHANNELS]
        found = [choice for axis in short for choice in self._channels(axis, f" on axis {axis}")]
        return [("no channels", None), *found] if found else []

    def _channels(self, axis: int, where: str) -> list[tuple[str, ChannelChoice | None]]:
        count = self.shape[axis]
        return [(f"{channel + 1} of {count}{where}", ChannelChoice(axis, channel)) for channel in range(count)]


def _current(layer: Image, shape: tuple[int, ...], world_point: tuple[float, ...]) -> tuple[int, ...]:
    """Find the pixel index under the viewer's sliders; the sliders may stand beside a layer that is moved or short."""
    point = layer.world_to_data(np.asarray(world_point, float)[-layer.ndim :])
    lengths = shape[: layer.ndim]
    rounded = np.clip(np.rint(np.nan_to_num(point)), 0, np.asarray(lengths) - 1)
    return tuple(int(place) for place in rounded)
