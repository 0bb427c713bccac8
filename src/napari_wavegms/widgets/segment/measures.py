"""*Measure*: what the mask of the panel shows, as a table and as the layer's features."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from napari.components import ViewerModel
from napari.layers import Labels
from qtpy.QtCore import QObject, Qt, Signal
from qtpy.QtWidgets import (
    QApplication,
    QFileDialog,
    QHBoxLayout,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_wavegms.errors import InputError
from napari_wavegms.files.labels import checked_axes
from napari_wavegms.files.napari_writers import axes_from_names, spacing_from_scale
from napari_wavegms.files.spacing import PIXEL, Spacing
from napari_wavegms.segment.measure import COLUMNS, heading, measured_rows, rounded, write_table
from napari_wavegms.widgets.jobs import JobRunner, Outcome
from napari_wavegms.widgets.layers.image_info import ChannelChoice, ImageFacts
from napari_wavegms.widgets.layers.mask_history import memory_of
from napari_wavegms.widgets.layers.mask_layers import NO_MASK, layer_by_id
from napari_wavegms.widgets.qt.controls import Fold, WrappedLabel, fill, push_button, set_why_not
from napari_wavegms.widgets.qt.lifetime import single_shot
from napari_wavegms.widgets.tools.save_mask import suggested_path
from napari_wavegms.wording import counted

_BY_ITSELF = 1 << 23
"""Pixels up to which a mask that has changed is measured again by itself."""

_MOST_ROWS = 500  # that are shown, and made in the window's thread; those that are saved are all

_TALL, _ROW = 132, 22  # pixels of the screen
_FIGURES = COLUMNS[4:-1]

Rows = list[dict[str, Any]]


@dataclass(frozen=True, slots=True, eq=False)
class MeasureRequest:
    """A mask as it was when it was to be measured, and the image under it."""

    name: str
    labels: npt.NDArray[Any]  # a copy, so that painting may go on
    axes: str
    spacing: Spacing | None
    pixels: Any = None  # None without a grey image of this size
    channel: ChannelChoice | None = None

    @classmethod
    def of(cls, viewer: ViewerModel, mask: Labels) -> MeasureRequest:
        """Collect what measuring needs, as a file of the mask would have it."""
        axes = checked_axes(axes_from_names(mask.axis_labels, mask.ndim), mask.ndim)
        spacing = spacing_from_scale(mask.scale, mask.units, axes)
        memory = memory_of(mask)
        image = None if memory is None else layer_by_id(viewer, memory.image_id)
        request = cls(str(mask.name), np.array(mask.data), axes, spacing)
        if memory is None or image is None or image.rgb:
            return request
        pixels, channel = ImageFacts.of(image, viewer.dims).pixels, memory.channel
        shape = [side for axis, side in enumerate(pixels.shape) if channel is None or axis != channel.axis]
        fits = tuple(shape) == mask.data.shape
        return cls(request.name, request.labels, axes, spacing, pixels if fits else None, channel)

    def is_of(self, mask: Labels) -> bool:
        """Whether a mask is still as it was."""
        same_size = self.spacing == spacing_from_scale(mask.scale, mask.units, self.axes)
        return same_size and np.array_equal(self.labels, mask.data)


def measure_job(request: MeasureRequest) -> Generator[None, None, Rows]:
    """Measure a mask, in a worker's thread."""
    yield
    image, channel = request.pixels, request.channel
    if image is not None and channel is not None:
        image = image[(slice(None),) * channel.axis + (channel.channel,)]
    return measured_rows(request.name, request.labels, request.axes, request.spacing, image)


