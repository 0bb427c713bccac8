"""Approve and take back: into the store of corrections and out of it, in the background."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]

from napari_wavegms.errors import InputError
from napari_wavegms.review.content import content_hash
from napari_wavegms.review.corrections import Approval, CorrectionStore
from napari_wavegms.widgets.jobs import JobRunner, Outcome
from napari_wavegms.widgets.review_picture import Picture


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

    def approve(self, picture: Picture, approvals: Sequence[Approval]) -> None:
        """Keep corrections of one image."""
        self._runner.start(partial(approve_job, self._store, picture, approvals))

    def withdraw(self, picture: Picture, editor: str) -> None:
        """Take the approval of an image back."""
        self._runner.start(partial(withdraw_job, self._store, picture, editor))

    def _on_end(self, outcome: Outcome) -> None:
        if isinstance(outcome.result, Done):
            self.done.emit(outcome.result)
        else:
            self.failed.emit(str(outcome.error or "Nothing was changed."), outcome.details)


def approve_job(store: CorrectionStore, picture: Picture, approvals: Sequence[Approval]) -> Generator[int, None, Done]:
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


def withdraw_job(store: CorrectionStore, picture: Picture, editor: str) -> Generator[int, None, Done]:
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
