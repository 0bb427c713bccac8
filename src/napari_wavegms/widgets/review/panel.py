"""The form of "Wave-GMS Review": it tells what a person wants and shows what it is told, and knows no viewer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Literal, get_args

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QApplication,
    QCheckBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QSizePolicy,
    QSpinBox,
    QSplitter,
    QVBoxLayout,
    QWidget,
)

from napari_wavegms.segment.merging import DEFAULT, EXPLAINED, Overwrite
from napari_wavegms.widgets.forms.clean_up import CleanUp
from napari_wavegms.widgets.forms.model_row import ModelRow
from napari_wavegms.widgets.forms.threshold_row import ThresholdRow
from napari_wavegms.widgets.qt.collapsible import Fold
from napari_wavegms.widgets.qt.combo_box import ChoiceList
from napari_wavegms.widgets.qt.scroll_panel import ScrolledPanel
from napari_wavegms.widgets.qt.wrapped_label import WrappedLabel
from napari_wavegms.widgets.recording.restore_question import RestoreQuestion
from napari_wavegms.widgets.shortcuts import ACTIONS
from napari_wavegms.widgets.thumbnails import ReadPlane, plane_of_file
from napari_wavegms.widgets.worklist.view import WorklistView

_WARNING = "⚠ "
# Told apart by their signs too; the colours are those of the worklist.
_LIGHTS = {"green": ("●", "#2fbf91"), "amber": ("▲", "#e69f00"), "red": ("■", "#d55e00"), "": ("○", "#9aa0a6")}
_TITLES = {action.name: action for action in ACTIONS}
_NO_IMAGE = "No image of the list is on screen. Open a folder, and choose one."
# What may be done with a mask that is approved.
_HARMLESS = ("next", "previous", "skip", "doubt_layer", "changes", "next_doubt", "withdraw")
_SHORT = {"next_doubt": "Doubtful spot", "doubt_layer": "Doubt"}


class ReviewPanel(QWidget):
    """The panel. Setters show something and never answer with a signal.

    Signals
    -------
    folder_chosen(Path)
        A folder of the recent ones.
    open_requested(), files_requested(), layers_requested(), export_requested(), again_requested(), all_requested()
    action(str)
        A button of an action in `review_keys.ACTIONS` was pressed: its name.
    model_changed()
    name_given(str)

    Attributes
    ----------
    list : WorklistView
    threshold_row : ThresholdRow
    question : RestoreQuestion
    status : str
        The sentence shown last.
    """

    folder_chosen = Signal(object)
    open_requested = Signal()
    files_requested = Signal()
    layers_requested = Signal()
    export_requested = Signal()
    again_requested = Signal()
    all_requested = Signal()
    action = Signal(str)
    model_changed = Signal()
    name_given = Signal(str)

    def __init__(self, read: ReadPlane = plane_of_file, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.list = WorklistView(read)
        self.threshold_row = ThresholdRow()
        self.question = RestoreQuestion()
        self.model_row = ModelRow()
        self.status = ""
        self._labels: dict[str, str] = {}
        self._buttons: dict[str, QPushButton] = {
            name: self._button(name) for name in _TITLES if name not in ("doubt_layer", "changes")
        }
        for name in ("doubt_layer", "changes"):
            self._buttons[name] = self._button(name, checkable=True)
        self._recent = ChoiceList("recent folders")
        self._overwrite = ChoiceList()
        self._smallest = _count(2, 1_000_000, 50, " px", "Islands with fewer pixels than this are removed.")
        self._every = _count(1, 999, 5, " approvals", "How many approvals there are between two updates.")
        self._learns = QCheckBox("Learn after every")
        self._editor = QLineEdit()
        self._name, self._light = QLabel(), QLabel()
        self._saved, self._hint, self._status, self._learning = (
            WrappedLabel(),
            WrappedLabel(),
            WrappedLabel(),
            WrappedLabel(),
        )
        self._away: QWidget | None = None  # what had the focus, and cannot have it for a moment
        self._lay_out()
        self._connect()
        self.set_labels({name: action.title for name, action in _TITLES.items()})
        self.set_shown("", False, False)
        # napari puts a stretch below what does not want to grow.
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)

    # What is chosen

    @property
    def overwrite(self) -> Overwrite:
        """What a new prediction may do to a mask."""
        value = self._overwrite.value
        return value if value in get_args(Overwrite) else DEFAULT

    @property
    def learn_every(self) -> int:
        """After how many approvals to learn; 0 for never."""
        return self._every.value() if self._learns.isChecked() else 0

    @property
    def smallest(self) -> int:
        """The smallest island that stays, in pixels."""
        return self._smallest.value()

    @property
    def wants_doubt(self) -> bool:
        """Whether the doubt is to be shown as a layer."""
        return self._buttons["doubt_layer"].isChecked()

    @property
    def wants_changes(self) -> bool:
        """Whether the changes are to be shown as an overlay."""
        return self._buttons["changes"].isChecked()

    # What the tools for the threshold ask of a panel

    @property
    def wants_probability(self) -> bool:
        """Review has no probability layer; its doubt layer says where to look."""
        return False

    def set_probability(self, wanted: bool) -> None:
        """See `wants_probability`."""

    def set_mask_there(self, why_not: str) -> None:
        """See `set_shown`."""

    # What is shown

    def set_recent(self, folders: Sequence[Path], current: Path | None = None) -> None:
        """Offer folders that were open lately, and name the one that is open."""
        self._recent.set_choices([(folder.name or str(folder), folder) for folder in folders], None)
        for row, folder in enumerate(folders):
            self._recent.setItemData(row, str(folder), Qt.ItemDataRole.ToolTipRole)
        self._recent.setCurrentIndex(folders.index(current) if current in folders else -1)
        self._recent.setEnabled(bool(folders))

    def set_labels(self, labels: dict[str, str]) -> None:
        """Print the actions' titles with their keys."""
        self._labels = labels
        for name, button in self._buttons.items():
            text = labels.get(name, _TITLES[name].title)
            if name in _SHORT:
                text = text.replace(_TITLES[name].title, _SHORT[name])
            button.setText(text.replace("&", "&&"))

    def set_shown(self, name: str, approved: bool, busy: bool, details: str = "") -> None:
        """Show which image is on screen, and switch on what can be done with it."""
        self._name.setText(f"{'✓ ' if approved else ''}{name}{' — approved, locked' if approved else ''}")
        self._name.setToolTip(details)
        self._name.setVisible(bool(name))
        there = bool(name) and not busy
        focus = self._focus()
        for action, button in self._buttons.items():
            may = there and not (approved and action not in _HARMLESS)
            if action in ("next", "previous"):
                may = self.list.worklist is not None and not busy
            button.setEnabled(may)
            why = _NO_IMAGE if not there else "This mask is approved and locked. Press Un-approve to change it."
            button.setToolTip(_TITLES[action].explained if may else why)
        self._buttons["approve"].setVisible(not approved)
        self._buttons["withdraw"].setVisible(approved)
        self.threshold_row.setEnabled(there and not approved)
        self._again.setEnabled(there and not approved)
        self._keep_focus(focus)

    def set_light(self, colour: str | None, sentence: str) -> None:
        """Show how much the image is like what the model has learned from; nothing for None."""
        self._light.setVisible(colour is not None)
        sign, ink = _LIGHTS.get(colour or "", _LIGHTS[""])
        words = {"green": "familiar", "amber": "somewhat unlike what I know", "red": "unlike what I know"}
        text = words.get(colour or "", "likeness not known")
        self._light.setText(f'<span style="color:{ink}">{sign}</span> {text}')
        self._light.setToolTip(sentence)
        self._light.setAccessibleDescription(sentence)

    def set_saved(self, sentence: str) -> None:
        """Say what changed and when it was saved."""
        self._saved.say(sentence)

    def set_hint(self, sentence: str) -> None:
        """Say that the model cannot draw this, or nothing."""
        self._hint.say(f"{_WARNING}{sentence}" if sentence else "")

    def set_learning(self, sentence: str) -> None:
        """Say how far the learning is."""
        self._learning.say(sentence)

    def set_status(self, sentence: str, kind: Literal["news", "problem", ""] | str = "news") -> None:
        """Say in words what happened."""
        self.status = sentence
        self._status.say(f"{_WARNING if kind == 'problem' and sentence else ''}{sentence}")

    def set_checked(self, name: str, checked: bool) -> None:
        """Show whether a layer of ours is on."""
        self._buttons[name].setChecked(checked)

    def set_boxing(self, state: str) -> None:
        """Show what the box is doing."""
        words = {"drawing": "Put the box away", "running": "Stop the box"}.get(state)
        self._buttons["box"].setText(words or self._labels.get("box", "Box"))

    def set_editor(self, name: str) -> None:
        """Show the name that edits are signed with."""
        self._editor.setText(name)

    def button(self, name: str) -> QPushButton:
        """The button of an action."""
        return self._buttons[name]

    def _focus(self) -> QWidget | None:
        """What has the focus in the panel, or will have it again."""
        now = QApplication.focusWidget()
        if self._away is not None and now is self.list.table:
            return self._away
        return now if now is not None and self.isAncestorOf(now) else None

    def _keep_focus(self, focus: QWidget | None) -> None:
        """Give the focus back; while it cannot be had, the list has it, and not whichever button comes next."""
        was_away, self._away = self._away, None
        if focus is None:
            return
        if not focus.isEnabled():
            self._away = focus
            self.list.table.setFocus()
        elif focus is was_away:
            focus.setFocus()

    def _button(self, name: str, checkable: bool = False) -> QPushButton:
        button = QPushButton()
        button.setCheckable(checkable)
        button.clicked.connect(lambda _checked=False: self.action.emit(name))
        button.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        button.setMinimumHeight(button.fontMetrics().height() + 10)  # or wrapped words above would squeeze it
        return button

    # Where things stand

    def _lay_out(self) -> None:
        self._folder, self._files, self._layers = QPushButton("Folder…"), QPushButton("Files…"), QPushButton("Layers")
        self._folder.setToolTip("Review the images of a folder.")
        self._files.setToolTip("Review one or more files, in the order in which they are chosen.")
        self._layers.setToolTip("Review the images that are open in the viewer.")
        top = QHBoxLayout()
        for button in (self._folder, self._files, self._layers):
            top.addWidget(button)
        top.addWidget(self._recent, 1)
        above, column = QWidget(), QVBoxLayout()
        column.setContentsMargins(8, 8, 8, 4)
        column.addLayout(top)
        column.addWidget(self.list, 1)
        above.setLayout(column)
        splitter = QSplitter(Qt.Orientation.Vertical)
        splitter.addWidget(above)
        more = Fold("Model, learning, journal", self._more())
        scrolled = ScrolledPanel(self._lower_half(more))
        more.unfolded.connect(partial(scrolled.ensureWidgetVisible, more, 0, 0))
        splitter.addWidget(scrolled)
        splitter.setChildrenCollapsible(False)
        splitter.setStretchFactor(0, 1)
        splitter.setStretchFactor(1, 0)
        splitter.setSizes([420, 380])
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(splitter)

    def _lower_half(self, more: QWidget) -> QWidget:
        half, column = QWidget(), QVBoxLayout()
        column.setContentsMargins(8, 4, 8, 8)
        column.setSpacing(6)
        title = QHBoxLayout()
        self._name.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self._name.setStyleSheet("font-weight: bold;")
        title.addWidget(self._name, 1)
        title.addWidget(self._light)
        column.addLayout(title)
        column.addWidget(self.question)
        steps = self._grid(("previous", "next"), ("skip", "approve"))
        steps.addWidget(self._buttons["withdraw"], 1, 1)  # one of the two is there
        column.addLayout(steps)
        for words in (self._saved, self._hint, self._status, self._learning):
            column.addWidget(words)
        column.addWidget(Fold("Tools", self._tools(), unfolded=True))
        column.addWidget(more)
        column.addStretch(1)
        self._approve_style()
        half.setLayout(column)
        return half

    def _approve_style(self) -> None:
        font = self._buttons["approve"].font()
        font.setBold(True)
        self._buttons["approve"].setFont(font)

    def _tools(self) -> QWidget:
        body, column = QWidget(), QVBoxLayout()
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        threshold = QHBoxLayout()
        threshold.addWidget(QLabel("Threshold"))
        threshold.addWidget(self.threshold_row, 1)
        column.addLayout(threshold)
        column.addLayout(
            self._grid(
                ("box", "next_doubt"), ("doubt_layer", "changes"), ("fill_holes", "keep_largest"), ("smooth", "undo")
            )
        )
        islands = QHBoxLayout()
        islands.addWidget(self._buttons["remove_islands"], 1)
        islands.addWidget(QLabel("below"))
        islands.addWidget(self._smallest)
        column.addLayout(islands)
        self.threshold_row.setToolTip(
            "The mask is where the probability reaches this. What you drew stays as it is, and so does one Ctrl+Z."
        )
        body.setLayout(column)
        return body

    def _more(self) -> QWidget:
        body, grid = QWidget(), QGridLayout()
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(4)
        grid.setColumnStretch(1, 1)
        self._again = QPushButton("Predict again")
        self._again.setToolTip("Let the model look at this image again.")
        self._all = QPushButton("Look at all")
        self._all.setToolTip(
            "Let the model look at every image in the background, so that the order is by all of them."
        )
        self._export = QPushButton("Export journal…")
        self._export.setToolTip("Write every edit, who made it, when and for how long, as a table (CSV).")
        self._overwrite.set_choices([(how, how) for how in EXPLAINED], DEFAULT, list(EXPLAINED.values()))
        self._editor.setPlaceholderText("as it stands beside your edits")
        learning = QHBoxLayout()
        learning.addWidget(self._learns)
        learning.addWidget(self._every)
        learning.addStretch(1)
        self._learns.setToolTip("Make a Quick update in the background; it is used if it is not worse.")
        rows: list[tuple[str, QWidget]] = [
            ("Model", self.model_row),
            ("New masks", self._overwrite),
            ("Your name", self._editor),
        ]
        for row, (label, field) in enumerate(rows):
            grid.addWidget(QLabel(label), row, 0)
            grid.addWidget(field, row, 1)
        buttons = QHBoxLayout()
        for button in (self._again, self._all, self._export):
            button.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
            buttons.addWidget(button)
        grid.addLayout(learning, len(rows), 0, 1, 2)
        grid.addLayout(buttons, len(rows) + 1, 0, 1, 2)
        body.setLayout(grid)
        return body

    def _grid(self, *rows: tuple[str, ...]) -> QGridLayout:
        grid = QGridLayout()
        grid.setSpacing(4)
        for row, names in enumerate(rows):
            for column, name in enumerate(names):
                grid.addWidget(self._buttons[name], row, column)
                grid.setColumnStretch(column, 1)
        return grid

    def _connect(self) -> None:
        plain: list[tuple[QPushButton, Callable[[], object]]] = [
            (self._folder, self.open_requested.emit),
            (self._files, self.files_requested.emit),
            (self._layers, self.layers_requested.emit),
            (self._export, self.export_requested.emit),
            (self._again, self.again_requested.emit),
            (self._all, self.all_requested.emit),
        ]
        for button, told in plain:
            button.clicked.connect(lambda _checked=False, told=told: told())
        self._recent.chosen.connect(lambda: self.folder_chosen.emit(self._recent.value))
        self.model_row.chosen.connect(self.model_changed)
        self.model_row.failed.connect(lambda sentence: self.set_status(sentence, "problem"))
        self._editor.editingFinished.connect(lambda: self.name_given.emit(self._editor.text()))


def clean_up_of(action: str, smallest: int) -> CleanUp | None:
    """The tidying step of an action; None where it is none."""
    match action:
        case "fill_holes" | "keep_largest" | "smooth":
            return CleanUp(action)
        case "remove_islands":
            return CleanUp("remove_islands", smallest)
        case _:
            return None


def _count(least: int, most: int, value: int, suffix: str, tooltip: str) -> QSpinBox:
    box = QSpinBox()
    box.setRange(least, most)
    box.setValue(value)
    box.setSuffix(suffix)
    box.setButtonSymbols(QSpinBox.ButtonSymbols.NoButtons)
    box.setToolTip(tooltip)
    return box
