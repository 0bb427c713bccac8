"""The file that only grows."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from napari_wavegms.errors import InputError
from napari_wavegms.storage.append_log import Ledger


def add(ledger: Ledger, *numbers: int) -> None:
    with ledger.writing():
        ledger.append([{"kind": "n", "n": number} for number in numbers])


def numbers(ledger: Ledger) -> list[int]:
    return [record["n"] for record in ledger.read()]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "list.jsonl"


def test_looking_makes_nothing(path: Path) -> None:
    assert Ledger(path).read() == ()
    assert not path.parent.exists()


def test_two_instances_see_each_others_lines(path: Path) -> None:
    one, other = Ledger(path), Ledger(path)
    add(one, 1)
    add(other, 2, 3)
    add(one, 4)
    assert numbers(one) == numbers(other) == [1, 2, 3, 4]
    assert numbers(Ledger(path)) == [1, 2, 3, 4]


def test_a_last_line_cut_anywhere_loses_only_itself(path: Path) -> None:
    add(Ledger(path), 1)
    confirmed = path.read_bytes()
    add(Ledger(path), 2)
    whole = path.read_bytes()
    for cut in range(len(confirmed), len(whole) + 1):
        path.write_bytes(whole[:cut])
        opened = Ledger(path)
        complete = cut >= len(whole) - 1  # only the line end is missing, or nothing
        assert numbers(opened) == ([1, 2] if complete else [1])
        assert len(opened.warnings) == (len(confirmed) < cut < len(whole) - 1)
        add(opened, 3)
        reopened = Ledger(path)
        assert numbers(reopened) == ([1, 2, 3] if complete else [1, 3])
        assert reopened.warnings == (), "what is mended is told once"
        assert path.read_bytes().startswith(whole[:cut]), "nothing is ever taken out"


def test_a_cut_line_is_told_in_a_sentence(path: Path) -> None:
    add(Ledger(path), 1)
    with path.open("ab") as file:
        file.write(b'{"kind": "n", "n"')
    assert Ledger(path).warnings == (
        "The last line of list.jsonl was cut short, most likely by a crash; everything confirmed before it is here.",
    )


def test_a_line_cut_by_another_process_while_we_are_open_is_closed(path: Path) -> None:
    ledger = Ledger(path)
    add(ledger, 1)
    with path.open("ab") as file:
        file.write(b"\0\0\0")
    add(ledger, 2)
    assert numbers(ledger) == numbers(Ledger(path)) == [1, 2]
    assert Ledger(path).warnings == ()


def test_a_damaged_line_in_the_middle_is_passed_over_and_told(path: Path) -> None:
    add(Ledger(path), 1, 2, 3)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], b"\xff#\n", b"7\n", *lines[3:]]))
    assert numbers(Ledger(path)) == [1, 3]
    assert [sentence[:36] for sentence in Ledger(path).warnings] == [
        "Line 3 of list.jsonl is damaged and ",
        "Line 4 of list.jsonl is damaged and ",
    ]


def test_every_line_is_plain_json_that_names_the_format(path: Path) -> None:
    ledger = Ledger(path)
    with ledger.writing():
        ledger.append([{"kind": "n", "name": "é\n\udcff"}])
    head, line = [json.loads(line) for line in path.read_text(encoding="ascii").splitlines()]
    assert (head, line["name"]) == ({"kind": "head", "format": 1}, "é\n\udcff")


def test_a_file_of_a_newer_version_is_refused(path: Path) -> None:
    path.parent.mkdir()
    path.write_text('{"kind": "head", "format": 2}\n')
    with pytest.raises(InputError, match=r"newer version \(format 2, this is 1\)"):
        Ledger(path)


def test_a_file_that_was_removed_under_us_begins_again(path: Path) -> None:
    ledger = Ledger(path)
    add(ledger, 1, 2)
    path.unlink()
    assert numbers(ledger) == []
    add(ledger, 3)
    assert numbers(ledger) == numbers(Ledger(path)) == [3]


def test_a_path_below_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be read"):
        Ledger(tmp_path / "file" / "list.jsonl")


def test_threads_of_one_instance_write_and_read_at_once(path: Path) -> None:
    ledger = Ledger(path)
    with ThreadPoolExecutor(4) as pool:
        writing = [pool.submit(add, ledger, number) for number in range(40)]
        while not all(task.done() for task in writing):
            seen = numbers(ledger)
            assert len(seen) == len(set(seen))
    assert sorted(numbers(ledger)) == list(range(40))


def test_a_line_cut_under_open_instances_is_closed_once(path: Path) -> None:
    one, other = Ledger(path), Ledger(path)
    add(one, 1)
    with path.open("ab") as file:
        file.write(b'{"kind"')
    assert numbers(one) == numbers(other) == [1]
    assert len(one.warnings) == 1
    assert other.warnings == ()
    assert path.read_bytes().count(b'"cut"') == 1
