"""Ask where to save a mask, without stopping the window."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QFileDialog, QWidget

from napari_wavegms.widgets.save_mask import FILTERS, with_suffix


class SaveDialog(QFileDialog):
    """A save dialog for mask files.

    Signals
    -------
    chosen(Path)
        With an ending that says the format.

    Parameters
    ----------
    suggestion : pathlib.Path
        The file that is proposed.
    """

    chosen = Signal(object)

    def __init__(self, suggestion: Path, parent: QWidget | None = None) -> None:
        super().__init__(parent, "Save mask", str(suggestion.parent), ";;".join(FILTERS))
        self.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        self.setFileMode(QFileDialog.FileMode.AnyFile)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setDefaultSuffix(suggestion.suffix.lstrip("."))
        self.selectFile(suggestion.name)
        self.filterSelected.connect(self._on_filter)
        self.fileSelected.connect(self._on_file)

    def _on_filter(self, name: str) -> None:
        suffix = FILTERS.get(name, ".tif")
        self.setDefaultSuffix(suffix.lstrip("."))
        if self.selectedFiles():
            self.selectFile(Path(self.selectedFiles()[0]).with_suffix(suffix).name)

    def _on_file(self, name: str) -> None:
        self.chosen.emit(with_suffix(Path(name), self.selectedNameFilter()))
