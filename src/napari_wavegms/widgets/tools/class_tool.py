"""The classes of the mask that a panel works on: painting one of them, and adding one that the model does not know."""

from __future__ import annotations

from collections.abc import Generator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from napari.layers import Labels
from napari.utils.colormaps import CyclicLabelColormap
from qtpy.QtCore import QObject, Signal

from napari_wavegms.errors import WaveGMSError
from napari_wavegms.finetune.new_class import add_classes
from napari_wavegms.model.card import ModelCard, read_card
from napari_wavegms.model.registry import resolve
from napari_wavegms.widgets.forms.class_row import ClassRow
from napari_wavegms.widgets.jobs import JobRunner, Outcome
from napari_wavegms.widgets.layers.classes import name_labels, named_labels, with_class
from napari_wavegms.widgets.layers.mask_history import memory_of
from napari_wavegms.widgets.shortcuts import Key

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_wavegms.finetune.versions import Version


def add_classes_job(start: Path, names: tuple[str, ...]) -> Generator[None, None, Version]:
    """Make a version of a model that has these classes, and put it in use."""
    yield
    return add_classes(start, names)


class ClassTool(QObject):
    """Works on one mask at a time.

    Signals
    -------
    said(str, str)
        A sentence for the status line, and ``"problem"`` where it is one.
    added()
        There is a version with another class, and it is in use.
    """

    said = Signal(str, str)
    added = Signal()

    def __init__(self, viewer: ViewerModel, row: ClassRow, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer, self._row = viewer, row
        self._mask: Labels | None = None
        self._runner = JobRunner(self)
        self._runner.ended.connect(self._on_added)
        self._keys = [Key(f"Alt-{label}", partial(self.choose, label)) for label in range(1, 10)]
        row.chosen.connect(self.choose)
        row.name_given.connect(self.add)
        self.set_mask(None)

    def open(self) -> None:
        """Bind the keys, those that are not somebody else's."""
        for key in self._keys:
            key.bind(self._viewer)

    def close(self) -> None:
        """Let go of the mask and the keys."""
        self.set_mask(None)
        self._runner.abandon()
        for key in self._keys:
            key.unbind()

    def set_mask(self, mask: Labels | None) -> None:
        """Show the classes of another mask, which are named after those of its model."""
        if self._mask is not None:
            self._mask.events.selected_label.disconnect(self.refresh)
            self._mask.events.features.disconnect(self.refresh)
        self._mask = mask
        if mask is not None:
            card = self._card()
            # A model of one class has nothing to tell apart, until a person adds one.
            if card is not None and len(card.class_names) > 2 and not named_labels(mask):
                name_labels(mask, _named(card), card.class_colors)
            mask.events.selected_label.connect(self.refresh)
            mask.events.features.connect(self.refresh)
        self._row.close_name()
        self.refresh()

    def choose(self, label: int) -> None:
        """Paint with a label."""
        if self._mask is not None:
            self._mask.selected_label = label
            self._viewer.layers.selection.active = self._mask

    def add(self, name: str) -> None:
        """Add a class of this name to the mask and, in a new version, to the model."""
        mask, card = self._mask, self._card()
        if mask is None or self._runner.busy:
            return
        try:
            label = with_class(mask, name, 1 if card is None else len(card.class_names) - 1)
        except WaveGMSError as error:
            self.said.emit(str(error), "problem")
            return
        if card is not None:
            name_labels(mask, _named(card) | named_labels(mask))
        self._row.close_name()
        self.choose(label)
        mask.mode = "paint"
        known = named_labels(mask)
        self.said.emit(f"Paint {known[label]} with label {label} in some ten images, approve them, and train.", "")
        if card is not None:
            names = ("background", *(known.get(number, f"label {number}") for number in range(1, label + 1)))
            self._runner.start(partial(add_classes_job, resolve(self._model), names))

    def refresh(self) -> None:
        """Show the classes as they are now."""
        mask = self._mask
        if mask is None:
            self._row.set_classes((), 0)
            return
        card = self._card()
        names = (_named(card) if card is not None else {1: "structure"}) | named_labels(mask)
        self._row.set_classes(
            [(label, name, _color(mask, label)) for label, name in sorted(names.items())], int(mask.selected_label)
        )

    @property
    def _model(self) -> str:
        memory = None if self._mask is None else memory_of(self._mask)
        return "" if memory is None else memory.model

    def _card(self) -> ModelCard | None:
        """The card of the model that made the mask; None where there is none, or it is gone."""
        try:
            return read_card(resolve(self._model)) if self._model else None
        except WaveGMSError:
            return None

    def _on_added(self, outcome: Outcome) -> None:
        if outcome.error is not None:
            self.said.emit(str(outcome.error), "problem")
        elif outcome.result is not None:
            self.added.emit()


def _named(card: ModelCard) -> dict[int, str]:
    return {label: name for label, name in enumerate(card.class_names) if label}


def _color(mask: Labels, label: int) -> str:
    """The colour of a label, ``#rrggbb``."""
    colormap = mask.colormap
    if not isinstance(colormap, CyclicLabelColormap):
        return "#808080"
    red, green, blue = (round(255 * float(part)) for part in colormap.map(label)[:3])
    return f"#{red:02x}{green:02x}{blue:02x}"
