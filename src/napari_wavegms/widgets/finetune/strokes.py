"""Hears of every stroke in every mask, and tells once a burst is over."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

from napari.layers import Labels
from qtpy.QtCore import QObject, Signal

from napari_wavegms.widgets.qt.lifetime import single_shot

if TYPE_CHECKING:
    from napari.components import ViewerModel

_QUIET = 250  # ms without a stroke


class Strokes(QObject):
    """Watches the masks of a viewer.

    Signals
    -------
    ended()
        Nobody has painted for a moment.

    Attributes
    ----------
    masks : set of hashable
        Ids of the masks painted in since `forget`.
    """

    ended = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.masks: set[Hashable] = set()
        self._watched: list[Labels] = []
        self._timer = single_shot(self, _QUIET, self.ended.emit)

    def watch(self, viewer: ViewerModel) -> None:
        """Listen to the masks that are open now."""
        self._let_go()
        self._watched = [layer for layer in viewer.layers if isinstance(layer, Labels)]
        for emitter in self._emitters():
            emitter.connect(self._on_stroke)

    def forget(self) -> None:
        """Begin anew: what was painted so far has been looked at."""
        self._timer.stop()
        self.masks.clear()

    def close(self) -> None:
        """Stop listening."""
        self.forget()
        self._let_go()

    def _let_go(self) -> None:
        for emitter in self._emitters():
            emitter.disconnect(self._on_stroke)
        self._watched = []

    def _emitters(self) -> list[Any]:
        # An undo comes as a refresh and says nothing of labels; it is seen at the next press, which looks anew.
        return [emitter for layer in self._watched for emitter in (layer.events.paint, layer.events.data)]

    def _on_stroke(self, event: Any) -> None:
        self.masks.add(event.source.unique_id)
        self._timer.start()
