"""What a user has set once and for all: their name, as it stands beside every edit."""

from __future__ import annotations

import getpass
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from napari_wavegms.atomic import replacing
from napari_wavegms.model.zoo import user_models_folder
from napari_wavegms.review.disk import told

_EDITOR = "editor"


def settings_file() -> Path:
    """Where the settings are kept: ``$WAVEGMS_HOME/settings.json``, or the platform's data folder."""
    return user_models_folder().parent / "settings.json"


def editor_name() -> str:
    """Give the name that edits are signed with: the one that was set, or else the login name; empty without either."""
    name = _read().get(_EDITOR)
    return name if isinstance(name, str) and name.strip() else _login_name()


def set_editor_name(name: str) -> None:
    """Keep the name that edits are signed with.

    Parameters
    ----------
    name : str
        An empty one goes back to the login name. What else stands in the file stays there.

    Raises
    ------
    InputError
        If the disk refuses; then nothing has changed.
    """
    path = settings_file()
    values = _read() | {_EDITOR: " ".join(name.split())}
    with told("The name was not kept", path), replacing(path) as neighbour:
        neighbour.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def _read() -> dict[str, Any]:
    """What stands in the file; a file that is damaged or cannot be read stops nobody."""
    with suppress(OSError, ValueError, RecursionError):
        values = json.loads(settings_file().read_text(encoding="utf-8"))
        if isinstance(values, dict):
            return values
    return {}


def _login_name() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a user without an entry; which error it is depends on Python's version
        return ""
