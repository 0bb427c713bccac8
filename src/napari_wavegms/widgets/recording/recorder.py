"""Watches one mask while it is edited, and submits every change to the journal: painted, filled, undone or assigned.

The window's thread only copies the rows that changed; comparing, packing and writing happen in the journal's own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, QTimer, Signal

from napari_wavegms.errors import InputError
from napari_wavegms.journal.patches import ChangedBands
from napari_wavegms.journal.records import Answer, Edit, EditTarget
from napari_wavegms.journal.writer import JournalWriter
from napari_wavegms.storage.user_data import editor_name
from napari_wavegms.widgets.layers.mask_history import Mask
from napari_wavegms.widgets.qt.lifetime import on_destroyed, single_shot
from napari_wavegms.wording import duration, rough_duration

if TYPE_CHECKING:
    from napari.layers import Labels

_QUIET = 250  # ms without a change after which a burst is over
_LONGEST = 0.75  # seconds after which a burst is written down that is not over
_PAUSE = 30.0  # seconds; whoever does not edit for longer is away
_PORTION = 0.003  # seconds that a search may keep the window at a time

_WATCHED: dict[Hashable, JournalWatch] = {}  # by the layer's id, the watch of this program that writes it down


def is_watched(layer: Labels) -> bool:
    """Whether somebody writes down what happens to a mask; two panels may show the same one."""
    return layer.unique_id in _WATCHED


def saved_sentence(edit: Edit | None, age: float | None, waits: bool, problem: str) -> str:
    """What changed since the edits began, and when it was saved; or why it could not be.

    `edit` is the last one on disk and `age` the seconds since; `waits` tells that something is not saved yet.
    """
    if problem:
        return problem
    if edit is None:
        return "Saving." if waits else ""
    changed = f"Changed {edit.differing:,} px, {duration(max(1, round(edit.seconds_so_far)))}."
    return f"{changed} Saving." if waits or age is None else f"{changed} Saved {rough_duration(age)} ago."


class _Relay(QObject):
    sent = Signal(str, object)


def in_window(slot: Callable[[str, Any], None]) -> Callable[..., None]:
    """A function for other threads that has the window's thread call a bound method with a sentence or name, and news.

    Whoever calls holds the signal: one of the method's own object would be emitted into freed memory where Qt destroys
    the object at that very moment, and PyQt does not notice.
    """
    relay = _Relay()
    relay.sent.connect(slot)
    return lambda text, news=None: relay.sent.emit(text, news)


class JournalWatch(QObject):
    """Writes down what happens to a mask between `attach` and `detach`; what the layer is called does not matter."""

    saved = Signal(str)  # another `saved_sentence`
    edited = Signal(object)  # the `Edit` that has just come to the disk
    warned = Signal(str)  # once, `Journal.warning`

    def __init__(
        self, writer: JournalWriter, parent: QObject | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(parent)
        self.editor = ""  # who makes the next edits
        self.model = ""  # and on top of what
        self.threshold: float | None = None
        self.sentence = ""
        self.writer, self._clock = writer, clock
        self._layer: Labels | None = None
        self._image = self._warning = ""
        self._last: Edit | None = None
        self._bands = ChangedBands(np.zeros((1, 1), np.uint8))
        self._search_wanted = self._dragging = False
        self._searching: Iterator[None] | None = None
        self._burst: float | None = None
        self._event_at = self._active_at = clock()
        self._timer = single_shot(self, _QUIET, self._on_quiet)
        self._ticker, self._searcher = QTimer(self), QTimer(self)
        self._ticker.setInterval(1000)
        self._ticker.timeout.connect(self._show_saved)
        self._searcher.timeout.connect(self._search)
        on_destroyed(self, writer.listen(in_window(self._on_written)))

    def attach(
        self,
        layer: Labels,
        target: EditTarget,
        *,
        editor: str | None = None,
        model: str = "",
        threshold: float | None = None,
        start: Mask | None = None,
    ) -> None:
        """Begin to watch a mask, instead of whoever did; raises `InputError` for a layer that napari cannot edit.

        Parameters
        ----------
        layer : napari.layers.Labels
            Of shape (..., H, W).
        target : EditTarget
        editor : str, optional
            Who edits; by default the one so far, or else the name from the settings.
        model, threshold
            What the mask was made with.
        start : ndarray, optional
            What the edits begin with, of the layer's shape and dtype, rather than with the mask as it is now; how the
            mask differs from it is the first of them. The watch keeps it: pass a copy.
        """
        self.detach()
        if (other := _WATCHED.get(layer.unique_id)) is not None:
            other.detach()
        if layer.multiscale:
            raise InputError(f"{layer.name} has several resolutions, which cannot be painted. Choose a plain mask.")
        is_late, start = start is not None, np.array(layer.data) if start is None else start
        # The name is asked for once: the settings are a file, and going on must not wait for the disk.
        self.editor = (self.editor or editor_name()) if editor is None else editor
        self.model, self.threshold = model, threshold
        self.writer.begin(target, start, editor=self.editor, model=model, threshold=threshold)
        self._layer, self._image, self._last = layer, target.image, None
        self._bands = ChangedBands(start)
        self._event_at = self._active_at = self._clock()
        for emitter, slot in self._sources():
            emitter.connect(slot)
        _WATCHED[layer.unique_id] = self
        self._ticker.start()
        self._show_saved()
        if is_late:
            self._on_something()

    def detach(self) -> None:
        """Write down what is not yet written, and let go of the layer; without one nothing happens."""
        self.settle()
        for emitter, slot in self._sources():
            emitter.disconnect(slot)
        self._ticker.stop()
        if self._layer is not None:
            _WATCHED.pop(self._layer.unique_id, None)
        self._layer, self._image = None, ""

    def finish(self, answer: Answer) -> None:
        """Close the edits of this mask, with what is still on its way to the disk.

        An image that is left in good order has nothing to restore; what is still open at the next start was cut off.
        """
        self.settle()
        if self._image:
            self.writer.finish(self._image, answer, own=True)

    def close(self) -> None:
        """Write everything down, and leave the journal to others."""
        self.detach()
        self.writer.close()

    def settle(self) -> None:
        """Submit everything up to now to the writer, without waiting for the end of a burst."""
        self._timer.stop()
        self._searcher.stop()
        if self._fits() and (self._search_wanted or self._dragging or self._searching is not None):
            for _ in self._bands.sweep(self._data):
                pass
        self._search_wanted = self._dragging = False
        self._searching = self._burst = None
        self._submit()

    @property
    def _data(self) -> Any:
        return None if self._layer is None else self._layer.data

    def _sources(self) -> list[tuple[Any, Callable[..., None]]]:
        if self._layer is None:
            return []
        events = self._layer.events
        # An undo, and whoever writes into the array, tells nothing but that something is drawn again.
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
        if not self._timer.isActive() or self._event_at - self._burst < _LONGEST - _QUIET / 1000:
            self._timer.start()

    def _on_quiet(self) -> None:
        self._burst = None
        if not (self._search_wanted or self._dragging) or not self._fits():
            self._submit()
        elif self._searching is None:
            self._search_wanted = self._dragging = False
            self._searching = self._bands.sweep(self._data)
            self._searcher.start()

    def _search(self) -> None:
        """Compare for a moment, then let the window do what it has to do."""
        until = self._clock() + _PORTION
        while self._searching is not None:
            try:
                # If the shape changes meanwhile, the search ends and the whole mask is submitted.
                next(self._searching if self._fits() else iter(()))
            except StopIteration:
                self._searching = None
                self._searcher.stop()
                self._submit()
                if self._search_wanted or self._dragging:  # since this search began
                    self._timer.start()
            if self._clock() >= until:
                return

    def _fits(self) -> bool:
        """Whether the layer still has the kind of data that it had."""
        data = self._data
        return data is not None and (data.shape, data.dtype) == (self._bands.shape, self._bands.dtype)

    def _submit(self) -> None:
        if self._layer is None:
            return
        if self._fits():
            changed: Any = self._bands.take(self._data)
        else:
            changed = np.array(self._data)
            self._bands = ChangedBands(changed)
        if len(changed):
            self.writer.submit(
                self._image,
                changed,
                editor=self.editor,
                model=self.model,
                threshold=self.threshold,
                active_seconds=self._active(),
            )
            self._show_saved()

    def _active(self) -> float:
        """Seconds of work since the last change that was submitted."""
        seconds = self._event_at - self._active_at
        self._active_at = self._event_at
        return seconds if seconds <= _PAUSE else 0.0

    def _on_written(self, image: str, news: Edit | Answer | None) -> None:
        edit = news if isinstance(news, Edit) else None
        if image == self._image:
            if news is not None:
                self._last = edit  # None once the edits have ended
            self._show_saved()
        if edit is not None:
            self.edited.emit(edit)
        if edit is not None and self.writer.journal.warning != self._warning:
            self._warning = self.writer.journal.warning
            self.warned.emit(self._warning)

    def _show_saved(self) -> None:
        age = None if self.writer.saved_at is None else time.time() - self.writer.saved_at
        waits = bool(self._image) and self.writer.waits(self._image)
        sentence = saved_sentence(self._last, age, waits, self.writer.problem)
        if sentence != self.sentence:
            self.sentence = sentence
            self.saved.emit(sentence)
