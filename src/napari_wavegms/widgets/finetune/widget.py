"""The coordinator of "Wave-GMS Fine-tune": the only part of it that knows both the viewer and the panel."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from functools import partial
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from napari.layers import Labels
from qtpy.QtWidgets import QFileDialog, QVBoxLayout

from napari_wavegms.corrections.store import CorrectionStore
from napari_wavegms.errors import InputError, WaveGMSError
from napari_wavegms.finetune.events import FineTuneRequest, FineTuneResult
from napari_wavegms.finetune.from_corrections import iter_from_corrections, keep_job, recover_job
from napari_wavegms.finetune.preflight import Remedy, Trouble
from napari_wavegms.finetune.presets import FULL, QUICK, Preset
from napari_wavegms.finetune.versions import STARTING_MODEL, ModelVersions, Version
from napari_wavegms.model.classes import OBJECTS, LabelsNeeded, labels_sentence
from napari_wavegms.model.registry import NO_MODEL
from napari_wavegms.widgets.finetune.lists import START, version_rows
from napari_wavegms.widgets.finetune.pairs import (
    Decisions,
    FolderRead,
    OpenPair,
    folder_job,
    forget_job,
    not_stored,
    open_pairs,
    stored_rows,
    with_stored_noted,
)
from napari_wavegms.widgets.finetune.panel import FineTunePanel
from napari_wavegms.widgets.finetune.run import FineTuneRun
from napari_wavegms.widgets.finetune.strokes import Strokes
from napari_wavegms.widgets.forms.model_row import models_to_start_from
from napari_wavegms.widgets.jobs import JobRunner, Outcome
from napari_wavegms.widgets.layers.classes import named_labels
from napari_wavegms.widgets.layers.viewer import ViewerEvents, notify_if_hidden
from napari_wavegms.widgets.qt.controls import fill, mark
from napari_wavegms.widgets.qt.docks import DockedWidget, ScrolledPanel
from napari_wavegms.widgets.tools.comparison import Verdict
from napari_wavegms.wording import counted, listed

if TYPE_CHECKING:
    from napari.components import ViewerModel

_MOST_SINGLE = 3  # labels of which each has a button of its own
_NO_PAIR = "There is no image with a mask yet. Open an image and segment it, or add a folder."


class FineTuneWidget(DockedWidget):
    """The dock widget that napari opens; the first of the presets is chosen."""

    # napari passes the viewer by this name.
    def __init__(self, napari_viewer: ViewerModel, presets: Iterable[Preset] = (QUICK, FULL)) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self.panel = FineTunePanel(presets)
        self._events = ViewerEvents(napari_viewer, layers=self._on_layers)
        self._learner, self._helper = JobRunner(self), JobRunner(self)
        self._verdict = Verdict(napari_viewer, self.panel.verdict, self)
        self._store, self._versions = CorrectionStore(), ModelVersions()
        self._decisions = Decisions()
        self._folders: dict[Path, FolderRead] = {}
        self._pairs: list[OpenPair] = []
        self._forgettable: tuple[list[str], list[str]] = [], []  # the one asked about, and all that are not ticked
        self._run: FineTuneRun | None = None
        self._stop = Event()
        self._needed: LabelsNeeded | None = None  # what was asked about labels last
        self._strokes = Strokes(self)
        fill(QVBoxLayout(self), ScrolledPanel(self.panel))
        self._connect()
        self._open()

    @property
    def busy(self) -> bool:
        """Whether a fine-tuning runs."""
        return self._learner.busy

    @property
    def helping(self) -> bool:
        """Whether pairs are read or stored, or a folder is: the list is not what it will be."""
        return self._helper.busy

    # What a person does

    def fine_tune(self) -> None:
        """Do what a press on Fine-tune does."""
        if self._strokes.masks:
            self._on_strokes()  # a press right after a stroke
        try:
            current = self._versions.current_path()
        except InputError as error:
            self.panel.say(str(error), "problem")
            return
        choice, left_out = self.panel.model_row.choice, self._decisions.left_out
        if self.busy or choice is None or not self.panel.learn_row.is_enabled:
            return
        device = self.panel.device_row.wish
        self.panel.labels.dismiss()
        request = FineTuneRequest(
            (),
            choice.path,
            choice.name,
            current=current,
            preset=self.panel.preset,
            device=device,
            learned=self._decisions.learned.get(len(choice.card.class_names) - 1),
            label_names=self._label_names(),
        )
        candidates = [
            *(drawn.copied() for pair in self._pairs for drawn, _ in pair.ready),
            *(candidate for read in self._folders.values() for candidate in read.included(left_out)),
        ]
        # An open image that is left out is not learned from its stored correction either.
        content = {report.content for pair in self._pairs if not pair.row.included for report in pair.reports}
        without = frozenset(left_out | content)
        self._stop = Event()
        self._run = FineTuneRun(self.panel, device)
        self._learner.start(partial(iter_from_corrections, request, self._stop.is_set, candidates, without))

    def _label_names(self) -> dict[int, str]:
        """The names of labels in the open masks."""
        masks = [layer for layer in self._viewer.layers if isinstance(layer, Labels)]
        return {label: name for mask in masks for label, name in named_labels(mask).items()}

    def _ask_about_labels(self, needed: LabelsNeeded) -> None:
        """Ask what becomes of labels that are no classes of the model; the answer starts the training again."""
        names, new = self._label_names(), [label for label in needed.values if label > needed.classes]
        each = f"Add {listed(names.get(label, f'label {label}') for label in new)}" if needed.classes > 1 else "Each"
        answers = {} if len(needed.values) >= OBJECTS else {"each": (each, "Each label is a class of its own.")}
        if needed.classes == 1:
            answers["all"] = "All as one", "Whatever is labelled is one class."
            few = needed.values if len(needed.values) <= _MOST_SINGLE else ()
            answers |= {str(label): (f"Only {label}", f"Label {label} alone; the rest is background.") for label in few}
        else:
            answers["known"] = "Leave them out", "They are background; the model's own classes are learned."
        self._needed = needed
        self.panel.labels.ask(f"{labels_sentence(needed.values, needed.classes)} What is to be learned?", answers)

    def _on_labels(self, answer: str) -> None:
        if self._needed is not None:
            learned = int(answer) if answer.isdecimal() else answer
            self._decisions.learned[self._needed.classes] = learned  # type: ignore[assignment]
            self.fine_tune()

    def stop(self) -> None:
        """End the learning and keep the best; a second time, do not wait for its scores either."""
        if not self.busy or self._run is None:
            return
        if self._stop.is_set():
            self._learner.cancel()
        self._stop.set()
        self._run.stopping()

    def keep(self) -> None:
        """Store the open pairs."""
        self.refresh_pairs()
        try:
            approvals = [drawn.approval() for pair in self._pairs for drawn in not_stored(self._store, pair)]
        except WaveGMSError as error:
            self._say_problem(str(error))
            return
        if approvals and not self._helper.busy:
            self._helper.start(partial(keep_job, approvals))

    def add_folder(self, folder: Path) -> None:
        """Read the pairs of a folder with `images` and `masks` inside."""
        if not self._helper.busy:
            self.panel.say(f"Reading {folder.name}…")
            self._helper.start(partial(folder_job, folder))

    def use(self, number: int) -> None:
        """Put another version in use, 0 for the model before the first."""
        promoted = {version.number for version in self._versions.versions() if version.promoted}
        goes_back = number == STARTING_MODEL or number in promoted
        name = START if number == STARTING_MODEL else f"v{number}"
        try:
            self._versions.roll_back(number) if goes_back else self._versions.promote(number)
        except WaveGMSError as error:
            self._say_problem(str(error))
        else:
            self._verdict.decided()
            self.panel.say(f"{name} is in use{' again' if goes_back else ''}.")
        self.refresh_models()

    # What is seen

    def refresh_models(self) -> None:
        """Read the installed models and the versions again."""
        models, why = models_to_start_from(self._versions)
        self.panel.model_row.set_models(models)
        self.panel.why_start.say(why)
        try:
            rows = version_rows(self._versions)
        except InputError:  # said as the reason for the model to start from
            rows = []
        self.panel.versions.set_rows(rows)

    def refresh_pairs(self) -> None:
        """Read the open layers and the stored corrections again."""
        self._strokes.watch(self._viewer)
        self._read_pairs({})

    def _on_strokes(self) -> None:
        """Read only what was painted in; large images take their time."""
        painted = self._strokes.masks
        self._read_pairs({pair.row.key: pair for pair in self._pairs if pair.row.mask not in painted})

    def _read_pairs(self, unchanged: dict[Hashable, OpenPair]) -> None:
        try:
            self._show_pairs(unchanged)
        except InputError as error:  # the corrections cannot be read
            self.panel.ready.say(str(error))

    def _show_pairs(self, unchanged: dict[Hashable, OpenPair]) -> None:
        self._strokes.forget()
        left_out = self._decisions.left_out
        found = open_pairs(self._viewer, self._decisions, self._store, unchanged)
        self._pairs = [with_stored_noted(self._store, pair) for pair in found]
        stored = stored_rows(self._store, self._pairs, left_out)
        of_folders = [row for read in self._folders.values() for row in read.rows(left_out)]
        rows = [*(pair.row for pair in self._pairs), *of_folders, *stored]
        # What waits for a decision stands on top, where it is seen.
        self.panel.pairs.set_rows(sorted(rows, key=lambda row: row.ready or not row.included))
        counts = [f"{len(self._pairs)} open", f"{len(self._store.corrections())} stored"]
        counts += [f"{len(of_folders)} from folders"] * bool(of_folders)
        self.panel.counts.say(f"Training images: {', '.join(counts)}")
        waiting = sum(row.included and not row.ready for row in rows)
        words = f"{counted(waiting, 'image')} will be left out unless you decide otherwise." if waiting else ""
        self.panel.ready.say(
            " ".join([words, *dict.fromkeys((*self._store.warnings, *self._versions.warnings))]).strip()
        )
        self.panel.set_keep(sum(len(not_stored(self._store, pair)) for pair in self._pairs))
        self._check_start()

    def _catch_up(self) -> None:
        self.refresh_models()
        self.refresh_pairs()

    def _connect(self) -> None:
        panel = self.panel
        panel.learn_row.start_requested.connect(self.fine_tune)
        panel.learn_row.cancel_requested.connect(self.stop)
        panel.pairs.included.connect(self._on_included)
        panel.pairs.mask_chosen.connect(self._on_mask)
        panel.pairs.remedy_chosen.connect(self._on_remedy)
        panel.pairs.forget_requested.connect(self._on_forget)
        panel.forgetting.answered.connect(self._on_forgetting)
        panel.labels.answered.connect(self._on_labels)
        panel.keep_requested.connect(self.keep)
        panel.add_folder_requested.connect(self._ask_for_folder)
        self._verdict.said.connect(panel.say)
        self._verdict.chosen.connect(self._on_choice)
        panel.versions.use_requested.connect(self.use)
        panel.model_row.chosen.connect(self._check_start)
        panel.device_row.chosen.connect(self._check_start)
        self._learner.progressed.connect(self._on_progress)
        self._learner.ended.connect(self._on_end)
        self._helper.ended.connect(self._on_helped)
        self._strokes.ended.connect(self._on_strokes)

    def _open(self) -> None:
        if self._events.is_open:
            return
        self._events.open()
        self._catch_up()
        if not self._helper.busy:
            self._helper.start(recover_job)

    def _close(self) -> None:
        self._events.close()
        self._strokes.close()
        self._verdict.close()
        for runner in (self._learner, self._helper):
            runner.abandon()
        self._run = None
        self.panel.learn_row.set_idle()

    def _on_layers(self) -> None:
        self._verdict.refresh()
        self.refresh_pairs()

    def _check_start(self) -> None:
        """Switch the button on, or off with the reason."""
        rows = [row for row in self.panel.pairs.rows if row.included]
        no_device = self.panel.device_row.why_not
        mark(self.panel.device_row.devices, no_device)
        why_not = no_device
        if not rows:
            why_not = next((row.problem for row in self.panel.pairs.rows if row.problem), _NO_PAIR)
        elif not any(row.ready for row in rows):
            why_not = f"No image is ready: {rows[0].problem or f'{rows[0].name}: {rows[0].summary}.'}"
        elif self.panel.model_row.choice is None:
            why_not = NO_MODEL
        # What is wrong with the device stands under the device already.
        self.panel.learn_row.set_why_not(why_not, say=why_not != no_device)

    # What was decided about pairs

    def _on_included(self, key: Hashable, wanted: bool) -> None:
        left_out = self._decisions.left_out
        (left_out.discard if wanted else left_out.add)(key)
        if wanted:  # an uncorrected prediction is approved so
            self._decisions.remedies[key, Trouble.UNTOUCHED] = Remedy.KEEP
        self.refresh_pairs()

    def _on_mask(self, key: Hashable, mask_id: Hashable) -> None:
        self._decisions.masks[key] = mask_id
        self.refresh_pairs()

    def _on_remedy(self, key: Hashable, remedy: Remedy) -> None:
        if remedy is Remedy.LEAVE_OUT:
            self._on_included(key, False)
            return
        for report in (report for pair in self._pairs if pair.row.key == key for report in pair.reports):
            for problem in report.problems[:1]:
                self._decisions.remedies[key, problem.trouble] = remedy
        self.refresh_pairs()

    def _on_forget(self, image: Hashable) -> None:
        """Ask about one stored correction, or about all that are not ticked where it is one of several."""
        stored = [row for row in self.panel.pairs.rows if row.stored]
        (row,) = (row for row in stored if row.key == image)
        left_out = [row.stored for row in stored if not row.included]
        self._forgettable = list(row.stored), [content for contents in left_out for content in contents]
        answers = {"one": ("Forget it", f"Forget {row.name}")}
        unticked = len(left_out)
        if not row.included and unticked > 1:
            answers["unticked"] = (f"Forget all {unticked} unticked", "Forget every stored correction that is left out")
        self.panel.forgetting.ask(
            f"Forget {row.name} for good? Its stored image and mask and the pixels of its edits are deleted. The file "
            "that it came from, open layers and models that learned from it stay.",
            answers | {"keep": ("Keep", "Delete nothing")},
        )

    def _on_forgetting(self, answer: str) -> None:
        if answer != "keep" and not self._helper.busy:
            images = self._forgettable[answer == "unticked"]
            self._helper.start(partial(forget_job, self._store, images))

    def _ask_for_folder(self) -> None:
        dialog = QFileDialog(self, "A folder of images and masks")
        dialog.setFileMode(QFileDialog.FileMode.Directory)
        dialog.fileSelected.connect(lambda name: self.add_folder(Path(name)))
        dialog.open()

    # The run

    def _on_progress(self, event: object) -> None:
        if self._run is not None:
            self._run.take(event)

    def _on_end(self, outcome: Outcome) -> None:
        run, self._run = self._run, None
        self.panel.learn_row.set_idle()
        if run is not None:
            run.draw()
        result = outcome.result
        if isinstance(result, FineTuneResult):
            self._verdict.offer(result, self.panel.device_row.wish)
            self.panel.say(result.sentence)
        elif isinstance(outcome.error, LabelsNeeded):
            self.panel.say("")
            self._ask_about_labels(outcome.error)
        elif outcome.error is not None:
            self._say_problem(str(outcome.error), outcome.details)
        else:
            self.panel.say("Stopped. What was learned by then is in the list of versions, unscored.")
        self.refresh_models()

    def _on_choice(self, result: FineTuneResult, wants_new: bool) -> None:
        if wants_new and result.version is not None:
            self.use(result.version.number)

    # The helpers

    def _on_helped(self, outcome: Outcome) -> None:
        result = outcome.result
        if outcome.error is not None:
            self._say_problem(str(outcome.error), outcome.details)
        elif isinstance(result, FolderRead):
            self._folders[result.folder] = result
            self.panel.say(result.sentence)
        elif isinstance(result, Version):
            self.panel.say(f"The last training was cut off; its best model is kept as {result.name}, unscored.")
            self.refresh_models()
        elif isinstance(result, str):
            self.panel.say(result)
        self.refresh_pairs()

    def _say_problem(self, sentence: str, details: str = "") -> None:
        self.panel.say(sentence, "problem", details)
        notify_if_hidden(self.panel, sentence)
