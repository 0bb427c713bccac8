"""`wavegms bench` with a tiny model, and its figures worked out by hand."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_wavegms.commands.bench import speed as bench_speed
from napari_wavegms.commands.bench.command import Machine
from napari_wavegms.commands.bench.first_mask import peak_mib, random_image
from napari_wavegms.commands.bench.speed import Cost, Effort, Measured, first_mask, table, timed
from napari_wavegms.errors import InputError, WaveGMSError
from napari_wavegms.model.checkpoint import load_checkpoint
from napari_wavegms.model.codec import load_codec
from napari_wavegms.model.inference import Inference


def test_the_speed_is_measured_and_printed_as_nothing_but_json(
    wavegms: Callable[..., Any], model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench_speed, "Effort", partial(Effort, seconds=0.0, least=1, most=1))
    monkeypatch.setattr(bench_speed, "random_image", lambda side: random_image(min(side, 32)))
    said = wavegms("bench", "--model", model, "--device", "cpu", "--json")
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
    # Ten corrections are ten steps an epoch, all of them new views at first; the very first is not measured.
    assert measured.pop("quick_step_new")["rounds"] == 9
    assert {one["rounds"] for one in measured.values()} == {1}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [(["--model", "nowhere"], "There is no model 'nowhere'."), (["--json", "."], ". is a folder; --json takes")],
)
def test_what_cannot_be_measured_is_refused(wavegms: Callable[..., Any], options: list[str], sentence: str) -> None:
    said = wavegms("bench", *options)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith(sentence)


def test_the_table_gives_median_quartiles_and_the_processors_time() -> None:
    costs = [Cost(wall, processor) for wall, processor in ((0.5, 0.1), (0.1, 0.1), (0.2, 0.3), (0.3, 0.2), (0.4, 0.2))]
    image = Measured.seconds("image", "one image", costs)
    memory = Measured.of("memory", "memory", "MiB", [1234.4])
    assert table([image, memory])[2:] == [
        "| one image | 0.300 (0.200 to 0.400) s | 0.200 s | 5 |",
        "| memory | 1234 MiB | – | 1 |",
    ]


def test_quartiles_lie_between_the_rounds_next_to_them() -> None:
    measured = Measured.of("stack", "a stack", "frames/s", [10.0, 20.0])
    assert (measured.lower_quartile, measured.median, measured.upper_quartile) == (12.5, 15.0, 17.5)


@pytest.mark.parametrize(("seconds", "rounds"), [(0.0, 3), (1000.0, 7)])
def test_rounds_end_by_the_clock_within_their_bounds(seconds: float, rounds: int) -> None:
    assert list(Effort(seconds, least=3, most=7).rounds()) == list(range(rounds))


def test_what_is_timed_still_gives_its_result() -> None:
    total, cost = timed(lambda: sum(range(1000)))
    assert total == 499500
    assert cost.wall > 0


def test_a_fresh_process_that_fails_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(WaveGMSError, match=r"A fresh Python process could not segment an image: .*gone\.safetensors"):
        first_mask(tmp_path / "gone.safetensors", "cpu")


def test_the_machine_is_what_the_program_computes_with(model: Path) -> None:
    machine = Machine.here("cpu")
    network, _ = load_checkpoint(model)
    assert (machine.segmenting == "bfloat16") == Inference(network, load_codec("mask-codec"), "cpu").bfloat16
    assert machine.sentence.startswith(
        f"{machine.architecture}, 1 thread, torch {machine.torch}, on the processor (chosen); segments"
    )


def test_a_machine_without_the_device_says_so() -> None:
    with pytest.raises(InputError, match="There is no device 'gpu'"):
        Machine.here("gpu")


@pytest.mark.skipif(peak_mib() is None, reason="this system does not tell")
def test_the_peak_of_memory_is_the_processes_own() -> None:
    filled = np.ones(40_000_000)  # 305 MiB here
    script = "from napari_wavegms.commands.bench.first_mask import peak_mib; print(peak_mib())"
    started = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert float(started.stdout) < filled.nbytes / 2**20 < (peak_mib() or 0)
