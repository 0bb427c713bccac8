"""`wavegms bench`: a table that can be checked by hand, and a run on phantoms with a tiny model."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from napari_wavegms.commands.bench import table
from napari_wavegms.review import speeds
from napari_wavegms.review.adaptation import Adapted

ONE = Adapted(0, "quick", 0.1, 0.3, 0.8, 0.75, 20.0, 8, 2, 10, 5, True)


def test_the_table_gives_means_and_the_range_of_the_draws() -> None:
    other = replace(ONE, draw=1, after=0.5, known_after=0.79, seconds=30.0)
    assert table([ONE, other])[2] == (
        "| quick | 0.100 | 0.400 (0.300 to 0.500) | +0.300 (+0.200 to +0.400) | 25.0 (20.0 to 30.0) s | 0.800 | "
        "0.770 (0.750 to 0.790) |"
    )


def test_a_single_draw_has_no_range_and_an_unknown_clinic_no_score() -> None:
    alone = replace(ONE, known_before=None, known_after=None)
    assert table([alone])[2] == "| quick | 0.100 | 0.300 | +0.200 | 20.0 s | – | – |"


def test_it_measures_on_phantoms_where_no_data_is_given(
    wavegms: Callable[..., Any], model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = replace(speeds.QUICK, config=replace(speeds.QUICK.config, epochs=1, max_seconds=0.0))
    monkeypatch.setitem(speeds.SPEEDS, "quick", short)
    report = tmp_path / "report.json"
    options = ("--speed", "quick", "--draws", "1", "--corrections", "3", "--device", "cpu", "--json", report)
    said = wavegms("bench", "--model", model, *options)
    assert said.code == 0
    (adapted,) = json.loads(report.read_text())["adaptation"]
    assert adapted["learned"] + adapted["held_out"] == 3
    assert f"{adapted['after']:.3f}" in said.out.splitlines()[-1]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--draws", "0"], "There is nothing to measure without a draw of at least one correction."),
        (["--known", "."], "--known says where the model comes from and --new where it is to go; give --new too."),
        (["--speed", "slow"], "--speed is 'slow'; choose quick or full."),
    ],
)
def test_what_cannot_be_measured_is_refused(wavegms: Callable[..., Any], options: list[str], sentence: str) -> None:
    said = wavegms("bench", *options)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith(sentence)
