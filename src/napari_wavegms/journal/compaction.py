"""What becomes of finished journals: who did what and when stays for good, the pixels of long approved edits go.

Once a mask has been approved for `DAYS`, it lies in the store of corrections, and the steps that led to it are needed
no more: the file of its image is written anew without their pixels. Every edit keeps its line, with its time, editor,
model, threshold, counts and seconds, so the table that is exported stays the same; and the lines are chained anew,
behind one that says so and holds the last link of the lines before. What was not approved, or edited since, keeps all.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from napari_wavegms.corrections.store import CorrectionStore
from napari_wavegms.errors import InputError
from napari_wavegms.journal.journal import Journal
from napari_wavegms.journal.records import chained, last_link, line_bytes
from napari_wavegms.journal.replay import EDIT, THINNED, Book
from napari_wavegms.storage.append_log import HEAD, KIND, Record, now
from napari_wavegms.storage.atomic import atomic_write, explain_os_error

DAYS = 30
"""So long an approval has stood before the steps that led to it are let go."""


def thin_out(journal: Journal, store: CorrectionStore, days: float = DAYS) -> Iterator[str]:
    """Let go of the pixels of edits that were approved long ago.

    Parameters
    ----------
    journal : Journal
    store : CorrectionStore
        Only what it holds in force, approved after the last edit, is let go of.
    days : float

    Yields
    ------
    str
        The content hash of each image whose journal has become smaller. What cannot be read or written is left as it
        is.
    """
    before = (datetime.now(UTC) - timedelta(days=days)).isoformat()
    approved = {kept.image: kept.time for kept in store.corrections()}
    for image in journal.images():
        since = approved.get(image)
        if since is None or since > before:
            continue
        try:
            if _thinned(journal.folder / f"{image}.jsonl", since):
                yield image
        except InputError:
            continue


def _thinned(path: Path, approved: str) -> bool:
    book = Book(path)
    if not _may_go(book, approved):
        return False
    with explain_os_error("The journal was not made smaller", path), book.ledger.writing():
        if not _may_go(book, approved):  # somebody may have gone on meanwhile
            return False
        records = book.ledger.read()
        story = book.story()
        head: Record = {
            KIND: THINNED,
            "time": now(),
            "sessions": list(story.sessions),
            "lines": len(records),
            "before": last_link(records),
        }
        lines = chained([head, *map(_without_pixels, records)], "")
        with atomic_write(path) as neighbour:
            neighbour.write_text("".join(f"{json.dumps(line)}\n" for line in [HEAD, *lines]), encoding="ascii")
    return True


def _may_go(book: Book, approved: str) -> bool:
    """Whether nothing is unfinished, nothing was edited after the approval, and there are pixels to let go of."""
    story = book.story()
    edited = max((edit.time for edit in story.edits), default="")
    is_sound = not book.complaints()  # what was tampered with or damaged stays as it was found
    return bool(edited) and edited <= approved and not story.unfinished() and not story.thinned and is_sound


def _without_pixels(record: Record) -> Record:
    thin = {key: value for key, value in record.items() if key not in ("patches", "link")}
    return thin | {"bytes": line_bytes(record)} if record[KIND] == EDIT else thin
