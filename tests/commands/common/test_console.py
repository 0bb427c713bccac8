"""What commands print: whole words, and a bar only where somebody watches."""

from __future__ import annotations

import pytest

from napari_wavegms.commands.common.console import about, bar, counted, duration, show, show_json, some, tell


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.0, "0.01 s"), (0.234, "0.23 s"), (9.96, "10 s"), (12.4, "12 s"), (59.6, "1 min 0 s"), (7300, "2 h 1 min")],
)
def test_durations_are_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_numbers_agree_with_their_nouns() -> None:
    assert counted(0, "image") == "0 images"
    assert counted(1, "image") == "1 image"


def test_long_lists_are_cut() -> None:
    assert some(["a", "b", "c"]) == "a, b, c"
    assert some(["a", "b", "c", "d"], shown=2) == "a, b and 2 more"


def test_an_error_names_its_file_once() -> None:
    assert about("a.png", "scans/a.png is empty.") == "scans/a.png is empty."
    assert about("a.png", "It is empty.") == "a.png: It is empty."


def test_results_and_notes_go_their_own_ways(capsys: pytest.CaptureFixture[str]) -> None:
    show("result")
    tell("note")
    show_json({"a": None})
    printed = capsys.readouterr()
    assert printed.out == 'result\n{\n  "a": null\n}\n'
    assert printed.err == "note\n"


def test_no_bar_is_drawn_into_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    with bar(3, "Working", "step") as progress:
        progress.update()
        tell("a line")
    assert capsys.readouterr().err == "a line\n"


def test_a_number_that_json_does_not_know_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="Out of range float values"):
        show_json({"dsc": float("nan")})