class MeasureFold(QWidget):
    """A heading that unfolds into a table with its buttons."""

    pressed = Signal(str)  # "measure", "copy" or "save"

    def __init__(self) -> None:
        super().__init__()
        self._table, self._note = QTableWidget(), WrappedLabel()
        self._table.setAccessibleName("Measurements")
        self._table.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
        self._table.setHorizontalScrollMode(QTableWidget.ScrollMode.ScrollPerPixel)
        self._table.setFixedHeight(_TALL)
        if (side := self._table.verticalHeader()) is not None:
            side.hide()
            side.setDefaultSectionSize(_ROW)
        self._measure, self._copy, self._save = (
            push_button(text, tooltip, partial(self.pressed.emit, name))
            for name, text, tooltip in (
                ("measure", "Update", "Measure again; the figures are in the layer's features, too."),
                ("copy", "Copy", "Copy the table, for a spreadsheet."),
                ("save", "Save CSV…", "Write the table as “wavegms measure” does."),
            )
        )
        self._body = QWidget()
        buttons = fill(QHBoxLayout(), self._measure, self._copy, self._save)
        fill(QVBoxLayout(self._body), self._table, self._note, buttons)
        self.fold = Fold("Measure", self._body)
        fill(QVBoxLayout(self), self.fold)
        self.show_rows([])

    @property
    def is_open(self) -> bool:
        """Whether the table is to be seen."""
        return not self._body.isHidden()

    def say(self, sentence: str) -> None:
        """Say what the table is of."""
        self._note.say(sentence)

    def set_why_not(self, sentence: str) -> None:
        """Disable measuring, with the reason; an empty sentence enables it."""
        set_why_not([self._measure], sentence)

    def show_rows(self, rows: Rows) -> None:
        """Show the beginning of a table, which may be copied and saved as a whole."""
        table = as_table(rows)[: _MOST_ROWS + 1]
        self._table.setColumnCount(len(table[0]))
        self._table.setHorizontalHeaderLabels(table[0])
        self._table.setRowCount(len(table) - 1)
        for number, row in enumerate(table[1:]):
            for column, text in enumerate(row):
                item = QTableWidgetItem(text)
                item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                self._table.setItem(number, column, item)
        self._table.resizeColumnsToContents()
        for button in (self._copy, self._save):
            button.setEnabled(bool(rows))


def as_table(rows: Rows) -> list[list[str]]:
    """The headings with their units, and the cells below them; without columns that tell nothing."""
    unit = rows[0]["unit"] if rows else PIXEL
    if any(row["piece"] for row in rows):
        rows = [row | {"piece": row["piece"] or "all"} for row in rows]
    columns = [name for name in COLUMNS[1:-1] if any(row.get(name) not in (None, "", 0) for row in rows)]
    return [[heading(name, unit) for name in columns], *([rounded(row.get(name)) for name in columns] for row in rows)]


