"""Wave-GMS Review: its parts, joined, opened and closed together with the dock."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QVBoxLayout

from napari_wavegms.corrections.store import CorrectionStore
from napari_wavegms.errors import InputError
from napari_wavegms.finetune.presets import QUICK, Preset
from napari_wavegms.journal.writer import JournalWriter
from napari_wavegms.segment.segmenter_cache import SEGMENTER_CACHE, LoadSegmenter, SegmenterCache, load_segmenter
from napari_wavegms.storage.user_data import editor_name, recent_folders, set_editor_name
from napari_wavegms.storage.writer import process_writer
from napari_wavegms.widgets.layers.mask_layers import toggle_mask
from napari_wavegms.widgets.layers.viewer import ViewerEvents
from napari_wavegms.widgets.qt.controls import fill
from napari_wavegms.widgets.qt.docks import DockedWidget
from napari_wavegms.widgets.recording.recorder import JournalWatch, in_window
from napari_wavegms.widgets.review.approval import Approvals
from napari_wavegms.widgets.review.current_image import CurrentImage, ReviewContext
from napari_wavegms.widgets.review.export import Exports
from napari_wavegms.widgets.review.layers import Shown
from napari_wavegms.widgets.review.opening import Lists
from napari_wavegms.widgets.review.panel import LAYERS, ReviewPanel
from napari_wavegms.widgets.review.prefetch import Prefetch
from napari_wavegms.widgets.review.recovery import Recovery
from napari_wavegms.widgets.review.tools import ReviewTools
from napari_wavegms.widgets.shortcuts import ACTIONS, ReviewKeys, bind_mask_key
from napari_wavegms.worklist.item import WorklistStates

if TYPE_CHECKING:
    from napari.components import ViewerModel


class ReviewWidget(DockedWidget):
    """The dock widget that napari opens.

    Parameters
    ----------
    napari_viewer : ViewerModel
        napari passes it by this name.
    load : callable
        Loads a segmenter for a model file and a device, in the worker's thread.
    cache : SegmenterCache
        Where segmenters are kept for the next run.
    preset : Preset
        How to retrain after so many approvals.

    Attributes
    ----------
    panel : ReviewPanel
    journal : JournalWatch
    prefetch : Prefetch
    tools : ReviewTools
    current : CurrentImage
    lists : Lists
    recovery : Recovery
    approvals : Approvals
    exports : Exports
    """

    def __init__(
        self,
        napari_viewer: ViewerModel,
        load: LoadSegmenter = load_segmenter,
        cache: SegmenterCache = SEGMENTER_CACHE,
        preset: Preset = QUICK,
    ) -> None:
        super().__init__()
        self.panel = ReviewPanel()
        fill(QVBoxLayout(self), self.panel)
        self.journal = JournalWatch(JournalWriter(), self)
        context = ReviewContext(napari_viewer, self.panel, self.panel.list.model, CorrectionStore(), self.journal)
        self._events = ViewerEvents(
            napari_viewer,
            layers=lambda: self._on_layers(),
            view=lambda: self.tools.uncertainty.refresh(),
        )
        states = WorklistStates(writer=process_writer(), on_problem=in_window(self._on_refused))
        self.prefetch = Prefetch(self.panel, load, cache)
        self.tools = ReviewTools(napari_viewer, self.panel, load, cache)
        self.current = CurrentImage(context, self.tools, self._events, self.prefetch)
        self.lists = Lists(context, states, self.current, self.prefetch)
        self.recovery = Recovery(context, self.current, self.lists, self.tools)
        self.approvals = Approvals(context, self.current, self.tools, self.lists.next, preset)
        self.exports = Exports(context, self.current, self.tools)
        actions: dict[str, Callable[[], object]] = {
            "approve": self.approvals.approve,
            "withdraw": self.approvals.withdraw,
            "next": self.lists.next,
            "previous": self.lists.previous,
            "skip": self.lists.skip,
            **self.tools.actions(),
        }
        keyed = actions | {name: partial(self.panel.click, name) for name in LAYERS}
        bind_mask_key(napari_viewer, toggle_mask)
        self._keys = ReviewKeys(napari_viewer, keyed, self, self.panel)
        self._pressed: dict[str, Callable[[], object]] = {
            **actions,
            "folder": self.lists.ask_for_folder,
            "files": self.lists.ask_for_files,
            "layers": self.lists.open_layers,
            "save": self.exports.ask_for_mask,
            "export": self.exports.ask_for_table,
            "again": self.prefetch.run_again,
            "all": lambda: self.prefetch.run(all_images=True),
        }
        self._connect()
        self._open()

    @property
    def shown(self) -> Shown | None:
        """The image on screen."""
        return self.current.shown

    @property
    def busy(self) -> bool:
        """Whether an image or a list is being opened, or an approval is on its way to the disk."""
        return self.current.busy or self.lists.busy

    def open_folder(self, folder: Path) -> None:
        """Review the images of a folder, from where one stopped."""
        self.lists.open_folder(folder)

    def _catch_up(self) -> None:
        self.prefetch.refresh_models()
        self.current.follow_store()

    def _open(self) -> None:
        if self._events.is_open:
            return
        self._events.open()
        self._keys.open()
        self.tools.classes.open()
        self._show_keys()
        self._show_editor()
        self.prefetch.refresh_models()
        self.recovery.find()
        worklist = self.panel.list.worklist
        self.panel.set_recent(recent_folders(), None if worklist is None else worklist.folder)
        if worklist is not None and worklist.current is not None:
            self.current.show_item(worklist.current)

    def _close(self) -> None:
        self.current.close()
        self._events.close()
        self._keys.close()
        self.prefetch.forget()
        self.approvals.close()
        self.lists.close()
        self.exports.close()
        self.recovery.close()
        self.journal.close()

    def _connect(self) -> None:
        self.journal.saved.connect(self.panel.saved.say)
        self.journal.edited.connect(self.current.on_edited)
        self.journal.warned.connect(self.panel.say_problem)
        for news in (self.approvals.retrained, self.tools.classes.added):
            news.connect(self.prefetch.refresh_models)
        for signal in (self.panel.list.order_changed, self.current.arrived, self.current.missed):
            signal.connect(self.prefetch.run)
        self._keys.changed.connect(self._show_keys)
        panel = self.panel
        panel.folder_chosen.connect(self.open_folder)
        panel.action.connect(lambda name: self._pressed[name]())
        panel.model_row.chosen.connect(self.prefetch.use_model)
        panel.threshold_row.settled.connect(self._on_threshold)
        panel.name_given.connect(self._on_name)
        panel.question.answered.connect(self.recovery.answer)
        panel.list.item_chosen.connect(self.current.show_item)

    def _on_layers(self) -> None:
        self.current.on_layers()
        self.approvals.verdict.refresh()

    def _on_refused(self, sentence: str, _news: object) -> None:
        self.panel.say_problem(sentence)

    def _on_threshold(self, threshold: float) -> None:
        self.journal.threshold = threshold

    def _on_name(self, name: str) -> None:
        try:
            set_editor_name(name)
        except InputError as error:
            self.panel.say_problem(str(error))
        self._show_editor()

    def _show_editor(self) -> None:
        self.journal.editor = editor_name()
        self.panel.set_editor(self.journal.editor)

    def _show_keys(self) -> None:
        self.panel.set_labels({action.name: self._keys.label(action.name) for action in ACTIONS})
        if self._keys.problems:
            self.panel.say(self._keys.problems[0], "problem")
