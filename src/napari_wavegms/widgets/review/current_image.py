"""The image on screen: open it, show it, and keep its mask."""

from __future__ import annotations

from collections.abc import Collection, Generator, Hashable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels, Layer
from qtpy.QtCore import QObject, Signal

from napari_wavegms.corrections.store import CorrectionStore
from napari_wavegms.errors import InputError
from napari_wavegms.journal.masks import drawn_mask
from napari_wavegms.journal.records import Edit, Unfinished
from napari_wavegms.journal.writer import JournalWriter
from napari_wavegms.storage.content_hash import content_hash
from napari_wavegms.widgets.jobs import JobRunner, Outcome
from napari_wavegms.widgets.layers.layer_matching import Matching
from napari_wavegms.widgets.layers.mask_history import MaskMemory, memory_of, plane_key
from napari_wavegms.widgets.layers.mask_layers import is_overlay, layer_by_id
from napari_wavegms.widgets.layers.viewer import ViewerEvents, refresh_status
from napari_wavegms.widgets.recording.recorder import JournalWatch
from napari_wavegms.widgets.recording.unfinished import fitted
from napari_wavegms.widgets.review.layers import LayerPair, Shown
from napari_wavegms.widgets.review.panel import ReviewPanel
from napari_wavegms.widgets.review.prefetch import LoadedImage, Pixels, Prediction, Prefetch, load_image
from napari_wavegms.widgets.review.tools import ReviewTools
from napari_wavegms.widgets.thumbnails import middle_plane
from napari_wavegms.widgets.worklist.model import WorklistModel
from napari_wavegms.worklist.item import Item, State
from napari_wavegms.worklist.ordering import TO_DO

if TYPE_CHECKING:
    from napari.components import ViewerModel

_SECONDS = 60  # between two notes on how long somebody has worked


