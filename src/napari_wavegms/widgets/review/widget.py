"""The coordinator of "Wave-GMS Review": it joins the parts, and opens and closes them with its dock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QVBoxLayout

from napari_wavegms.errors import InputError
from napari_wavegms.finetune.presets import QUICK, Preset
from napari_wavegms.journal.records import Edit
from napari_wavegms.segment.segmenter_cache import SEGMENTER_CACHE, LoadSegmenter, SegmenterCache, load_segmenter
from napari_wavegms.storage.user_data import editor_name, recent_folders, set_editor_name
from napari_wavegms.widgets.layers.viewer import ViewerEvents
from napari_wavegms.widgets.qt.lifetime import DockedWidget, WindowWatch
from napari_wavegms.widgets.review.approval import Approver, ReviewApprovals, ReviewLearning
from napari_wavegms.widgets.review.context import ReviewContext, note_edit
from napari_wavegms.widgets.review.current_image import CurrentImage
from napari_wavegms.widgets.review.edits import ReviewJournal
from napari_wavegms.widgets.review.image import Shown
from napari_wavegms.widgets.review.opening import ReviewFiles, ReviewLists
from napari_wavegms.widgets.review.panel import ReviewPanel
from napari_wavegms.widgets.review.prefetch import Predictions, Prefetch
from napari_wavegms.widgets.review.recovery import Recovery
from napari_wavegms.widgets.review.tools import ReviewTools
from napari_wavegms.widgets.shortcuts import ACTIONS, ReviewKeys

if TYPE_CHECKING:
    from napari.components import ViewerModel


class ReviewWidget(DockedWidget):
    """The dock widget that napari opens.

    Parameters
    ----------
    napari_viewer : ViewerModel
        napari gives it by this name.
    load : callable
        Loads a segmenter for a model file and a device, in the worker's thread.
    shelf : SegmenterCache
        Where segmenters wait for the next run.
    speed : Preset
        How the updates after so many approvals learn.
    """

    def __init__(
        self,
        napari_viewer: ViewerModel,
        load: LoadSegmenter = load_segmenter,
        shelf: SegmenterCache = SEGMENTER_CACHE,
        speed: Preset = QUICK,
    ) -> None:
        super().__init__()
        self.desk = ReviewContext(napari_viewer, self)
        self.desk.predictions = Predictions(load, shelf, self.desk)
        self.desk.approver = Approver(self.desk.store, self.desk)
        self.tools = ReviewTools(napari_viewer, self.desk.panel, load, shelf, self)
        self.learning = ReviewLearning(speed, self)
        self._events = ViewerEvents(napari_viewer, self)
        self.stage = CurrentImage(self.desk, self.tools, self._events)
        self.ahead = Prefetch(self.desk, self.stage)
        self.lists = ReviewLists(self.desk, self.stage)
        self.left_behind = Recovery(self.desk, self.stage, self.lists, self.tools)
        self.approvals = ReviewApprovals(self.desk, self.stage, self.tools, self.learning, self.lists.next)
        self.files = ReviewFiles(self.desk)
        self._actions: dict[str, Callable[[], object]] = {
            "approve": self.approve,
            "withdraw": self.withdraw,
            "next": self.next,
            "previous": self.previous,
            "skip": self.skip,
            **self.tools.actions(),
        }
        self._keys = ReviewKeys(napari_viewer, self._actions, self, self.panel)
        self._window = WindowWatch(self)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.panel)
        self._connect()
        self._open()

    @property
    def panel(self) -> ReviewPanel:
        """The form."""
        return self.desk.panel

    @property
    def journal(self) -> ReviewJournal:
        """What writes every edit down."""
        return self.desk.journal

    @property
    def predictions(self) -> Predictions:
        """What the model says of the images."""
        return self.desk.predictions

    @property
    def shown(self) -> Shown | None:
        """The image on screen."""
        return self.stage.shown

    @property
    def busy(self) -> bool:
        """Whether an image is on its way to the screen, or an approval to the disk."""
        return self.stage.busy or self.lists.busy or self.desk.approver.busy

    # What a person does

    def open_folder(self, folder: Path) -> None:
        """Review the images of a folder, from where one stopped."""
        self.lists.open_folder(folder)

    def open_files(self, files: Sequence[Path]) -> None:
        """Review a list of files."""
        self.lists.open_files(files)

    def open_layers(self) -> None:
        """Review the images that are open in the viewer."""
        self.lists.open_layers()

    def show_item(self, key: str) -> None:
        """Bring an image of the list to the screen."""
        self.stage.show_item(key)

    def next(self) -> None:
        """Go to the next image of the list."""
        self.lists.next()

    def previous(self) -> None:
        """Go back to the image before."""
        self.lists.previous()

    def skip(self) -> None:
        """Leave the image for later."""
        self.lists.skip()

    def approve(self) -> None:
        """Keep the mask on screen for learning, and go on; what it is then is no more overwritten."""
        self.approvals.approve()

    def withdraw(self) -> None:
        """Take the approval of the image on screen back, so that it can be changed."""
        self.approvals.withdraw()

    def predict_again(self) -> None:
        """Let the model look again at the image on screen and those to come."""
        self.ahead.again()

    def answer(self, how: str) -> None:
        """Do what was answered about edits that were left behind: ``"restore"``, ``"both"`` or ``"discard"``."""
        self.left_behind.answer(how)

    def export(self, path: Path) -> None:
        """Write the journal as a table."""
        self.files.export(path)

    # Opening and closing

    def showEvent(self, event: QShowEvent | None) -> None:
        """Look for new models whenever the panel comes into view."""
        self._window.follow(self)  # a dock is put into its window after we are put into the dock
        self.ahead.refresh_models()
        super().showEvent(event)

    def _open(self) -> None:
        self._window.follow(self)
        if self._events.is_open:
            return
        self._events.open()
        self._keys.open()
        self._print_keys()
        worklist = self.panel.list.worklist
        self.panel.set_recent(recent_folders(), None if worklist is None else worklist.folder)
        self._show_editor()
        self.ahead.refresh_models()
        self.left_behind.seek()
        if worklist is not None and worklist.current is not None:
            self.show_item(worklist.current)

    def _close(self) -> None:
        self.stage.leave()
        self._events.close()
        self._keys.close()
        self.predictions.close()
        self.learning.close()
        for part in (self.lists, self.left_behind, self.files):
            part.close()
        self.journal.close()
        self.desk.notes.close()

    def _connect(self) -> None:
        self._connect_panel()
        self.panel.list.order_changed.connect(self.ahead.look)
        self.journal.saved.connect(self.panel.set_saved)
        self.journal.edited.connect(self._on_edited)
        self.tools.threshold_settled.connect(self._on_threshold)
        self.learning.said.connect(self.panel.set_learning)
        self.learning.learned.connect(self.ahead.follow_the_best)
        self.lists.opened.connect(self.left_behind.on_list)
        self.stage.arrived.connect(self.left_behind.on_arrived)
        self.stage.missed.connect(self.left_behind.forget)
        for signal in (self.stage.arrived, self.stage.missed):
            signal.connect(self.ahead.look)
        self._events.layers_changed.connect(self.stage.on_layers)
        self._events.view_changed.connect(self.tools.moved)
        self._keys.changed.connect(self._print_keys)
        self._window.closed.connect(self._close)
        self._window.reopened.connect(self._open)

    def _connect_panel(self) -> None:
        panel = self.panel
        panel.open_requested.connect(partial(self.files.ask_for_folder, self.open_folder))
        panel.files_requested.connect(partial(self.files.ask_for_images, self.open_files))
        panel.folder_chosen.connect(self.open_folder)
        panel.layers_requested.connect(self.open_layers)
        panel.export_requested.connect(self.files.ask_for_table)
        panel.again_requested.connect(self.predict_again)
        panel.all_requested.connect(partial(self.ahead.look, every=True))
        panel.action.connect(self._on_action)
        panel.model_changed.connect(self.ahead.use_model)
        panel.name_given.connect(self._on_name)
        panel.question.answered.connect(lambda _image, how: self.answer(how))
        panel.list.item_chosen.connect(self.show_item)

    def _on_edited(self, edit: Edit) -> None:
        if note_edit(self.desk, edit, self.shown):
            self.tools.edited()

    def _on_threshold(self, threshold: float) -> None:
        self.journal.watch.threshold = threshold

    def _on_action(self, name: str) -> None:
        if name in ("doubt_layer", "changes"):
            self.tools.layer_toggled(name)
        elif name == "undo":
            if self.shown is not None and not self.shown.approved:
                self.tools.settle()
                self.shown.mask.undo()
        else:
            self._actions[name]()

    def _on_name(self, name: str) -> None:
        try:
            set_editor_name(name)
        except InputError as error:
            self.desk.say_problem(str(error))
        self._show_editor()

    def _show_editor(self) -> None:
        self.journal.watch.editor = editor_name()
        self.panel.set_editor(self.journal.watch.editor)

    def _print_keys(self) -> None:
        self.panel.set_labels({action.name: self._keys.label(action.name) for action in ACTIONS})
        if self._keys.problems:
            self.panel.set_status(self._keys.problems[0], "problem")
