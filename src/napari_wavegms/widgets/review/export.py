"""What leaves Review: the mask on screen, the masks of the list, and the journal as a table."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from qtpy.QtCore import QObject, Qt
from qtpy.QtWidgets import QFileDialog

from napari_wavegms.corrections.export import file_stems
from napari_wavegms.files.discovery import mask_ending, result_names
from napari_wavegms.files.formats.dicom import is_image
from napari_wavegms.files.napari_writers import axes_from_names
from napari_wavegms.files.reading import read_image
from napari_wavegms.journal.export import export_csv
from napari_wavegms.journal.masks import DrawnMask, Exported, MaskFile, drawn_mask, iter_export
from napari_wavegms.journal.writer import JournalWriter
from napari_wavegms.segment.planes import dtype_of, plan_stack
from napari_wavegms.widgets.jobs import JobRunner, Outcome
from napari_wavegms.widgets.review.current_image import CurrentImage, ReviewContext
from napari_wavegms.widgets.review.prefetch import Pixels
from napari_wavegms.widgets.review.tools import ReviewTools
from napari_wavegms.widgets.tools.save_mask import SaveDialog, save_job, suggested_path, why_not_overwrite
from napari_wavegms.wording import TimeLeft, counted, listed
from napari_wavegms.worklist.ordering import TO_DO

_REPLACE = {
    "replace": ("Replace them", "Write these masks again, over the files that are there."),
    "leave": ("Leave them", "Keep the files as they are."),
}


def table_job(writer: JournalWriter, path: Path) -> Generator[None, None, str]:
    """Write the journal as a table, the last stroke included; give a sentence."""
    yield
    writer.flush()
    return f"{counted(export_csv(writer.journal, path), 'row')} written to {path}."


def masks_job(
    files: list[MaskFile], writer: JournalWriter, overwrite: bool, so_far: list[Exported]
) -> Generator[Exported, None, None]:
    """Write masks, the last strokes included; `so_far` ends with what was written even where the job is stopped."""
    writer.flush()
    for done in iter_export(files, overwrite=overwrite):
        so_far.append(done)
        yield done


class Exports(QObject):
    """*Save mask…*, *Export masks…* and *Export journal…*."""

    def __init__(self, context: ReviewContext, current: CurrentImage, tools: ReviewTools) -> None:
        super().__init__(context.panel)
        self._context, self._panel, self._list = context, context.panel, context.images
        self._current, self._tools, self._row = current, tools, context.panel.masks_row
        self._files: list[MaskFile] = []
        self._folder, self._left = Path(), TimeLeft()
        self._done: list[Exported] = []
        self._runner, self._saver = JobRunner(self), JobRunner(self)
        self._runner.progressed.connect(self._on_progress)
        self._runner.ended.connect(self._on_exported)
        self._saver.ended.connect(self._on_saved)
        self._row.start_requested.connect(self.ask_for_folder)
        self._row.cancel_requested.connect(self._runner.cancel)
        self._panel.replacing.answered.connect(self._on_replacing)

    @property
    def busy(self) -> bool:
        """Whether something is being written."""
        return self._runner.busy or self._saver.busy

    def save_mask(self, path: Path) -> None:
        """Write the mask on screen to a file."""
        shown, request = self._current.shown, self._tools.save_request(path)
        if shown is None or request is None or self._saver.busy:
            return
        sentence = why_not_overwrite(self._context.viewer, path)
        if self._is_image(path):
            sentence = f"{path.name} is an image of this list. Choose another name for the mask."
        if sentence:
            self._panel.say_problem(sentence)
            return
        source = Path(shown.loaded.source).name or shown.loaded.name
        request = replace(request, provenance=replace(request.provenance, source=source))
        self._saver.start(partial(save_job, request))

    def export_masks(self, folder: Path, overwrite: bool = False) -> None:
        """Write the masks of the list into a folder, as chosen in the panel."""
        if self._runner.busy:
            return
        self._tools.settle()
        self._context.journal.settle()
        self._folder = folder
        self._start(self._mask_files(folder), overwrite)

    def export_table(self, path: Path) -> None:
        """Write the journal as a table."""
        if not self._saver.busy:
            self._context.journal.settle()
            self._saver.start(partial(table_job, self._context.journal.writer, path))

    def ask_for_mask(self) -> None:
        """Ask where to write the mask on screen."""
        shown = self._current.shown
        if shown is not None:
            dialog = SaveDialog(suggested_path(shown.loaded.name, shown.loaded.source), self._panel)
            dialog.chosen.connect(self.save_mask)
            dialog.open()

    def ask_for_folder(self) -> None:
        """Ask for the folder of the masks."""
        if not self._mask_files(Path()):
            self._row.set_words(_nothing(self._panel.only_approved))
            return
        dialog = QFileDialog(self._panel, "Choose a folder for the masks")
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setFileMode(QFileDialog.FileMode.Directory)
        dialog.fileSelected.connect(lambda name: self.export_masks(Path(name)))
        dialog.open()

    def ask_for_table(self) -> None:
        """Ask where to write the journal."""
        dialog = QFileDialog(self._panel, "Export the journal as a table", "journal.csv", "Tables (*.csv)")
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setDefaultSuffix("csv")
        dialog.fileSelected.connect(lambda name: self.export_table(Path(name)))
        dialog.open()

    def close(self) -> None:
        """Stop."""
        self._runner.abandon()
        self._saver.abandon()
        self._row.set_idle()

    def _is_image(self, path: Path) -> bool:
        return self._list.item(str(path.resolve())) is not None

    def _mask_files(self, folder: Path) -> list[MaskFile]:
        """The masks to write: those of approved images, or of every image that somebody worked on."""
        only_approved, store = self._panel.only_approved, self._context.store
        journal = None if only_approved else self._context.journal.writer.journal
        items = self._list.items()
        of_files = result_names([item.path for item in items if item.path is not None])
        names = of_files or file_stems([item.name for item in items])

        def of_file(path: Path) -> DrawnMask | None:
            return DrawnMask.of(read_image(path), store, journal)

        def of_layer(pixels: Pixels) -> DrawnMask | None:
            data = np.asarray(pixels.data)
            plan = plan_stack(data.shape, dtype_of(data), pixels.rgb, pixels.axes, every=True)
            labels, _ = drawn_mask(data, plan, store, journal)
            axes = axes_from_names([pixels.axes[axis] for axis in plan.kept_axes], len(plan.kept_axes))
            like = Path(pixels.source) if pixels.source and is_image(Path(pixels.source)) else pixels.geometry
            return None if labels is None else DrawnMask(labels, pixels.spacing, axes, like=like)

        files = []
        for item, name in zip(items, names, strict=True):
            find: Callable[[], DrawnMask | None] | None = None
            source = ""
            if item.path is not None:
                find = partial(of_file, item.path)
            elif item.key in self._current.open_layers:
                pixels = self._current.open_layers[item.key]
                find, source = partial(of_layer, pixels), "" if pixels.geometry is None else pixels.source
            if find is not None and (item.state == "approved" or not (only_approved or item.state in TO_DO)):
                ending = mask_ending(item.path or source, self._panel.mask_format)
                files.append(MaskFile(item.name, folder / f"{name}_mask.{ending}", find))
        return files

    def _start(self, files: list[MaskFile], overwrite: bool) -> None:
        if not files:
            self._row.set_words(_nothing(self._panel.only_approved))
            return
        self._panel.replacing.dismiss()
        self._files, self._left = files, TimeLeft()
        self._done = [Exported()]
        self._row.set_busy("Writing the masks…")
        self._runner.start(partial(masks_job, files, self._context.journal.writer, overwrite, self._done))

    def _on_progress(self, done: Exported) -> None:
        count, total = done.count, len(self._files)
        words = [f"{count} of {total} masks", self._left.text(count, total)]
        self._row.set_progress(count, total, ", ".join(filter(None, words)))

    def _on_exported(self, outcome: Outcome) -> None:
        done, total = self._done[-1], len(self._files)
        self._row.set_idle()
        if outcome.error is not None:
            self._panel.say_problem(str(outcome.error))
            return
        words = [f"Stopped after {done.count} of {total}."] if outcome.cancelled else []
        if done.written or not done.kept:
            words.append(f"{counted(done.written, 'mask')} written to {self._folder}.")
        if done.without:
            words.append(f"Without a mask: {listed(done.without)}.")
        if done.failed:
            words += [why for _, why in done.failed[:1]]
            words += [f"{counted(len(done.failed) - 1, 'other')} failed, too."] * (len(done.failed) > 1)
        self._row.set_words(" ".join(words))
        if done.kept:
            names = listed([file.path.name for file in done.kept])
            there = f"{counted(len(done.kept), 'file')} in {self._folder.name} existed already and stayed as they were"
            self._panel.replacing.ask(f"{there}: {names}.", _REPLACE)

    def _on_replacing(self, answer: str) -> None:
        if answer == "replace" and not self._runner.busy:
            self._start([file for file in self._done[-1].kept if not self._is_image(file.path)], True)

    def _on_saved(self, outcome: Outcome) -> None:
        if outcome.error is not None:
            self._panel.say_problem(str(outcome.error))
        elif isinstance(outcome.result, Path):
            self._panel.say(f"Saved {outcome.result.name} in {outcome.result.parent}.")
        else:
            self._panel.say(str(outcome.result))


def _nothing(only_approved: bool) -> str:
    what = "approved" if only_approved else "been worked on"
    return f"No image of this list {'is' if only_approved else 'has'} {what}, so there is no mask to export."
