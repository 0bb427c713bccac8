"""The folders that were reviewed lately, to open them again with one click."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

from napari_wavegms.atomic import replacing
from napari_wavegms.review.worklist import reviews_folder

_MOST = 8


def recent_folders() -> list[Path]:
    """Give those that are still there, the latest first."""
    with suppress(OSError, ValueError, TypeError):
        names = json.loads(_file().read_text(encoding="utf-8"))
        return [path for path in map(Path, names) if path.is_dir()][:_MOST]
    return []


def note_folder(folder: Path) -> None:
    """Note that a folder was opened; a disk that refuses only costs the convenience."""
    folder = folder.resolve()
    names = [str(folder), *(str(path) for path in recent_folders() if path != folder)]
    with suppress(OSError), replacing(_file()) as neighbour:
        neighbour.write_text(json.dumps(names[:_MOST], indent=1) + "\n", encoding="utf-8")


def _file() -> Path:
    return reviews_folder() / "recent.json"
