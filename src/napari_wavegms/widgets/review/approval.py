"""Approve and withdraw, and learn from what was approved."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from qtpy.QtCore import QObject, Signal

from napari_wavegms.corrections.records import Approval
from napari_wavegms.corrections.store import CorrectionStore
from napari_wavegms.errors import InputError, WaveGMSError
from napari_wavegms.finetune.events import FineTuneResult, Stage
from napari_wavegms.finetune.from_corrections import FineTuneInputs, iter_from_corrections
from napari_wavegms.finetune.presets import QUICK, Preset
from napari_wavegms.finetune.versions import ModelVersions
from napari_wavegms.segment.segmenter_cache import Progress
from napari_wavegms.storage.content_hash import content_hash
from napari_wavegms.storage.user_data import editor_name
from napari_wavegms.widgets.forms.model_row import ModelChoice
from napari_wavegms.widgets.jobs import JobRunner, Outcome
from napari_wavegms.widgets.review.context import ReviewContext
from napari_wavegms.widgets.review.current_image import CurrentImage
from napari_wavegms.widgets.review.image import ReviewImage
from napari_wavegms.widgets.review.tools import ReviewTools


@dataclass(frozen=True, slots=True)
class Done:
    """An image was approved, or its approval was taken back."""

    key: str
    content: str
    what: Literal["approved", "withdrawn"]


class Approver(QObject):
    """Works for one image at a time.

    Signals
    -------
    done(Done)
        It is on disk.
    failed(str, str)
        Why nothing has changed, and details for a report.
    """

    done = Signal(object)
    failed = Signal(str, str)

    def __init__(self, store: CorrectionStore, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._store = store
        self._runner = JobRunner(self)
        self._runner.ended.connect(self._on_end)

    @property
    def busy(self) -> bool:
        """Whether something is on its way to the disk."""
        return self._runner.busy

    def approve(self, picture: ReviewImage, approvals: Sequence[Approval]) -> None:
        """Keep corrections of one image."""
        self._runner.start(partial(approve_job, self._store, picture, approvals))

    def withdraw(self, picture: ReviewImage, editor: str) -> None:
        """Take the approval of an image back."""
        self._runner.start(partial(withdraw_job, self._store, picture, editor))

    def _on_end(self, outcome: Outcome) -> None:
        if isinstance(outcome.result, Done):
            self.done.emit(outcome.result)
        else:
            self.failed.emit(str(outcome.error or "Nothing was changed."), outcome.details)


def approve_job(
    store: CorrectionStore, picture: ReviewImage, approvals: Sequence[Approval]
) -> Generator[int, None, Done]:
    """Keep the approved planes of an image.

    Raises
    ------
    InputError
        If there is none, or the store refuses.
    """
    if not approvals:
        raise InputError(
            f"No plane of {picture.name} has a label, so there is nothing to approve. Draw first, or Skip."
        )
    for number, approval in enumerate(approvals):
        yield number
        store.approve(approval)
    return Done(picture.key, picture.content, "approved")


def withdraw_job(store: CorrectionStore, picture: ReviewImage, editor: str) -> Generator[int, None, Done]:
    """Take back the approval of every plane of an image.

    Raises
    ------
    InputError
        If the disk refuses.
    """
    for number, (index, _) in enumerate(picture.planes):
        yield number
        content = content_hash(picture.pixels[index])
        if store.find(content) is not None:
            store.withdraw(content, editor)
    return Done(picture.key, picture.content, "withdrawn")


class ReviewLearning(QObject):
    """Counts approvals, and learns from all that are kept.

    Signals
    -------
    said(str)
        How far it is, or what came of it.
    learned()
        A run has ended; another version may be in use.
    """

    said = Signal(str)
    learned = Signal()

    def __init__(self, speed: Preset = QUICK, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._speed = speed
        self._count = 0
        self._runner = JobRunner(self)
        self._runner.progressed.connect(self._on_progress)
        self._runner.ended.connect(self._on_end)

    @property
    def busy(self) -> bool:
        """Whether it learns."""
        return self._runner.busy

    def approved(self, every: int, choice: ModelChoice | None) -> None:
        """Count an approval; learn where there are as many as were asked for, 0 for never."""
        self._count += 1
        if every and self._count >= every and choice is not None and not self.busy:
            self._count = 0
            self._start(choice)

    def withdrawn(self) -> None:
        """Count an approval less."""
        self._count = max(0, self._count - 1)

    def close(self) -> None:
        """Stop."""
        self._runner.abandon()

    def _start(self, choice: ModelChoice) -> None:
        luggage = FineTuneInputs(
            candidates=(),
            without=frozenset(),
            start=choice.path,
            start_name=choice.name,
            current=_current(),
            preset=self._speed,
        )
        self.said.emit("Learning from your approvals…")
        self._runner.start(partial(iter_from_corrections, luggage, lambda: False))

    def _on_progress(self, event: object) -> None:
        if isinstance(event, Progress | Stage):
            self.said.emit(event.sentence)

    def _on_end(self, outcome: Outcome) -> None:
        if isinstance(outcome.result, FineTuneResult):
            self.said.emit(outcome.result.sentence)
        else:
            self.said.emit(str(outcome.error or ""))
        self.learned.emit()


def _current() -> Path | None:
    try:
        versions = ModelVersions()
        current = versions.current()
        return None if current is None else versions.path(current.number)
    except InputError:
        return None


class ReviewApprovals(QObject):
    """What *Approve* and *Un-approve* do.

    Parameters
    ----------
    desk : ReviewContext
    stage : CurrentImage
    tools : ReviewTools
    learning : ReviewLearning
    go_on : callable
        Shows the next image.
    """

    def __init__(
        self,
        desk: ReviewContext,
        stage: CurrentImage,
        tools: ReviewTools,
        learning: ReviewLearning,
        go_on: Callable[[], None],
    ) -> None:
        super().__init__(desk)
        self._desk, self._stage, self._tools, self._learning, self._go_on = desk, stage, tools, learning, go_on
        desk.approver.done.connect(self._on_done)
        desk.approver.failed.connect(self._on_failed)

    def approve(self) -> None:
        """Keep the mask on screen for learning, and go on; what it is then is no more overwritten."""
        desk, shown = self._desk, self._stage.shown
        if shown is None or shown.approved or self._stage.busy or desk.approver.busy:
            return
        self._tools.settle()
        self._tools.box.close()
        desk.journal.watch.settle()
        try:
            approvals = shown.approvals(desk.panel.threshold_row.value, editor_name())
        except WaveGMSError as error:
            desk.say_problem(str(error))
            return
        shown.lock(True)  # nothing is drawn while it is on its way to the disk
        desk.approver.approve(shown.picture, approvals)
        self._stage.refresh()

    def withdraw(self) -> None:
        """Take the approval of the image on screen back, so that it can be changed."""
        shown = self._stage.shown
        if shown is not None and shown.approved and not (self._stage.busy or self._desk.approver.busy):
            self._desk.approver.withdraw(shown.picture, editor_name())
            self._stage.refresh()

    def _on_done(self, done: Done) -> None:
        if done.what == "approved":
            self._on_approved(done)
        else:
            self._on_withdrawn(done)

    def _on_approved(self, done: Done) -> None:
        desk, shown = self._desk, self._stage.shown
        if shown is not None and shown.key == done.key:
            desk.journal.end(shown, "approved")
        desk.note(done.key, state="approved")
        self._stage.refresh()
        self._learning.approved(desk.panel.learn_every, desk.panel.model_row.choice)
        self._go_on()

    def _on_withdrawn(self, done: Done) -> None:
        desk, shown = self._desk, self._stage.shown
        self._learning.withdrawn()
        if shown is not None and shown.key == done.key:
            shown.lock(False)
            shown.kept = True
            desk.journal.take_back(shown)
            self._stage.hand_over()
        desk.note(done.key, state="corrected")
        self._stage.refresh()

    def _on_failed(self, sentence: str, details: str) -> None:
        shown = self._stage.shown
        if shown is not None:
            item = self._desk.item(shown.key)
            shown.lock(item is not None and item.state == "approved")
            self._stage.hand_over()
        self._stage.refresh()
        self._desk.say_problem(sentence, details)
