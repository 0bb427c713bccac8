"""Approve images, take approvals back, and retrain on what was approved."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from qtpy.QtCore import QObject, Signal

from napari_wavegms.corrections.records import Approval
from napari_wavegms.corrections.store import CorrectionStore
from napari_wavegms.errors import InputError, WaveGMSError
from napari_wavegms.finetune.events import FineTuneRequest, FineTuneResult, Stage
from napari_wavegms.finetune.from_corrections import iter_from_corrections
from napari_wavegms.finetune.presets import Preset
from napari_wavegms.finetune.versions import ModelVersions
from napari_wavegms.segment.measure import total_size
from napari_wavegms.segment.segmenter_cache import Progress
from napari_wavegms.storage.content_hash import content_hash
from napari_wavegms.widgets.jobs import JobRunner, Outcome
from napari_wavegms.widgets.layers.mask_history import plane_key
from napari_wavegms.widgets.review.current_image import CurrentImage, ReviewContext
from napari_wavegms.widgets.review.layers import Shown
from napari_wavegms.widgets.review.prefetch import LoadedImage
from napari_wavegms.widgets.review.tools import ReviewTools
from napari_wavegms.widgets.tools.comparison import Verdict


def approvals_of(shown: Shown, threshold: float, editor: str) -> list[Approval]:
    """The labelled planes of a stack, or the one plane of an image; `threshold` is for planes without a prediction."""
    loaded, is_stack = shown.loaded, shown.loaded.plan.total > 1
    approvals = []
    for number, (index, label_index) in enumerate(loaded.planes, 1):
        labels = np.array(shown.mask.data[label_index])
        if is_stack and not labels.any():
            continue
        ours = shown.memory.plane(plane_key(label_index)).ours(labels)
        approvals.append(
            Approval(
                name=f"{loaded.name} {number}" if is_stack else loaded.name,
                image=np.array(loaded.pixels[index]),
                mask=labels,
                prediction=None if ours is None else ours.mask(),
                source=loaded.source,
                plane=tuple(at for at in label_index if not isinstance(at, slice)) if is_stack else (),
                spacing=None if is_stack else loaded.spacing,
                model="" if ours is None else shown.memory.model,
                threshold=threshold if ours is None else ours.threshold,
                editor=editor,
                window=None if ours is None else ours.window,
            )
        )
    return approvals


def size_of(shown: Shown) -> tuple[float | None, str]:
    """Area or volume of what a mask shows, all labels together, and its unit; None of a series of frames."""
    plan = shown.loaded.plan
    if plan.total > 1 and plan.noun == "frame":
        return None, ""
    labels = np.asarray(shown.mask.data)
    sides = labels.shape[-2:] if plan.total == 1 else (-1, *labels.shape[-2:])
    return total_size(labels.reshape(sides), shown.loaded.spacing)


def approve_job(store: CorrectionStore, approvals: Sequence[Approval]) -> Generator[None, None, str]:
    """Store the approved planes of an image; at the first time ever, returns what is kept where."""
    notice = store.notice
    for approval in approvals:
        yield
        store.approve(approval)
    return notice


def withdraw_job(store: CorrectionStore, loaded: LoadedImage, editor: str) -> Generator[None, None, None]:
    """Take back the approval of every plane of an image."""
    for index, _ in loaded.planes:
        yield
        content = content_hash(loaded.pixels[index])
        if store.find(content) is not None:
            store.withdraw(content, editor)


class Approvals(QObject):
    """*Approve* and *Un-approve*, and retraining after so many approvals.

    Signals
    -------
    retrained()
        A run has ended, or somebody has chosen; another version may be in use.

    Attributes
    ----------
    verdict : Verdict
        Compares the models after a retraining; what it shows leaves with the image.
    """

    retrained = Signal()

    def __init__(
        self,
        context: ReviewContext,
        current: CurrentImage,
        tools: ReviewTools,
        show_next: Callable[[], None],
        preset: Preset,
    ) -> None:
        super().__init__(context.panel)
        self._panel, self._store, self._journal = context.panel, context.store, context.journal
        self._current, self._tools, self._show_next, self._preset = current, tools, show_next, preset
        self._count = 0
        self._is_noticed = False  # it was said what is kept where, until the next approval
        self.verdict = Verdict(context.viewer, self._panel.verdict, self)
        self.verdict.said.connect(lambda sentence, _kind: self._panel.retraining.say(sentence))
        self.verdict.chosen.connect(self._on_choice)
        current.arrived.connect(self.verdict.hide)
        self._stored: tuple[Shown, bool]  # what is on its way to the disk, and whether as approved
        self._storing, self._training = JobRunner(self), JobRunner(self)
        self._training.progressed.connect(self._on_progress)
        self._training.ended.connect(self._on_trained)
        self._storing.ended.connect(self._on_stored)

    @property
    def is_training(self) -> bool:
        """Whether a model is being retrained."""
        return self._training.busy

    def approve(self) -> None:
        """Store the mask on screen, lock it and show the next image."""
        shown = self._current.shown
        if shown is None or shown.approved or self._current.busy:
            return
        self._tools.settle()
        self._tools.box.close()
        shown.mask.mode = "pan_zoom"  # ends a shape that was begun
        self._journal.settle()
        approvals = approvals_of(shown, self._panel.threshold_row.value, self._journal.editor)
        if approvals:
            shown.lock(True)  # nothing is drawn while it is on its way to the disk
            self._start(shown, True, partial(approve_job, self._store, approvals))
        else:
            self._current.select()
            self._panel.say_problem(
                f"The mask of {shown.loaded.name} is empty, so there is nothing to approve. Draw something, or press "
                "Skip."
            )

    def withdraw(self) -> None:
        """Take the approval of the image on screen back, so that it can be changed."""
        shown = self._current.shown
        if shown is not None and shown.approved and not self._current.busy:
            self._start(shown, False, partial(withdraw_job, self._store, shown.loaded, self._journal.editor))

    def close(self) -> None:
        """Stop retraining."""
        self._training.abandon()
        self.verdict.close()

    def _start(self, shown: Shown, approve: bool, job: Callable[[], Generator[None, None, str | None]]) -> None:
        self._stored = shown, approve
        self._current.is_saving = True
        self._storing.start(job)

    def _on_stored(self, outcome: Outcome) -> None:
        shown, approve = self._stored
        self._current.is_saving = False
        if outcome.error is not None:
            self._panel.say_problem(str(outcome.error))
            approve = not approve  # it is as it was
        else:
            size, unit = size_of(shown) if approve else (None, "")
            self._current.note_state(shown, "approved" if approve else "corrected", size=size, unit=unit)
            self._count = max(0, self._count + (1 if approve else -1))
            shown.kept = True
            if outcome.result or self._is_noticed:
                self._panel.retraining.say(outcome.result or "")
            self._is_noticed = bool(outcome.result)
        if shown is self._current.shown:
            shown.lock(approve)
            self._current.select()
            self._current.refresh()
        if approve and outcome.error is None:
            self._after_approval(shown)

    def _after_approval(self, shown: Shown) -> None:
        if shown is self._current.shown:
            self._journal.finish("approved")
        every = self._panel.retrain_every
        if every and self._count >= every and not self.is_training:
            self._retrain()
        self._show_next()

    def _retrain(self) -> None:
        choice = self._panel.model_row.choice
        if choice is None:
            return
        self._count = 0
        request = FineTuneRequest((), choice.path, choice.name, current=_current_version(), preset=self._preset)
        self._panel.verdict.set_outcome(False)
        self._panel.retraining.say("Retraining on the approved images…")
        self._training.start(partial(iter_from_corrections, request, lambda: False))

    def _on_progress(self, event: object) -> None:
        if isinstance(event, Progress | Stage):
            self._panel.retraining.say(event.sentence)

    def _on_trained(self, outcome: Outcome) -> None:
        is_done = isinstance(outcome.result, FineTuneResult)
        self._panel.retraining.say(outcome.result.sentence if is_done else str(outcome.error or ""))
        if is_done:
            self.verdict.offer(outcome.result)
        self.retrained.emit()

    def _on_choice(self, result: FineTuneResult, wants_new: bool) -> None:
        if wants_new and result.version is not None:
            try:
                ModelVersions().promote(result.version.number)
            except WaveGMSError as error:
                self._panel.say_problem(str(error))
                return
            self._panel.retraining.say(f"{result.version.name} is in use.")
            self.retrained.emit()


def _current_version() -> Path | None:
    try:
        return ModelVersions().current_path()
    except InputError:
        return None
