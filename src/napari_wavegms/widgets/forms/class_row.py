"""Which class the brush paints, and a field for the name of another one."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QColor, QIcon, QKeyEvent, QPixmap
from qtpy.QtWidgets import QHBoxLayout, QLineEdit, QVBoxLayout, QWidget

from napari_wavegms.widgets.qt.controls import ChoiceList, fill, push_button

_SWATCH = 12  # pixels


class _NameField(QLineEdit):
    """A line in which Escape gives up."""

    given_up = Signal()

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        if event is not None and event.key() == Qt.Key.Key_Escape:
            self.given_up.emit()
        else:
            super().keyPressEvent(event)


class ClassRow(QWidget):
    """The classes of a mask to choose from; setters never answer with a signal."""

    chosen = Signal(int)  # the label to paint with
    name_given = Signal(str)  # of a class to add

    def __init__(self) -> None:
        super().__init__()
        self.classes = ChoiceList("no mask")
        self.classes.setAccessibleName("Class to paint")
        self._add = push_button(
            "Add class…", "Add a structure that the model does not know yet: name it, paint it, train.", self._ask
        )
        self._name = _NameField()
        self._name.setPlaceholderText("Name of the class, then Enter")
        self._name.setAccessibleName("Name of the new class")
        self._name.hide()
        row = fill(QHBoxLayout(), self.classes, self._add)
        row.setStretch(0, 1)
        fill(QVBoxLayout(self), row, self._name, spacing=2)
        self.classes.chosen.connect(lambda: self.chosen.emit(int(self.classes.value)))
        self._name.returnPressed.connect(lambda: self.name_given.emit(self._name.text()))
        self._name.given_up.connect(self.close_name)

    def set_classes(self, classes: Sequence[tuple[int, str, str]], selected: int) -> None:
        """Show the classes as label, name and colour ``#rrggbb``, with the label that the brush has."""
        tooltips = [f"Alt+{label} paints {name}." if label < 10 else f"Paint {name}." for label, name, _ in classes]
        choices = [(f"{label}  {name}", label) for label, name, _ in classes]
        if selected not in [label for label, _, _ in classes] and classes:
            choices.append((f"{selected}  (no class)", selected))
            tooltips.append("The brush has a label that is no class. Choose one, or add it as a class.")
        self.classes.set_choices(choices, selected, tooltips)
        for row, (_, _, color) in enumerate(classes):
            swatch = QPixmap(_SWATCH, _SWATCH)
            swatch.fill(QColor(color))
            self.classes.setItemIcon(row, QIcon(swatch))

    def set_why_not(self, sentence: str) -> None:
        """Switch the row off, with the reason on hover; an empty sentence switches it on."""
        self.setEnabled(not sentence)
        self.setToolTip(sentence)

    def close_name(self) -> None:
        """Empty and hide the field."""
        self._name.clear()
        self._name.hide()

    def _ask(self) -> None:
        self._name.show()
        self._name.setFocus()
