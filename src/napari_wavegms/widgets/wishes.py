"""What the panel asks for, and why it cannot be done, as plain values."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Field = Literal["image", "frames", "channel", "model", "device"]


@dataclass(frozen=True, slots=True)
class ChannelChoice:
    """Read one channel of one axis."""

    axis: int
    channel: int


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is chosen in the panel.

    Attributes
    ----------
    image : hashable or None
        `unique_id` of the image layer.
    every : bool
        All frames, not only the one shown.
    channel : ChannelChoice or None
        None: no channels, or the one shown of an axis that is labelled as channels.
    model : pathlib.Path or None
    device : str
    """

    image: Hashable | None = None
    every: bool = False
    channel: ChannelChoice | None = None
    model: Path | None = None
    device: str = "auto"


@dataclass(frozen=True, slots=True)
class Complaint:
    """A wish that cannot be met: the field it was made in, and a sentence that says why and what to do."""

    field: Field
    sentence: str
