"""Approve and un-approve the image on screen: locked, kept for learning, and on to the next."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QObject

from napari_wavegms.errors import WaveGMSError
from napari_wavegms.review.settings import editor_name
from napari_wavegms.widgets.review_approve import Done
from napari_wavegms.widgets.review_desk import ReviewDesk
from napari_wavegms.widgets.review_learning import ReviewLearning
from napari_wavegms.widgets.review_stage import ReviewStage
from napari_wavegms.widgets.review_tools import ReviewTools


class ReviewApprovals(QObject):
    """What *Approve* and *Un-approve* do.

    Parameters
    ----------
    desk : ReviewDesk
    stage : ReviewStage
    tools : ReviewTools
    learning : ReviewLearning
    go_on : callable
        Shows the next image.
    """

    def __init__(
        self,
        desk: ReviewDesk,
        stage: ReviewStage,
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
