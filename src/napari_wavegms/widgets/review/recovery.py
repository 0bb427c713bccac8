"""Edits that a crash left behind: find, show and restore them."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from qtpy.QtCore import QObject

from napari_wavegms.corrections.store import CorrectionStore
from napari_wavegms.journal.compaction import thin_out
from napari_wavegms.journal.journal import Journal
from napari_wavegms.journal.records import Unfinished
from napari_wavegms.widgets.jobs import JobRunner, Outcome
from napari_wavegms.widgets.layers.placement import Placement
from napari_wavegms.widgets.review.context import ReviewContext
from napari_wavegms.widgets.review.current_image import CurrentImage
from napari_wavegms.widgets.review.image import Shown
from napari_wavegms.widgets.review.layers import remove_layer
from napari_wavegms.widgets.review.opening import ReviewLists
from napari_wavegms.widgets.review.tools import ReviewTools


@dataclass(frozen=True, slots=True, eq=False)
class Restored:
    """The mask that edits had come to which were left behind; `how` is "restore" or "both"."""

    left: Unfinished
    how: str
    mask: Any


def left_behind_job(journal: Journal, store: CorrectionStore) -> Generator[None, None, list[Unfinished]]:
    """Find edits that a crash has left behind; what was approved after them is closed.

    Raises
    ------
    InputError
        If the journal cannot be read.
    """
    yield
    found = []
    for left in journal.unfinished():
        kept = store.find(left.target.image)
        if kept is not None and kept.time >= left.time:
            journal.close(left.target.image, "approved", left.upto)
        else:
            found.append(left)
    return found


def thin_job(journal: Journal, store: CorrectionStore) -> Generator[str, None, None]:
    """Let go of the pixels of edits that were approved long ago, see `napari_wavegms.journal.compaction`.

    Raises
    ------
    InputError
        If the folder of the journal cannot be read.
    """
    yield from thin_out(journal, store)


def restore_job(journal: Journal, left: Unfinished, how: str) -> Generator[None, None, Restored]:
    """Bring back the mask that was left behind.

    Raises
    ------
    InputError
        If its lines are damaged.
    """
    yield
    return Restored(left, how, journal.restore(left.target.image, left.upto))


class Recovery(QObject):
    """Asks about edits that were cut off, one image after the other.

    Parameters
    ----------
    desk : ReviewContext
    stage : CurrentImage
    lists : ReviewLists
    tools : ReviewTools
    """

    def __init__(self, desk: ReviewContext, stage: CurrentImage, lists: ReviewLists, tools: ReviewTools) -> None:
        super().__init__(desk)
        self._desk, self._stage, self._lists, self._tools = desk, stage, lists, tools
        self._after_list: Unfinished | None = None  # what to restore once its folder is open
        self._ready: Restored | None = None  # what to restore once its image is on screen
        self._seeker, self._thinner = JobRunner(self), JobRunner(self)
        self._seeker.ended.connect(self._on_sought)

    @property
    def busy(self) -> bool:
        """Whether it is looking, or bringing something back."""
        return self._seeker.busy

    def seek(self) -> None:
        """Look for what was left behind."""
        self._seeker.start(partial(left_behind_job, self._desk.journal.writer.journal, self._desk.store))

    def close(self) -> None:
        """Stop."""
        self._seeker.abandon()
        self._thinner.abandon()
        self._ready = None

    def ask(self) -> None:
        """Ask about the image on screen first, then about the latest of the list, or of any folder."""
        panel, shown, every = self._desk.panel, self._stage.shown, self._desk.journal.left
        here = [left for left in every if shown is not None and left.target.image == shown.content]
        listed = [left for left in every if panel.list.worklist is None or self._key_of(left) is not None]
        first = next(iter((*here, *listed)), None)
        if first is None:
            panel.question.take_back()
        elif panel.question.asked is not first or not panel.question.isVisibleTo(panel):
            panel.question.ask(first)

    def answer(self, how: str) -> None:
        """Do what was answered: ``"restore"``, ``"both"`` or ``"discard"``."""
        left = self._desk.panel.question.asked
        if left is None:
            return
        if how == "discard":
            self._desk.journal.decide(left, "discarded")
            self._desk.say(f"The edits of {left.target.name} are discarded; the journal still has them.")
            self.ask()
        else:
            self._bring_back(left, how)

    def on_list(self, first: str) -> None:
        """Go on in a list that was opened to restore something, or else begin with its first image."""
        worklist, (left, self._after_list) = self._desk.panel.list.worklist, (self._after_list, None)
        if left is not None and worklist is not None and left.target.source in worklist:
            self._bring_back(left, "restore")
        else:
            self._stage.show_item(first)
        self.ask()

    def on_arrived(self) -> None:
        """Restore what has waited for the image that is on screen now; somebody may have gone to another one."""
        self.ask()
        ready, self._ready, shown = self._ready, None, self._stage.shown
        if ready is not None and shown is not None and self._key_of(ready.left) == shown.key:
            self._show(ready)

    def forget(self) -> None:
        """Drop what waits for an image that cannot be shown."""
        self._ready = None

    def _on_sought(self, outcome: Outcome) -> None:
        if isinstance(outcome.result, Restored):
            self._show(outcome.result)
        elif isinstance(outcome.result, list):
            self._desk.journal.set_left(outcome.result)
            self.ask()
            if not self._thinner.busy:
                self._thinner.start(partial(thin_job, self._desk.journal.writer.journal, self._desk.store))
        elif outcome.error is not None:
            self._desk.say_problem(str(outcome.error), outcome.details)

    def _key_of(self, left: Unfinished) -> str | None:
        """Find the item of the list whose edits these are."""
        worklist = self._desk.panel.list.worklist
        if worklist is None:
            return None
        if left.target.source in worklist:
            return left.target.source
        return next((item.key for item in worklist.items() if item.content == left.target.image), None)

    def _bring_back(self, left: Unfinished, how: str) -> None:
        key = self._key_of(left)
        source = Path(left.target.source) if left.target.source else None
        if key is None and source is not None and source.is_file():
            self._after_list = left
            self._lists.open_folder(source.parent)
        elif key is None:
            name = left.target.name
            self._desk.say_problem(f"{name} is not open. Open its folder or its layer, and press Restore then.")
            self._desk.panel.question.ask(left)
        elif not self._seeker.busy:
            self._ready = None
            self._stage.show_item(key)
            self._seeker.start(partial(restore_job, self._desk.journal.writer.journal, left, how))

    def _show(self, restored: Restored) -> None:
        shown, left = self._stage.shown, restored.left
        if self._stage.wanted is not None:  # the image is still on its way
            self._ready = restored
            return
        if problem := _why_not(shown, restored):
            self._desk.say_problem(problem)
            self.ask()
        elif shown is not None and restored.how == "both":
            self._show_beside(shown, restored)
        elif shown is not None:
            self._restore(shown, left, restored.mask)

    def _restore(self, shown: Shown, left: Unfinished, mask: Any) -> None:
        self._tools.settle()
        shown.restore(_fitting_type(mask, shown.mask.data.dtype))
        shown.kept = True
        remove_layer(self._desk.viewer, shown.beside)
        shown.beside = None
        self._desk.journal.watch.settle()  # on disk before the old edits are closed
        self._desk.journal.decide(left, "saved")
        self._desk.note(shown.key, state="corrected")
        edits = "1 edit is" if left.edits == 1 else f"{left.edits} edits are"
        self._desk.say(f"{edits} restored. Ctrl+Z takes them back.")
        self._stage.hand_over()
        self._stage.refresh()
        self.ask()

    def _show_beside(self, shown: Shown, restored: Restored) -> None:
        if shown.beside is None:
            name = f"{shown.picture.name} as you left it"
            place = Placement.of(shown.mask).as_arguments()
            shown.beside = self._desk.viewer.add_labels(restored.mask, name=name, **place)
            shown.beside.contour = 2
            shown.beside.editable = False
        self._stage.hand_over()
        self._desk.say("The outline is the mask as you left it. Restore it, or discard it.")
        self._desk.panel.question.ask(restored.left)


def _why_not(shown: Shown | None, restored: Restored) -> str:
    """Say why a mask cannot be brought back into the image on screen; empty where it can."""
    name = restored.left.target.name
    if shown is None or shown.content != restored.left.target.image:
        return f"{name} holds other pixels than when it was edited, so nothing was restored."
    if restored.mask.shape != shown.mask.data.shape:
        return f"The edits of {name} are of another size, so nothing was restored."
    if restored.how == "restore" and shown.approved:
        return f"{name} is approved and locked. Press Un-approve, and Restore then."
    return ""


def _fitting_type(mask: Any, dtype: Any) -> Any:
    """A mask in the dtype of the layer it goes to, where that holds its labels."""
    return mask.astype(dtype) if mask.max(initial=0) <= np.iinfo(dtype).max else mask
