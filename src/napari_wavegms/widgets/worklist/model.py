"""The rows of a worklist, for any Qt view; nothing is copied."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, QObject, Qt, Signal

from napari_wavegms.widgets.thumbnails import Thumbnails
from napari_wavegms.widgets.worklist.labels import details, mark_of, state_line
from napari_wavegms.wording import rough_duration
from napari_wavegms.worklist.item import STATES, Item, State
from napari_wavegms.worklist.ordering import (
    SortOrder,
    StateFilter,
    fits,
    is_ring,
    next_key,
    ordered_keys,
    previous_key,
    upcoming,
)
from napari_wavegms.worklist.worklist import Difference, Worklist

IMAGE, UNCERTAINTY, SCORE, TIME, SIZE = range(5)
_TITLES = ("Image", "Uncertainty", "Score", "Time", "Size")
_TITLE_HELP = (
    "Click to sort by name. Press Enter to open the selected image.",
    "The model's uncertainty about the image as a whole, from 0 to 1. Click to sort, least certain first.",
    "The model's own score for its mask, from 0 to 1. Click to sort, lowest first.",
    "Time you spent editing the image. Click to sort, longest first.",
    "Area or volume of the approved mask. Click to sort, largest first.",
)
ITEM_ROLE = int(Qt.ItemDataRole.UserRole)
_Parent = QModelIndex


class WorklistModel(QAbstractTableModel):
    """A worklist as a table: image, uncertainty, score, time, size of the approved mask.

    Rows keep their places until `arrange`, so that no row moves away under the mouse; an image that no longer fits what
    is shown stays until a person goes on to another.
    """

    arranged = Signal()  # the rows are others, or stand in another order
    changed = Signal()  # images changed, came or went
    listed = Signal()  # another list is there, or its files were looked for again

    def __init__(self, thumbnails: Thumbnails, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.thumbnails = thumbnails
        self.worklist: Worklist | None = None
        self.order: SortOrder = "least certain first"
        self.state_filter: StateFilter = "todo"  # which images are shown
        self.text = ""  # that their names are searched for
        self._keys: list[str] = []
        self._rows: dict[str, int] = {}
        self._uncertainties: list[float] | None = None
        thumbnails.arrived.connect(self._on_thumbnails)

    @property
    def keys(self) -> Sequence[str]:
        """The keys of the rows, from the top."""
        return self._keys

    @property
    def current(self) -> str | None:
        """The key of the image on screen, shown in the table or not."""
        return None if self.worklist is None else self.worklist.current

    @property
    def counts(self) -> dict[State, int]:
        """How many images are in each state."""
        return dict.fromkeys(STATES, 0) if self.worklist is None else self.worklist.counts()

    def items(self) -> tuple[Item, ...]:
        """All images of the list, shown or not."""
        return () if self.worklist is None else self.worklist.items()

    def item(self, key: str | None) -> Item | None:
        """The image with a key; None where it is not in the list."""
        return self.worklist.item(key) if self.worklist is not None and key in self.worklist and key else None

    def set_worklist(self, worklist: Worklist | None) -> None:
        """Show another list, or none."""
        self.worklist = worklist
        self._begin_again()

    def refresh(self) -> Difference:
        """Update the list from the files that are there and what other windows have noted, see `Worklist.refresh`."""
        found = self._list().refresh()
        self._begin_again()
        return found

    def follow_store(self) -> None:
        """Take up approvals that were made, withdrawn or forgotten elsewhere."""
        if self.worklist is not None and (keys := self.worklist.follow_store()):
            self._repaint(keys)
            self.changed.emit()

    def row_of(self, key: str | None) -> int | None:
        """The row of an image; None where it is not shown."""
        return None if key is None else self._rows.get(key)

    def arrange(
        self, order: SortOrder | None = None, state_filter: StateFilter | None = None, text: str | None = None
    ) -> None:
        """Sort the rows, and change what is shown; what is not given stays as it is."""
        self.order = self.order if order is None else order
        self.state_filter = self.state_filter if state_filter is None else state_filter
        self.text = self.text if text is None else text
        self._set_keys(self._wanted_keys())

    def item_of(self, content: str) -> Item | None:
        """The image whose pixels have a content hash."""
        return next((item for item in self.items() if item.content == content), None)

    def note(self, key: str, **changes: Any) -> None:
        """Note and show changes of an image if it is still in the list, see `Worklist.set`."""
        before = self.item(key)
        if before is not None and self._list().set(key, **changes) is not before:
            self._after_changes(key)

    def identify(self, key: str, content: str) -> Item:
        """Note the content hash of an image, see `Worklist.identify`."""
        before, item = self._list().item(key), self._list().identify(key, content)
        if item is not before:
            self._after_changes(key)
        return item

    def go_to(self, key: str) -> None:
        """Note that an image is on screen now; the previous one leaves if it no longer fits what is shown.

        Raises `InputError` if there is no such image, or the disk refuses.
        """
        worklist = self._list()
        before = worklist.current
        worklist.go_to(key)
        if before is not None and before != key and not fits(worklist.item(before), self.state_filter, self.text):
            self._remove(before)
        if key not in self._rows or key == before:  # taken up again: what was shown in this sitting stands in front
            self.arrange()

    def next_key(self) -> str | None:
        """Sort, and give the image after the current one; None where there is no other."""
        self.arrange()
        if self.worklist is not None and is_ring(self.order) and self._keys[-1:] == [self.current]:
            # Once round: what came up meanwhile has its turn before those that were seen.
            self.worklist.begin_again()
            self.arrange()
        return next_key(self._keys, self.current)

    def previous_key(self) -> str | None:
        """Sort, and give the image before the current one; None where there is no other."""
        self.arrange()
        return previous_key(self._keys, self.current)

    def upcoming(self, count: int) -> list[str]:
        """The images that *Next* would come to, at most so many; nothing moves."""
        return upcoming(self._wanted_keys(), self.current, count)

    def rowCount(self, parent: QModelIndex = _Parent()) -> int:  # noqa: B008 - an empty index is a constant
        """Number of rows."""
        return 0 if parent.isValid() else len(self._keys)

    def columnCount(self, parent: QModelIndex = _Parent()) -> int:  # noqa: B008
        """Number of columns."""
        return 0 if parent.isValid() else len(_TITLES)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """The title of a column, and its meaning on hover."""
        if orientation != Qt.Orientation.Horizontal:
            return None
        if role == Qt.ItemDataRole.ToolTipRole:
            return _TITLE_HELP[section]
        return _TITLES[section] if role == Qt.ItemDataRole.DisplayRole else None

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """What is shown in a cell."""
        cell = _ROLES.get(role)
        if cell is None or not index.isValid():
            return None
        return cell(self, self._list().item(self._keys[index.row()]), index.column())

    def _list(self) -> Worklist:
        assert self.worklist is not None, "there is no list"
        return self.worklist

    def _wanted_keys(self) -> list[str]:
        if self.worklist is None:
            return []
        items, since = self.worklist.items(), self.worklist.since
        return ordered_keys(items, self.order, self.state_filter, text=self.text, since=since, keep=self.current)

    def _begin_again(self) -> None:
        self.thumbnails.forget()
        self._uncertainties = None
        self._set_keys(self._wanted_keys(), anew=True)
        self.listed.emit()
        self.changed.emit()

    def _set_keys(self, keys: list[str], anew: bool = False) -> None:
        if keys == self._keys and not anew:
            return
        self.beginResetModel()
        self._keys = keys
        self._rows = {key: row for row, key in enumerate(keys)}
        self.endResetModel()
        self.arranged.emit()

    def _remove(self, key: str) -> None:
        row = self._rows.get(key)
        if row is not None:
            self.beginRemoveRows(QModelIndex(), row, row)
            del self._keys[row]
            self._rows = {key: row for row, key in enumerate(self._keys)}
            self.endRemoveRows()

    def _after_changes(self, key: str) -> None:
        self._uncertainties = None
        self._repaint([key])
        self.changed.emit()

    def _on_thumbnails(self, keys: list[str]) -> None:
        self._repaint(keys, last=IMAGE)

    def _repaint(self, keys: Iterable[str], last: int = SIZE) -> None:
        rows = [self._rows[key] for key in keys if key in self._rows]
        if rows:  # in one piece: a view paints no more than what it shows of it
            self.dataChanged.emit(self.index(min(rows), 0), self.index(max(rows), last))

    @property
    def _every_uncertainty(self) -> list[float]:
        if self._uncertainties is None:
            found = (item.uncertainty for item in self.items())
            self._uncertainties = sorted(value for value in found if value is not None)
        return self._uncertainties

    def _text(self, item: Item, column: int) -> str:
        match column:
            case 0:
                return item.name
            case 1 if item.uncertainty is not None:
                return f"{item.uncertainty:.2f} {mark_of(item.uncertainty, self._every_uncertainty)}".rstrip()
            case 2 if item.score is not None:
                return f"{item.score:.2f}"
            case 3 if item.seconds > 0:
                return rough_duration(item.seconds)
            case 4 if item.size is not None:
                return f"{item.size:.3g} {item.unit}" if item.size < 1000 else f"{item.size:,.0f} {item.unit}"
            case _:
                return ""

    def _picture(self, item: Item, column: int) -> Any:
        return self.thumbnails.picture(item) if column == IMAGE else None

    def _tooltip(self, item: Item, _column: int) -> str:
        return "\n".join(filter(None, [details(item, self._every_uncertainty), self.thumbnails.problem(item.key)]))

    def _accessible_text(self, item: Item, column: int) -> str:
        return f"{item.name}, {state_line(item)[2:]}" if column == IMAGE else self._text(item, column)


_CENTRED = int(Qt.AlignmentFlag.AlignCenter)
_ROLES: dict[int, Callable[[WorklistModel, Item, int], Any]] = {
    int(Qt.ItemDataRole.DisplayRole): WorklistModel._text,
    int(Qt.ItemDataRole.DecorationRole): WorklistModel._picture,
    int(Qt.ItemDataRole.ToolTipRole): WorklistModel._tooltip,
    int(Qt.ItemDataRole.AccessibleTextRole): WorklistModel._accessible_text,
    int(Qt.ItemDataRole.TextAlignmentRole): lambda _model, _item, _column: _CENTRED,
    ITEM_ROLE: lambda _model, item, _column: item,
}
