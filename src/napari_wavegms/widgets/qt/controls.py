"""The small parts of a panel: layouts, buttons, labels, lists, marks, folds, and the button that starts a job."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QApplication,
    QBoxLayout,
    QComboBox,
    QFormLayout,
    QLabel,
    QLayout,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_wavegms.widgets.qt.lifetime import single_shot

Box = TypeVar("Box", bound=QBoxLayout)

_LEAST_WIDTH = 48  # of a list, in pixels of the screen
_LONG_WORD = re.compile(r"\S{25,}")
_FRAME = "border: 2px solid #e0564f;"
_TOOLTIP = "wavegms_own_tooltip"  # a property that keeps a widget's tooltip while another is shown


def fill(layout: Box, *parts: QWidget | QLayout, margin: int = 0, spacing: int = 4) -> Box:
    """Put widgets and layouts one after another; `margin` and `spacing` are in pixels of the screen."""
    layout.setContentsMargins(margin, margin, margin, margin)
    layout.setSpacing(spacing)
    return add_all(layout, *parts)


def add_all(layout: Box, *parts: QWidget | QLayout) -> Box:
    """Add widgets and layouts to a layout that keeps its own margins."""
    for part in parts:
        if isinstance(part, QWidget):
            layout.addWidget(part)
        else:
            layout.addLayout(part)
    return layout


def form(*rows: tuple[str, QWidget | QLayout]) -> QFormLayout:
    """Make a form of labels with their fields; fields are as wide as there is room."""
    layout = QFormLayout()
    layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    layout.setHorizontalSpacing(8)
    layout.setVerticalSpacing(4)
    for label, field in rows:
        layout.addRow(label, field)
    return layout


def push_button(text: str, tooltip: str, action: Callable[[], object]) -> QPushButton:
    """Make a button that does something when pressed."""
    button = QPushButton(text)
    button.setToolTip(tooltip)
    button.clicked.connect(lambda: action())
    return button


def mark(field: QWidget, sentence: str) -> None:
    """Frame a field in red and say why on hover; an empty sentence takes both away.

    The frame is never the only sign: the same sentence stands in the panel and on the button.
    """
    explain(field, sentence)
    field.setStyleSheet(f"{type(field).__name__} {{ {_FRAME} }}" if sentence else "")


def set_why_not(widgets: Iterable[QWidget], sentence: str) -> None:
    """Disable widgets and say why on hover; an empty sentence enables them."""
    for widget in widgets:
        widget.setEnabled(not sentence)
        explain(widget, sentence)


def explain(widget: QWidget, sentence: str) -> None:
    """Show a sentence instead of a widget's tooltip; an empty one brings that back."""
    was = widget.property(_TOOLTIP)
    if sentence:
        widget.setProperty(_TOOLTIP, widget.toolTip() if was is None else was)
        widget.setToolTip(sentence)
    elif was is not None:
        widget.setToolTip(str(was))
        widget.setProperty(_TOOLTIP, None)


class WrappedLabel(QLabel):
    """Wrapped text that can be selected, and hides while it is empty."""

    def __init__(self, sentence: str = "") -> None:
        super().__init__()
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.setWordWrap(True)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.say(sentence)

    def say(self, sentence: str) -> None:
        """Show a sentence, or nothing."""
        self.sentence = sentence  # as it was given
        # A long file or layer name may be broken after its punctuation; the break takes no width.
        self.setText(_LONG_WORD.sub(lambda word: re.sub(r"([/\\_.-])", "\\1\u200b", word[0]), sentence))
        self.setVisible(bool(sentence))


class StatusLine(QWidget):
    """What happened, in a sentence; a button copies the details of a failure, if there are any."""

    def __init__(self) -> None:
        super().__init__()
        self._label = WrappedLabel()
        tooltip = "Copy what a developer needs to know about this problem."
        self._copy = push_button("Copy details", tooltip, self._on_copy)
        fill(QVBoxLayout(self), self._label, self._copy)
        self.say("")

    def say(self, sentence: str, kind: str = "", details: str = "") -> None:
        """Say what happened, a ``"problem"`` or not; an empty sentence takes it back."""
        self.sentence, self._details = sentence, details
        self._label.say(f"⚠ {sentence}" if kind == "problem" and sentence else sentence)
        self._copy.setVisible(bool(details))
        self.setVisible(bool(sentence))

    def _on_copy(self) -> None:
        if (clipboard := QApplication.clipboard()) is not None:
            clipboard.setText(self._details)


