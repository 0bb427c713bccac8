"""A Quick update in the background, after so many approvals."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]

from napari_wavegms.errors import InputError
from napari_wavegms.review.fine_tune_events import Stage
from napari_wavegms.review.speeds import QUICK, Speed
from napari_wavegms.review.versions import ModelVersions
from napari_wavegms.widgets.finetune_job import Luggage, Taught, finetune_job
from napari_wavegms.widgets.jobs import JobRunner, Outcome
from napari_wavegms.widgets.model_choice import ModelChoice
from napari_wavegms.widgets.segment_job import Announced


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

    def __init__(self, speed: Speed = QUICK, parent: QObject | None = None) -> None:
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
        luggage = Luggage(
            candidates=(),
            without=frozenset(),
            start=choice.path,
            start_name=choice.name,
            current=_current(),
            speed=self._speed,
        )
        self.said.emit("Learning from your approvals…")
        self._runner.start(partial(finetune_job, luggage, lambda: False))

    def _on_progress(self, event: object) -> None:
        if isinstance(event, Announced | Stage):
            self.said.emit(event.sentence)

    def _on_end(self, outcome: Outcome) -> None:
        if isinstance(outcome.result, Taught):
            self.said.emit(outcome.result.result.sentence)
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
