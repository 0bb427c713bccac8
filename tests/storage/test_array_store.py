"""The folder of arrays that are named by their content."""

from __future__ import annotations

import gzip
import os
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from napari_wavegms.errors import InputError
from napari_wavegms.storage.array_store import ArrayStore


@pytest.mark.parametrize("dtype", ["?", "u1", ">u2", "<i4", "u8", "f2", ">f4", "f8"])
def test_an_array_comes_back_bit_by_bit(tmp_path: Path, dtype: str) -> None:
    array = np.random.default_rng(0).integers(0, 2, (5, 7, 3)).astype(dtype)
    back = ArrayStore(tmp_path).get(ArrayStore(tmp_path).put(array))
    assert back.dtype == array.dtype.newbyteorder("=")
    np.testing.assert_array_equal(back, array)


def test_nan_keeps_its_place(tmp_path: Path) -> None:
    array = np.array([[np.nan, -np.inf, -0.0]])
    back = ArrayStore(tmp_path).get(ArrayStore(tmp_path).put(array))
    assert back.tobytes() == array.tobytes()


def test_the_same_array_is_kept_once_and_anyone_can_read_it(tmp_path: Path) -> None:
    folder, array = ArrayStore(tmp_path), np.eye(4)
    assert folder.put(array) == folder.put(np.asfortranarray(array))
    [file] = tmp_path.iterdir()
    with gzip.open(file) as packed:
        np.testing.assert_array_equal(np.load(packed), array)


@pytest.mark.parametrize("cut", [0, 5, 30, -1])
def test_a_damaged_file_is_told_and_mended_by_keeping_the_array_again(tmp_path: Path, cut: int) -> None:
    folder, array = ArrayStore(tmp_path), np.arange(100.0)
    content = folder.put(array)
    folder.path(content).write_bytes(folder.path(content).read_bytes()[:cut])
    with pytest.raises(InputError, match="is damaged"):
        folder.get(content)
    assert folder.put(array) == content
    np.testing.assert_array_equal(folder.get(content), array)


@pytest.mark.skipif(os.name != "posix", reason="pipes in folders are POSIX")
def test_a_pipe_in_its_place_is_told_and_not_waited_for(tmp_path: Path) -> None:
    folder = ArrayStore(tmp_path)
    path = folder.path(folder.put(np.eye(4)))
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(InputError, match="is damaged"):
        folder.get(path.name.removesuffix(".npy.gz"))


def test_a_whole_file_with_other_values_is_damaged(tmp_path: Path) -> None:
    folder = ArrayStore(tmp_path)
    one, other = folder.put(np.zeros(3)), folder.put(np.ones(3))
    folder.path(one).write_bytes(folder.path(other).read_bytes())
    with pytest.raises(InputError, match="is damaged"):
        folder.get(one)


def test_a_file_that_is_gone_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is gone"):
        ArrayStore(tmp_path).get("0" * 32)


@pytest.mark.parametrize("name", ["", "../x", "0" * 31, "Z" * 32])
def test_only_hashes_name_files(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="not a content hash"):
        ArrayStore(tmp_path).path(name)


def test_whatever_byte_is_damaged_is_told_in_a_sentence(tmp_path: Path) -> None:
    folder = ArrayStore(tmp_path)
    content = folder.put(np.arange(6.0))
    whole = gzip.decompress(folder.path(content).read_bytes())
    for place in range(len(whole)):
        for byte in (0, 40, 91, 123, 255):
            folder.path(content).write_bytes(gzip.compress(whole[:place] + bytes([byte]) + whole[place + 1 :], 1))
            if whole[place] != byte:
                with suppress(InputError):  # and nothing else; a blank of the header's padding does not matter
                    np.testing.assert_array_equal(folder.get(content), np.arange(6.0))
