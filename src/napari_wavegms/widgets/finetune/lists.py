"""The lists of training images and of versions: rows with what can be done about each beside it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy.typing as npt
from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QPainter, QPaintEvent
from qtpy.QtWidgets import QCheckBox, QFrame, QHBoxLayout, QLabel, QLayout, QSizePolicy, QVBoxLayout, QWidget

from napari_wavegms.finetune.preflight import Remedy
from napari_wavegms.finetune.versions import STARTING_MODEL, ModelVersions, VersionEntry
from napari_wavegms.model.registry import DEFAULT_MODEL
from napari_wavegms.widgets.qt.controls import ChoiceList, WrappedLabel, fill, push_button
from napari_wavegms.widgets.qt.docks import ScrolledPanel
from napari_wavegms.widgets.thumbnails import SHOWN, Outlined, Thumbnails, paint_picture
from napari_wavegms.wording import moment

Planes = tuple[npt.NDArray[Any], npt.NDArray[Any]]

START = f"{DEFAULT_MODEL} (start)"
_ROW_STYLE = "#wavegmsRow { border-bottom: 1px solid rgba(128, 128, 128, 90); }"
_TALLEST = 260  # pixels; more rows are scrolled


@dataclass(frozen=True, slots=True)
class PairPicture:
    """Where a pair's thumbnail comes from; another mask has another key."""

    key: str
    name: str
    load: Callable[[], Planes] = field(compare=False)  # the image (H, W[, C]) and its mask; in a background thread


@dataclass(frozen=True, slots=True)
class PairRow:
    """One image with its mask."""

    key: Hashable  # comes back with what is done to the row
    name: str
    summary: str  # "12 % changed, ready"
    included: bool = True
    ready: bool = True
    problem: str = ""  # the sentence of the first one
    note: str = ""  # which labels it has, where there are several
    aside: str = "left out"  # said while it is not ticked
    remedies: tuple[Remedy, ...] = ()  # the advised one first
    masks: tuple[tuple[str, Hashable], ...] = ()  # to choose from, by name and id; empty for stored corrections
    mask: Hashable | None = None  # id of the chosen one
    picture: PairPicture | None = None
    stored: tuple[str, ...] = ()  # content hashes of its stored images, which may be forgotten


@dataclass(frozen=True, slots=True)
class VersionRow:
    """One model version."""

    number: int  # 0 for the model before the first version
    words: str  # its name, score and date
    note: str = ""  # "in use", or the reason why it is not
    action: str = ""  # the text of its button
    details: str = ""  # on hover


def version_rows(versions: ModelVersions) -> list[VersionRow]:
    """The versions, newest first, and below them the installed model that they began with."""
    entries = versions.listing()
    if not entries:
        return []
    note, action = ("", "Use") if versions.current() else ("in use", "")
    details = "The installed model, before any fine-tuning."
    first = VersionRow(STARTING_MODEL, START, note, action, details)
    return [*map(_version_row, entries), first]


def _version_row(entry: VersionEntry) -> VersionRow:
    version = entry.version
    words = f"{version.name}   {version.score}   {moment(version.created)}"
    details = f"{version.title}, from {version.parent or 'an unknown model'}, {version.created}. {entry.sentence}."
    if entry.missing:
        return VersionRow(version.number, words, "file is gone", details=details)
    note = "in use" if entry.in_use else version.reason
    return VersionRow(version.number, words, note, "" if entry.in_use else "Use", details)


