"""Strokes on the masks of the Segment panel go to the journal, and come back after a crash."""

from __future__ import annotations

from collections.abc import Generator, Hashable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from qtpy.QtCore import QObject

from napari_wavegms.corrections.store import CorrectionStore
from napari_wavegms.errors import InputError
from napari_wavegms.journal.journal import Journal
from napari_wavegms.journal.records import Answer, EditTarget, Unfinished
from napari_wavegms.journal.writer import JournalWriter
from napari_wavegms.segment.planes import StackPlan
from napari_wavegms.storage.content_hash import content_hash
from napari_wavegms.widgets.jobs import JobRunner, Outcome
from napari_wavegms.widgets.layers import mask_layers
from napari_wavegms.widgets.layers.image_info import ChannelChoice, ImageFacts
from napari_wavegms.widgets.layers.mask_history import MaskMemory, memory_of, plane_key, selection
from napari_wavegms.widgets.layers.undoable import write_planes
from napari_wavegms.widgets.layers.viewer import remove_layers
from napari_wavegms.widgets.qt.lifetime import single_shot
from napari_wavegms.widgets.recording.recorder import JournalWatch, is_watched
from napari_wavegms.widgets.recording.unfinished import fitted, show_beside, unfinished_job
from napari_wavegms.widgets.segment.panel import SegmentPanel
from napari_wavegms.wording import counted

if TYPE_CHECKING:
    from napari.components import ViewerModel

_SOON = 100  # ms after a change of the mask until it is looked at
_LARGEST = 4 << 30  # bytes of pixels that are read to tell which image it is
_TOO_LARGE = "Your edits are not saved as you draw, because this image is too large. Save the mask now and then."


@dataclass(frozen=True, slots=True, eq=False)
class _Marked:
    """An image whose masks are journalled: what tells that it is the same one, whatever it is called."""

    image_id: Hashable
    pixels: Any
    plan: StackPlan

    @classmethod
    def of(cls, viewer: ViewerModel, image_id: Hashable, channel: ChannelChoice | None) -> _Marked | None:
        """An open image, or a channel of it; None where it is not open, or has no such channel."""
        image = mask_layers.layer_by_id(viewer, image_id)
        if image is None:
            return None
        facts = ImageFacts.of(image, viewer.dims)
        with suppress(InputError):
            return cls(image_id, facts.pixels, facts.plan(every=True, channel=channel))
        return None

    @property
    def channel(self) -> ChannelChoice | None:
        return ChannelChoice.of(self.plan)

    @property
    def is_too_large(self) -> bool:
        return int(np.prod(self.plan.shape, dtype=np.int64)) * np.dtype(self.plan.dtype).itemsize > _LARGEST

    def content(self) -> str:
        """Read the pixels, of a channel only its own, and tell their content hash."""
        axis, every = self.plan.channel_axis, slice(None)
        here = tuple(self.plan.channel if axis == at else every for at in range(len(self.plan.shape)))
        return content_hash(self.pixels[here])


def _content_job(marked: _Marked) -> Generator[None, None, str]:
    yield
    return marked.content()


def _find_job(
    journal: Journal, left: Unfinished, candidates: Sequence[_Marked]
) -> Generator[None, None, tuple[_Marked, Any] | None]:
    """Find the open image that edits belong to, and replay them; None where it is not open."""
    for marked in candidates:
        yield
        if marked.content() == left.target.image:
            return marked, journal.restore(left.target.image, left.upto)
    return None


