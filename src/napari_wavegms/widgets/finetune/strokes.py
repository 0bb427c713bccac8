"""Notices every change of every mask, and reports once a burst is over."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

from napari.layers import Labels
from qtpy.QtCore import QObject, Signal

from napari_wavegms.widgets.qt.lifetime import single_shot

if TYPE_CHECKING:
    from napari.components import ViewerModel

_QUIET = 250  # ms without a change


class Strokes(QObject):
    """Watches the masks of a viewer."""

    ended = Signal()  # nothing has been painted for a moment

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self.masks: set[Hashable] = set()  # ids of those that were changed since `forget`
        self._watched: list[Labels] = []
        self._timer = single_shot(self, _QUIET, self.ended.emit)

    def watch(self, viewer: ViewerModel) -> None:
        """Watch the masks that are open now."""
        self.close()
        self._watched = [layer for layer in viewer.layers if isinstance(layer, Labels)]
        for emitter in self._emitters():
            emitter.connect(self._on_stroke)

    def forget(self) -> None:
        """Start over: what was painted so far has been read."""
        self._timer.stop()
        self.masks.clear()

    def close(self) -> None:
        """Stop watching."""
        self.forget()
        for emitter in self._emitters():
            emitter.disconnect(self._on_stroke)
        self._watched = []

    def _emitters(self) -> list[Any]:
        # An undo is only a refresh, which says nothing of labels.
        return [e for layer in self._watched for e in (layer.events.paint, layer.events.data, layer.events.set_data)]

    def _on_stroke(self, event: Any) -> None:
        self.masks.add(event.source.unique_id)
        self._timer.start()
