"""Layers of ours that only show something: no image to segment, no mask to learn from, nothing to save."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING
from weakref import finalize

if TYPE_CHECKING:
    from napari.layers import Layer  # type: ignore[import-untyped]

_OURS: set[Hashable] = set()


def note_view(layer: Layer) -> None:
    """Note that a layer only shows something; forgotten when the layer is."""
    _OURS.add(layer.unique_id)
    # A plugin may be handed a passing proxy instead of the layer itself.
    finalize(getattr(layer, "__wrapped__", layer), _OURS.discard, layer.unique_id)


def is_view(layer: Layer) -> bool:
    """Whether the layer only shows something of ours."""
    return layer.unique_id in _OURS
