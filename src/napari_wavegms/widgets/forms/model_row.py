"""The row that chooses a model, and the models that there are."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QAction
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QMenu, QMessageBox, QToolButton, QWidget

from napari_wavegms.errors import CheckpointError, InputError
from napari_wavegms.finetune.versions import ModelVersions
from napari_wavegms.model.card import ModelCard, read_card
from napari_wavegms.model.registry import DEFAULT_MODEL, list_models
from napari_wavegms.widgets.qt.controls import ChoiceList, fill


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """A model in the list: its name there, its file, and its card."""

    name: str
    path: Path
    card: ModelCard

    @classmethod
    def from_file(cls, path: Path) -> ModelChoice:
        """Read a model file's card; raises `CheckpointError` if it is none of ours, damaged or too new."""
        return cls(path.name, path, read_card(path))


def known_models() -> list[ModelChoice]:
    """List the shipped models and the user's own, the default first."""
    choices = [ModelChoice(entry.name, entry.path, entry.card) for entry in list_models()]
    return sorted(choices, key=lambda choice: choice.name != DEFAULT_MODEL)


def learned_models(versions: ModelVersions) -> list[ModelChoice]:
    """Versions whose file is there, the one in use first, then the newest."""
    choices = []
    for entry in sorted(versions.listing(), key=lambda entry: not entry.in_use):
        with suppress(CheckpointError):
            choices.append(replace(ModelChoice.from_file(entry.path), name=entry.version.name))
    return choices


def models_to_start_from(versions: ModelVersions) -> tuple[list[ModelChoice], str]:
    """All models, the version in use first, and what it is worth; without versions where they cannot be read."""
    known = known_models()
    try:
        learned, current = learned_models(versions), versions.current()
    except InputError as error:
        return known, str(error)
    if current is None:
        return [*known, *learned], ""
    return [*learned, *known], f"{current.name} is in use: {current.score}."


def models_for_segmenting() -> list[ModelChoice]:
    """All models, the version in use first."""
    return models_to_start_from(ModelVersions())[0]


def card_html(choice: ModelChoice) -> str:
    """Write a card for a person to read, as rich text."""
    card = choice.card
    rows = {
        "File": str(choice.path),
        "Trained on": card.data,
        "Scores": "; ".join(_flat(card.scores)),
        "Threshold": f"{card.threshold:g}",
        "Size": f"{card.parameters:,} parameters" if card.parameters else "",
        "Trained": ", then ".join(_step(step) for step in card.lineage),
        "Created": card.created,
        "Terms": card.terms,
    }
    table = "".join(
        f"<tr><td><b>{html.escape(name)}</b>&nbsp;&nbsp;</td><td>{html.escape(text)}</td></tr>"
        for name, text in rows.items()
        if text
    )
    paragraphs = "".join(f"<p>{html.escape(text)}</p>" for text in (card.description, card.disclaimer) if text)
    return f"<h3>{html.escape(card.title or card.name)}</h3>{paragraphs}<table>{table}</table>"


def _step(step: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in step.items() if isinstance(value, (str, int, float)))


def _flat(scores: Mapping[str, object], prefix: str = "") -> Iterable[str]:
    """Write nested scores in one line, each number after what it was measured on."""
    for name, value in scores.items():
        label = f"{prefix} {name}".strip()
        if isinstance(value, Mapping):
            yield from _flat(value, label)
        else:
            yield f"{label} {value:.3g}" if isinstance(value, float) else f"{label} {value}"


class ModelRow(QWidget):
    """Choose a model by name or by file."""

    chosen = Signal()
    failed = Signal(str)  # a file that was chosen is no model: why

    def __init__(self) -> None:
        super().__init__()
        self._listed: list[ModelChoice] = []
        self._files: list[ModelChoice] = []
        self.combo = ChoiceList("no model is installed")
        more, menu = QToolButton(), QMenu(self)
        more.setText("…")
        more.setToolTip("About this model, or open a model file")
        more.setStyleSheet("QToolButton::menu-indicator { image: none; }")
        more.setFixedWidth(28)
        more.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        more.setMenu(menu)
        self._about, open_file = QAction("About this model…", menu), QAction("Open model file…", menu)
        self._about.triggered.connect(self._show_card)
        self._about.setEnabled(False)
        open_file.triggered.connect(self._ask_for_file)
        menu.addActions([self._about, open_file])
        fill(QHBoxLayout(self), self.combo, more).setStretch(0, 1)
        self.combo.chosen.connect(self.chosen)

    @property
    def choice(self) -> ModelChoice | None:
        """The chosen model; None while there is none to choose."""
        value = self.combo.value
        return value if isinstance(value, ModelChoice) else None

    def set_models(self, models: list[ModelChoice]) -> None:
        """Show these models, the best so far first, and the files opened so far.

        The chosen one stays chosen where it is still there; whoever had the best so far has it again.
        """
        followed = self.combo.currentIndex() <= 0
        self._listed = models
        self._files = [choice for choice in self._files if choice.path.is_file()]
        self._show(models[0] if models and followed else self.choice)

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
        self._about.setEnabled(bool(choices))
        if self.choice != before:
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
