"""The user's folder, and what they have set once and for all."""

from __future__ import annotations

import getpass
import json
import os
import re
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Any

from platformdirs import user_data_path

from napari_wavegms.storage.atomic import atomic_write, explain_os_error, make_folder
from napari_wavegms.storage.plain import read_json

HOME_VARIABLE = "WAVEGMS_HOME"
_EDITOR = "editor"
_RECENT = "recent"
_MOST = 8  # recent folders
_SECRET = 32  # bytes


def expanded(path: str) -> Path:
    """A path in which ``~`` is the home folder; one of a user who does not exist stays as it is."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def is_web_address(path: str) -> bool:
    """Whether a path is an address such as ``https://host/scan.png``, also with the slashes that a path keeps."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", path) is not None


def user_folder() -> Path:
    """Where everything of the user is kept: ``$WAVEGMS_HOME``, or the platform's data folder."""
    home = os.environ.get(HOME_VARIABLE, "")
    return expanded(home).absolute() if home.strip() else user_data_path("napari-wavegms", appauthor=False)


def user_models_folder() -> Path:
    """Where the user's own models are."""
    return user_folder() / "models"


def versions_folder() -> Path:
    """Where model versions that were learned are."""
    return user_folder() / "versions"


def settings_file() -> Path:
    """Where the settings are."""
    return user_folder() / "settings.json"


def editor_name() -> str:
    """Give the name that edits are signed with: the one that was set, or else the login name; empty without either."""
    name = _read().get(_EDITOR)
    return name if isinstance(name, str) and name.strip() else _login_name()


def set_editor_name(name: str) -> None:
    """Keep the name that edits are signed with; an empty one goes back to the login name.

    Raises `InputError` if the disk refuses; then nothing has changed.
    """
    with explain_os_error("The name was not kept", settings_file()):
        _write({_EDITOR: " ".join(name.split())})


def secret() -> bytes:
    """Random bytes of this account, made once; hashes that are keyed with them tell nobody else anything."""
    path = user_folder() / "secret"
    with suppress(OSError):
        if path.is_file() and len(key := path.read_bytes()) == _SECRET:
            return key
    key = secrets.token_bytes(_SECRET)
    with explain_os_error("The account's secret was not kept", path):
        make_folder(path.parent, private=True)
        with atomic_write(path) as neighbour:
            neighbour.chmod(0o600)
            neighbour.write_bytes(key)
    return key


def recent_folders() -> list[Path]:
    """Give the folders that were reviewed lately and are still there, the latest first."""
    names = _read().get(_RECENT)
    found = []
    for name in names if isinstance(names, list) else []:
        with suppress(OSError, ValueError, TypeError):
            if (path := Path(name)).is_dir():
                found.append(path)
    return found[:_MOST]


def note_folder(folder: Path) -> None:
    """Note that a folder was opened; a disk that refuses only costs the convenience."""
    folder = folder.resolve()
    names = [str(folder), *(str(path) for path in recent_folders() if path != folder)]
    with suppress(OSError):
        _write({_RECENT: names[:_MOST]})


def _read() -> dict[str, Any]:
    """What stands in the file; a file that is damaged or cannot be read stops nobody."""
    with suppress(OSError, ValueError):
        values = read_json(settings_file())
        if isinstance(values, dict):
            return values
    return {}


def _write(values: dict[str, Any]) -> None:
    make_folder(user_folder(), private=True)
    with atomic_write(settings_file()) as neighbour:
        neighbour.write_text(json.dumps(_read() | values, indent=2) + "\n", encoding="utf-8")


def _login_name() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a user without an entry; which error it is depends on Python's version
        return ""
