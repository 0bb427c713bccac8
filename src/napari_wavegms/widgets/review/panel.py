"""The form of "Wave-GMS Review": it emits what a person asks for and shows what it is given, and knows no viewer."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import (
    QApplication,
    QCheckBox,
    QFormLayout,
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
from napari_wavegms.widgets.forms.class_row import ClassRow
from napari_wavegms.widgets.forms.familiarity_label import FamiliarityLabel
from napari_wavegms.widgets.forms.model_row import ModelRow
from napari_wavegms.widgets.forms.threshold_row import ThresholdRow
from napari_wavegms.widgets.layers.viewer import notify_if_hidden
from napari_wavegms.widgets.qt.controls import ChoiceList, Fold, RunRow, WrappedLabel, add_all, push_button
from napari_wavegms.widgets.qt.docks import ScrolledPanel
from napari_wavegms.widgets.qt.question import Question
from napari_wavegms.widgets.recording.unfinished import RestoreQuestion
from napari_wavegms.widgets.shortcuts import ACTIONS
from napari_wavegms.widgets.tools.comparison import VerdictRow
from napari_wavegms.widgets.worklist.view import WorklistView

LOCKED = "This mask is approved and locked. Press Un-approve to change it."
_NO_IMAGE = "No image is shown. Open a folder and select one."
_WARNING = "⚠ "
_OVERWRITE: dict[Overwrite, str] = {
    "keep mine": "keep my edits",
    "fill empty": "fill empty areas",
    "replace": "replace the mask",
}
_PADDING = 12  # pixels of a button's frame
_ACTIONS = {action.name: action for action in ACTIONS}
LAYERS = ("uncertainty", "changes")  # what is shown while its button is checked
# What may be done with a mask that is approved.
_HARMLESS = ("next", "previous", "skip", "next_uncertain", "withdraw", "mask", *LAYERS)
_SHORT = {"next_uncertain": "Uncertain spot"}
# Buttons of actions that have no key: text and tooltip.
_KEYLESS = {
    "folder": ("Folder…", "Review the images of a folder."),
    "files": ("Files…", "Review one or more files, in the order in which they are selected."),
    "layers": ("Layers", "Review the images that are open in the viewer."),
    "again": ("Re-run this image", "Predict this image and the next ones again."),
    "all": (
        "Run on all images",
        "Predict every image in the background, so that the whole list can be sorted by uncertainty.",
    ),
    "save": ("Save mask…", "Write the mask on screen to a TIFF or PNG file."),
    "export": ("Export journal…", "Write every edit with its author, time and duration to a table (CSV)."),
}
_EXPORT = "Export masks…", "Write the masks of this list to a folder, under the names of their images."
_EXPORTED = (("approved", True), ("all that were worked on", False))
_FORMATS = (("Automatic", ""), ("TIFF", "tiff"), ("PNG", "png"), ("NIfTI", "nii.gz"), ("DICOM", "dcm"))
_FORMATS_SAY = (
    "NIfTI for volumes, TIFF for the rest",
    "",
    "",
    "On the volume, if it is one",
    "On a DICOM image (SEG)",
)


class _ActionButton(QPushButton):
    """A button with its key, which goes where there is no room for it; the tooltip has it, too."""

    def __init__(self) -> None:
        super().__init__()
        self._label = self._title = ""
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setMinimumHeight(self.fontMetrics().height() + 10)  # or wrapped text above would squeeze it

    def set_label(self, label: str, title: str) -> None:
        """Show a label, or only its title."""
        self._label, self._title = label.replace("&", "&&"), title.replace("&", "&&")
        self._fit()

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Show as much as there is room for."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        has_room = self.fontMetrics().horizontalAdvance(self._label) + _PADDING <= self.width()
        text = self._label if has_room else self._title
        if text != self.text():
            self.setText(text)


class ReviewPanel(QWidget):
    """The panel. Setters never answer with a signal.

    Signals
    -------
    action(str)
        A button was pressed: a name in `shortcuts.ACTIONS`, or ``"folder"``, ``"files"``, ``"layers"``, ``"again"``,
        ``"all"``, ``"save"`` or ``"export"``.
    folder_chosen(Path)
        One of the recent folders.
    name_given(str)

    Attributes
    ----------
    list : WorklistView
    threshold_row : ThresholdRow
    class_row : ClassRow
    model_row : ModelRow
    question : RestoreQuestion
    masks_row : RunRow
        *Export masks…*, with its progress.
    replacing : Question
        Whether to replace masks that exist already.
    light : FamiliarityLabel
    verdict : VerdictRow
        Where retraining could not tell whether its model is better.
    saved, hint, retraining : WrappedLabel
        What changed and when it was saved, that the model cannot reproduce the mask, and how far retraining is.
    status : str
        The sentence shown last.
    """

    action = Signal(str)
    folder_chosen = Signal(object)
    name_given = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.list = WorklistView()
        self.threshold_row, self.class_row = ThresholdRow(), ClassRow()
        self.question = RestoreQuestion()
        self.model_row = ModelRow()
        self.masks_row, self.replacing = RunRow(*_EXPORT, "Stop", "Stop; what is written stays"), Question()
        self.verdict = VerdictRow()
        self.saved, self.hint, self.retraining = WrappedLabel(), WrappedLabel(), WrappedLabel()
        self.status = ""
        self._labels: dict[str, str] = {}
        self._action_buttons = {name: self._action_button(name) for name in _ACTIONS}
        self._buttons: dict[str, QPushButton] = {**self._action_buttons}
        for name, (text, tooltip) in _KEYLESS.items():
            self._buttons[name] = push_button(text, tooltip, partial(self.action.emit, name))
        self._recent = ChoiceList("recent folders")
        self._overwrite, self._exported, self._format = ChoiceList(), ChoiceList(), ChoiceList()
        self._smallest = _count(2, 1_000_000, 50, " px", "Islands with fewer pixels than this are removed.")
        self._every = _count(1, 999, 5, " approvals", "The number of approvals between two updates.")
        self._retrains = QCheckBox("Retrain after every")
        self._editor = QLineEdit()
        self._name, self.light = QLabel(), FamiliarityLabel()
        self._status = WrappedLabel()
        self._away: QWidget | None = None  # what had the focus, and cannot have it for a moment
        self._lay_out()
        self._recent.chosen.connect(lambda: self.folder_chosen.emit(self._recent.value))
        self.model_row.failed.connect(self.say_problem)
        self._editor.editingFinished.connect(lambda: self.name_given.emit(self._editor.text()))
        self.set_labels({name: action.title for name, action in _ACTIONS.items()})
        self.set_shown("", False)
        # napari puts a stretch below what does not want to grow.
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)

    # What is chosen

    @property
    def overwrite(self) -> Overwrite:
        """What a new prediction may do to a mask."""
        value: Overwrite = self._overwrite.value
        return value

    @property
    def retrain_every(self) -> int:
        """After how many approvals to retrain; 0 for never."""
        return self._every.value() if self._retrains.isChecked() else 0

    @property
    def smallest(self) -> int:
        """The smallest island that stays, in pixels."""
        return self._smallest.value()

    @property
    def only_approved(self) -> bool:
        """Whether only approved masks are exported, or all that somebody worked on."""
        return bool(self._exported.value)

    @property
    def mask_format(self) -> str:
        """The ending of exported files; empty for that which fits the image."""
        return str(self._format.value)

    def is_checked(self, name: str) -> bool:
        """Whether a layer of ours is to be shown: ``"uncertainty"`` or ``"changes"``."""
        return self._buttons[name].isChecked()

    # What is shown

    def set_recent(self, folders: Sequence[Path], current: Path | None = None) -> None:
        """Offer folders that were open lately, and name the one that is open."""
        names = [(folder.name or str(folder), folder) for folder in folders]
        self._recent.set_choices(names, None, [str(folder) for folder in folders])
        self._recent.setCurrentIndex(folders.index(current) if current in folders else -1)
        self._recent.setEnabled(bool(folders))

    def set_labels(self, labels: dict[str, str]) -> None:
        """Show the actions' titles with their keys."""
        self._labels = labels
        for name, action in _ACTIONS.items():
            label, title = labels.get(name, action.title), _SHORT.get(name, action.title)
            self._action_buttons[name].set_label(label.replace(action.title, title), title)

    def set_shown(self, name: str, approved: bool, details: str = "") -> None:
        """Show which image is on screen, and switch on what can be done with it."""
        self._name.setText(f"✓ Approved and locked: {name}" if approved else name)
        self._name.setToolTip(details)
        self._name.setVisible(bool(name))
        focus = self._focus()
        for action, known in _ACTIONS.items():
            may = bool(name) and not (approved and action not in _HARMLESS)
            if action in ("next", "previous"):
                may = self.list.model.worklist is not None
            self._buttons[action].setEnabled(may)
            key = self._labels.get(action, "").removeprefix(known.title).strip()
            explained = f"{known.explained} ({key})" if key else known.explained
            self._buttons[action].setToolTip(explained if may else LOCKED if name else _NO_IMAGE)
        self._buttons["approve"].setVisible(not approved)
        self._buttons["withdraw"].setVisible(approved)
        self.threshold_row.setEnabled(bool(name) and not approved)
        self.class_row.set_why_not("" if name and not approved else LOCKED if name else _NO_IMAGE)
        self._buttons["again"].setEnabled(bool(name) and not approved)
        self._buttons["save"].setEnabled(bool(name))
        self._keep_focus(focus)

    def say(self, sentence: str, kind: str = "news") -> None:
        """Show what happened; `kind` is ``"problem"`` for what went wrong."""
        self.status = sentence
        self._status.say(f"{_WARNING if kind == 'problem' and sentence else ''}{sentence}")

    def say_problem(self, sentence: str) -> None:
        """Say what went wrong, where it is seen."""
        self.say(sentence, "problem")
        notify_if_hidden(self, sentence)

    def click(self, name: str) -> None:
        """Press a button, if it is enabled."""
        self._buttons[name].click()

    def set_checked(self, name: str, checked: bool) -> None:
        """Show whether a layer of ours is on."""
        self._buttons[name].setChecked(checked)

    def set_boxing(self, state: str) -> None:
        """Show what the box is doing."""
        label = self._labels.get("box", "Box") if state == "idle" else "Cancel box"
        self._action_buttons["box"].set_label(label, "Box" if state == "idle" else label)

    def set_model(self, name: str) -> None:
        """Show which model predicts, even while it cannot be chosen."""
        self._model_fold.set_title(f"Model {name}, retraining" if name else "Model, retraining")

    def set_editor(self, name: str) -> None:
        """Show the name that edits are signed with."""
        self._editor.setText(name)

    def _focus(self) -> QWidget | None:
        """What has the focus in the panel, or will have it again."""
        now = QApplication.focusWidget()
        if self._away is not None and now is self.list.table:
            return self._away
        return now if now is not None and self.isAncestorOf(now) else None

    def _keep_focus(self, focus: QWidget | None) -> None:
        """Give the focus back; while it cannot be had, the list has it, and not whichever button comes next."""
        was_away, self._away = self._away, None
        if focus is not None and not focus.isEnabled():
            self._away = focus
            self.list.table.setFocus()
        elif focus is not None and focus is was_away:
            focus.setFocus()

    # Layout

    def _action_button(self, name: str) -> _ActionButton:
        button = _ActionButton()
        button.clicked.connect(lambda: self.action.emit(name))
        button.setCheckable(name in LAYERS)
        return button

    def _lay_out(self) -> None:
        top = add_all(QHBoxLayout(), *(self._buttons[name] for name in ("folder", "files", "layers")))
        top.addWidget(self._recent, 1)
        above, column = _column(8, 8, 8, 4)
        column.addLayout(top)
        column.addWidget(self.list, 1)
        exports, self._model_fold = Fold("Save, export", self._exports()), Fold("Model, retraining", self._more())
        scrolled, below = ScrolledPanel(self._scrolled(exports)), QWidget()
        for fold in (exports, self._model_fold):
            fold.unfolded.connect(partial(scrolled.ensureWidgetVisible, fold, 0, 0))
        splitter = QSplitter(Qt.Orientation.Vertical)
        splitter.addWidget(above)
        steps = self._grid(("previous", "next"), ("skip", "approve"))
        steps.addWidget(self._buttons["withdraw"], 1, 1)  # one of the two is there
        pinned, column = _column(8, 4, 8, 0)
        column.setSpacing(6)
        add_all(column, self._name, self.light, steps)
        add_all(QVBoxLayout(below), pinned, scrolled).setContentsMargins(0, 0, 0, 0)
        splitter.addWidget(below)
        splitter.setChildrenCollapsible(False)
        splitter.setStretchFactor(0, 1)
        splitter.setStretchFactor(1, 0)
        splitter.setSizes([420, 380])
        add_all(QVBoxLayout(self), splitter).setContentsMargins(0, 0, 0, 0)
        names = {"Recent folders": self._recent, "New results": self._overwrite, "Your name": self._editor}
        names |= {"Exported masks": self._exported, "Format": self._format}
        for name, field in {**names, "Smallest island": self._smallest, "Approvals": self._every}.items():
            field.setAccessibleName(name)

    def _scrolled(self, exports: QWidget) -> QWidget:
        """What scrolls away where the window is low, other than the steps."""
        half, column = _column(8, 4, 8, 8)
        column.setSpacing(6)
        self._name.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self._name.setStyleSheet("font-weight: bold;")
        font = self._buttons["approve"].font()
        font.setBold(True)
        self._buttons["approve"].setFont(font)
        add_all(column, self.question, self.saved, self.hint, self._status, self.retraining, self.verdict)
        add_all(column, Fold("Tools", self._tools(), unfolded=True), exports, self._model_fold)
        column.addStretch(1)
        return half

    def _tools(self) -> QWidget:
        body, column = _column()
        column.setSpacing(4)
        self.threshold_row.setToolTip(
            "The mask is where the probability reaches this value. Your edits stay. Ctrl+Z undoes the change."
        )
        threshold = add_all(QHBoxLayout(), QLabel("Threshold"), self.threshold_row)
        threshold.setStretch(1, 1)
        islands = add_all(QHBoxLayout(), QLabel("Islands below"), self._smallest)
        islands.setStretch(1, 1)
        cleaning = ("fill_holes", "keep_largest"), ("smooth", "remove_islands")
        rows = (("box", "next_uncertain"), LAYERS, ("mask", "undo"), *cleaning)
        add_all(column, self.class_row, threshold, self._grid(*rows), islands)
        return body

    def _exports(self) -> QWidget:
        body, column = _column()
        column.setSpacing(4)
        self._exported.set_choices(_EXPORTED, True)
        self._format.set_choices(_FORMATS, "", _FORMATS_SAY)
        choices = add_all(QHBoxLayout(), self._exported, QLabel("as"), self._format)
        for place, choice in ((0, self._exported), (2, self._format)):
            choice.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
            choices.setStretch(place, 1)
        add_all(column, self._grid(("save", "export")), choices, self.masks_row, self.replacing)
        return body

    def _more(self) -> QWidget:
        body, form = QWidget(), QFormLayout()
        form.setContentsMargins(0, 0, 0, 0)
        form.setSpacing(4)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        choices = [(label, value) for value, label in _OVERWRITE.items()]
        self._overwrite.set_choices(choices, DEFAULT, [EXPLAINED[value] for value in _OVERWRITE])
        self._editor.setPlaceholderText("shown with your edits")
        self._retrains.setToolTip("Run a Quick fine-tuning in the background; the result is used if it is not worse.")
        retraining = add_all(QHBoxLayout(), self._retrains, self._every)
        retraining.addStretch(1)
        buttons = QGridLayout()
        for at, name in enumerate(("again", "all")):
            self._buttons[name].setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
            buttons.addWidget(self._buttons[name], 0, at)
        form.addRow("Model", self.model_row)
        form.addRow("New results", self._overwrite)
        form.addRow("Your name", self._editor)
        form.addRow(retraining)
        form.addRow(buttons)
        body.setLayout(form)
        return body

    def _grid(self, *rows: tuple[str, ...]) -> QGridLayout:
        grid = QGridLayout()
        grid.setSpacing(4)
        for row, names in enumerate(rows):
            for column, name in enumerate(names):
                grid.addWidget(self._buttons[name], row, column)
                grid.setColumnStretch(column, 1)
        return grid


def _column(*margins: int) -> tuple[QWidget, QVBoxLayout]:
    widget = QWidget()
    column = QVBoxLayout(widget)
    column.setContentsMargins(*(margins or (0, 0, 0, 0)))
    return widget, column


def _count(least: int, most: int, value: int, suffix: str, tooltip: str) -> QSpinBox:
    box = QSpinBox()
    box.setRange(least, most)
    box.setValue(value)
    box.setSuffix(suffix)
    box.setButtonSymbols(QSpinBox.ButtonSymbols.NoButtons)
    box.setToolTip(tooltip)
    return box