class _RowList(QWidget):
    """Rows that are made again whenever what they show has changed."""

    def __init__(self, *above: QWidget) -> None:
        super().__init__()
        self.rows: tuple[Any, ...] = ()
        inside = QWidget()
        self._column = fill(QVBoxLayout(inside), spacing=0)
        self._column.setAlignment(Qt.AlignmentFlag.AlignTop)
        self._area = ScrolledPanel(inside)
        fill(QVBoxLayout(self), *above, self._area)
        self.setVisible(False)

    def set_rows(self, rows: Sequence[Any]) -> None:
        """Show these rows."""
        if tuple(rows) == self.rows:
            return
        self.rows = tuple(rows)
        while (item := self._column.takeAt(0)) is not None:
            if (old := item.widget()) is not None:
                old.hide()
                old.deleteLater()  # not at once: the press of its own button may be what brought us here
        for row in self.rows:
            frame = QFrame()
            frame.setObjectName("wavegmsRow")
            frame.setStyleSheet(_ROW_STYLE)
            self._fill(frame, row)
            self._column.addWidget(frame)
            frame.show()  # Qt would do so later, and until then it takes no room
        self.setVisible(bool(self.rows))
        self._fit()

    def resizeEvent(self, event: Any) -> None:
        """Take as much room as the rows need at this width."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        width = max(self._area.viewport().width(), 180)  # type: ignore[union-attr]
        height = (
            self._column.heightForWidth(width) if self._column.hasHeightForWidth() else self._column.sizeHint().height()
        )
        self._area.setFixedHeight(min(height + 2, _TALLEST))

    def _fill(self, frame: QFrame, row: Any) -> None:
        raise NotImplementedError


class PairsList(_RowList):
    """Training images, each with its mask, its state and its remedies; the signals begin with a row's key."""

    included = Signal(object, bool)  # whether its pair is to be learned from
    mask_chosen = Signal(object, object)  # the id of another mask
    remedy_chosen = Signal(object, object)
    forget_requested = Signal(object)  # of a stored correction

    def __init__(self) -> None:
        super().__init__()
        self.thumbnails = Thumbnails(lambda pictured: Outlined(*pictured.load()), self)

    def _fill(self, frame: QFrame, row: PairRow) -> None:
        box = QCheckBox(row.name)
        box.setChecked(row.included)
        box.setToolTip(f"Train on {row.name}, or leave it out")
        box.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        box.toggled.connect(partial(self.included.emit, row.key))
        state = WrappedLabel(row.summary if row.included else row.aside)
        state.setEnabled(row.included)
        line = fill(QHBoxLayout(), state)
        line.setStretch(0, 1)
        if row.stored:
            tooltip = f"Remove {row.name} from the stored corrections for good"
            line.addWidget(push_button("Forget…", tooltip, partial(self.forget_requested.emit, row.key)))
        parts: list[QWidget | QLayout] = [box, line]
        if row.masks and row.included:
            parts.append(self._mask_choice(row))  # on a line of its own, where its name has room
        if row.problem and row.included:
            remedies = QHBoxLayout()
            for remedy in row.remedies:
                remedies.addWidget(push_button(remedy, "", partial(self.remedy_chosen.emit, row.key, remedy)))
            remedies.addStretch(1)
            parts += [WrappedLabel(f"⚠ {row.problem}"), remedies]
        elif row.note and row.included:
            parts.append(WrappedLabel(row.note))
        across = QHBoxLayout(frame)
        across.setContentsMargins(0, 3, 4, 3)
        across.addWidget(_Picture(row.picture, self.thumbnails), 0, Qt.AlignmentFlag.AlignTop)
        across.addLayout(fill(QVBoxLayout(), *parts, spacing=2), 1)

    def _mask_choice(self, row: PairRow) -> ChoiceList:
        masks = ChoiceList("no mask")
        masks.setAccessibleName(f"mask of {row.name}")
        masks.set_choices(row.masks, row.mask)
        masks.chosen.connect(lambda: self.mask_chosen.emit(row.key, masks.value))
        return masks


class VersionsList(_RowList):
    """Model versions, with one press to use another."""

    use_requested = Signal(int)  # the number of a version, 0 for the model before the first

    def __init__(self) -> None:
        super().__init__(QLabel("Versions"))

    def _fill(self, frame: QFrame, row: VersionRow) -> None:
        frame.setToolTip(row.details)
        line = fill(QHBoxLayout(), WrappedLabel(row.words))
        line.setStretch(0, 1)
        if row.action:
            line.addWidget(push_button(row.action, "", partial(self.use_requested.emit, row.number)))
        elif row.note:
            line.addWidget(QLabel(row.note))
        below = [WrappedLabel(row.note)] if row.action and row.note else []
        fill(QVBoxLayout(frame), line, *below, spacing=2).setContentsMargins(0, 3, 4, 3)


class _Picture(QWidget):
    """A pair's thumbnail, asked for when it is first seen."""

    def __init__(self, pictured: PairPicture | None, thumbnails: Thumbnails) -> None:
        super().__init__()
        self._pictured, self._thumbnails = pictured, thumbnails
        self.setFixedSize(SHOWN, SHOWN)
        thumbnails.arrived.connect(self._on_arrived)

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        """Paint it, or a grey square until it comes."""
        picture = None if self._pictured is None else self._thumbnails.picture(self._pictured)
        painter = QPainter(self)
        paint_picture(painter, self.rect(), picture)
        painter.end()

    def _on_arrived(self, keys: list[str]) -> None:
        if self._pictured is not None and self._pictured.key in keys:
            self.setToolTip(self._thumbnails.problem(self._pictured.key))
            self.update()
