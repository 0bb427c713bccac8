"""`wavegms bench` with a tiny model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from napari_wavegms.commands import bench
from napari_wavegms.errors import WaveGMSError


def test_the_speed_is_measured_and_printed_as_nothing_but_json(
    wavegms: Callable[..., Any], model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "SECONDS", 0.0)
    said = wavegms("bench", "--model", model, "--device", "cpu", "--json")
    assert said.code == 0
    told = json.loads(said.out)
    assert list(told) == ["machine", "speed"]
    assert told["machine"]["device"] == "cpu"
    measured = {one["key"]: one for one in told["speed"]}
    assert list(measured) == ["first_mask", "image_224", "image_2048", "stack", "quick_step", "full_step"]
    assert all(one["median"] > 0 and one["runs"] == 1 for one in measured.values())
    assert measured["image_224"]["median"] < measured["first_mask"]["median"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--model", "nowhere"], "There is no model 'nowhere'."),
        (["--json", "."], ". is a folder; --json takes"),
    ],
)
def test_what_cannot_be_measured_is_refused(wavegms: Callable[..., Any], options: list[str], sentence: str) -> None:
    said = wavegms("bench", *options)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith(sentence)


def test_a_row_gives_the_median_and_how_many_runs_it_is_of() -> None:
    assert bench.Measured("image", "one image", 0.3, 5).row == "| one image | 0.300 s | 5 |"


def test_a_fresh_process_that_fails_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(WaveGMSError, match=r"A fresh Python process could not segment an image: .*gone\.safetensors"):
        next(bench.measure_speed(tmp_path / "gone.safetensors", "cpu"))
