"""Which images are reviewed: a folder, a list of files or the open layers; and the way from one to the next."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from napari.layers import Image  # type: ignore[import-untyped]
from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]

from napari_wavegms.review.recent import recent_folders
from napari_wavegms.review.worklist import Worklist
from napari_wavegms.widgets.jobs import JobRunner, Outcome
from napari_wavegms.widgets.probability_layer import is_probability_layer
from napari_wavegms.widgets.review_desk import ReviewDesk
from napari_wavegms.widgets.review_jobs import list_job
from napari_wavegms.widgets.review_layers import open_layers, pixels_of
from napari_wavegms.widgets.review_stage import ReviewStage


class ReviewLists(QObject):
    """Opens lists, and goes through them.

    Parameters
    ----------
    desk : ReviewDesk
    stage : ReviewStage

    Signals
    -------
    opened(str)
        Another list is there; the key of the image to begin with.
    """

    opened = Signal(str)

    def __init__(self, desk: ReviewDesk, stage: ReviewStage) -> None:
        super().__init__(desk)
        self._desk, self._stage = desk, stage
        self._before: str | None = None  # the image that was shown before the one on screen
        self._now: str | None = None
        stage.arrived.connect(self._on_arrived)
        self._lister = JobRunner(self)
        self._lister.ended.connect(self._on_list)

    @property
    def busy(self) -> bool:
        """Whether a list is being read."""
        return self._lister.busy

    def open_folder(self, folder: Path) -> None:
        """Review the images of a folder, from where one stopped."""
        make = partial(Worklist.of_folder, folder, self._desk.store, writer=self._desk.notes)
        self._open(make, f"Reading {folder.name}…")

    def open_files(self, files: Sequence[Path]) -> None:
        """Review a list of files."""
        make = partial(Worklist.of_files, list(files), self._desk.store, writer=self._desk.notes)
        self._open(make, "Reading the files…")

    def open_layers(self) -> None:
        """Review the images that are open in the viewer."""
        self._stage.leave()
        layers = self._desk.viewer.layers
        images = [layer for layer in layers if isinstance(layer, Image) and not is_probability_layer(layer)]
        self._stage.opened = {str(layer.unique_id): pixels_of(layer) for layer in images}
        names = {str(layer.unique_id): str(layer.name) for layer in images}
        make = partial(open_layers, self._stage.opened, names, self._desk.store, self._desk.notes)
        self._open(make, "Reading the layers…")

    def next(self) -> None:
        """Go to the next image of the list."""
        self._go(self._desk.panel.list.next_key(), "There is no other image in this list. Show others above.")

    def previous(self) -> None:
        """Go back to the image before; also to one that was approved or skipped and has left the list with that."""
        view = self._desk.panel.list
        key = view.previous_key()
        if self._desk.item(self._before) is not None and view.model.row_of(self._before) is None:
            key = self._before
        self._go(key, "There is no image before this one.")

    def skip(self) -> None:
        """Leave the image for later."""
        shown = self._stage.shown
        if shown is not None and not (self._stage.busy or self.busy or self._desk.approver.busy):
            if not shown.approved:
                self._desk.note(shown.key, state="skipped")
            self.next()

    def close(self) -> None:
        """Stop."""
        self._lister.abandon()

    def _on_arrived(self) -> None:
        shown = self._stage.shown
        if shown is not None and shown.key != self._now:
            self._before, self._now = self._now, shown.key

    def _go(self, key: str | None, otherwise: str) -> None:
        if self.busy or self._desk.approver.busy:
            return
        if key is None:
            self._desk.say(otherwise)
        else:
            self._stage.show_item(key)

    def _open(self, make: Callable[[], Worklist], words: str) -> None:
        self._stage.leave()
        self._lister.abandon()
        self._desk.say(words)
        self._lister.start(partial(list_job, make, self._desk.notes))

    def _on_list(self, outcome: Outcome) -> None:
        desk, worklist = self._desk, outcome.result
        if not isinstance(worklist, Worklist):
            desk.say_problem(str(outcome.error or "The list was not opened."), outcome.details)
            return
        desk.predictions.forget()
        desk.keys_of.clear()
        desk.say("")
        desk.panel.set_recent(recent_folders(), worklist.folder)
        desk.panel.list.set_worklist(worklist)
        first = worklist.current or next(iter(desk.panel.list.model.keys), None)
        self.opened.emit(first or next(item.key for item in worklist.items()))
