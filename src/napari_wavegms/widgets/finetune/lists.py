"""The list of pairs and the list of versions: rows with what can be done about each beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QPainter, QPaintEvent
from qtpy.QtWidgets import QCheckBox, QFrame, QHBoxLayout, QLabel, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from napari_wavegms.widgets.finetune.rows import PairPicture, PairRow, VersionRow
from napari_wavegms.widgets.qt.combo_box import ChoiceList
from napari_wavegms.widgets.qt.scroll_panel import ScrolledPanel
from napari_wavegms.widgets.qt.wrapped_label import WrappedLabel
from napari_wavegms.widgets.thumbnails import SHOWN, Outlined, Thumbnails, paint_picture

_ROW_STYLE = "#wavegmsRow { border-bottom: 1px solid rgba(128, 128, 128, 90); }"
_TALLEST = 260  # pixels; more rows are scrolled


class _RowList(QWidget):
    """Rows that are made anew whenever what they show has changed."""

    def __init__(self, make: Callable[[Any], QWidget], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.rows: tuple[Any, ...] = ()
        self._make = make
        self._inside = QWidget()
        self._column = QVBoxLayout(self._inside)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(0)
        self._column.setAlignment(Qt.AlignmentFlag.AlignTop)
        self._area = ScrolledPanel(self._inside)
        outside = QVBoxLayout(self)
        outside.setContentsMargins(0, 0, 0, 0)
        outside.addWidget(self._area)
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
            made = self._make(row)
            self._column.addWidget(made)
            made.show()  # Qt would do so later, and until then it takes no room
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


class PairsList(QWidget):
    """Pairs, each with its mask, its state and its remedies.

    Signals
    -------
    included(object, bool)
        A row's key, and whether its pair is to be learned from.
    mask_chosen(object, object)
        A row's key, and the id of another mask.
    remedy_chosen(object, object)
        A row's key, and the `Remedy`.
    """

    included = Signal(object, bool)
    mask_chosen = Signal(object, object)
    remedy_chosen = Signal(object, object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._thumbnails = Thumbnails(_outlined, self)
        self._list = _RowList(self._make)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self._list)

    @property
    def rows(self) -> tuple[PairRow, ...]:
        """What is shown."""
        return self._list.rows

    def set_rows(self, rows: Sequence[PairRow]) -> None:
        """Show these pairs."""
        self._list.set_rows(rows)

    def _make(self, row: PairRow) -> QWidget:
        frame = _row_frame()
        across = QHBoxLayout(frame)
        across.setContentsMargins(0, 3, 4, 3)
        across.addWidget(_Picture(row.picture, self._thumbnails), 0, Qt.AlignmentFlag.AlignTop)
        column = QVBoxLayout()
        column.setSpacing(2)
        across.addLayout(column, 1)
        box = QCheckBox(row.name)
        box.setChecked(row.included)
        box.setToolTip(f"{row.name}: learn from it, or leave it out")
        box.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        box.toggled.connect(partial(self.included.emit, row.key))
        column.addWidget(box)
        state = QLabel(row.summary if row.included else "left out")
        state.setEnabled(row.included)
        second = QHBoxLayout()
        second.addWidget(state)
        # The mask's name mostly repeats the image's, so that it may be cut off rather than the rest.
        second.addWidget(self._mask_choice(row), 1) if row.masks and row.included else second.addStretch(1)
        column.addLayout(second)
        if row.problem and row.included:
            column.addWidget(WrappedLabel(f"⚠ {row.problem}"))
            column.addLayout(self._remedy_line(row))
        return frame

    def _mask_choice(self, row: PairRow) -> ChoiceList:
        masks = ChoiceList("no mask")
        masks.setMinimumContentsLength(2)
        masks.setAccessibleName(f"mask of {row.name}")
        masks.set_choices(row.masks, row.mask)
        masks.chosen.connect(lambda: self.mask_chosen.emit(row.key, masks.value))
        return masks

    def _remedy_line(self, row: PairRow) -> QHBoxLayout:
        line = QHBoxLayout()
        for remedy in row.remedies:
            button = QPushButton(str(remedy))
            button.clicked.connect(partial(_emit, self.remedy_chosen, row.key, remedy))
            line.addWidget(button)
        line.addStretch(1)
        return line


class VersionsList(QWidget):
    """Model versions, with one press to use another.

    Signals
    -------
    use_requested(int)
        The number of a version, 0 for the model before the first.
    """

    use_requested = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._list = _RowList(self._make)
        self._locked = False
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self._list)

    @property
    def rows(self) -> tuple[VersionRow, ...]:
        """What is shown."""
        return self._list.rows

    def set_rows(self, rows: Sequence[VersionRow]) -> None:
        """Show these versions."""
        self._list.set_rows(rows)

    def _make(self, row: VersionRow) -> QWidget:
        frame = _row_frame()
        column = QVBoxLayout(frame)
        column.setContentsMargins(0, 3, 4, 3)
        column.setSpacing(2)
        frame.setToolTip(row.details)
        line = QHBoxLayout()
        line.addWidget(WrappedLabel(row.words), 1)
        if row.action:
            button = QPushButton(row.action)
            button.clicked.connect(partial(_emit, self.use_requested, row.number))
            line.addWidget(button)
        elif row.note:
            line.addWidget(QLabel(row.note))
        column.addLayout(line)
        if row.action and row.note:
            column.addWidget(WrappedLabel(row.note))
        return frame


class _Picture(QWidget):
    """A pair's small picture, asked for when it is first seen."""

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


def _outlined(pictured: PairPicture) -> Outlined:
    return Outlined(*pictured.load())


def _row_frame() -> QFrame:
    frame = QFrame()
    frame.setObjectName("wavegmsRow")
    frame.setStyleSheet(_ROW_STYLE)
    return frame


def _emit(signal: Any, *values: object) -> None:
    """Emit without what Qt's own `clicked` adds."""
    signal.emit(*values[: 2 if len(values) > 2 else 1])