class Strokes(QObject):
    """Journals one mask at a time, from the first change that is not the model's own.

    What the model drew is where the edits begin; so nothing is written down, and no image is read, before somebody
    has drawn.
    """

    def __init__(self, viewer: ViewerModel, panel: SegmentPanel) -> None:
        super().__init__(panel)
        self._viewer, self._panel = viewer, panel
        self._journal = JournalWatch(JournalWriter(), self)
        self._journal.saved.connect(panel.saved.say)
        self._journal.warned.connect(lambda sentence: panel.say(sentence, "problem"))
        self._mask: Labels | None = None
        self._marked: _Marked | None = None  # whose mask is journalled
        self._edited: set[str] = set()  # content hashes of the images that were drawn on since the panel was opened
        self._left: list[Unfinished] = []
        self._beside: Labels | None = None
        self._soon = single_shot(self, _SOON, self._look)
        self._reader, self._finder, self._searcher = JobRunner(self), JobRunner(self), JobRunner(self)
        self._reader.ended.connect(self._on_read)
        self._finder.ended.connect(self._on_found)
        self._searcher.ended.connect(self._on_searched)
        # What to restore, how, and whether its file was opened for it.
        self._wanted: tuple[Unfinished, str, bool] | None = None
        panel.restore.answered.connect(self.answer)

    def open(self) -> None:
        """Look for edits that a crash has left behind."""
        self._finder.start(partial(unfinished_job, self._journal.writer.journal, CorrectionStore()))

    def watch(self, mask: Labels | None) -> None:
        """Journal another mask, or none."""
        if mask is self._mask:
            return
        self._let_go()
        for source in self._sources(mask):
            source.connect(self._on_changed)
        self._mask = mask

    def note_saved(self, labels: Any) -> None:
        """Close the edits of the mask, which are in a file now, unless somebody has drawn since."""
        if self._mask is not None and self._marked is not None and np.array_equal(self._mask.data, labels):
            self._journal.finish("saved")

    def close(self) -> None:
        """Write everything down and leave; what is left in good order has nothing to restore."""
        for runner in (self._finder, self._searcher):
            runner.abandon()
        self.watch(None)
        for content in self._edited:
            self._journal.writer.finish(content, "saved", own=True)
        self._edited.clear()
        self._journal.close()
        self._panel.restore.dismiss()

    # Strokes

    def _sources(self, mask: Labels | None) -> tuple[Any, ...]:
        return () if mask is None else (mask.events.paint, mask.events.labels_update, mask.events.data)

    def _let_go(self) -> None:
        self._soon.stop()
        self._reader.abandon()
        for source in self._sources(self._mask):
            source.disconnect(self._on_changed)
        self._mask = self._marked = None
        self._journal.detach()
        self._panel.saved.say("")

    def _on_changed(self) -> None:
        if not self._soon.isActive():  # somebody who never rests is looked at, too
            self._soon.start()

    def _look(self) -> None:
        """Begin to journal the mask if somebody has drawn in it."""
        mask, memory = self._mask, memory_of(self._mask)
        if mask is None or memory is None:
            return
        if self._panel.threshold_row.is_moving:  # the memory learns afterwards what is ours
            self._soon.start()
            return
        marked = _Marked.of(self._viewer, memory.image_id, memory.channel)
        if self._marked is not None:
            is_same = marked is None or marked.pixels is self._marked.pixels
            if is_same and is_watched(mask):  # by Review, perhaps
                self._journal.model, self._journal.threshold = memory.model, self._panel.threshold_row.value
                return
            self._marked = None
            self._journal.detach()
        here = {mask_layers.plane_on_screen(self._viewer, mask), *memory.planes}
        if marked is None or self._reader.busy or is_watched(mask) or not memory.edited_pixels(mask.data, here):
            return
        if marked.is_too_large:
            self._panel.saved.say(_TOO_LARGE)
        else:
            self._reader.start(partial(_content_job, marked))

    def _on_read(self, outcome: Outcome) -> None:
        mask, memory = self._mask, memory_of(self._mask)
        if outcome.error is not None:
            self._panel.say(str(outcome.error), "problem")
        elif mask is not None and memory is not None:
            self._begin(mask, memory, outcome.result, memory.unedited(mask.data))

    def _begin(self, mask: Labels, memory: MaskMemory, content: str, start: Any) -> None:
        image = mask_layers.layer_by_id(self._viewer, memory.image_id)
        self._marked = _Marked.of(self._viewer, memory.image_id, memory.channel)
        if image is None or self._marked is None:
            return
        self._edited.add(content)
        target = EditTarget(
            content, str(image.name), tuple(mask.data.shape), str(image.source.path or ""), str(mask.unique_id)
        )
        threshold = self._panel.threshold_row.value
        try:
            self._journal.attach(mask, target, model=memory.model, threshold=threshold, start=start)
        except InputError as error:
            self._panel.say(str(error), "problem")

    # After a crash

    def answer(self, how: str) -> None:
        """Do what was answered: ``"restore"``, ``"both"`` or ``"discard"``."""
        left = self._panel.restore.asked
        if left is None or self._searcher.busy:
            return
        if how == "discard":
            self._decide(left, "discarded")
            self._panel.say(f"The edits on {left.target.name} were discarded. They remain in the journal.")
        else:
            self._search(left, how, was_opened=False)

    def _search(self, left: Unfinished, how: str, was_opened: bool) -> None:
        self._wanted = left, how, was_opened
        self._searcher.start(partial(_find_job, self._journal.writer.journal, left, list(self._candidates(left))))

    def _candidates(self, left: Unfinished) -> Iterator[_Marked]:
        """The open images, and channels of images, that a mask of this shape may belong to."""
        for image in mask_layers.open_images(self._viewer):
            facts = ImageFacts.of(image, self._viewer.dims)
            for _, channel in [("", None), *facts.channel_choices(every=True)]:
                marked = _Marked.of(self._viewer, image.unique_id, channel)
                if marked is not None and marked.plan.labels_shape == left.target.shape and not marked.is_too_large:
                    yield marked

    def _on_searched(self, outcome: Outcome) -> None:
        if self._wanted is None:
            return
        (left, how, was_opened), self._wanted = self._wanted, None
        source = Path(left.target.source)
        if outcome.error is not None:
            self._panel.say(str(outcome.error), "problem")
        elif outcome.result is not None:
            self._bring_back(left, how, *outcome.result)
        elif not was_opened and left.target.source and source.exists():
            try:
                self._viewer.open(str(source), plugin="napari-wavegms")
            except InputError as error:
                self._panel.say(str(error), "problem")
                self._panel.restore.ask_about(left)
            else:
                self._search(left, how, was_opened=True)
        else:
            why = "has changed since it was edited" if was_opened else "is not open"
            self._panel.say(f"{left.target.name} {why}. Open its image, then press Restore.", "problem")
            self._panel.restore.ask_about(left)

    def _bring_back(self, left: Unfinished, how: str, marked: _Marked, mask: Any) -> None:
        layer = self._layer_for(marked, mask.dtype)
        mask_layers.hand_to_painter(self._viewer, layer)
        if how == "both":
            if self._beside is None or self._beside not in self._viewer.layers:
                self._beside = show_beside(self._viewer, layer, left.target.name, mask)
                mask_layers.hand_to_painter(self._viewer, layer)
            self._panel.say("The outline shows the unsaved mask. Restore or discard it.")
            self._panel.restore.ask_about(left)
            return
        memory = memory_of(layer)
        assert memory is not None
        self.watch(layer)
        self._begin(layer, memory, left.target.image, np.array(layer.data))
        mask = fitted(mask, layer.data.dtype)
        keys = [plane_key(marked.plan.label_index(number)) for number in range(marked.plan.total)]
        write_planes(layer, {key: mask[selection(key)] for key in keys})
        self._journal.settle()  # on disk before the old edits are closed
        self._decide(left, "saved")
        self._panel.say(f"{counted(left.edits, 'edit')} restored. Press Ctrl+Z to undo.")

    def _layer_for(self, marked: _Marked, dtype: Any) -> Labels:
        """The mask of an image, made empty where it has none."""
        layer = mask_layers.mask_for(self._viewer, marked.image_id, marked.plan)
        if layer is None:
            image = mask_layers.layer_by_id(self._viewer, marked.image_id)
            memory, place = MaskMemory(marked.image_id, "", marked.channel), mask_layers.mask_place(image, marked.plan)
            data = np.zeros(marked.plan.labels_shape, dtype)
            layer = mask_layers.new_mask(data, mask_layers.mask_name(image, marked.channel), place, memory)
            self._viewer.add_layer(layer)
        return layer

    def _decide(self, left: Unfinished, answer: Answer) -> None:
        self._left = [other for other in self._left if other is not left]
        self._journal.writer.finish(left.target.image, answer, left.upto)
        remove_layers(self._viewer, self._beside)
        self._beside = None
        self._ask()

    def _ask(self) -> None:
        if self._left:
            self._panel.restore.ask_about(self._left[0])
        else:
            self._panel.restore.dismiss()

    def _on_found(self, outcome: Outcome) -> None:
        if outcome.error is not None:
            self._panel.say(str(outcome.error), "problem")
        else:
            self._left = outcome.result
            self._ask()
