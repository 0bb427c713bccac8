"""The files that a person is asked for: what to review, and where the journal goes as a table."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from qtpy.QtCore import QObject, Qt
from qtpy.QtWidgets import QFileDialog

from napari_wavegms.files.finding import SUFFIXES
from napari_wavegms.review.recent import recent_folders
from napari_wavegms.widgets.jobs import JobRunner, Outcome
from napari_wavegms.widgets.review_desk import ReviewDesk
from napari_wavegms.widgets.review_jobs import Exported, export_job

_IMAGES = f"Images ({' '.join(f'*{suffix}' for suffix in SUFFIXES)});;All files (*)"


class ReviewFiles(QObject):
    """Asks for files and folders, and writes the table.

    Parameters
    ----------
    desk : ReviewDesk
    """

    def __init__(self, desk: ReviewDesk) -> None:
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
