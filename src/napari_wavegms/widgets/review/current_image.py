"""The image on screen: open it, show it, and keep its mask."""

from __future__ import annotations

from collections.abc import Collection, Generator
from dataclasses import dataclass
from functools import partial
from typing import Any

from napari.layers import Image
from qtpy.QtCore import QObject, Signal

from napari_wavegms.corrections.store import CorrectionStore, approved_mask
from napari_wavegms.errors import InputError
from napari_wavegms.journal.records import Edit
from napari_wavegms.journal.writer import JournalWriter
from napari_wavegms.widgets.jobs import JobRunner, Outcome
from napari_wavegms.widgets.layers.viewer import ViewerEvents
from napari_wavegms.widgets.review.context import ReviewContext
from napari_wavegms.widgets.review.image import LoadedImage, Pixels, Prediction, load_image
from napari_wavegms.widgets.review.layers import LayerPair, Shown
from napari_wavegms.widgets.review.prefetch import Prefetch
from napari_wavegms.widgets.review.tools import ReviewTools
from napari_wavegms.worklist.item import Item

_FRESH = ("todo", "predicted")
_SECONDS = 5  # between two notes on how long somebody has worked


@dataclass(frozen=True, slots=True, eq=False)
class Opened:
    """An image that is ready to be shown, with what a person had drawn."""

    loaded: LoadedImage
    mask: Any = None
    is_approved: bool = False


def has_past(content: str, writer: JournalWriter, store: CorrectionStore) -> bool:
    """Whether a person may have drawn a mask; quick enough for the window's thread."""
    try:
        return writer.waits(content) or writer.journal.has_edits(content) or bool(store.history(content))
    except InputError:  # said by `open_job`
        return True


def open_job(
    item: Item,
    known: LoadedImage | Pixels | None,
    writer: JournalWriter,
    store: CorrectionStore,
    without: Collection[int] = (),
) -> Generator[None, None, Opened]:
    """Read an image, and find the mask that a person had drawn."""
    yield
    loaded = known if isinstance(known, LoadedImage) else load_image(item, known)
    if writer.waits(loaded.content) and not writer.flush() and writer.waits(loaded.content):
        raise InputError(f"The last edits of {item.name} are not on disk yet. {writer.problem} Then open it again.")
    shape = loaded.plan.labels_shape
    mask = approved_mask(loaded.pixels, loaded.planes, shape, store)
    is_approved = mask is not None
    if mask is None:
        mask = writer.journal.last_mask(loaded.content, without)
    if mask is None:
        mask = approved_mask(loaded.pixels, loaded.planes, shape, store, former=True)
    # A mask that was brought to another shape meanwhile is no mask of this image.
    return Opened(loaded, mask if mask is not None and mask.shape == shape else None, is_approved)


