"""What commands print: whole words, and a bar only where somebody watches."""

from __future__ import annotations

import pytest

from napari_wavegms.commands.common.console import about, bar, note, show, show_json


def test_an_error_names_its_file_once() -> None:
    assert about("a.png", "scans/a.png is empty.") == "scans/a.png is empty."
    assert about("a.png", "It is empty.") == "a.png: It is empty."


def test_results_and_notes_go_their_own_ways(capsys: pytest.CaptureFixture[str]) -> None:
    show("result")
    note("note")
    show_json({"a": None})
    printed = capsys.readouterr()
    assert printed.out == 'result\n{\n  "a": null\n}\n'
    assert printed.err == "note\n"


def test_no_bar_is_drawn_into_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    with bar(3, "Working", "step") as progress:
        progress.update()
        note("a line")
    assert capsys.readouterr().err == "a line\n"


def test_a_number_that_json_does_not_know_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="Out of range float values"):
        show_json({"dsc": float("nan")})
