"""Remove the pixels of edits that were approved long ago; who did what and when stays.

Once a mask has been approved for `DAYS`, the correction store has it, and the steps that led to it are not needed. The
hash chain contains a digest of the pixels, so it still verifies. Unapproved and later edits keep their pixels.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from datetime import UTC, datetime, timedelta

from napari_wavegms.corrections.records import Correction
from napari_wavegms.corrections.store import CorrectionStore
from napari_wavegms.errors import InputError
from napari_wavegms.files.labels import smallest_labels
from napari_wavegms.journal.history import append, complaints
from napari_wavegms.journal.journal import Journal
from napari_wavegms.storage.content_hash import content_hash
from napari_wavegms.storage.database import now

DAYS = 30
"""Age of an approval at which the pixels of its edits are removed."""

_PIXELS = "SELECT max(session) FROM journal WHERE image = ? AND pixels IS NOT NULL"
_KEPT = "id, image, position, session, kind, number, record, digest, link"
_EDITS = (
    "SELECT number, ending FROM journal j JOIN journal_sessions s ON s.id = session WHERE j.image = ? AND kind = 'edit'"
)


def compact(journal: Journal, store: CorrectionStore, days: float = DAYS) -> Generator[str, None, None]:
    """Remove the pixels of edits whose mask has been approved for some days, as the last of them left it.

    Yields the content hash of each image whose journal got smaller. Damaged journals are left as they are.
    """
    before = (datetime.now(UTC) - timedelta(days=days)).isoformat()
    for kept in store.corrections():
        if kept.time <= before:
            try:
                if _compact(journal, kept):
                    yield kept.image
            except InputError:
                continue


def _compact(journal: Journal, kept: Correction) -> bool:
    image = kept.image
    with journal.database.read() as connection:
        if connection.execute(_PIXELS, (image,)).fetchone()[0] is None:
            return False
    last = max((edit.number for edit in journal.edits(image)), default=0)
    # What was approved must be what the last edit left: clocks, which may have been set back, decide nothing.
    if content_hash(smallest_labels(journal.restore(image, last))) != kept.mask:
        return False
    with journal.database.write("The journal was not made smaller") as connection:
        (session,) = connection.execute(_PIXELS, (image,)).fetchone()
        edits = connection.execute(_EDITS, (image,)).fetchall()
        is_done = all(ending and number <= last for number, ending in edits)
        if not is_done or complaints(connection, image):
            return False
        _drop_pixels(connection, image, session)
    return True


def forget(journal: Journal, store: CorrectionStore, image: str) -> None:
    """Remove an image's corrections, and the pixels of all its edits, unfinished ones included.

    That there were edits stays in the journal; nobody may be drawing on the image meanwhile. Raises `InputError` if
    there is no correction, or the disk refuses.
    """
    with journal.database.write("The edits were not forgotten") as connection:
        (session,) = connection.execute(_PIXELS, (image,)).fetchone()
        if session is not None:
            connection.execute(
                "UPDATE journal_sessions SET ending = 'discarded' WHERE image = ? AND ending IS NULL", (image,)
            )
            _drop_pixels(connection, image, session)
    store.forget(image)


def _drop_pixels(connection: sqlite3.Connection, image: str, session: int) -> None:
    append(connection, image, session, "compact", {"time": now()})
    # Deleted and inserted again, because SQLite does not reclaim space from rows that only get shorter.
    rows = connection.execute(f"SELECT {_KEPT} FROM journal WHERE image = ?", (image,)).fetchall()
    connection.execute("DELETE FROM journal WHERE image = ?", (image,))
    connection.executemany(f"INSERT INTO journal ({_KEPT}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