class CurrentImage(QObject):
    """Shows one image of the list at a time.

    Signals
    -------
    arrived()
        Another image is on screen.
    missed()
        An image could not be opened.

    Attributes
    ----------
    shown : Shown or None
        The image on screen.
    wanted : str or None
        The key of the image that is being opened.
    is_saving : bool
        An approval is on its way to the disk: nobody leaves the image meanwhile.
    open_layers : dict of str to Pixels
        The images of open layers, by key.
    """

    arrived = Signal()
    missed = Signal()

    def __init__(self, context: ReviewContext, tools: ReviewTools, events: ViewerEvents, prefetch: Prefetch) -> None:
        super().__init__(context.panel)
        self.shown: Shown | None = None
        self.wanted: str | None = None
        self.is_saving = False
        self.open_layers: dict[str, Pixels] = {}
        self._context, self._tools, self._events, self._prefetch = context, tools, events, prefetch
        self._pair = LayerPair(context.viewer)
        self._opener = JobRunner(self)
        self._opener.ended.connect(self._on_opened)
        prefetch.predicted.connect(self._on_predicted)

    @property
    def busy(self) -> bool:
        """Whether an image is being opened, or an approval is on its way to the disk."""
        return self._opener.busy or self.is_saving

    def show_item(self, key: str) -> None:
        """Bring an image of the list to the screen."""
        context, item = self._context, self._context.item(key)
        if item is None or self.is_saving:
            return
        if self.shown is not None and self.shown.key == key:
            self.select()
            return
        self._leave()
        self.wanted = self._prefetch.first = key
        try:
            context.panel.list.go_to(key)
        except InputError as error:
            context.say_problem(str(error))
        writer, store = context.journal.writer, context.store
        loaded = self._prefetch.image(key)
        if loaded is not None and not has_past(loaded.content, writer, store):
            self._show(Opened(loaded))
            return
        self._pair.hide()
        undecided = context.journal.undecided(item.content if loaded is None else loaded.content)
        context.say(f"Opening {item.name}…")
        self._opener.start(partial(open_job, item, loaded or self.open_layers.get(key), writer, store, undecided))

    def leave(self) -> None:
        """Take the image on screen out of sight; what was drawn is kept, and so are the layers for the next image."""
        self._leave()
        self._pair.hide()
        self._tools.close()

    def close(self) -> None:
        """Leave the image and remove its layers."""
        self.leave()
        self._pair.close()

    def select(self) -> None:
        """Select the mask on screen, brush in hand unless it is locked."""
        if self.shown is not None:
            self.shown.select(self._context.viewer)

    def images(self) -> list[Image]:
        """The image layers of the user's."""
        return [
            layer for layer in self._context.viewer.layers if isinstance(layer, Image) and not self._pair.owns(layer)
        ]

    def refresh(self) -> None:
        """Show what can be done with the image on screen."""
        shown, panel = self.shown, self._context.panel
        if shown is None:
            panel.set_shown("", False)
            panel.set_light(None)
        else:
            loaded = shown.loaded
            panel.set_shown(loaded.name, shown.approved, loaded.source or loaded.name)

    def on_layers(self) -> None:
        """Notice when somebody has removed one of the layers."""
        shown, layers = self.shown, self._context.viewer.layers
        if shown is not None and not (shown.image in layers and shown.mask in layers):
            self.leave()
            self._context.say(
                f"{shown.loaded.name} was removed from the viewer. Your edits are kept; select the image in the list "
                "to continue."
            )

    def on_edited(self, edit: Edit) -> None:
        """Note an edit that is on disk."""
        item, shown = self._context.item_of(edit.image), self.shown
        if item is None:
            return
        if shown is None or shown.content != edit.image:
            if item.state in _FRESH:
                self._context.note(item.key, state="corrected")
            return
        shown.edit = edit.number
        seconds = shown.seconds + edit.seconds_so_far
        if seconds > item.seconds + _SECONDS:
            self._context.note(item.key, seconds=seconds)
        if not shown.approved:
            if item.state not in ("corrected", "approved"):
                self._context.note(item.key, state="corrected")
            self._tools.check_mask_soon()

    def _leave(self) -> None:
        """Let go of the image on screen; its layers stay as they are for a moment."""
        self._opener.abandon()
        self.wanted = self._prefetch.first = None
        shown, journal = self.shown, self._context.journal
        if shown is None:
            return
        self._tools.settle()
        self._tools.set(None)
        shown.mask.mode = "pan_zoom"  # ends a shape that was begun
        if not shown.approved:
            journal.end(shown, "saved")
        journal.watch.detach()
        self._events.watch(None)
        self.shown = None
        self._pair.let_go(shown)
        if journal.left:
            self._context.panel.question.take_back()
        self.refresh()

    def _on_opened(self, outcome: Outcome) -> None:
        if isinstance(outcome.result, Opened):
            self._show(outcome.result)
        elif outcome.error is not None:
            self.wanted = self._prefetch.first = None
            self._context.say_problem(str(outcome.error), outcome.details)
            self.refresh()
            self.missed.emit()

    def _show(self, opened: Opened) -> None:
        """Show an image that is ready."""
        context, loaded, self.wanted = self._context, opened.loaded, None
        self._prefetch.keep(loaded)
        try:
            item = context.images.identify(loaded.key, loaded.content)
        except InputError as error:
            self._pair.hide()
            context.say_problem(str(error))
            return
        own = next((layer for layer in self.images() if str(layer.unique_id) == loaded.key), None)
        context.say("")
        shown = self._pair.show(loaded, opened.mask, own)
        shown.seconds = item.seconds
        shown.lock(opened.is_approved)
        if state := _state_of(item, opened):
            context.note(item.key, state=state)
        prediction = self._prefetch.prediction(loaded.key)
        if prediction is not None:
            self._write(shown, prediction)
        self.shown = shown
        self._events.watch(shown.image)
        self._begin(shown)
        self.select()
        self._tools.set(shown)
        self._show_light(prediction)
        self.refresh()
        self.arrived.emit()

    def _begin(self, shown: Shown) -> None:
        try:
            self._context.journal.begin(shown, self._context.panel.threshold_row.value)
        except InputError as error:
            self._context.say_problem(str(error))

    def _write(self, shown: Shown, prediction: Prediction) -> bool:
        """Write a prediction into the mask, if it may be written to."""
        may_write = not (shown.approved or (shown.kept and not shown.memory.planes))
        if may_write:
            shown.write(prediction, self._context.panel.overwrite)
        else:
            shown.note(prediction)
        self._context.panel.threshold_row.set_value(prediction.threshold)
        return may_write

    def _on_predicted(self, prediction: Prediction) -> None:
        shown = self.shown
        if shown is not None and (shown.key, shown.content) == (prediction.key, prediction.content):
            shown.drag.when_free(partial(self._update, shown, prediction))

    def _update(self, shown: Shown, prediction: Prediction) -> None:
        """Bring a new prediction into the mask on screen."""
        if shown is not self.shown:
            return
        watch = self._context.journal.watch
        self._tools.settle()
        if shown.is_untouched:
            # What the model draws is where the edits begin, and no edit.
            watch.detach()
            self._write(shown, prediction)
            self._begin(shown)
        elif self._write(shown, prediction):
            watch.model, watch.threshold = prediction.model, prediction.threshold
        self._tools.predicted()
        self._show_light(prediction)
        self.refresh()

    def _show_light(self, prediction: Prediction | None) -> None:
        self._context.panel.set_light(None if prediction is None else prediction.light)


def _state_of(item: Item, opened: Opened) -> str:
    """The state that an image turns out to be in; empty where it is the one that was noted."""
    if opened.is_approved:
        return "approved" if item.state != "approved" else ""
    if opened.mask is None:
        return "todo" if item.state in ("approved", "corrected") else ""
    return "corrected" if item.state in ("approved", *_FRESH) else ""
