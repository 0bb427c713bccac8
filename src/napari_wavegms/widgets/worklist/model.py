"""The rows of a worklist, for any Qt view: the list decides the order, a row is an item, nothing is copied."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, QObject, Qt, Signal

from napari_wavegms.widgets.thumbnails import Thumbnails
from napari_wavegms.widgets.worklist.labels import details, mark_of, state_line
from napari_wavegms.wording import rough_duration
from napari_wavegms.worklist.item import STATES, Item, State
from napari_wavegms.worklist.ordering import Show, SortOrder, fits, is_ring, next_key, order, previous_key, upcoming
from napari_wavegms.worklist.worklist import Difference, Worklist

IMAGE, UNCERTAINTY, SCORE, TIME = range(4)
_TITLES = ("image", "unsure", "score", "time")
_TITLE_HELP = (
    "Press to sort by name. Enter opens the selected image.",
    "How uncertain the model is about the image as a whole, 0 to 1. Press for the least certain ones first.",
    "The model's own score of its mask, 0 to 1. Press for the lowest ones first.",
    "How long you have worked on the image. Press for the longest ones first.",
)
ITEM_ROLE = int(Qt.ItemDataRole.UserRole)
_Parent = QModelIndex


class WorklistModel(QAbstractTableModel):
    """A worklist as a table: image, uncertainty, score, time.

    What changes in the worklist is told to this model, which notes it and shows it. Rows keep their places until
    `arrange`, so that no row moves away under the mouse; an image that no longer fits what is shown stays until a
    person goes on to another.

    Signals
    -------
    arranged()
        The rows are others, or stand in another order.
    counts_changed()
        Images changed their states, came or went.

    Parameters
    ----------
    thumbnails : Thumbnails
        Where the small pictures come from.
    """

    arranged = Signal()
    counts_changed = Signal()

    def __init__(self, thumbnails: Thumbnails, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.thumbnails = thumbnails
        self.worklist: Worklist | None = None
        self.how: SortOrder = "least certain first"
        self.show: Show = "todo"
        self.text = ""
        self._keys: list[str] = []
        self._rows: dict[str, int] = {}
        self._uncertainties: list[float] | None = None
        thumbnails.arrived.connect(self._repaint_pictures)

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of the rows, from the top."""
        return tuple(self._keys)

    @property
    def current(self) -> str | None:
        """The key of the image that is looked at, shown or not."""
        return None if self.worklist is None else self.worklist.current

    @property
    def counts(self) -> dict[State, int]:
        """How many images are in each state."""
        return dict.fromkeys(STATES, 0) if self.worklist is None else self.worklist.counts()

    def set_worklist(self, worklist: Worklist | None) -> None:
        """Show another list, or none."""
        self.worklist = worklist
        self.thumbnails.forget()
        self._uncertainties = None
        self._set_keys(self._wanted_keys(), anew=True)
        self.counts_changed.emit()

    def row_of(self, key: str | None) -> int | None:
        """Give the row of an item; None where it is not shown."""
        return None if key is None else self._rows.get(key)

    def key_at(self, row: int) -> str:
        """Give the key of a row's item."""
        return self._keys[row]

    def arrange(self, how: SortOrder | None = None, show: Show | None = None, text: str | None = None) -> None:
        """Put the rows in order anew, and change what is shown; what is not given stays as it is."""
        self.how = self.how if how is None else how
        self.show = self.show if show is None else show
        self.text = self.text if text is None else text
        self._set_keys(self._wanted_keys())

    def set_item(self, key: str, **changes: Any) -> None:
        """Note changes of an item, see `Worklist.set`, and show them.

        Raises
        ------
        InputError
            If a value does not fit, or the disk refuses.
        """
        self.set_items({key: changes})

    def set_items(self, changes: Mapping[str, Mapping[str, Any]]) -> list[Item]:
        """Note changes of several items in one go, and show them.

        Raises
        ------
        InputError
            If a value does not fit, or the disk refuses.
        """
        changed = self._list().set_all(changes)
        self._after_changes(changes)
        return changed

    def identify(self, key: str, content: str) -> Item:
        """Tell what pixels an image was found to have, see `Worklist.identify`.

        Raises
        ------
        InputError
            If the disk refuses.
        """
        item = self._list().identify(key, content)
        self._after_changes([key])
        return item

    def go_to(self, key: str) -> None:
        """Note that an image is shown now; the one before leaves if it no longer fits what is shown.

        Raises
        ------
        InputError
            If there is no such image, or the disk refuses.
        """
        worklist = self._list()
        before = worklist.current
        worklist.go_to(key)
        if before is not None and before != key and not fits(worklist.item(before), self.show, self.text):
            self._remove(before)
        if key not in self._rows or key == before:  # taken up again: what was shown in this sitting stands in front
            self.arrange()

    def next_key(self) -> str | None:
        """Arrange anew and give the image that comes after the current one; None where there is no other."""
        self.arrange()
        if self.worklist is not None and is_ring(self.how) and self._keys[-1:] == [self.current]:
            # Once round: what came up meanwhile has its turn before those that were seen.
            self.worklist.begin_again()
            self.arrange()
        return next_key(self._keys, self.current)

    def previous_key(self) -> str | None:
        """Arrange anew and give the image that comes before the current one; None where there is no other."""
        self.arrange()
        return previous_key(self._keys, self.current)

    def upcoming(self, count: int) -> list[str]:
        """Give the images that *Next* would come to, at most so many; nothing moves."""
        return upcoming(self._wanted_keys(), self.current, count)

    def refresh(self) -> Difference:
        """Look again which files are there, and what other windows have noted.

        Raises
        ------
        InputError
            If the folder cannot be read, or no image is left in it.
        """
        found = self._list().refresh()
        self.thumbnails.forget()
        self._uncertainties = None
        self._set_keys(self._wanted_keys(), anew=True)
        self.counts_changed.emit()
        return found

    def rowCount(self, parent: QModelIndex = _Parent()) -> int:  # noqa: B008 - an empty index is a constant
        """Qt's: how many rows."""
        return 0 if parent.isValid() else len(self._keys)

    def columnCount(self, parent: QModelIndex = _Parent()) -> int:  # noqa: B008
        """Qt's: how many columns."""
        return 0 if parent.isValid() else len(_TITLES)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Qt's: the title of a column, and on hover what it means."""
        if orientation != Qt.Orientation.Horizontal:
            return None
        if role == Qt.ItemDataRole.ToolTipRole:
            return _TITLE_HELP[section]
        return _TITLES[section] if role == Qt.ItemDataRole.DisplayRole else None

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Qt's: what is shown in a cell."""
        answer = _ANSWERS.get(role)
        if answer is None or not index.isValid():
            return None
        return answer(self, self._list().item(self._keys[index.row()]), index.column())

    def _list(self) -> Worklist:
        assert self.worklist is not None, "there is no list"
        return self.worklist

    def _wanted_keys(self) -> list[str]:
        if self.worklist is None:
            return []
        items, since = self.worklist.items(), self.worklist.since
        return order(items, self.how, self.show, text=self.text, since=since, keep=self.current)

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

    def _after_changes(self, keys: Iterable[str]) -> None:
        self._uncertainties = None
        self._repaint(keys)
        self.counts_changed.emit()

    def _repaint_pictures(self, keys: list[str]) -> None:
        self._repaint(keys, last=IMAGE)

    def _repaint(self, keys: Iterable[str], last: int = TIME) -> None:
        rows = [self._rows[key] for key in keys if key in self._rows]
        if rows:  # in one piece: a view paints no more than what it shows of it
            self.dataChanged.emit(self.index(min(rows), 0), self.index(max(rows), last))

    @property
    def _every(self) -> list[float]:
        if self._uncertainties is None:
            found = (item.uncertainty for item in self._list().items())
            self._uncertainties = sorted(value for value in found if value is not None)
        return self._uncertainties

    def _text(self, item: Item, column: int) -> str:
        match column:
            case 0:
                return item.name
            case 1 if item.uncertainty is not None:
                return f"{item.uncertainty:.2f} {mark_of(item.uncertainty, self._every)}".rstrip()
            case 2 if item.score is not None:
                return f"{item.score:.2f}"
            case 3 if item.seconds > 0:
                return rough_duration(item.seconds)
            case _:
                return ""

    def _picture(self, item: Item, column: int) -> Any:
        return self.thumbnails.picture(item) if column == IMAGE else None

    def _on_hover(self, item: Item, _column: int) -> str:
        return "\n".join(filter(None, [details(item, self._every), self.thumbnails.problem(item.key)]))

    def _aloud(self, item: Item, column: int) -> str:
        return f"{item.name}, {state_line(item)[2:]}" if column == IMAGE else self._text(item, column)


_CENTRED = int(Qt.AlignmentFlag.AlignCenter)
_ANSWERS: dict[int, Callable[[WorklistModel, Item, int], Any]] = {
    int(Qt.ItemDataRole.DisplayRole): WorklistModel._text,
    int(Qt.ItemDataRole.DecorationRole): WorklistModel._picture,
    int(Qt.ItemDataRole.ToolTipRole): WorklistModel._on_hover,
    int(Qt.ItemDataRole.AccessibleTextRole): WorklistModel._aloud,
    int(Qt.ItemDataRole.TextAlignmentRole): lambda _model, _item, _column: _CENTRED,
    ITEM_ROLE: lambda _model, item, _column: item,
}
