"""The journal as a table: one row for each edit, and one for each end."""

from __future__ import annotations

import csv
from contextlib import suppress
from pathlib import Path

from napari_wavegms.corrections.export import file_name
from napari_wavegms.journal.history import target_of
from napari_wavegms.journal.journal import Journal
from napari_wavegms.storage.atomic import atomic_write, explain_os_error
from napari_wavegms.storage.plain import cell, parse_json

_FROM_EDIT = (
    *("number", "time", "editor", "model", "threshold", "added", "removed", "relabelled", "differing"),
    "active_seconds",
)
COLUMNS = ("image", "source", "content", "event", *_FROM_EDIT)


def export_csv(journal: Journal, path: Path, *, keep_names: bool = False) -> int:
    """Write all edits and how they ended, in the order of time, as a table that spreadsheets open; returns its rows.

    The folders of the images, who edited them and content hashes are left out unless `keep_names`. Raises `InputError`
    if the journal cannot be read, or the disk refuses.
    """
    rows, targets = [], {}
    with journal.database.read() as connection:
        entries = connection.execute(
            "SELECT session, kind, record FROM journal WHERE kind IN ('edit', 'close') ORDER BY id"
        ).fetchall()
        for session in {session for session, _, _ in entries}:
            targets[session] = target_of(connection, session)
    for session, kind, text in entries:
        target = targets[session]
        with suppress(ValueError, AttributeError):  # said by `Journal.verify`
            record = parse_json(text)
            place = {} if target is None else {"image": target.name, "source": target.source, "content": target.image}
            values = {name: record[name] for name in _FROM_EDIT if record.get(name) is not None}
            if not keep_names:
                values.pop("editor", None)
                place.pop("content", None)
                place["source"] = file_name(place.get("source", ""))
            rows.append(place | {"event": kind if kind == "edit" else record.get("action")} | values)
    rows.sort(key=lambda row: str(row.get("time")))
    # With the mark by which Excel knows UTF-8; every other program passes over it.
    with (
        explain_os_error("The journal was not exported", path),
        atomic_write(path) as neighbour,
        neighbour.open("w", encoding="utf-8-sig", errors="backslashreplace", newline="") as file,
    ):
        table = csv.DictWriter(file, COLUMNS, restval="")
        table.writeheader()
        table.writerows({name: cell(value) for name, value in row.items()} for row in rows)
    return len(rows)
