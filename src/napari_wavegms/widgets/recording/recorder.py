"""Watches one mask while it is edited, and hands every change to the journal: painted, filled, undone or assigned.

The window's thread only copies the rows that changed; comparing, packing and writing happen in the journal's own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, QTimer, Signal

from napari_wavegms.errors import InputError
from napari_wavegms.journal.records import Answer, Edit, EditTarget
from napari_wavegms.journal.writer import JournalWriter
from napari_wavegms.storage.user_data import editor_name
from napari_wavegms.widgets.qt.lifetime import on_destroyed, single_shot
from napari_wavegms.widgets.recording.changed_bands import ChangedBands
from napari_wavegms.widgets.recording.messages import saved_sentence

if TYPE_CHECKING:
    from napari.layers import Labels

_QUIET = 0.25  # seconds without a change after which a burst is over
_LONGEST = 0.75  # seconds after which a burst is written down that is not over
_PAUSE = 30.0  # seconds; who does not edit for longer is away
_PORTION = 0.003  # seconds that a search may keep the window at a time


class _News(QObject):
    """Brings news from the writer's thread to the window's.

    The writer holds it: a signal of the watch itself would be emitted into freed memory where Qt destroys the watch at
    that very moment, and PyQt does not notice.
    """

    written = Signal(str, object)


class JournalWatch(QObject):
    """Writes down what happens to a mask between `attach` and `detach`; what the layer is called does not matter.

    Parameters
    ----------
    writer : JournalWriter
    clock : callable
        Seconds on a clock that never goes back.

    Signals
    -------
    saved(str)
        A sentence on what changed and when it was saved, or why it could not be; whenever there is another one.
    edited(object)
        The `Edit` that has just come to the disk.

    Attributes
    ----------
    model, threshold : str, float or None
        What the next edits are made on top of.
    editor : str
        Who makes them.
    """

    saved = Signal(str)
    edited = Signal(object)

    def __init__(
        self, writer: JournalWriter, parent: QObject | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(parent)
        self.editor = self.model = ""
        self.threshold: float | None = None
        self.sentence = ""
        self._writer = writer
        self._clock = clock
        self._layer: Labels | None = None
        self._image = ""
        self._last: Edit | None = None
        self._bands = ChangedBands(np.zeros((1, 1), np.uint8))
        self._search_wanted = self._dragging = False
        self._searching: Iterator[None] | None = None
        self._burst: float | None = None
        self._event_at = self._active_at = clock()
        self._timer = single_shot(self, round(_QUIET * 1000), self._on_quiet)
        self._ticker = _timer(self, 1000, self._tell)
        self._searcher = _timer(self, 0, self._search)
        news = _News()
        news.written.connect(self._on_written)
        on_destroyed(self, writer.listen(lambda image, what: news.written.emit(image, what)))

    @property
    def image(self) -> str:
        """Content hash of the image whose mask is watched; empty without one."""
        return self._image

    def attach(
        self,
        layer: Labels,
        target: EditTarget,
        *,
        editor: str | None = None,
        model: str = "",
        threshold: float | None = None,
    ) -> None:
        """Begin to watch a mask; what it is now is what the edits begin with.

        Parameters
        ----------
        layer : napari.layers.Labels
            Of shape (..., H, W).
        target : EditTarget
        editor : str, optional
            Who edits; by default the name from the settings.
        model, threshold
            What the mask was made with.

        Raises
        ------
        InputError
            If the layer is of a kind that napari cannot edit.
        """
        self.detach()
        if layer.multiscale:
            raise InputError(f"{layer.name} has several resolutions, which cannot be painted. Choose a plain mask.")
        start = np.array(layer.data)
        self.editor = editor_name() if editor is None else editor
        self.model, self.threshold = model, threshold
        self._writer.begin(target, start, editor=self.editor, model=model, threshold=threshold)
        self._layer, self._image = layer, target.image
        self._begin_anew(start)
        for emitter, slot in self._sources():
            emitter.connect(slot)
        self._ticker.start()

    def detach(self) -> None:
        """Write down what is not yet written, and let go of the layer; without one nothing happens."""
        self.settle()
        for emitter, slot in self._sources():
            emitter.disconnect(slot)
        self._ticker.stop()
        self._layer, self._image = None, ""

    def settle(self) -> None:
        """Hand everything up to now to the writer, without waiting for the end of a burst."""
        self._timer.stop()
        self._searcher.stop()
        self._burst = None
        if self._layer is None:
            return
        if self._search_wanted or self._dragging or self._searching is not None:
            self._search_wanted = self._dragging = False
            for _ in self._bands.sweep(self._layer.data) if self._fits() else ():
                pass
            self._searching = None
        self._hand_over()

    def finish(self, how: Answer) -> None:
        """Write down how the edits ended; nothing of them is left to restore. The watching goes on."""
        if self._layer is not None:
            self.settle()
            self._writer.finish(self._image, how)

    def _begin_anew(self, start: Any) -> None:
        self._bands = ChangedBands(start)
        self._last = None
        self._search_wanted = self._dragging = False
        self._searching = self._burst = None
        self._event_at = self._active_at = self._clock()
        self._tell()

    def _sources(self) -> list[tuple[Any, Callable[..., None]]]:
        if self._layer is None:
            return []
        events = self._layer.events
        # An undo, and whoever writes into the array, tells nothing but that something is shown anew.
        return [
            (events.paint, self._on_paint),
            (events.labels_update, self._on_drag),
            (events.data, self._on_something),
            (events.set_data, self._on_something),
        ]

    def _on_paint(self, event: Any) -> None:
        if not self._fits() or not self._bands.painted(event.value):
            self._search_wanted = True
        self._dragging = False
        self._wake()

    def _on_drag(self, _event: object = None) -> None:
        # A drag tells what it painted when the button is up, which covers what it showed before; until then we search.
        self._dragging = True
        self._wake()

    def _on_something(self, _event: object = None) -> None:
        self._search_wanted = True
        self._wake()

    def _wake(self) -> None:
        self._event_at = self._clock()
        if self._burst is None:
            self._burst = self._event_at
        if not self._timer.isActive() or self._event_at - self._burst < _LONGEST - _QUIET:
            self._timer.start()

    def _on_quiet(self) -> None:
        self._burst = None
        if self._layer is None:
            return
        if not (self._search_wanted or self._dragging) or not self._fits():
            self._hand_over()
        elif self._searching is None:
            self._search_wanted = self._dragging = False
            self._searching = self._bands.sweep(self._layer.data)
            self._searcher.start()

    def _search(self) -> None:
        """Compare for a moment, then let the window do what it has to do."""
        until = self._clock() + _PORTION
        while self._searching is not None:
            try:
                # Who changes the shape under our eyes ends the search; the whole mask is handed over then.
                next(self._searching if self._fits() else iter(()))
            except StopIteration:
                self._searching = None
                self._searcher.stop()
                self._hand_over()
                if self._search_wanted or self._dragging:  # since this search began
                    self._timer.start()
            if self._clock() >= until:
                return

    def _fits(self) -> bool:
        """Whether the layer still has the kind of data that it had."""
        data = None if self._layer is None else self._layer.data
        return data is not None and (data.shape, data.dtype) == (self._bands.shape, self._bands.dtype)

    def _hand_over(self) -> None:
        if self._layer is None:
            return
        if self._fits():
            changed: Any = self._bands.take(self._layer.data)
        else:
            changed = np.array(self._layer.data)
            self._bands = ChangedBands(changed)
        if len(changed):
            self._writer.submit(
                *(self._image, changed),
                editor=self.editor,
                model=self.model,
                threshold=self.threshold,
                active_seconds=self._active(),
            )
            self._tell()

    def _active(self) -> float:
        """Seconds of work since the last change that was handed over."""
        seconds = self._event_at - self._active_at
        self._active_at = self._event_at
        return seconds if seconds <= _PAUSE else 0.0

    def _on_written(self, image: str, news: Edit | Answer | None) -> None:
        edit = news if isinstance(news, Edit) else None
        if image == self._image:
            if news is not None:
                self._last = edit  # None once the edits have ended
            self._tell()
        if edit is not None:
            self.edited.emit(edit)

    def _tell(self) -> None:
        age = None if self._writer.saved_at is None else time.time() - self._writer.saved_at
        waits = bool(self._image) and self._writer.waits(self._image)
        sentence = saved_sentence(self._last, age, waits, self._writer.problem)
        if sentence != self.sentence:
            self.sentence = sentence
            self.saved.emit(sentence)


def _timer(parent: QObject, interval: int, slot: Callable[[], None]) -> QTimer:
    timer = QTimer(parent)
    timer.setInterval(interval)
    timer.timeout.connect(slot)
    return timer