class Measures(QObject):
    """Measures one mask at a time, while its fold is open; a small mask again after each change of it."""

    def __init__(self, viewer: ViewerModel, form: MeasureFold, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer, self._form = viewer, form
        self._mask: Labels | None = None
        self._request: MeasureRequest | None = None  # what was measured last, or is being measured
        self._rows: Rows = []
        self._runner = JobRunner(self)
        self._runner.ended.connect(self._on_end)
        self._check_soon = single_shot(self, 500, self.refresh)
        self._buttons = {"measure": self.measure, "copy": self.copy, "save": self._ask_where}
        form.pressed.connect(lambda name: self._buttons[name]())
        form.fold.unfolded.connect(self.refresh)
        self.set_mask(None)

    def set_mask(self, mask: Labels | None) -> None:
        """Measure another mask, or none."""
        self.close()
        self._mask, self._request, self._rows = mask, None, []
        self._form.show_rows([])
        self._form.say("")
        self._form.set_why_not("" if mask is not None else NO_MASK)
        for emitter in self._emitters():
            emitter.connect(self._on_change)
        self.refresh()

    def close(self) -> None:
        """Let go of the mask."""
        self._runner.abandon()
        self._check_soon.stop()
        for emitter in self._emitters():
            emitter.disconnect(self._on_change)
        self._mask = None

    def measure(self) -> None:
        """Measure the mask as it is now, or as soon as what is being measured is done."""
        if self._mask is None or self._runner.busy:
            return
        try:
            self._request = MeasureRequest.of(self._viewer, self._mask)
        except InputError as error:
            self._form.say(f"⚠ {error}")
            return
        self._form.say("Measuring…")
        self._runner.start(partial(measure_job, self._request))

    def copy(self) -> None:
        """Put the table on the clipboard, its cells separated by tabs."""
        if (clipboard := QApplication.clipboard()) is not None:
            clipboard.setText("\n".join("\t".join(row) for row in as_table(self._rows)))

    def save(self, path: Path) -> None:
        """Write the table to a file."""
        try:
            write_table(path, self._rows)
        except InputError as error:
            self._form.say(f"⚠ {error}")
        else:
            self._form.say(f"{counted(len(self._rows), 'row')} written to {path}.")

    def _emitters(self) -> tuple[Any, ...]:
        if self._mask is None:
            return ()
        events = self._mask.events
        return events.paint, events.labels_update, events.set_data, events.data, events.scale, events.units

    def _on_change(self) -> None:
        if self._form.is_open:
            self._check_soon.start()

    def refresh(self) -> None:
        """Measure what has not been measured as it is, or say so where that may take long."""
        if self._mask is None or not self._form.is_open:
            return
        if self._request is not None and self._request.is_of(self._mask):
            return
        if self._request is None or self._mask.data.size <= _BY_ITSELF:
            self.measure()
        else:
            self._form.say("⚠ The mask has changed since. Press Update.")

    def _on_end(self, outcome: Outcome) -> None:
        if outcome.error is not None:
            self._form.say(f"⚠ {outcome.error}")
        elif self._mask is not None and outcome.result is not None:
            self._rows = outcome.result
            self._form.show_rows(self._rows)
            note_features(self._mask, self._rows)
            self._form.say(_note(self._rows))
            self.refresh()  # it may have changed meanwhile

    def _ask_where(self) -> None:
        image = None if (memory := memory_of(self._mask)) is None else layer_by_id(self._viewer, memory.image_id)
        if image is None:
            return
        mask = suggested_path(str(image.name), image.source.path)
        dialog = QFileDialog(self._form, "Save measurements", str(mask.parent), "Tables (*.csv)")
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setDefaultSuffix("csv")
        dialog.selectFile(f"{mask.name.split('.')[0]}_sizes.csv")
        dialog.fileSelected.connect(lambda name: self.save(Path(name)))
        dialog.open()


def _note(rows: Rows) -> str:
    if not rows:
        return "Nothing is labelled."
    left = f"The first {_MOST_ROWS} of {counted(len(rows), 'row')}; Copy and Save CSV… have all." * (
        len(rows) > _MOST_ROWS
    )
    unknown = "The size of a pixel is unknown, so figures are in pixels." * any(row["unit"] == PIXEL for row in rows)
    return f"{left} {unknown}".strip()


def note_features(mask: Labels, rows: Rows) -> None:
    """Write a row for each label of a mask into its features, beside what is there; not of a series of frames.

    napari finds a label's row by the column ``index``.
    """
    known = mask.features
    labels = known["index"] if "index" in known else range(len(known))
    table: dict[int, dict[str, Any]] = {}
    for label, row in zip(labels, known.to_dict("records"), strict=False):
        others = {name: value for name, value in row.items() if name != "index" and not _is_ours(str(name))}
        table |= {label: others} if others else {}
    for row in rows:
        if row["piece"] == 0 and not row["frame"]:
            figures = {heading(name, row["unit"]): row[name] for name in _FIGURES if row.get(name) is not None}
            table[row["label"]] = table.get(row["label"], {}) | figures
    names = dict.fromkeys(name for row in table.values() for name in row)
    columns = {name: [table[label].get(name, np.nan) for label in sorted(table)] for name in names}
    mask.features = {"index": sorted(table), **columns}


def _is_ours(column: str) -> bool:
    name, _, unit = column.partition(" (")
    return name in _FIGURES and column == heading(name, unit[:-1].rstrip("²³"))
