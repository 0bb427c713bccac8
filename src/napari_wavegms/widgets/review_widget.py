"""The coordinator of "Wave-GMS Review": the only part of it that knows both the viewer and the panel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image  # type: ignore[import-untyped]
from napari.utils.notifications import show_error  # type: ignore[import-untyped]
from qtpy.QtGui import QHideEvent, QShowEvent
from qtpy.QtWidgets import QFileDialog, QVBoxLayout

from napari_wavegms.errors import InputError, WaveGMSError
from napari_wavegms.review.corrections import CorrectionStore
from napari_wavegms.review.items import Item
from napari_wavegms.review.journal import Edit, Journal, Unfinished
from napari_wavegms.review.journal_writer import JournalWriter
from napari_wavegms.review.recent import note_folder, recent_folders
from napari_wavegms.review.settings import editor_name, set_editor_name
from napari_wavegms.review.speeds import QUICK, Speed
from napari_wavegms.review.worklist import Worklist
from napari_wavegms.widgets.docked import DockedWidget
from napari_wavegms.widgets.finetune_models import models_for_segmenting
from napari_wavegms.widgets.jobs import JobRunner, Outcome
from napari_wavegms.widgets.mask_layers import layer_by_id
from napari_wavegms.widgets.placement import Placement
from napari_wavegms.widgets.probability_layer import is_probability_layer
from napari_wavegms.widgets.review_approve import Approver, Done
from napari_wavegms.widgets.review_image import Shown
from napari_wavegms.widgets.review_jobs import (
    Exported,
    Opened,
    Pixels,
    Restored,
    export_job,
    has_past,
    left_behind_job,
    list_job,
    open_job,
    restore_job,
)
from napari_wavegms.widgets.review_journal import ReviewJournal
from napari_wavegms.widgets.review_keys import ACTIONS, ReviewKeys
from napari_wavegms.widgets.review_layers import open_layers, pixels_of
from napari_wavegms.widgets.review_learning import ReviewLearning
from napari_wavegms.widgets.review_panel import ReviewPanel
from napari_wavegms.widgets.review_predict import Look, Predictions
from napari_wavegms.widgets.review_show import Spare, hand_over, put_away, remove_spare, show_picture
from napari_wavegms.widgets.review_tools import ReviewTools
from napari_wavegms.widgets.segment_job import SHELF, LoadSegmenter, SegmenterShelf, load_segmenter
from napari_wavegms.widgets.viewer_events import ViewerEvents

if TYPE_CHECKING:
    from napari.components import ViewerModel  # type: ignore[import-untyped]

AHEAD = 3
"""So many of the next images are predicted before they are asked for."""
NO_MODEL = "No model is installed here. Open a model file with the … button."
_FRESH = ("todo", "predicted")


class ReviewWidget(DockedWidget):
    """The dock widget that napari opens.

    Parameters
    ----------
    napari_viewer : ViewerModel
        napari gives it by this name.
    load : callable
        Loads a segmenter for a model file and a device, in the worker's thread.
    shelf : SegmenterShelf
        Where segmenters wait for the next run.
    speed : Speed
        How the updates after so many approvals learn.
    """

    def __init__(
        self,
        napari_viewer: ViewerModel,
        load: LoadSegmenter = load_segmenter,
        shelf: SegmenterShelf = SHELF,
        speed: Speed = QUICK,
    ) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._store = CorrectionStore()
        self._shown: Shown | None = None
        self._wanted: str | None = None  # the image that is on its way to the screen
        self._loading = ""  # what was said last about a model that is being loaded
        self._spare: Spare | None = None  # the layers of the image before
        self._after_list: Unfinished | None = None  # what to restore once its folder is open
        self._restored: Restored | None = None  # what to restore once its image is on screen
        self._keys_of: dict[str, str] = {}  # the item that has a content
        self._opened: dict[str, Pixels] = {}  # the images of open layers
        self.panel = ReviewPanel()
        self.journal = ReviewJournal(JournalWriter(Journal()), self)
        self.predictions = Predictions(load, shelf, self)
        self.tools = ReviewTools(napari_viewer, self.panel, load, shelf, self)
        self.learning = ReviewLearning(speed, self)
        self._approver = Approver(self._store, self)
        self._opener, self._lister, self._seeker, self._exporter = (JobRunner(self) for _ in range(4))
        self._events = ViewerEvents(napari_viewer)
        self._actions: dict[str, Callable[[], object]] = {
            "approve": self.approve,
            "withdraw": self.withdraw,
            "next": self.next,
            "previous": self.previous,
            "skip": self.skip,
            **self.tools.actions(),
        }
        self._keys = ReviewKeys(napari_viewer, self._actions, self)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.panel)
        self._connect()
        self._open()

    @property
    def shown(self) -> Shown | None:
        """The image on screen."""
        return self._shown

    @property
    def busy(self) -> bool:
        """Whether an image is on its way to the screen, or an approval to the disk."""
        return self._opener.busy or self._lister.busy or self._approver.busy

    # What a person does

    def open_folder(self, folder: Path) -> None:
        """Review the images of a folder, from where one stopped."""
        self._open_list(partial(Worklist.of_folder, folder, self._store), f"Reading {folder.name}…")

    def open_files(self, files: Sequence[Path]) -> None:
        """Review a list of files."""
        self._open_list(partial(Worklist.of_files, list(files), self._store), "Reading the files…")

    def open_layers(self) -> None:
        """Review the images that are open in the viewer."""
        self._leave()
        images = [
            layer for layer in self._viewer.layers if isinstance(layer, Image) and not is_probability_layer(layer)
        ]
        self._opened = {str(layer.unique_id): pixels_of(layer) for layer in images}
        names = {str(layer.unique_id): str(layer.name) for layer in images}
        self._open_list(partial(open_layers, self._opened, names, self._store), "Reading the layers…")

    def show_item(self, key: str) -> None:
        """Bring an image of the list to the screen."""
        worklist = self.panel.list.worklist
        if worklist is None or key not in worklist or self._approver.busy:
            return
        if self._shown is not None and self._shown.key == key:
            hand_over(self._viewer, self._shown)
            return
        self._leave(keep=True)
        self._wanted = key
        try:
            self.panel.list.go_to(key)
        except InputError as error:
            self._say_problem(str(error))
        item = worklist.item(key)
        picture = self.predictions.picture(key)
        if picture is not None and not has_past(picture.content, self.journal.writer, self._store):
            self._put(Opened(picture))
            return
        if self._spare is not None:
            self._spare.hide()
        without = self.journal.undecided(picture.content if picture is not None else item.content)
        self._opener.abandon()
        self.panel.set_status(f"Opening {item.name}…")
        known = picture or self._opened.get(key)
        self._opener.start(partial(open_job, item, known, self.journal.writer, self._store, without))

    def next(self) -> None:
        """Go to the next image of the list."""
        self._go(self.panel.list.next_key(), "There is no other image in this list. Show others above.")

    def previous(self) -> None:
        """Go back to the image before."""
        self._go(self.panel.list.previous_key(), "There is no image before this one.")

    def skip(self) -> None:
        """Leave the image for later."""
        shown = self._shown
        if shown is not None and not self.busy:
            if not shown.approved:
                self._set(shown.key, state="skipped")
            self.next()

    def approve(self) -> None:
        """Keep the mask on screen for learning, and go on; what it is then is no more overwritten."""
        shown = self._shown
        if shown is None or shown.approved or self.busy:
            return
        self.tools.settle()
        self.tools.box.close()
        self.journal.watch.settle()
        try:
            approvals = shown.approvals(self.panel.threshold_row.value, editor_name())
        except WaveGMSError as error:
            self._say_problem(str(error))
            return
        shown.lock(True)  # nothing is drawn while it is on its way to the disk
        self._approver.approve(shown.picture, approvals)
        self._refresh()

    def withdraw(self) -> None:
        """Take the approval of the image on screen back, so that it can be changed."""
        shown = self._shown
        if shown is not None and shown.approved and not self.busy:
            self._approver.withdraw(shown.picture, editor_name())
            self._refresh()

    def predict_again(self) -> None:
        """Let the model look again at the image on screen and those to come."""
        self.predictions.use(self.panel.model_row.choice)
        self._look_ahead()

    def predict_all(self) -> None:
        """Let the model look at every image that has no uncertainty yet."""
        self._look_ahead(every=True)

    def answer(self, how: str) -> None:
        """Do what was answered about edits that were left behind: ``"restore"``, ``"both"`` or ``"discard"``."""
        left = self.panel.question.asked
        if left is None:
            return
        if how == "discard":
            self.journal.decide(left, "discarded")
            self.panel.set_status(f"The edits of {left.target.name} are discarded; the journal still has them.")
            self._ask()
        else:
            self._bring_back(left, how)

    def export(self, path: Path) -> None:
        """Write the journal as a table."""
        if not self._exporter.busy:
            self.journal.watch.settle()
            self._exporter.start(partial(export_job, self.journal.writer.journal, path))

    # Opening and closing

    def hideEvent(self, event: QHideEvent | None) -> None:
        """Hand the last stroke to the journal: a window that closes tells nothing else."""
        self.journal.watch.settle()
        super().hideEvent(event)

    def showEvent(self, event: QShowEvent | None) -> None:
        """Look for new models whenever the panel comes into view."""
        self._refresh_models()
        super().showEvent(event)

    def _connect(self) -> None:
        panel, view = self.panel, self.panel.list
        panel.open_requested.connect(self._ask_for_folder)
        panel.folder_chosen.connect(self.open_folder)
        panel.layers_requested.connect(self.open_layers)
        panel.export_requested.connect(self._ask_for_table)
        panel.again_requested.connect(self.predict_again)
        panel.all_requested.connect(self.predict_all)
        panel.action.connect(self._on_action)
        panel.model_changed.connect(self._on_model)
        panel.name_given.connect(self._on_name)
        panel.question.answered.connect(lambda _image, how: self.answer(how))
        view.item_chosen.connect(self.show_item)
        view.order_changed.connect(self._look_ahead)
        self.journal.saved.connect(panel.set_saved)
        self.journal.edited.connect(self._on_edited)
        self.predictions.arrived.connect(self._on_look)
        self.predictions.refused.connect(self._on_refused)
        self.predictions.said.connect(self._on_loading)
        self.tools.threshold_settled.connect(self._on_threshold)
        self.learning.said.connect(panel.set_learning)
        self.learning.learned.connect(self._on_learned)
        self._approver.done.connect(self._on_done)
        self._approver.failed.connect(self._on_failed)
        self._opener.ended.connect(self._on_opened)
        self._lister.ended.connect(self._on_list)
        self._seeker.ended.connect(self._on_sought)
        self._exporter.ended.connect(self._on_exported)
        self._events.layers_changed.connect(self._on_layers)
        self._events.view_changed.connect(self.tools.moved)
        self._keys.changed.connect(self._print_keys)

    def _open(self) -> None:
        if self._events.is_open:
            return
        self._events.open()
        self._keys.open()
        self._print_keys()
        self.panel.set_recent(recent_folders())
        self.panel.set_editor(editor_name())
        self._refresh_models()
        self._seeker.start(partial(left_behind_job, self.journal.writer.journal, self._store))
        worklist = self.panel.list.worklist
        if worklist is not None and worklist.current is not None:
            self.show_item(worklist.current)

    def _close(self) -> None:
        self._leave()
        self._events.close()
        self._keys.close()
        self.predictions.close()
        self.learning.close()
        for runner in (self._opener, self._lister, self._seeker, self._exporter):
            runner.abandon()
        self.journal.close()

    def _leave(self, keep: bool = False) -> None:
        """Take the image on screen away, its layer too unless the next image takes it; what was drawn is kept."""
        self._opener.abandon()
        self._wanted = self._restored = None
        if self._shown is not None:
            self._put_away(self._shown)
        if not keep:
            self._drop_spare()

    def _drop_spare(self) -> None:
        spare, self._spare = self._spare, None
        remove_spare(self._viewer, spare)

    def _put_away(self, shown: Shown) -> None:
        self.tools.settle()
        self.tools.set(None)
        if not shown.approved:
            self.journal.end(shown, "saved")
        self.journal.pause()
        self._events.watch(None)
        self._shown = None  # first, because the layers that go are not taken for removed by a person
        self._spare = put_away(self._viewer, shown)
        self.panel.question.take_back()
        self._refresh()

    # The list

    def _open_list(self, make: Callable[[], Worklist], words: str) -> None:
        self._leave()
        self._lister.abandon()
        self.panel.set_status(words)
        self._lister.start(partial(list_job, make))

    def _on_list(self, outcome: Outcome) -> None:
        worklist = outcome.result
        if not isinstance(worklist, Worklist):
            self._say_problem(str(outcome.error or "The list was not opened."), outcome.details)
            return
        self.predictions.forget()
        self._keys_of.clear()
        self.panel.set_status("")
        if worklist.folder is not None:
            note_folder(worklist.folder)
            self.panel.set_recent(recent_folders())
        self.panel.list.set_worklist(worklist)
        first = worklist.current or next(iter(self.panel.list.model.keys), None)
        first = first or next(item.key for item in worklist.items())
        left, self._after_list = self._after_list, None
        if left is not None and left.target.source in worklist:
            self._bring_back(left, "restore")
        else:
            self.show_item(first)
        self._ask()

    def _go(self, key: str | None, otherwise: str) -> None:
        if self._lister.busy or self._approver.busy:
            return
        if key is None:
            self.panel.set_status(otherwise)
        else:
            self.show_item(key)

    def _set(self, key: str, **changes: Any) -> None:
        try:
            if self.panel.list.worklist is not None and key in self.panel.list.worklist:
                self.panel.list.set_item(key, **changes)
        except InputError as error:
            self._say_problem(str(error))

    def _item(self, key: str) -> Item | None:
        worklist = self.panel.list.worklist
        return worklist.item(key) if worklist is not None and key in worklist else None

    # The image

    def _on_opened(self, outcome: Outcome) -> None:
        if isinstance(outcome.result, Opened):
            self._put(outcome.result)
        elif outcome.error is not None:
            self._wanted = None
            self._drop_spare()
            self._say_problem(str(outcome.error), outcome.details)
            self._refresh()
            self._look_ahead()

    def _put(self, opened: Opened) -> None:
        """Show an image that is ready."""
        picture, self._wanted = opened.picture, None
        self.predictions.keep(picture)
        try:
            item = self.panel.list.identify(picture.key, picture.content)
        except InputError as error:
            self._say_problem(str(error))
            self._drop_spare()
            return
        guest = next((layer for layer in self._viewer.layers if str(layer.unique_id) == picture.key), None)
        self.panel.set_status("")
        spare, self._spare = self._spare, None
        shown = show_picture(self._viewer, picture, opened.mask, guest, spare)
        shown.seconds = item.seconds
        self._keys_of[picture.content] = picture.key
        look = self.predictions.look(picture.key)
        if look is not None:
            self._take_look(shown, look)
        if opened.is_approved:
            shown.lock(True)
        if state := _state_of(item, opened):
            self._set(item.key, state=state)
        self._shown = shown
        self._events.watch(shown.image)
        self._begin(shown)
        self.tools.set(shown)
        self._show_light(look)
        hand_over(self._viewer, shown)
        self._refresh()
        self._ask()
        self._look_ahead()
        if self._restored is not None:
            restored, self._restored = self._restored, None
            self._show_restored(restored)

    def _begin(self, shown: Shown) -> None:
        try:
            self.journal.begin(shown, self.panel.threshold_row.value)
        except InputError as error:
            self._say_problem(str(error))

    def _take_look(self, shown: Shown, look: Look) -> None:
        """Write what the model says into a mask that may be written to."""
        if shown.approved or shown.kept:
            shown.note(look.written, look.model)
        else:
            shown.write(look.written, look.model, self.panel.overwrite)
        self.panel.threshold_row.set_value(look.threshold)

    def _on_loading(self, sentence: str, kind: str) -> None:
        self._loading = sentence if kind != "problem" else ""
        self.panel.set_status(sentence, kind)

    def _on_look(self, look: Look) -> None:
        if self._loading and self.panel.status == self._loading:
            self.panel.set_status("")  # the model is there
        shown, item = self._shown, self._item(look.key)
        if item is None:
            return
        changes: dict[str, Any] = {"uncertainty": look.uncertainty, "score": look.score}
        if look.light is not None:
            changes["light"] = look.light.colour
        if item.state == "todo":
            changes["state"] = "predicted"
        self._set(item.key, **changes)
        if shown is not None and shown.key == look.key and shown.content == look.content:
            shown.drag.when_free(partial(self._write, shown, look))

    def _write(self, shown: Shown, look: Look) -> None:
        """Bring a new prediction into the mask on screen."""
        if shown is not self._shown:
            return
        self.tools.settle()
        is_first = not shown.memory.planes
        if shown.approved or (shown.kept and is_first):
            shown.note(look.written, look.model)
        elif shown.is_untouched:
            # What the model draws is where the edits begin, and no edit.
            self.journal.pause()
            shown.write(look.written, look.model, self.panel.overwrite)
            self._begin(shown)
        else:
            shown.write(look.written, look.model, self.panel.overwrite)
            self.journal.watch.model, self.journal.watch.threshold = look.model, look.threshold
        self.panel.threshold_row.set_value(look.threshold)
        self.tools.predicted()
        self._show_light(look)
        self._refresh()

    def _on_refused(self, key: str, sentence: str) -> None:
        if (self._shown is not None and self._shown.key == key) or self._wanted == key:
            self._say_problem(sentence)

    def _on_edited(self, edit: Edit) -> None:
        shown, key = self._shown, self._keys_of.get(edit.image)
        item = None if key is None else self._item(key)
        if item is None:
            return
        if shown is not None and shown.content == edit.image:
            shown.edit = edit.number
            if not shown.approved:
                self.tools.edited()
                if item.state not in ("corrected", "approved"):
                    self._set(item.key, state="corrected")
                    self._refresh()
        elif item.state in _FRESH:
            self._set(item.key, state="corrected")
        self._count_seconds(item, edit, shown)

    def _count_seconds(self, item: Item, edit: Edit, shown: Shown | None) -> None:
        """Note how long somebody has worked, every now and then: each note goes to the disk."""
        if shown is not None and shown.content == edit.image:
            seconds = shown.seconds + edit.seconds_so_far
            if seconds > item.seconds + 5:
                self._set(item.key, seconds=seconds)

    def _on_threshold(self, threshold: float) -> None:
        self.journal.watch.threshold = threshold

    def _on_layers(self) -> None:
        shown = self._shown
        if shown is None:
            return
        if any(layer_by_id(self._viewer, layer.unique_id) is None for layer in (shown.image, shown.mask)):
            name = shown.picture.name
            self._leave()
            self.panel.set_status(f"{name} was removed from the viewer; what you drew is kept. Choose it to go on.")

    # Predicting

    def _look_ahead(self, every: bool = False) -> None:
        """Have the image on screen predicted, and then the next ones."""
        worklist = self.panel.list.worklist
        if worklist is None or self.predictions.choice is None:
            return
        now = self._wanted or (None if self._shown is None else self._shown.key)
        keys = [key for key in (now, *self.panel.list.upcoming(AHEAD)) if key is not None]
        if every:
            keys += [item.key for item in worklist.items() if item.uncertainty is None and item.key not in keys]
        items = [item for key in keys if (item := self._item(key)) is not None and _can_read(item, self.predictions)]
        self.predictions.want([item for item in items if item.key == now or item.state != "approved"])

    def _on_model(self) -> None:
        choice = self.panel.model_row.choice
        before = self.predictions.choice
        if choice is not None and before is not None and choice.path == before.path:
            return
        self.predictions.use(choice)
        if choice is None:
            self._say_problem(NO_MODEL)
        else:
            self.panel.threshold_row.set_value(choice.card.threshold)
        self._look_ahead()

    def _on_learned(self) -> None:
        row = self.panel.model_row
        followed = row.combo.currentIndex() == 0
        self._refresh_models()
        if followed and row.combo.count():  # the best so far has changed
            row.combo.setCurrentIndex(0)
            self._on_model()

    def _refresh_models(self) -> None:
        self.panel.model_row.set_models(models_for_segmenting())

    def _show_light(self, look: Look | None) -> None:
        light = None if look is None else look.light
        if light is None:
            self.panel.set_light(None, "")
        else:
            self.panel.set_light(light.colour, light.sentence)

    # Approving

    def _on_done(self, done: Done) -> None:
        shown = self._shown
        ours = shown is not None and shown.key == done.key
        if done.what == "approved":
            if shown is not None and ours:
                self.journal.end(shown, "approved")
            self._set(done.key, state="approved")
            self._refresh()
            self.learning.approved(self.panel.learn_every, self.panel.model_row.choice)
            self.next()
            return
        self.learning.withdrawn()
        if shown is not None and ours:
            shown.lock(False)
            shown.kept = True
            self.journal.take_back(shown)
            hand_over(self._viewer, shown)
        self._set(done.key, state="corrected")
        self._refresh()

    def _on_failed(self, sentence: str, details: str) -> None:
        shown = self._shown
        if shown is not None:
            item = self._item(shown.key)
            shown.lock(item is not None and item.state == "approved")
            hand_over(self._viewer, shown)
        self._refresh()
        self._say_problem(sentence, details)

    # What a crash has left behind

    def _on_sought(self, outcome: Outcome) -> None:
        if isinstance(outcome.result, Restored):
            self._show_restored(outcome.result)
        elif isinstance(outcome.result, list):
            self.journal.set_left(outcome.result)
            self._ask()
        elif outcome.error is not None:
            self._say_problem(str(outcome.error), outcome.details)

    def _ask(self) -> None:
        """Ask about the image on screen first, then about the latest of the list, or of any folder."""
        shown, worklist = self._shown, self.panel.list.worklist
        every = self.journal.left
        here = [left for left in every if shown is not None and left.target.image == shown.content]
        listed = [left for left in every if worklist is None or self._key_of(left) is not None]
        first = next(iter((*here, *listed)), None)
        if first is None:
            self.panel.question.take_back()
        elif self.panel.question.asked is not first or not self.panel.question.isVisibleTo(self.panel):
            self.panel.question.ask(first)

    def _key_of(self, left: Unfinished) -> str | None:
        """Find the item of the list whose edits these are."""
        worklist = self.panel.list.worklist
        if worklist is None:
            return None
        if left.target.source in worklist:
            return left.target.source
        return next((item.key for item in worklist.items() if item.content == left.target.image), None)

    def _bring_back(self, left: Unfinished, how: str) -> None:
        key = self._key_of(left)
        source = Path(left.target.source) if left.target.source else None
        if key is None and source is not None and source.is_file():
            self._after_list = left
            self.open_folder(source.parent)
        elif key is None:
            self._say_problem(f"{left.target.name} is not open. Open its folder or its layer, and press Restore then.")
            self.panel.question.ask(left)
        elif not self._seeker.busy:
            self.show_item(key)
            self._seeker.start(partial(restore_job, self.journal.writer.journal, left, how))

    def _show_restored(self, restored: Restored) -> None:
        shown, left = self._shown, restored.left
        if self._wanted is not None:  # the image is still on its way
            self._restored = restored
            return
        if shown is None or shown.content != left.target.image:
            self._say_problem(
                f"{left.target.name} holds other pixels than when it was edited, so nothing was restored."
            )
            self._ask()
        elif restored.mask.shape != shown.mask.data.shape:
            self._say_problem(f"The edits of {left.target.name} are of another size, so nothing was restored.")
        elif restored.how == "both":
            self._show_beside(shown, restored)
        elif shown.approved:
            self._say_problem(f"{left.target.name} is approved and locked. Press Un-approve, and Restore then.")
            self._ask()
        else:
            self.tools.settle()
            shown.restore(_fitting_type(restored.mask, shown.mask.data.dtype))
            shown.kept = True
            if shown.beside is not None and shown.beside in self._viewer.layers:
                self._viewer.layers.remove(shown.beside)
            shown.beside = None
            self.journal.watch.settle()  # on disk before the old edits are closed
            self.journal.decide(left, "saved")
            self._set(shown.key, state="corrected")
            edits = "1 edit is" if left.edits == 1 else f"{left.edits} edits are"
            self.panel.set_status(f"{edits} restored. Ctrl+Z takes them back.")
            hand_over(self._viewer, shown)
            self._refresh()
            self._ask()

    def _show_beside(self, shown: Shown, restored: Restored) -> None:
        if shown.beside is None:
            name = f"{shown.picture.name} as you left it"
            shown.beside = self._viewer.add_labels(restored.mask, name=name, **Placement.of(shown.mask).as_arguments())
            shown.beside.contour = 2
            shown.beside.editable = False
        hand_over(self._viewer, shown)
        self.panel.set_status("The outline is the mask as you left it. Restore it, or discard it.")
        self.panel.question.ask(restored.left)

    # The rest

    def _on_action(self, name: str) -> None:
        if name in ("doubt_layer", "changes"):
            self.tools.layer_toggled(name)
        elif name == "undo":
            if self._shown is not None and not self._shown.approved:
                self.tools.settle()
                self._shown.mask.undo()
        else:
            self._actions[name]()

    def _on_name(self, name: str) -> None:
        try:
            set_editor_name(name)
        except InputError as error:
            self._say_problem(str(error))
        self.panel.set_editor(editor_name())
        self.journal.watch.editor = editor_name()

    def _on_exported(self, outcome: Outcome) -> None:
        if isinstance(outcome.result, Exported):
            rows = outcome.result.rows
            self.panel.set_status(f"{rows:,} row{'' if rows == 1 else 's'} written to {outcome.result.path}.")
        elif outcome.error is not None:
            self._say_problem(str(outcome.error), outcome.details)

    def _refresh(self) -> None:
        """Show what can be done with the image on screen."""
        shown = self._shown
        if shown is None:
            self.panel.set_shown("", False, self.busy)
            self.panel.set_light(None, "")
        else:
            details = shown.picture.source or shown.picture.name
            self.panel.set_shown(shown.picture.name, shown.approved, self._approver.busy, details)

    def _print_keys(self) -> None:
        self.panel.set_labels({action.name: self._keys.label(action.name) for action in ACTIONS})
        if self._keys.problems:
            self.panel.set_status(self._keys.problems[0], "problem")

    def _ask_for_folder(self) -> None:
        dialog = QFileDialog(self, "A folder of images to review")
        dialog.setFileMode(QFileDialog.FileMode.Directory)
        dialog.fileSelected.connect(lambda name: self.open_folder(Path(name)))
        dialog.open()

    def _ask_for_table(self) -> None:
        dialog = QFileDialog(self, "Write the journal as a table", "journal.csv", "Tables (*.csv)")
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setDefaultSuffix("csv")
        dialog.fileSelected.connect(lambda name: self.export(Path(name)))
        dialog.open()

    def _say_problem(self, sentence: str, _details: str = "") -> None:
        self.panel.set_status(sentence, "problem")
        if not self.panel.isVisible():  # a closed tab or a hidden dock: nobody would read it there
            show_error(sentence)


def _state_of(item: Item, opened: Opened) -> str:
    """The state that an image turns out to be in; empty where it is the one that was noted."""
    if opened.is_approved:
        return "approved" if item.state != "approved" else ""
    if opened.mask is None:
        return "todo" if item.state in ("approved", "corrected") else ""
    return "corrected" if item.state in ("approved", *_FRESH) else ""


def _can_read(item: Item, predictions: Predictions) -> bool:
    return item.path is not None or predictions.picture(item.key) is not None


def _fitting_type(mask: Any, dtype: Any) -> Any:
    """A mask in the dtype of the layer it goes to, where that holds its labels."""
    return mask.astype(dtype) if mask.max(initial=0) <= np.iinfo(dtype).max else mask
