"""Edits that a crash left behind: find them, ask about them, replay them, and show them beside the present mask."""

from __future__ import annotations

from collections.abc import Generator
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_wavegms.corrections.store import CorrectionStore
from napari_wavegms.journal.journal import Journal
from napari_wavegms.journal.records import Unfinished
from napari_wavegms.widgets.layers.placement import Placement
from napari_wavegms.widgets.qt.question import Question
from napari_wavegms.wording import counted, moment

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Labels

_ANSWERS = {
    "restore": ("Restore", "Restore the mask as you left it."),
    "both": ("Show both", "Show the unsaved mask as an outline next to the current one."),
    "discard": ("Discard", "Continue without these edits. They remain in the journal."),
}


def unfinished_job(journal: Journal, store: CorrectionStore) -> Generator[None, None, list[Unfinished]]:
    """Find edits that a crash has left behind; what was approved after them is closed."""
    yield
    found = []
    for left in journal.unfinished():
        kept = store.find(left.target.image)
        if kept is not None and kept.time >= left.time:
            journal.close(left.target.image, "approved", left.upto)
        else:
            found.append(left)
    return found


def restore_job(journal: Journal, left: Unfinished) -> Generator[None, None, Any]:
    """Replay unfinished edits; returns the mask."""
    yield
    return journal.restore(left.target.image, left.upto)


def fitted(mask: Any, dtype: Any) -> Any:
    """A mask in the dtype of a layer, where that holds its labels."""
    return mask.astype(dtype) if mask.max(initial=0) <= np.iinfo(dtype).max else mask


def show_beside(viewer: ViewerModel, mask: Labels, name: str, unsaved: Any) -> Labels:
    """Show an unsaved mask as an outline over the present one, out of reach of the brush."""
    layer = viewer.add_labels(unsaved, name=f"{name} unsaved edits", **Placement.of(mask).as_arguments())
    layer.contour = 2
    layer.editable = False
    return layer


def restore_sentence(left: Unfinished, now: datetime | None = None) -> str:
    """How many unsaved edits there are, on what and from when; `now` has a time zone, in which the time is given."""
    when = moment(left.time, now) or "an unknown time"
    return f"Wave-GMS found {counted(left.edits, 'unsaved edit')} on {left.target.name} from {when}."


class RestoreQuestion(Question):
    """Restore the edits (``"restore"``), show them beside the present mask (``"both"``), or ``"discard"`` them."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: Unfinished | None = None  # what the last question was about

    def ask_about(self, left: Unfinished) -> None:
        """Show a question instead of the one before; Enter restores."""
        self.asked = left
        self.ask(f"{restore_sentence(left)} {left.damage}".rstrip(), _ANSWERS, preferred="restore")
