"""Open a folder, a list of files or the open layers."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from napari.layers import Image
from qtpy.QtCore import QObject, Qt, Signal
from qtpy.QtWidgets import QFileDialog

from napari_wavegms.corrections.store import CorrectionStore
from napari_wavegms.files.discovery import SUFFIXES
from napari_wavegms.files.napari_writers import axes_from_names, spacing_from_scale
from napari_wavegms.journal.writer import JournalWriter
from napari_wavegms.storage.content_hash import content_hash
from napari_wavegms.storage.user_data import note_folder, recent_folders
from napari_wavegms.widgets.jobs import JobRunner, Outcome, preload_napari_imports
from napari_wavegms.widgets.layers.overlay_layers import is_probability_layer
from napari_wavegms.widgets.review.context import ReviewContext
from napari_wavegms.widgets.review.current_image import CurrentImage
from napari_wavegms.widgets.review.image import Pixels
from napari_wavegms.worklist.state_log import NoteWriter
from napari_wavegms.worklist.worklist import OpenLayer, Worklist


@dataclass(frozen=True, slots=True)
class Exported:
    """A table that was written."""

    path: Path
    rows: int


def list_job(make: Callable[[], Worklist], notes: NoteWriter) -> Generator[None, None, Worklist]:
    """Make a list of images, after what is still to be noted about those of another one.

    Raises
    ------
    InputError
        If there is none.
    """
    yield
    preload_napari_imports()
    notes.flush()
    worklist = make()
    if worklist.folder is not None:
        note_folder(worklist.folder)
    return worklist


def export_job(writer: JournalWriter, path: Path) -> Generator[None, None, Exported]:
    """Write the journal as a table, the last stroke included.

    Raises
    ------
    InputError
        If the disk refuses.
    """
    yield
    writer.flush()
    return Exported(path, writer.journal.export_csv(path))


def pixels_of(layer: Image) -> Pixels:
    """Give the image of a layer as plain values, its full resolution; the array is not read here."""
    pixels = layer.data[0] if layer.multiscale else layer.data
    axes = axes_from_names(layer.axis_labels, layer.ndim)
    spacing = None
    if layer.ndim == 2 or axes is not None:
        spacing = spacing_from_scale(layer.scale, [str(unit) for unit in layer.units], axes or "YX")
    return Pixels(pixels, bool(layer.rgb), tuple(layer.axis_labels), spacing, str(layer.source.path or ""))


def open_layers(
    images: Mapping[str, Pixels], names: Mapping[str, str], store: CorrectionStore, writer: NoteWriter | None = None
) -> Worklist:
    """Make a list of open images, known again by their content.

    Parameters
    ----------
    images, names : mapping
        By the ids of the layers.
    store : CorrectionStore
    writer : NoteWriter, optional

    Raises
    ------
    InputError
        If there is none, or one that holds no real numbers.
    """
    layers = [OpenLayer(key, names[key], content_hash(np.asarray(image.pixels))) for key, image in images.items()]
    return Worklist.of_layers(layers, store, writer=writer)


class ReviewLists(QObject):
    """Opens lists, and goes through them.

    Parameters
    ----------
    desk : ReviewContext
    stage : CurrentImage

    Signals
    -------
    opened(str)
        Another list is there; the key of the image to begin with.
    """

    opened = Signal(str)

    def __init__(self, desk: ReviewContext, stage: CurrentImage) -> None:
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


_IMAGES = f"Images ({' '.join(f'*{suffix}' for suffix in SUFFIXES)});;All files (*)"


class ReviewFiles(QObject):
    """Asks for files and folders, and writes the table.

    Parameters
    ----------
    desk : ReviewContext
    """

    def __init__(self, desk: ReviewContext) -> None:
        super().__init__(desk)
        self._desk = desk
        self._exporter = JobRunner(self)
        self._exporter.ended.connect(self._on_exported)

    def ask_for_folder(self, open_folder: Callable[[Path], None]) -> None:
        """Ask for a folder of images."""
        dialog = self._dialog("A folder of images to review", _last_folder(above=True))
        dialog.setFileMode(QFileDialog.FileMode.Directory)
        dialog.fileSelected.connect(lambda name: open_folder(Path(name)))
        dialog.open()

    def ask_for_images(self, open_files: Callable[[list[Path]], None]) -> None:
        """Ask for one or more files."""
        dialog = self._dialog("Images to review", _last_folder(), _IMAGES)
        dialog.setFileMode(QFileDialog.FileMode.ExistingFiles)
        dialog.filesSelected.connect(lambda names: open_files([Path(name) for name in names]))
        dialog.open()

    def ask_for_table(self) -> None:
        """Ask where the journal is to be written to."""
        dialog = self._dialog("Write the journal as a table", "journal.csv", "Tables (*.csv)")
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setDefaultSuffix("csv")
        dialog.fileSelected.connect(lambda name: self.export(Path(name)))
        dialog.open()

    def export(self, path: Path) -> None:
        """Write the journal as a table."""
        if not self._exporter.busy:
            self._desk.journal.watch.settle()
            self._exporter.start(partial(export_job, self._desk.journal.writer, path))

    def close(self) -> None:
        """Stop."""
        self._exporter.abandon()

    def _dialog(self, title: str, start: str = "", kinds: str = "") -> QFileDialog:
        dialog = QFileDialog(self._desk.panel, title, start, kinds)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        return dialog

    def _on_exported(self, outcome: Outcome) -> None:
        if isinstance(outcome.result, Exported):
            rows = outcome.result.rows
            self._desk.say(f"{rows:,} row{'' if rows == 1 else 's'} written to {outcome.result.path}.")
        elif outcome.error is not None:
            self._desk.say_problem(str(outcome.error), outcome.details)


def _last_folder(above: bool = False) -> str:
    """Where somebody is most likely to look: the folder that was reviewed last, or the one that it is in."""
    last = next(iter(recent_folders()), None)
    return "" if last is None else str(last.parent if above else last)