@dataclass(frozen=True, slots=True, eq=False)
class ReviewContext:
    """What the parts of Review share.

    Attributes
    ----------
    viewer : ViewerModel
    panel : ReviewPanel
    images : WorklistModel
        The list in the panel.
    store : CorrectionStore
    journal : JournalWatch
    left : list of Unfinished
        Edits that were cut off and not yet decided on, the latest first.
    """

    viewer: ViewerModel
    panel: ReviewPanel
    images: WorklistModel
    store: CorrectionStore
    journal: JournalWatch
    left: list[Unfinished] = field(default_factory=list)


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
    mask, is_approved = drawn_mask(loaded.pixels, loaded.plan, store, writer.journal, without)
    return Opened(loaded, mask, is_approved)


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
        self.is_saving = False
        self.open_layers: dict[str, Pixels] = {}
        self._context, self._panel, self._list, self._journal = context, context.panel, context.images, context.journal
        self._tools, self._events, self._prefetch = tools, events, prefetch
        self._own_masks: dict[str, Hashable] = {}  # of open layers, by the image's key
        self._unsure: dict[str, str] = {}  # sentences on open images that several masks fit
        self._hidden: list[Layer] = []  # the user's layers, while another image of theirs is on screen
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
        item = self._list.item(key)
        if item is None or self.is_saving:
            return
        if self.shown is not None and self.shown.key == key:
            self.select()
            return
        self._leave()
        self._prefetch.first = key
        self._panel.list.go_to(key)
        writer, store = self._journal.writer, self._context.store
        loaded = self._prefetch.image(key)
        if loaded is not None and not has_past(loaded.content, writer, store):
            self._show(Opened(loaded))
            return
        self._pair.hide()
        content = item.content if loaded is None else loaded.content
        undecided = {left.upto for left in self._context.left if left.target.image == content}
        self._panel.say(f"Opening {item.name}…")
        self._opener.start(partial(open_job, item, loaded or self.open_layers.get(key), writer, store, undecided))

    def take_layers(self, pixels: dict[str, Pixels], matching: Matching) -> None:
        """Know the open images that are to be reviewed, and which open masks are theirs."""
        self.open_layers = pixels
        planes = self._panel.list.open_planes
        planes.clear()
        planes.update((key, partial(middle_plane, layer.data, layer.rgb)) for key, layer in pixels.items())
        self._own_masks = {str(image): mask for image, mask in matching.proposals.items()}
        advice = "Until then you see the model's. Remove or rename the other masks, then press Layers again."
        self._unsure = {str(image): f"⚠ {matching.leftovers[image]} {advice}" for image in matching.undecided}

    def leave(self) -> None:
        """Take the image on screen out of sight; what was drawn is kept, and so are the layers for the next image."""
        self._leave()
        self._pair.hide()
        self._tools.close()
        self._show_again()

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
        layers = self._context.viewer.layers
        return [layer for layer in layers if isinstance(layer, Image) and not self._pair.owns(layer)]

    def masks(self) -> list[Labels]:
        """The mask layers of the user's, which may be masks of their images."""
        layers = self._context.viewer.layers
        return [
            layer
            for layer in layers
            if isinstance(layer, Labels) and not (self._pair.owns(layer) or layer.multiscale or is_overlay(layer))
        ]

    def refresh(self) -> None:
        """Show what can be done with the image on screen."""
        shown = self.shown
        if shown is None:
            self._panel.set_shown("", False)
            self._panel.light.tell(None)
        else:
            loaded = shown.loaded
            self._panel.set_shown(loaded.name, shown.approved, loaded.source or loaded.name)

    def on_layers(self) -> None:
        """Notice when somebody has removed one of the layers."""
        shown, layers = self.shown, self._context.viewer.layers
        if shown is not None and not (shown.image in layers and shown.mask in layers):
            self.leave()
            self._panel.say(
                f"{shown.loaded.name} was removed from the viewer. Your edits are kept; select the image in the list "
                "to continue."
            )

    def on_edited(self, edit: Edit) -> None:
        """Note an edit that is on disk."""
        shown = self.shown
        if shown is None or shown.loaded.content != edit.image:  # the last stroke on an image that was left since
            item = self._list.item_of(edit.image)
            if item is not None and item.state in TO_DO:
                self._list.note(item.key, state="corrected")
            return
        shown.edit, shown.worked = edit.number, shown.seconds + edit.seconds_so_far
        if shown.worked > shown.noted + _SECONDS:
            self._note_seconds(shown)
        if not shown.approved:
            if shown.state != "corrected":
                self.note_state(shown, "corrected")
            self._tools.check_mask_soon(self._prefetch.choice)

    def follow_store(self) -> None:
        """Take up what was approved, withdrawn or forgotten in another panel or program."""
        self._list.follow_store()
        shown, store = self.shown, self._context.store
        if shown is None or not shown.approved or self.is_saving:
            return
        pixels = (shown.loaded.pixels[index] for index, _ in shown.loaded.planes)
        if not any(store.find(content_hash(plane)) for plane in pixels):
            item = self._list.item(shown.key)
            self.note_state(shown, "todo" if item is None or item.state == "approved" else item.state)
            shown.lock(False)
            self.select()
            self.refresh()

    def note_state(self, shown: Shown, state: State, **more: Any) -> None:
        """Note and show what has become of an image."""
        shown.state = state
        self._list.note(shown.key, state=state, **more)

    def _note_seconds(self, shown: Shown) -> None:
        if shown.worked > shown.noted:
            shown.noted = shown.worked
            self._list.note(shown.key, seconds=shown.worked)

    def _leave(self) -> None:
        """Let go of the image on screen; its layers stay as they are for a moment."""
        self._opener.abandon()
        self._prefetch.first = None
        shown = self.shown
        if shown is None:
            return
        self._tools.settle()
        self._tools.set(None)
        shown.mask.mode = "pan_zoom"  # ends a shape that was begun
        if not shown.approved:
            self._journal.finish("saved")
        self._journal.detach()
        self._note_seconds(shown)
        self._events.watch(None)
        self.shown = None
        self._pair.let_go(shown)
        self._panel.question.hide()
        self.refresh()

    def _on_opened(self, outcome: Outcome) -> None:
        if isinstance(outcome.result, Opened):
            self._show(outcome.result)
        elif outcome.error is not None:
            self._prefetch.first = None
            self._panel.say_problem(str(outcome.error))
            self.refresh()
            self.missed.emit()

    def _show(self, opened: Opened) -> None:
        """Show an image that is ready."""
        loaded = opened.loaded
        self._prefetch.keep(loaded)
        item = self._list.identify(loaded.key, loaded.content)
        own = next((layer for layer in self.images() if str(layer.unique_id) == loaded.key), None)
        self._panel.say("")
        own_mask = None if own is None else self._own_mask(loaded)
        if own_mask is not None:
            opened, past = _with_mask(opened, own_mask), opened.mask
        state, note = _state_of(item, opened), self._unsure.get(loaded.key, "")
        if opened.mask is None and own_mask is None and loaded.note:
            opened, note = Opened(loaded, None if loaded.mask is None else np.array(loaded.mask)), loaded.note
        shown = self._pair.show(loaded, opened.mask, own, own_mask)
        if own_mask is not None and opened.mask is past is not None:
            shown.restore(fitted(past, own_mask.data.dtype))
        if own is not None:
            self._show_only(shown)
        shown.seconds = shown.noted = item.seconds
        shown.lock(opened.is_approved)
        self.note_state(shown, state)
        prediction = self._prefetch.prediction(loaded.key)
        if prediction is not None:
            self._write(shown, prediction)
        self.shown = shown
        self._events.watch(shown.image)
        self._begin(shown)
        self.select()
        self._tools.set(shown)
        self._panel.hint.say(" ".join(filter(None, (note, loaded.left_out))))
        self._show_light(prediction)
        self.refresh()
        refresh_status(self._context.viewer)
        self.arrived.emit()

    def _own_mask(self, loaded: LoadedImage) -> Labels | None:
        mask = layer_by_id(self._context.viewer, self._own_masks.get(loaded.key))
        return mask if mask is not None and mask.data.shape == loaded.plan.labels_shape else None

    def _show_only(self, shown: Shown) -> None:
        """Hide the other images of the list, which are layers of the user's that may lie above this one."""
        self._show_again()
        ids = {*self.open_layers, *map(str, self._own_masks.values())}
        for layer in self._context.viewer.layers:
            if str(layer.unique_id) in ids and layer.visible and layer not in (shown.image, shown.mask):
                layer.visible = False
                self._hidden.append(layer)
        shown.image.visible = shown.mask.visible = True

    def _show_again(self) -> None:
        for layer in self._hidden:
            layer.visible = True
        self._hidden.clear()

    def _begin(self, shown: Shown) -> None:
        try:
            model, threshold = shown.memory.model, self._panel.threshold_row.value
            self._journal.attach(shown.mask, shown.target, model=model, threshold=threshold)
        except InputError as error:
            self._panel.say_problem(str(error))

    def _write(self, shown: Shown, prediction: Prediction) -> bool:
        """Write a prediction into the mask, if it may be written to."""
        may_write = not (shown.approved or (shown.kept and not shown.is_predicted))
        shown.is_predicted = True
        if may_write:
            shown.write(prediction, self._panel.overwrite)
        else:
            shown.note(prediction)
        self._panel.threshold_row.set_value(prediction.threshold)
        return may_write

    def _on_predicted(self, prediction: Prediction) -> None:
        shown = self.shown
        if shown is not None and (shown.key, shown.content) == (prediction.key, prediction.content):
            shown.drag.when_free(partial(self._update, shown, prediction))

    def _update(self, shown: Shown, prediction: Prediction) -> None:
        """Bring a new prediction into the mask on screen."""
        if shown is not self.shown:
            return
        self._tools.settle()
        if shown.is_untouched:
            # What the model draws is where the edits begin, and no edit.
            self._journal.detach()
            self._write(shown, prediction)
            self._begin(shown)
        elif self._write(shown, prediction):
            self._journal.model, self._journal.threshold = prediction.model, prediction.threshold
        self._tools.predicted()
        self._show_light(prediction)
        self.refresh()

    def _show_light(self, prediction: Prediction | None) -> None:
        self._panel.light.tell(None if prediction is None else prediction.light)


def _with_mask(opened: Opened, mask: Labels) -> Opened:
    """An image with the open mask that is its own: what somebody drew there counts more than what is stored."""
    memory = memory_of(mask) or MaskMemory("", "")
    if not memory.edited_pixels(mask.data, [plane_key(index) for _, index in opened.loaded.planes]):
        return opened
    labels = np.asarray(mask.data)
    is_stored = opened.mask is not None and np.array_equal(labels, opened.mask)
    return opened if is_stored else Opened(opened.loaded, labels)


def _state_of(item: Item, opened: Opened) -> State:
    """The state that an image turns out to be in."""
    if opened.is_approved:
        return "approved"
    if opened.mask is None:
        return "todo" if item.state in ("approved", "corrected") else item.state
    return "corrected" if item.state in ("approved", *TO_DO) else item.state
