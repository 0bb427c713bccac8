"""Open a folder, files or the open layers, and go through their images."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Image
from qtpy.QtCore import QObject, Qt, Signal
from qtpy.QtWidgets import QFileDialog

from napari_wavegms.files.discovery import SUFFIXES
from napari_wavegms.files.geometry import geometry_of_layer
from napari_wavegms.files.napari_writers import axes_from_names, spacing_from_scale
from napari_wavegms.storage.content_hash import content_hash
from napari_wavegms.storage.user_data import note_folder, recent_folders
from napari_wavegms.widgets.jobs import JobRunner, Outcome, preload_napari_imports
from napari_wavegms.widgets.layers.layer_matching import match_open_layers
from napari_wavegms.widgets.layers.mask_layers import is_overlay
from napari_wavegms.widgets.review.current_image import CurrentImage, ReviewContext
from napari_wavegms.widgets.review.prefetch import Pixels, Prefetch
from napari_wavegms.worklist.item import WorklistStates
from napari_wavegms.worklist.worklist import OpenLayer, Worklist

_IMAGES = f"Images ({' '.join(f'*{suffix}' for suffix in SUFFIXES)});;All files (*)"


def list_job(make: Callable[[], Worklist]) -> Generator[None, None, Worklist]:
    """Make a list of images."""
    yield
    preload_napari_imports()
    worklist = make()
    if worklist.folder is not None:
        note_folder(worklist.folder)
    return worklist


def pixels_of(layer: Image) -> Pixels:
    """The image of a layer in its full resolution; the array is not read here."""
    pixels = layer.data[0] if layer.multiscale else layer.data
    axes = axes_from_names(layer.axis_labels, layer.ndim)
    spacing = None
    if layer.ndim == 2 or axes is not None:
        spacing = spacing_from_scale(layer.scale, [str(unit) for unit in layer.units], axes or "YX")
    geometry = geometry_of_layer(layer.metadata, tuple(pixels.shape))
    return Pixels(pixels, bool(layer.rgb), tuple(layer.axis_labels), spacing, str(layer.source.path or ""), geometry)


class Lists(QObject):
    """Opens lists of images, and goes through them.

    Signals
    -------
    opened(str)
        Another list is there; the key of the image to begin with.
    """

    opened = Signal(str)

    def __init__(
        self, context: ReviewContext, states: WorklistStates, current: CurrentImage, prefetch: Prefetch
    ) -> None:
        super().__init__(context.panel)
        self._panel, self._list = context.panel, context.images
        self._store, self._states, self._current, self._prefetch = context.store, states, current, prefetch
        self._before: str | None = None  # the image that was shown before the one on screen
        self._now: str | None = None
        self._lister = JobRunner(self)
        self._lister.ended.connect(self._on_list)
        current.arrived.connect(self._on_arrived)

    @property
    def busy(self) -> bool:
        """Whether a list is being read."""
        return self._lister.busy

    def open_folder(self, folder: Path) -> None:
        """Review the images of a folder, from where one stopped."""
        self._open(f"Reading {folder.name}…", Worklist.of_folder, folder)

    def open_files(self, files: Sequence[Path]) -> None:
        """Review a list of files."""
        self._open("Reading the files…", Worklist.of_files, list(files))

    def open_layers(self) -> None:
        """Review the images that are open in the viewer."""
        images = {str(layer.unique_id): layer for layer in self._current.images() if not is_overlay(layer)}
        names = {key: str(layer.name) for key, layer in images.items()}
        pixels = {key: pixels_of(layer) for key, layer in images.items()}
        self._current.take_layers(pixels, match_open_layers(list(images.values()), self._current.masks()))

        def layers() -> Iterator[OpenLayer]:
            for key, name in names.items():
                yield OpenLayer(key, name, content_hash(np.asarray(pixels[key].data)))

        self._open("Reading the layers…", Worklist.of_layers, layers())

    def next(self) -> None:
        """Go to the next image of the list."""
        otherwise = "There is no other image in this list. Choose more under Show."
        if all(item.state == "approved" for item in self._list.items()):
            otherwise = "Every image of this list is approved. Export masks… is under Save, export."
        self._go(self._list.next_key(), otherwise)

    def previous(self) -> None:
        """Go back to the previous image, even if it was approved or skipped and is no longer in the list."""
        key = self._list.previous_key()
        if self._list.item(self._before) is not None and self._list.row_of(self._before) is None:
            key = self._before
        self._go(key, "There is no previous image.")

    def skip(self) -> None:
        """Leave the image for later."""
        shown = self._current.shown
        if shown is not None and not (self.busy or self._current.busy):
            if not shown.approved:
                self._current.note_state(shown, "skipped")
            self.next()

    def ask_for_folder(self) -> None:
        """Ask for a folder of images."""
        title = "Select a folder of images to review"  # Qt's own dialog may give what was typed and what is marked
        dialog = self._dialog(title, _last_folder(above=True), lambda folder, *_: self.open_folder(folder))
        dialog.setFileMode(QFileDialog.FileMode.Directory)
        dialog.open()

    def ask_for_files(self) -> None:
        """Ask for one or more images."""
        dialog = self._dialog("Select images to review", _last_folder(), lambda *files: self.open_files(files), _IMAGES)
        dialog.setFileMode(QFileDialog.FileMode.ExistingFiles)
        dialog.open()

    def close(self) -> None:
        """Stop."""
        self._lister.abandon()

    def _dialog(self, title: str, start: str, then: Callable[..., None], kinds: str = "") -> QFileDialog:
        dialog = QFileDialog(self._panel, title, start, kinds)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.filesSelected.connect(lambda names: then(*map(Path, names)))
        return dialog

    def _on_arrived(self) -> None:
        shown = self._current.shown
        if shown is not None and shown.key != self._now:
            self._before, self._now = self._now, shown.key

    def _go(self, key: str | None, otherwise: str) -> None:
        if key is None and not self.busy:
            self._panel.say(otherwise)
        elif key is not None and not self.busy:
            self._current.show_item(key)

    def _open(self, sentence: str, make: Callable[..., Worklist], images: Any) -> None:
        self._current.leave()
        self._lister.abandon()
        self._panel.say(sentence)
        self._lister.start(partial(list_job, partial(make, images, self._store, self._states)))

    def _on_list(self, outcome: Outcome) -> None:
        worklist = outcome.result
        if not isinstance(worklist, Worklist):
            self._panel.say_problem(str(outcome.error or "The list was not opened."))
            return
        self._prefetch.forget()
        self._panel.say("")
        self._panel.set_recent(recent_folders(), worklist.folder)
        self._panel.list.set_worklist(worklist)
        self.opened.emit(worklist.current or next(iter(self._list.keys), worklist.items()[0].key))


def _last_folder(above: bool = False) -> str:
    """Where somebody is most likely to look: the folder that was reviewed last, or the one that it is in."""
    last = next(iter(recent_folders()), None)
    return "" if last is None else str(last.parent if above else last)
