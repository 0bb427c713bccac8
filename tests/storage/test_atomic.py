"""Files that appear whole: their rights, their names, and JSON from anywhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from napari_wavegms.errors import InputError
from napari_wavegms.storage.atomic import atomic_write, explain_os_error, make_folder, unfinished
from napari_wavegms.storage.database import Database
from napari_wavegms.storage.plain import read_json
from napari_wavegms.storage.user_data import (
    editor_name,
    note_folder,
    recent_folders,
    set_editor_name,
    settings_file,
    user_folder,
)


def rights(path: Path) -> int:
    return path.stat().st_mode & 0o777


@pytest.mark.skipif(os.name != "posix", reason="rights of files are POSIX")
def test_only_the_user_can_read_what_is_kept_of_patients(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WAVEGMS_HOME", str(tmp_path / "home"))
    database = Database()
    with database.write("not written"):
        pass
    set_editor_name("Ann")
    with atomic_write(user_folder() / "pixels" / "a.npy"):
        pass
    assert rights(user_folder()) == 0o700
    assert rights(user_folder() / "pixels") == 0o700
    assert [rights(path) for path in (database.path, settings_file(), user_folder() / "pixels" / "a.npy")] == [
        0o600
    ] * 3


@pytest.mark.skipif(os.name != "posix", reason="rights of files are POSIX")
def test_other_files_have_the_rights_of_any_new_file(tmp_path: Path) -> None:
    make_folder(tmp_path / "shared")
    (tmp_path / "shared").chmod(0o755)
    with atomic_write(tmp_path / "shared" / "mask.tif"):
        pass
    (tmp_path / "shared" / "plain").touch()
    assert rights(tmp_path / "shared" / "mask.tif") == rights(tmp_path / "shared" / "plain")


@pytest.mark.parametrize("stem", ["x" * 250, "ü" * 125])
def test_a_name_may_be_as_long_as_the_disk_allows(tmp_path: Path, stem: str) -> None:
    with atomic_write(tmp_path / f"{stem}.tif") as file:
        file.write_text("done")
    assert [path.name for path in tmp_path.iterdir()] == [f"{stem}.tif"]


def test_json_from_anywhere(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"a": "ü"}', "utf-8-sig")
    assert read_json(path) == {"a": "ü"}
    path.write_text("[" * 100_000)
    with pytest.raises(ValueError, match="nested too deeply"):
        read_json(path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(ValueError, match="is not a file"):
        read_json(path)


def test_neither_a_pipe_nor_a_file_in_the_place_of_a_folder_is_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.tif")
    (tmp_path / "notes").write_text("kept")
    for target, sentence in (
        (tmp_path / "pipe.tif", "(it is a pipe or a device); choose another place."),
        (tmp_path / "notes" / "a.tif", "(notes is a file, not a folder); choose another place."),
        (tmp_path / ("n" * 300), "(File name too long); give it a shorter name."),
    ):
        with pytest.raises(InputError) as caught, explain_os_error("Lost", target), atomic_write(target) as file:
            file.write_text("new")
        assert str(caught.value).endswith(f"cannot be written {sentence}")
    assert (tmp_path / "notes").read_text() == "kept"
    assert (tmp_path / "pipe.tif").is_fifo()


KILLED = """
import os, signal, sys
from pathlib import Path
from napari_wavegms.storage.atomic import atomic_write, unfinished
folder = unfinished(Path(sys.argv[1]) / "export")
folder.mkdir()
(folder / "patient.tif").touch()
with atomic_write(Path(sys.argv[1]) / "mask.tif"):
    os.kill(os.getpid(), signal.SIGKILL)
"""
LOOKS = "import sys; from napari_wavegms.storage.atomic import atomic_write\nwith atomic_write(sys.argv[1]): pass"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals")
def test_what_a_killed_program_left_is_swept_at_the_next_start_and_nothing_else(tmp_path: Path) -> None:
    others = {".mask-1234abcd.tif", ".notes.wavegms.txt", "mask-000000-1-1234abcd.wavegms.tif"}
    for name in others:
        (tmp_path / name).touch()
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)
    assert len(set(tmp_path.iterdir())) == len(others) + 2
    living = unfinished(tmp_path / "we live")
    living.touch()
    elsewhere = [tmp_path / f".x-{host}-1-1234abcd.wavegms.tif" for host in ("fffff1", "fffff2")]
    for path, age in zip(elsewhere, (2 * 24 * 3600, 0), strict=True):
        path.touch()
        os.utime(path, (time.time() - age,) * 2)
    subprocess.run([sys.executable, "-c", LOOKS, str(tmp_path / "new.tif")], check=True)
    assert {path.name for path in tmp_path.iterdir()} == {*others, living.name, elsewhere[1].name, "new.tif"}


@pytest.mark.parametrize(
    ("home", "place"), [("", None), (" ", None), ("rel", "rel"), ("~/x", "x"), ("~nobody-here/x", "~nobody-here/x")]
)
def test_where_the_users_folder_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, home: str, place: str | None
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("WAVEGMS_HOME", home)
    if place is None:
        assert user_folder().name == "napari-wavegms"
    else:
        assert user_folder() == tmp_path / place


def test_one_bad_entry_of_the_settings_costs_no_other(tmp_data_home: Path, tmp_path: Path) -> None:
    note_folder(tmp_path)
    settings = read_json(settings_file())
    settings_file().write_text(json.dumps(settings | {"recent": [3, "\0", ["x"], *settings["recent"]], "editor": 5}))
    assert recent_folders() == [tmp_path]
    assert isinstance(editor_name(), str)
    settings_file().write_text('{"recent": 1e999}')
    assert recent_folders() == []
