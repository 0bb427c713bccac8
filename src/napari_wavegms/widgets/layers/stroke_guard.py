"""Know whether a stroke is going on in a mask, so that nothing of ours is written into the middle of it.

A stroke is one undo step of napari from press to release. What is written meanwhile would become part of it, and one
Ctrl+Z would undo both.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from napari.layers import Labels

from napari_wavegms.widgets.qt.lifetime import single_shot


class DragWatch:
    """Watches one Labels layer until `close`, from a moment at which no mouse button is down."""

    def __init__(self, layer: Labels) -> None:
        self.dragging = False
        self._layer = layer
        self._waiting: list[Callable[[], None]] = []
        # The release may reach us before the tool, which ends its undo step then; so what waits comes after both.
        self._soon = single_shot(None, 0, self._go_on)
        layer.mouse_drag_callbacks.append(self._on_drag)

    def when_free(self, action: Callable[[], None]) -> None:
        """Run an action now, or as soon as the stroke that is going on has ended."""
        if self.dragging or self._waiting:
            self._waiting.append(action)
        else:
            action()

    def close(self) -> None:
        """Let go of the layer; what still waits is dropped."""
        self._soon.stop()
        self._waiting.clear()
        if self._on_drag in self._layer.mouse_drag_callbacks:
            self._layer.mouse_drag_callbacks.remove(self._on_drag)

    def _on_drag(self, _layer: Labels, event: Any) -> Generator[None, None, None]:
        self.dragging = True
        yield
        while event.type == "mouse_move":
            yield
        self.dragging = False
        self._soon.start()

    def _go_on(self) -> None:
        while self._waiting and not self.dragging:
            self._waiting.pop(0)()
