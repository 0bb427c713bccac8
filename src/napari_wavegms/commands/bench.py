"""`wavegms bench`: measure on this machine what the documentation says of another."""

from __future__ import annotations

import argparse
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from napari_wavegms.commands.common.arguments import (
    STDOUT,
    Commands,
    add_command,
    add_json_file,
    add_shared,
    json_target,
)
from napari_wavegms.commands.common.console import note, show, show_json
from napari_wavegms.commands.common.exit_codes import DONE
from napari_wavegms.commands.common.models import named_model
from napari_wavegms.commands.common.output_paths import write_json
from napari_wavegms.errors import WaveGMSError
from napari_wavegms.model.card import read_card
from napari_wavegms.wording import counted

if TYPE_CHECKING:
    from napari_wavegms.finetune.presets import Preset

_EPILOG = "Measures the first mask, later masks and training steps on synthetic images; takes about half a minute."
SECONDS = 4.0
"""How long each thing is measured."""
_FRAMES, _FRAME = 16, 512
_CORRECTIONS = 10
# -P: as for the installed command, nothing is imported from the current folder.
_FRESH = (
    "import sys, numpy; from napari_wavegms import Segmenter; "
    "Segmenter.from_checkpoint(*sys.argv[1:]).segment(numpy.eye(224))"
)


def add_parser(commands: Commands) -> None:
    """Register the command with argparse."""
    parser = add_command(commands, "bench", run, "Measure how fast the program is on this machine", epilog=_EPILOG)
    add_shared(parser, "--model", "--device")
    add_json_file(parser, "figures")


def run(options: argparse.Namespace) -> int:
    """Measure and print a table."""
    # Wrong options are found before torch is loaded.
    target = json_target(options, [])
    model = named_model(options.model)
    read_card(model)
    machine, prints_json = _machine(options.device), options.json == STDOUT
    told = (
        f"{machine['architecture']}, {counted(machine['threads'], 'thread')}, torch {machine['torch']}, on "
        f"{machine['reason']}; segments in {machine['segmenting']}, trains in {machine['learning']}."
    )
    (note if prints_json else show)(told)
    results = []
    for measured in measure_speed(model, machine["device"]):
        results.append(measured)
        note(f"{measured.what}: {measured}")
    report = {"machine": machine, "speed": [asdict(measured) for measured in results]}
    if prints_json:
        show_json(report)
    else:
        show("", "| | median | runs |", "| --- | --- | --- |", *(m.row for m in results))
    if target is not None:
        write_json(target, report)
    return DONE


def _machine(device: str) -> dict[str, Any]:
    """What decides how fast the program is here; raises `InputError` if there is no such device."""
    import torch

    from napari_wavegms.model.device import choose_device, computes_bfloat16, multiplies_bfloat16

    chosen = choose_device(device)
    return {
        "architecture": platform.machine(),
        "threads": torch.get_num_threads(),
        "torch": str(torch.__version__),
        "device": chosen.name,
        "reason": chosen.reason,
        "segmenting": "bfloat16" if multiplies_bfloat16(chosen.name) else "float32",
        "learning": "bfloat16" if computes_bfloat16(chosen.name) else "float32",
    }


@dataclass(frozen=True, slots=True)
class Measured:
    """The median of some runs, in `unit`."""

    key: str
    what: str
    median: float
    runs: int
    unit: str = "s"

    def __str__(self) -> str:
        """Three digits with the unit; those before the point are all kept.

        Examples
        --------
        >>> print(Measured("stack", "a stack", 9.0, 3, "frames/s"), "and", Measured("full_step", "a step", 1234.5, 1))
        9.00 frames/s and 1234 s
        """
        return f"{self.median:.0f} {self.unit}" if self.median >= 100 else f"{self.median:#.3g} {self.unit}"

    @property
    def row(self) -> str:
        """A row of a Markdown table."""
        return f"| {self.what} | {self} | {self.runs} |"


def measure_speed(model: Path, device: str) -> Iterator[Measured]:
    """Measure how fast a model file is on a torch device; nothing but temporary files is written."""
    import numpy as np

    from napari_wavegms.finetune.presets import FULL, QUICK
    from napari_wavegms.segment.segmenter import Segmenter, segment_stack

    def measured(key: str, what: str, work: Callable[[], object]) -> Measured:
        return Measured(key, what, *_median_seconds(work))

    yield measured("first_mask", "first mask of a fresh Python process", partial(_first_mask, model, device))
    segmenter, noise = Segmenter.from_checkpoint(model, device), np.random.default_rng(0)
    for side in (224, 2048):
        image = noise.integers(0, 256, (side, side, 3), np.uint8)
        segmenter.segment(image)  # warms up
        yield measured(f"image_{side}", f"one RGB image of {side}×{side}, warm", partial(segmenter.segment, image))
    stack = noise.integers(0, 256, (_FRAMES, _FRAME, _FRAME), np.uint8)
    frames = measured(
        "stack", f"a stack of {_FRAMES} frames of {_FRAME}×{_FRAME}", partial(segment_stack, segmenter, stack)
    )
    yield replace(frames, median=_FRAMES / frames.median, unit="frames/s")
    for preset in (QUICK, FULL):
        with closing(_steps(model, device, preset)) as steps:
            next(steps)  # allocates, and compiles where that was never done
            what = f"a step of {preset.title}, on {counted(preset.config.batch, 'image')}"
            yield measured(f"{preset.key}_step", what, partial(next, steps))


def _median_seconds(work: Callable[[], object]) -> tuple[float, int]:
    """Median of as many runs as `SECONDS` allow, at most twenty; and how many."""
    times: list[float] = []
    while not times or (len(times) < 20 and sum(times) < SECONDS):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return median(times), len(times)


def _first_mask(model: Path, device: str) -> None:
    command = [sys.executable, "-P", "-c", _FRESH, str(model), device]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    if process.returncode:
        said = process.stderr.strip().splitlines() or [f"it ended with {process.returncode}"]
        raise WaveGMSError(f"A fresh Python process could not segment an image: {said[-1]}")


def _steps(model: Path, device: str, preset: Preset) -> Generator[Any, None, None]:
    """The steps of the Fine-tune panel, without end."""
    from napari_wavegms.learn.events import TrainStep
    from napari_wavegms.learn.pairs import Pair
    from napari_wavegms.learn.train import iter_train
    from napari_wavegms.model.checkpoint import load_checkpoint
    from napari_wavegms.model.codec import load_codec
    from napari_wavegms.samples import ultrasound_phantom

    # Small, because they are quick to draw then; training brings them to the model's size before its first step.
    phantoms = [ultrasound_phantom(seed, (128, 160)) for seed in range(_CORRECTIONS)]
    pairs = [Pair(phantom.name, phantom.image, phantom.mask != 0) for phantom in phantoms]
    network, card = load_checkpoint(model)
    config = replace(preset.config, size=int(card.preprocessing["size"]))
    codec = load_codec("mask-codec")
    with TemporaryDirectory() as folder:
        events = iter_train(pairs, (), network, codec, config, folder, card=card, device=device, resumable=False)
        with closing(events):
            yield from (event for event in events if isinstance(event, TrainStep))
