"""The journal as a table: one row for each edit, and one for each end."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from napari_wavegms.journal.replay import Story
from napari_wavegms.storage.atomic import atomic_write, explain_os_error

COLUMNS = (
    "image",
    "source",
    "content",
    "event",
    "number",
    "time",
    "editor",
    "model",
    "threshold",
    "added",
    "removed",
    "relabelled",
    "differing",
    "active_seconds",
)
_FROM_EDIT = COLUMNS[COLUMNS.index("number") :]


def write_table(path: Path, stories: Iterable[Story]) -> int:
    """Write a CSV file with all edits and how they ended, in the order of time; give the number of rows.

    Raises
    ------
    InputError
        If the disk refuses.
    """
    rows = sorted((row for story in stories for row in _rows(story)), key=lambda row: str(row["time"]))
    # With the mark by which Excel knows UTF-8; every other program passes over it.
    with (
        explain_os_error("The journal was not exported", path),
        atomic_write(path) as neighbour,
        neighbour.open("w", encoding="utf-8-sig", newline="") as file,
    ):
        table = csv.DictWriter(file, COLUMNS, restval="")
        table.writeheader()
        table.writerows(rows)
    return len(rows)


def _rows(story: Story) -> Iterator[dict[str, Any]]:
    for session in story.sessions.values():
        place = {"image": session.target.name, "source": session.target.source, "content": session.target.image}
        for edit in session.edits:
            yield place | {"event": "edit"} | {name: getattr(edit, name) for name in _FROM_EDIT}
    for target, ending in story.closings:
        place = {"image": target.name, "source": target.source, "content": target.image}
        yield place | {"event": ending.get("how"), "time": ending.get("time"), "editor": ending.get("editor")}
