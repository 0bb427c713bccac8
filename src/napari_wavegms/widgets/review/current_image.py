"""The image on screen: open it, show it, and keep its mask."""

from __future__ import annotations

from collections.abc import Collection, Generator
from functools import partial
from typing import Any

import numpy as np
from qtpy.QtCore import QObject, Signal

from napari_wavegms.corrections.store import CorrectionStore
from napari_wavegms.errors import InputError
from napari_wavegms.journal.recovery import approved, journalled
from napari_wavegms.journal.writer import JournalWriter
from napari_wavegms.widgets.jobs import JobRunner, Outcome
from napari_wavegms.widgets.layers.mask_layers import layer_by_id
from napari_wavegms.widgets.layers.viewer import ViewerEvents
from napari_wavegms.widgets.review.context import ReviewContext, state_of
from napari_wavegms.widgets.review.image import Opened, Pixels, Prediction, ReviewImage, Shown, picture_of, read_picture
from napari_wavegms.widgets.review.layers import Spare, hand_over, put_away, remove_spare, show_picture
from napari_wavegms.widgets.review.tools import ReviewTools
from napari_wavegms.worklist.item import Item


def has_past(content: str, writer: JournalWriter, store: CorrectionStore) -> bool:
    """Whether there may be a mask that a person had drawn; a glance that the window can afford."""
    journal = writer.journal
    return writer.waits(content) or (journal.folder / f"{content}.jsonl").exists() or bool(store.history(content))


def open_job(
    item: Item,
    known: ReviewImage | Pixels | None,
    writer: JournalWriter,
    store: CorrectionStore,
    without: Collection[int] = (),
) -> Generator[None, None, Opened]:
    """Read an image, and find the mask that a person had drawn.

    Parameters
    ----------
    item : Item
    known : ReviewImage or Pixels, optional
        Where the image is in memory already.
    writer : JournalWriter
    store : CorrectionStore
    without : collection of int
        See `napari_wavegms.journal.recovery.journalled`.

    Raises
    ------
    InputError
        If the image cannot be read, or its last edits are not on disk yet.
    """
    yield
    if isinstance(known, ReviewImage):
        picture = known
    elif isinstance(known, Pixels):
        picture = picture_of(item, np.asarray(known.pixels), known.rgb, known.axes, known.spacing, known.source)
    else:
        picture = read_picture(item)
    if writer.waits(picture.content) and not writer.flush() and writer.waits(picture.content):
        raise InputError(f"The last edits of {item.name} are not on disk yet. {writer.problem} Then open it again.")
    mask = approved(picture.pixels, picture.planes, picture.plan.labels_shape, store)
    if mask is not None:
        return Opened(picture, _fitting(mask, picture), is_approved=True)
    mask = journalled(picture.content, writer.journal, without)
    if mask is None:
        mask = approved(picture.pixels, picture.planes, picture.plan.labels_shape, store, former=True)
    return Opened(picture, _fitting(mask, picture))


def _fitting(mask: Any, picture: ReviewImage) -> Any:
    """A mask that was brought to another shape meanwhile is no mask of this image."""
    return mask if mask is not None and mask.shape == picture.plan.labels_shape else None


