"""`wavegms bench`: a table that can be checked by hand, and runs on phantoms with a tiny model."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from napari_wavegms.commands.bench import speed as bench_speed
from napari_wavegms.commands.bench.adaptation import Adapted
from napari_wavegms.commands.bench.adaptation_command import table
from napari_wavegms.commands.bench.timing import Effort
from napari_wavegms.finetune import presets

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


def test_the_adaptation_is_measured_on_phantoms_where_no_data_is_given(
    wavegms: Callable[..., Any], model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = replace(presets.QUICK, config=replace(presets.QUICK.config, epochs=1, max_seconds=0.0))
    monkeypatch.setitem(presets.PRESETS, "quick", short)
    report = tmp_path / "report.json"
    options = ("--only", "adaptation", "--speed", "quick", "--draws", "1", "--corrections", "3", "--json", report)
    said = wavegms("bench", "--model", model, "--device", "cpu", *options)
    assert said.code == 0
    told = json.loads(report.read_text())
    assert list(told) == ["machine", "adaptation"]
    (adapted,) = told["adaptation"]
    assert adapted["learned"] + adapted["held_out"] == 3
    assert f"{adapted['after']:.3f}" in said.out.splitlines()[-1]


def test_the_speed_is_measured_and_printed_as_nothing_but_json(
    wavegms: Callable[..., Any], model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench_speed, "Effort", partial(Effort, seconds=0.0, least=1, most=1))
    said = wavegms("bench", "--only", "speed", "--model", model, "--device", "cpu", "--json")
    assert said.code == 0
    told = json.loads(said.out)
    assert list(told) == ["machine", "speed"]
    assert told["machine"]["device"] == "cpu"
    measured = {one["key"]: one for one in told["speed"]}
    stages = ("first_mask_torch", "first_mask_model", "first_mask_mask")
    rows = ("first_mask", *stages, "image_224", "image_2048", "stack", "quick_step", "quick_step_new", "full_step")
    assert set(rows) <= set(measured)
    assert all(one["median"] > 0 for one in measured.values())
    assert sum(measured[stage]["median"] for stage in stages) < measured["first_mask"]["median"]
    # Ten corrections are five steps an epoch, all of them new views at first; the very first is not measured.
    assert measured.pop("quick_step_new")["rounds"] == 4
    assert {one["rounds"] for one in measured.values()} == {1}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--draws", "0"], "There is nothing to measure without a draw of at least one correction."),
        (["--known", "."], "--known says where the model comes from and --new where it is to go; give --new too."),
        (["--speed", "slow"], "--speed is 'slow'; choose quick or full."),
        (["--only", "memory"], "--only is 'memory'; choose speed or adaptation."),
        (["--new", "nowhere"], "nowhere"),
        (
            ["--only", "speed", "--new", "."],
            "--new and --known are for how a model adapts, which --only speed leaves out.",
        ),
    ],
)
def test_what_cannot_be_measured_is_refused(wavegms: Callable[..., Any], options: list[str], sentence: str) -> None:
    said = wavegms("bench", *options)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith(sentence)