class ChoiceList(QComboBox):
    """Entries with a name and a value; `nothing` is shown while there is no entry.

    magicgui's ComboBox is made for fixed choices: it knows entries by their text, and is reset whenever it is moved to
    another window, as docks do.
    """

    chosen = Signal()  # by a person

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


class Fold(QWidget):
    """Shows or hides a body under a heading.

    superqt's QCollapsible does not hide its content but makes it 0 pixels high, so that Tab goes on through fields that
    nobody sees, and it takes the focus frame away from its heading.
    """

    unfolded = Signal()  # the body is shown, and stands where it will stand

    def __init__(self, title: str, body: QWidget, unfolded: bool = False) -> None:
        super().__init__()
        self._body = body
        self._heading = QToolButton()
        self._heading.setText(title)
        self._heading.setCheckable(True)
        self._heading.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self._heading.setStyleSheet("QToolButton { border: none; background: transparent; padding: 2px; }")
        fill(QVBoxLayout(self), self._heading, body, spacing=2)
        self._settled = single_shot(self, 0, self.unfolded.emit)
        self._heading.toggled.connect(self.unfold)
        self.unfold(unfolded)

    def set_title(self, title: str) -> None:
        """Show another heading."""
        self._heading.setText(title)

    def unfold(self, unfolded: bool) -> None:
        """Show or hide the body."""
        self._heading.setChecked(unfolded)
        self._heading.setArrowType(Qt.ArrowType.DownArrow if unfolded else Qt.ArrowType.RightArrow)
        self._body.setVisible(unfolded)
        if unfolded:
            self._settled.start()


class RunRow(QWidget):
    """A button that becomes its own Cancel while the work runs, a bar, and a line of words."""

    start_requested = Signal()
    cancel_requested = Signal()

    def __init__(self, label: str, tooltip: str, cancel: str, cancel_tooltip: str) -> None:
        super().__init__()
        self._start, self._cancel = (label, tooltip), (cancel, cancel_tooltip)
        self._key = self._why_not = ""
        self._busy = self._say = False
        self._button, self._bar, self._words = QPushButton(), QProgressBar(), WrappedLabel()
        self._button.setMinimumHeight(32)
        self._bar.setTextVisible(False)
        self._bar.setMaximumHeight(8)
        fill(QVBoxLayout(self), self._button, self._bar, self._words, spacing=3)
        self._button.clicked.connect(self._on_click)
        self.set_idle()

    @property
    def is_enabled(self) -> bool:
        """Whether a press would do something."""
        return self._button.isEnabled()

    def set_key(self, key: str) -> None:
        """Show the key that does the same on the button; empty for none."""
        self._key = key
        self._refresh()

    def set_label(self, label: str, tooltip: str) -> None:
        """Name what the button does now."""
        self._start = label, tooltip
        self._refresh()

    def set_why_not(self, sentence: str, say: bool = True) -> None:
        """Disable the button and say why, on hover and with `say` below it; an empty sentence enables it."""
        self._why_not, self._say = sentence, say
        self._refresh()

    def set_idle(self) -> None:
        """Offer to start."""
        self._busy = False
        label, tooltip = self._start
        self._show(f"{label}    {self._key}".rstrip(), self._why_not or tooltip, enabled=not self._why_not)
        self._bar.hide()
        self._words.say(f"⚠ {self._why_not}" if self._why_not and self._say else "")

    def set_busy(self, words: str) -> None:
        """Show that work has begun whose length is not known yet."""
        self._busy = True
        self.offer(*self._cancel)
        self._bar.setRange(0, 0)
        self._bar.show()
        self.set_words(words)

    def set_progress(self, done: int, total: int, words: str) -> None:
        """Show how far the work is."""
        self._bar.setRange(0, total)
        self._bar.setValue(done)
        self.set_words(words)

    def set_stopping(self, text: str) -> None:
        """Show that the work is about to stop."""
        self._show(text, "", enabled=False)
        self._bar.setRange(0, 0)

    def offer(self, text: str, tooltip: str) -> None:
        """Offer another way to end the work; a press is `cancel_requested` too."""
        self._show(text, tooltip, enabled=True)

    def set_words(self, words: str) -> None:
        """Say what is going on; at once, even if what follows keeps the interpreter busy."""
        self._words.say(words)
        self._words.repaint()

    def _refresh(self) -> None:
        if not self._busy:
            self.set_idle()

    def _show(self, text: str, tooltip: str, enabled: bool) -> None:
        self._button.setText(text)
        self._button.setToolTip(tooltip)
        self._button.setEnabled(enabled)

    def _on_click(self) -> None:
        (self.cancel_requested if self._busy else self.start_requested).emit()