class CurrentImage(QObject):
    """Shows one image of the list at a time.

    Parameters
    ----------
    desk : ReviewContext
    tools : ReviewTools
    events : ViewerEvents

    Signals
    -------
    arrived()
        Another image is on screen.
    missed()
        An image could not be brought there.

    Attributes
    ----------
    shown : Shown or None
        The image on screen.
    wanted : str or None
        The key of the image that is on its way there.
    opened : dict of str to Pixels
        The images of open layers.
    """

    arrived = Signal()
    missed = Signal()

    def __init__(self, desk: ReviewContext, tools: ReviewTools, events: ViewerEvents) -> None:
        super().__init__(desk)
        self.shown: Shown | None = None
        self.wanted: str | None = None
        self.opened: dict[str, Pixels] = {}
        self._desk, self._tools, self._events = desk, tools, events
        self._spare: Spare | None = None  # the layers of the image before
        self._opener = JobRunner(self)
        self._opener.ended.connect(self._on_opened)

    @property
    def busy(self) -> bool:
        """Whether an image is on its way."""
        return self._opener.busy

    def show_item(self, key: str) -> None:
        """Bring an image of the list to the screen."""
        desk = self._desk
        item = desk.item(key)
        if item is None or desk.approver.busy:
            return
        if self.shown is not None and self.shown.key == key:
            hand_over(desk.viewer, self.shown)
            return
        self.leave(keep=True)
        self.wanted = key
        try:
            desk.panel.list.go_to(key)
        except InputError as error:
            desk.say_problem(str(error))
        picture = desk.predictions.picture(key)
        if picture is not None and not has_past(picture.content, desk.journal.writer, desk.store):
            self._put(Opened(picture))
            return
        if self._spare is not None:
            self._spare.hide()
        without = desk.journal.undecided(picture.content if picture is not None else item.content)
        desk.say(f"Opening {item.name}…")
        known = picture or self.opened.get(key)
        self._opener.start(partial(open_job, item, known, desk.journal.writer, desk.store, without))

    def leave(self, keep: bool = False) -> None:
        """Take the image on screen away, its layers too unless the next image takes them; what was drawn is kept."""
        self._opener.abandon()
        self.wanted = None
        if self.shown is not None:
            self._put_away(self.shown)
        if not keep:
            self._drop_spare()
            self._tools.close()

    def hand_over(self) -> None:
        """Give the brush for the mask on screen."""
        if self.shown is not None:
            hand_over(self._desk.viewer, self.shown)

    def write(self, look: Prediction) -> None:
        """Bring a new prediction into the mask on screen, as soon as no stroke is going on."""
        shown = self.shown
        if shown is not None and shown.key == look.key and shown.content == look.content:
            shown.drag.when_free(partial(self._write, shown, look))

    def refresh(self) -> None:
        """Show what can be done with the image on screen."""
        shown, desk = self.shown, self._desk
        if shown is None:
            desk.panel.set_shown("", False, desk.approver.busy)
            desk.panel.set_light(None, "")
        else:
            details = shown.picture.source or shown.picture.name
            desk.panel.set_shown(shown.picture.name, shown.approved, desk.approver.busy, details)

    def on_layers(self) -> None:
        """Notice when somebody has removed one of the layers."""
        shown, viewer = self.shown, self._desk.viewer
        if shown is None:
            return
        if any(layer_by_id(viewer, layer.unique_id) is None for layer in (shown.image, shown.mask)):
            self.leave()
            name = shown.picture.name
            self._desk.say(f"{name} was removed from the viewer; what you drew is kept. Choose it to go on.")

    def _drop_spare(self) -> None:
        spare, self._spare = self._spare, None
        remove_spare(self._desk.viewer, spare)

    def _put_away(self, shown: Shown) -> None:
        desk = self._desk
        self._tools.settle()
        self._tools.set(None)
        if not shown.approved:
            desk.journal.end(shown, "saved")
        desk.journal.pause()
        self._events.watch(None)
        self.shown = None  # first, because the layers that go are not taken for removed by a person
        self._spare = put_away(desk.viewer, shown)
        desk.panel.question.take_back()
        self.refresh()

    def _on_opened(self, outcome: Outcome) -> None:
        if isinstance(outcome.result, Opened):
            self._put(outcome.result)
        elif outcome.error is not None:
            self.wanted = None
            self._drop_spare()
            self._desk.say_problem(str(outcome.error), outcome.details)
            self.refresh()
            self.missed.emit()

    def _put(self, opened: Opened) -> None:
        """Show an image that is ready."""
        desk, picture, self.wanted = self._desk, opened.picture, None
        desk.predictions.keep(picture)
        try:
            item = desk.panel.list.identify(picture.key, picture.content)
        except InputError as error:
            desk.say_problem(str(error))
            self._drop_spare()
            return
        guest = next((layer for layer in desk.viewer.layers if str(layer.unique_id) == picture.key), None)
        desk.say("")
        spare, self._spare = self._spare, None
        shown = show_picture(desk.viewer, picture, opened.mask, guest, spare)
        shown.seconds = item.seconds
        desk.keys_of[picture.content] = picture.key
        look = desk.predictions.look(picture.key)
        if look is not None:
            self._take_look(shown, look)
        if opened.is_approved:
            shown.lock(True)
        if state := state_of(item, opened):
            desk.note(item.key, state=state)
        self.shown = shown
        self._watch(shown, look)
        self.arrived.emit()

    def _watch(self, shown: Shown, look: Prediction | None) -> None:
        self._events.watch(shown.image)
        self._begin(shown)
        hand_over(self._desk.viewer, shown)
        self._tools.set(shown)
        self._show_light(look)
        self.refresh()

    def _begin(self, shown: Shown) -> None:
        try:
            self._desk.journal.begin(shown, self._desk.panel.threshold_row.value)
        except InputError as error:
            self._desk.say_problem(str(error))

    def _take_look(self, shown: Shown, look: Prediction) -> None:
        """Write what the model says into a mask that may be written to."""
        if shown.approved or shown.kept:
            shown.note(look.written, look.model)
        else:
            shown.write(look.written, look.model, self._desk.panel.overwrite)
        self._desk.panel.threshold_row.set_value(look.threshold)

    def _write(self, shown: Shown, look: Prediction) -> None:
        if shown is not self.shown:
            return
        journal, how = self._desk.journal, self._desk.panel.overwrite
        self._tools.settle()
        is_first = not shown.memory.planes
        if shown.approved or (shown.kept and is_first):
            shown.note(look.written, look.model)
        elif shown.is_untouched:
            # What the model draws is where the edits begin, and no edit.
            journal.pause()
            shown.write(look.written, look.model, how)
            self._begin(shown)
        else:
            shown.write(look.written, look.model, how)
            journal.watch.model, journal.watch.threshold = look.model, look.threshold
        self._desk.panel.threshold_row.set_value(look.threshold)
        self._tools.predicted()
        self._show_light(look)
        self.refresh()

    def _show_light(self, look: Prediction | None) -> None:
        light = None if look is None else look.light
        if light is None:
            self._desk.panel.set_light(None, "")
        else:
            self._desk.panel.set_light(light.colour, light.sentence)
