"""A drop-down list whose entries come and go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QComboBox

_LEAST_WIDTH = 48  # pixels of the screen


class ChoiceList(QComboBox):
    """Entries with a name and a value; `nothing` is shown while there is no entry.

    magicgui's ComboBox is made for fixed choices: it knows entries by their text, and is reset whenever it is moved to
    another window, as docks do.

    Signals
    -------
    chosen()
        A person chose another entry.
    """

    chosen = Signal()

    def __init__(self, nothing: str = "") -> None:
        super().__init__()
        self.setPlaceholderText(nothing)
        # Neither a long layer name nor the placeholder may widen the dock.
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(6)
        self.setMinimumWidth(_LEAST_WIDTH)
        self._values: list[Any] = []
        self.activated.connect(self._show_whole_name)
        self.activated.connect(self.chosen)

    @property
    def value(self) -> Any:
        """The chosen entry's value; None while there is no entry."""
        row = self.currentIndex()
        return self._values[row] if 0 <= row < len(self._values) else None

    @property
    def values(self) -> list[Any]:
        """The values of all entries, in order."""
        return list(self._values)

    def set_choices(self, choices: Sequence[tuple[str, Any]], chosen: Any, tooltips: Sequence[str] = ()) -> None:
        """Show these entries, without a signal; `chosen` is selected, or the first where it is not among them."""
        names, values = [name for name, _ in choices], [value for _, value in choices]
        if names != [self.itemText(row) for row in range(self.count())]:
            self.clear()
            self.addItems(names)
        self._values = values
        for row, tooltip in enumerate(tooltips):
            self.setItemData(row, tooltip, Qt.ItemDataRole.ToolTipRole)
        self.setCurrentIndex(values.index(chosen) if chosen in values else min(0, len(values) - 1))
        self._show_whole_name()

    def _show_whole_name(self) -> None:
        """Use the entry's own tooltip, or else its name, which may be cut off."""
        tooltip = self.itemData(self.currentIndex(), Qt.ItemDataRole.ToolTipRole)
        self.setToolTip(str(tooltip or self.currentText()))
