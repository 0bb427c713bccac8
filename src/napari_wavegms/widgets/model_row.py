"""The model: a list of names, and a button with what else can be done about it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QAction  # type: ignore[attr-defined]
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QMenu, QMessageBox, QToolButton, QWidget

from napari_wavegms.errors import CheckpointError
from napari_wavegms.widgets.choice_list import ChoiceList
from napari_wavegms.widgets.model_choice import ModelChoice, card_html


class ModelRow(QWidget):
    """Choose a model by name or by file.

    Signals
    -------
    chosen()
        Another model is chosen.
    failed(str)
        A file that was chosen is no model; the sentence says why.
    """

    chosen = Signal()
    failed = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._listed: list[ModelChoice] = []
        self._files: list[ModelChoice] = []
        self.combo = ChoiceList("no model is installed")
        self._more = QToolButton()
        self._more.setText("…")
        self._more.setToolTip("About this model, or open a model file")
        self._more.setStyleSheet("QToolButton::menu-indicator { image: none; }")
        self._more.setFixedWidth(28)
        self._more.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self._about_action = _add_menu(self._more, self._show_card, self._ask_for_file)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.combo, 1)
        row.addWidget(self._more)
        self.combo.chosen.connect(self._on_chosen)
        self._about_action.setEnabled(False)

    @property
    def choice(self) -> ModelChoice | None:
        """The chosen model; None while there is none to choose."""
        value = self.combo.value
        return value if isinstance(value, ModelChoice) else None

    def set_models(self, models: list[ModelChoice]) -> None:
        """Show these models and the files opened so far; the chosen one stays chosen where it is still there."""
        self._listed = models
        self._files = [choice for choice in self._files if choice.path.is_file()]
        self._show(self.choice)

    def open_file(self, path: Path) -> None:
        """Add a model file to the list and choose it."""
        try:
            choice = ModelChoice.from_file(path)
        except CheckpointError as error:
            self.failed.emit(str(error))
            return
        self._files = [*(known for known in self._files if known.path != path), choice]
        self._show(choice)

    def _show(self, wanted: ModelChoice | None) -> None:
        before = self.choice
        choices = [*self._listed, *self._files]
        same = next((choice for choice in choices if wanted is not None and choice.path == wanted.path), None)
        names = [(choice.name, choice) for choice in choices]
        self.combo.set_choices(names, same, [card_html(choice) for choice in choices])
        self._about_action.setEnabled(bool(choices))
        if self.choice != before:
            self._on_chosen()

    def _on_chosen(self) -> None:
        self.chosen.emit()

    def _show_card(self) -> None:
        choice = self.choice
        if choice is None:
            return
        box = QMessageBox(self)
        box.setWindowTitle(f"About {choice.name}")
        box.setTextFormat(Qt.TextFormat.RichText)
        box.setText(card_html(choice))
        box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        box.open()  # unlike exec, leaves the window alive

    def _ask_for_file(self) -> None:
        dialog = QFileDialog(self, "Open a Wave-GMS model", "", "Wave-GMS models (*.safetensors);;All files (*)")
        dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(lambda name: self.open_file(Path(name)))
        dialog.open()


def _add_menu(button: QToolButton, about: Callable[[], None], open_file: Callable[[], None]) -> QAction:
    menu = QMenu(button)
    about_action = QAction("About this model…", menu)
    about_action.triggered.connect(about)
    file_action = QAction("Open model file…", menu)
    file_action.triggered.connect(open_file)
    menu.addActions([about_action, file_action])
    button.setMenu(menu)
    return about_action
