"""Edits that a crash left behind: find, show and restore them."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from qtpy.QtCore import QObject

from napari_wavegms.journal.compaction import compact
from napari_wavegms.journal.records import Answer, Unfinished
from napari_wavegms.widgets.jobs import JobRunner, Outcome
from napari_wavegms.widgets.recording.unfinished import fitted, restore_job, show_beside, unfinished_job
from napari_wavegms.widgets.review.current_image import CurrentImage, ReviewContext
from napari_wavegms.widgets.review.layers import Shown
from napari_wavegms.widgets.review.opening import Lists
from napari_wavegms.widgets.review.tools import ReviewTools
from napari_wavegms.wording import counted


class Recovery(QObject):
    """Asks about edits that were cut off, one image after another.

    Attributes
    ----------
    left : list of Unfinished
        Those that were not decided on yet, the latest first.
    """

    def __init__(self, context: ReviewContext, current: CurrentImage, lists: Lists, tools: ReviewTools) -> None:
        super().__init__(context.panel)
        self.left = context.left
        self._context, self._panel, self._list = context, context.panel, context.images
        self._current, self._lists, self._tools = current, lists, tools
        self._question, self._journal = context.panel.question, context.journal.writer.journal
        self._wanted: tuple[Unfinished, str] | None = None  # what to restore, and how, when its image is on screen
        self._finder, self._replayer, self._compactor = JobRunner(self), JobRunner(self), JobRunner(self)
        self._finder.ended.connect(self._on_found)
        self._replayer.ended.connect(self._on_replayed)
        lists.opened.connect(self._on_list)
        current.arrived.connect(self._on_arrived)
        current.missed.connect(self._forget)

    @property
    def busy(self) -> bool:
        """Whether it searches."""
        return self._finder.busy

    def find(self) -> None:
        """Search for edits that were cut off."""
        self._finder.start(partial(unfinished_job, self._journal, self._context.store))

    def close(self) -> None:
        """Stop."""
        for runner in (self._finder, self._replayer, self._compactor):
            runner.abandon()
        self._forget()

    def answer(self, how: str) -> None:
        """Do what was answered: ``"restore"``, ``"both"`` or ``"discard"``."""
        left, shown = self._question.asked, self._current.shown
        if left is None:
            return
        name, key, source = left.target.name, self._key_of(left), Path(left.target.source)
        if how == "discard":
            self._decide(left, "discarded")
            self._panel.say(f"The edits on {name} were discarded. They remain in the journal.")
            self._ask()
        elif key is None and not (left.target.source and source.exists()):
            self._panel.say_problem(f"{name} is not open. Open its folder or layer, then press Restore.")
            self._question.ask_about(left)
        else:
            self._wanted = left, how
            if key is None:
                self._lists.open_folder(source.parent)
            elif shown is not None and shown.key == key:
                self._replay()
            else:
                self._current.show_item(key)

    def _decide(self, left: Unfinished, answer: Answer) -> None:
        self.left.remove(left)
        self._context.journal.writer.finish(left.target.image, answer, left.upto)

    def _ask(self) -> None:
        """Ask about the image on screen first, then about the latest of the list, or of any folder."""
        shown = self._current.shown
        here = [left for left in self.left if shown is not None and left.target.image == shown.content]
        listed = [left for left in self.left if not self._list.items() or self._key_of(left) is not None]
        first = next(iter((*here, *listed)), None)
        if first is None:
            self._question.dismiss()
        elif self._question.asked is not first or not self._question.isVisibleTo(self._panel):
            self._question.ask_about(first)

    def _on_list(self, first: str) -> None:
        """Go on in a list that was opened to restore something, or else begin with its first image."""
        key = None if self._wanted is None else self._key_of(self._wanted[0])
        self._current.show_item(key or first)

    def _on_arrived(self) -> None:
        shown, wanted = self._current.shown, self._wanted
        if wanted is None or shown is None or self._key_of(wanted[0]) != shown.key:
            self._forget()  # somebody has gone to another image
        else:
            self._replay()
        if self.left:
            self._ask()

    def _forget(self) -> None:
        self._wanted = None

    def _replay(self) -> None:
        if self._wanted is not None and not self._replayer.busy:
            self._replayer.start(partial(restore_job, self._journal, self._wanted[0]))

    def _on_found(self, outcome: Outcome) -> None:
        if outcome.error is not None:
            self._panel.say_problem(str(outcome.error))
            return
        self.left[:] = outcome.result
        self._ask()
        if not self._compactor.busy:
            self._compactor.start(partial(compact, self._journal, self._context.store))

    def _on_replayed(self, outcome: Outcome) -> None:
        shown, wanted, mask = self._current.shown, self._wanted, outcome.result
        self._forget()
        if wanted is None or shown is None:
            return
        left, how = wanted
        problem = _why_not(shown, left, how, mask) if outcome.error is None else str(outcome.error)
        if problem:
            self._panel.say_problem(problem)
            self._ask()
        elif how == "both":
            self._show_beside(shown, left, mask)
        else:
            self._restore(shown, left, mask)

    def _key_of(self, left: Unfinished) -> str | None:
        """Find the item of the list whose edits these are."""
        item = self._list.item(left.target.source) or self._list.item_of(left.target.image)
        return None if item is None else item.key

    def _restore(self, shown: Shown, left: Unfinished, mask: Any) -> None:
        self._tools.settle()
        shown.restore(fitted(mask, shown.mask.data.dtype))
        shown.kept = True
        shown.drop_beside(self._context.viewer)
        self._context.journal.settle()  # on disk before the old edits are closed
        self._decide(left, "saved")
        self._current.note_state(shown, "corrected")
        self._panel.say(f"{counted(left.edits, 'edit')} restored. Press Ctrl+Z to undo.")
        self._current.select()
        self._current.refresh()
        self._ask()

    def _show_beside(self, shown: Shown, left: Unfinished, mask: Any) -> None:
        if shown.beside is None:
            shown.beside = show_beside(self._context.viewer, shown.mask, shown.loaded.name, mask)
        self._current.select()
        self._panel.say("The outline shows the unsaved mask. Restore or discard it.")
        self._question.ask_about(left)


def _why_not(shown: Shown, left: Unfinished, how: str, mask: Any) -> str:
    """Why a mask cannot be restored into the image on screen; empty where it can."""
    name = left.target.name
    if shown.content != left.target.image:
        return f"{name} has changed since it was edited, so nothing was restored."
    if mask.shape != shown.mask.data.shape:
        return f"The edits on {name} were made at another size, so nothing was restored."
    if how == "restore" and shown.approved:
        return f"{name} is approved and locked. Press Un-approve, then Restore."
    return ""
