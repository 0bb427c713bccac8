"""Durations, times and counts as people say them."""

from __future__ import annotations

from datetime import datetime

import pytest

from napari_wavegms.wording import TimeLeft, counted, duration, listed, moment, rough_duration


def test_time_left_is_silent_until_it_knows_and_leaves_the_first_step_out() -> None:
    ticks = iter([60.0, 62.0, 64.0, 66.0])
    left = TimeLeft(lambda: next(ticks))
    said = [left.text(done, 4) for done in (1, 2, 3, 4)]
    assert said == ["", "about 4 s left", "about 2 s left", ""]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.01, "less than 0.1 s"), (0.234, "0.2 s"), (5.0, "5 s"), (59.4, "59 s"), (60, "1 min"), (3600, "1 h 0 min")],
)
def test_a_duration_as_people_say_it(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(("seconds", "words"), [(0, "1 s"), (59.4, "59 s"), (59.6, "1 min"), (7300, "2 h 2 min")])
def test_a_duration_in_whole_steps(seconds: float, words: str) -> None:
    assert rough_duration(seconds) == words


def test_a_moment_is_in_the_reader_s_time_zone() -> None:
    now = datetime.fromisoformat("2026-06-03T18:00:00+02:00")
    assert moment("2026-06-03T14:02:00+00:00", now) == "today 16:02"
    assert moment("soon", now) == ""


def test_numbers_agree_with_their_nouns() -> None:
    assert counted(0, "image") == "0 images"
    assert counted(1, "image") == "1 image"


def test_long_lists_are_cut() -> None:
    assert listed(["a", "b", "c"]) == "a, b, c"
    assert listed(["a", "b", "c", "d"], shown=2) == "a, b and 2 more"
