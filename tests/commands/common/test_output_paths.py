"""Places of results: never that of an input."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from napari_wavegms.commands.common.output_paths import (
    checked_output_file,
    checked_output_folder,
    refuse_overwriting,
)
from napari_wavegms.errors import InputError


def test_no_input_is_overwritten(tmp_path: Path) -> None:
    scan = tmp_path / "scan.png"
    scan.touch()
    refuse_overwriting([tmp_path / "other.png"], [scan])
    with pytest.raises(InputError, match=r"scan\.png is one of the inputs and would be overwritten"):
        refuse_overwriting([tmp_path / "x" / ".." / "scan.png"], [scan])


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_no_input_is_overwritten_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(InputError, match="one of the inputs"):
        refuse_overwriting([tmp_path / "link" / "a.png"], [tmp_path / "real" / "a.png"])


def test_an_output_folder_that_cannot_be_one(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(InputError, match="is a file, not a folder"):
        checked_output_folder(tmp_path / "notes")
    with pytest.raises(InputError, match="Cannot create the folder"):
        checked_output_folder(tmp_path / "notes" / "inside")
    assert checked_output_folder(tmp_path / "a" / "b").is_dir()


def test_an_output_file_that_cannot_be_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'model\.pth' does not end in \.safetensors"):
        checked_output_file(tmp_path / "model.pth", suffix=".safetensors")
    with pytest.raises(InputError, match="is a folder"):
        checked_output_file(tmp_path)
