"""How fast the program is here: figures worked out by hand, and the fresh process and the machine that they are of."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from napari_wavegms.commands.bench.first_mask import peak_mib
from napari_wavegms.commands.bench.machine import Machine
from napari_wavegms.commands.bench.speed import first_mask
from napari_wavegms.commands.bench.timing import Cost, Effort, Measured, table, timed
from napari_wavegms.errors import InputError, WaveGMSError
from napari_wavegms.finetune.presets import QUICK
from napari_wavegms.learn.events import TrainStarted
from napari_wavegms.learn.pairs import Pair
from napari_wavegms.learn.train import iter_train
from napari_wavegms.model.checkpoint import load_checkpoint
from napari_wavegms.model.codec import load_codec
from napari_wavegms.model.inference import Inference


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


def test_the_machine_is_what_the_program_computes_with(model: Path, tmp_path: Path) -> None:
    machine = Machine.here("cpu")
    network, card = load_checkpoint(model)
    codec = load_codec("mask-codec")
    image = np.zeros((8, 8), np.uint8)
    started = next(iter_train([Pair("one", image, image == 0)], (), network, codec, QUICK.config, tmp_path, card=card))
    assert isinstance(started, TrainStarted)
    assert machine.learning == started.precision
    assert (machine.segmenting == "bfloat16") == Inference(network, codec, "cpu").bfloat16
    assert machine.sentence.startswith(
        f"{machine.architecture}, 1 thread, torch {machine.torch}; CPU: chosen; segments"
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
