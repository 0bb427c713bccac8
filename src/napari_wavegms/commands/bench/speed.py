"""How fast the program is on this machine: the first mask, later ones, and steps of learning."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from napari_wavegms.commands.bench.first_mask import peak_mib, picture
from napari_wavegms.commands.bench.timing import Cost, Effort, Measured, timed
from napari_wavegms.commands.common.console import duration, tell
from napari_wavegms.errors import WaveGMSError
from napari_wavegms.finetune.presets import FULL, QUICK
from napari_wavegms.learn.config import TrainConfig
from napari_wavegms.learn.events import TrainStep
from napari_wavegms.learn.pairs import Pair
from napari_wavegms.learn.train import iter_train
from napari_wavegms.model.checkpoint import load_checkpoint
from napari_wavegms.model.codec import load_codec
from napari_wavegms.samples import ultrasound_phantom
from napari_wavegms.segment.planes import plan_stack, segment_planes
from napari_wavegms.segment.segmenter import Segmenter

Steps = Generator[tuple[int, Cost], None, None]
"""Epoch and cost of each step of learning."""

_CORRECTIONS = 10
_FRAMES, _FRAME = 16, 512


def measure(model: Path, device: str) -> list[Measured]:
    """Measure everything, and tell each figure on stderr as it comes."""
    began = time.perf_counter()
    results = []
    with closing(measure_speed(model, device)) as rows:
        for measured in rows:
            results.append(measured)
            tell(f"{measured.what}: {measured.spread}")
    tell(f"The speed took {duration(time.perf_counter() - began)}.")
    return results


def measure_speed(model: Path, device: str) -> Generator[Measured, None, None]:
    """Measure how fast a model is on a device.

    Nothing but temporary files is written.

    Parameters
    ----------
    model : Path
        Its file.
    device : str
        A torch device name.

    Yields
    ------
    Measured

    Raises
    ------
    WaveGMSError
        If the model cannot be used here.
    """
    effort = Effort()
    segmenter = Segmenter.from_checkpoint(model, device)
    segmenter.segment(picture(224))  # warms up; and a model that cannot be used says so here, in a sentence
    yield from _fresh(model, device, effort)
    yield from _segmenting(segmenter, effort)
    pairs = _corrections()
    yield from _quick(partial(_steps, model, device, pairs), effort)
    yield from _full(partial(_steps, model, device, pairs), effort)
    if (peak := peak_mib()) is not None:
        yield Measured.of("memory", "memory at its peak, all of the above in one process", "MiB", [peak])


def _fresh(model: Path, device: str, effort: Effort) -> Iterator[Measured]:
    """What whoever starts the program waits for."""
    told = [first_mask(model, device) for _ in effort.rounds()]
    whole = [Cost(one["wall"], one["processor"]) for one in told]
    yield Measured.seconds("first_mask", "first mask of a fresh Python process, from its start", whole)
    for stage, what in (
        ("torch", "… of which importing torch"),
        ("model", "… loading the model, from its file to ready"),
        ("mask", "… the mask, 224×224"),
    ):
        yield Measured.seconds(f"first_mask_{stage}", what, [Cost(*one["stages"][stage]) for one in told])
    peaks = [one["peak_mib"] for one in told]
    if None not in peaks:
        yield Measured.of("first_mask_memory", "… memory at its peak", "MiB", peaks)


def first_mask(model: Path, device: str) -> dict[str, Any]:
    """Start Python, and have it segment one image; what it told, see `bench_fresh`, and all of its wall time.

    Raises
    ------
    WaveGMSError
        If it could not.
    """
    # -P: as for the installed command, nothing is imported from the folder in which one happens to be.
    command = [sys.executable, "-P", "-m", "napari_wavegms.commands.bench.first_mask", str(model), device]
    started = time.time()
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    if process.returncode:
        said = process.stderr.strip().splitlines() or [f"it ended with {process.returncode}"]
        raise WaveGMSError(f"A fresh Python process could not segment an image: {said[-1]}")
    told: dict[str, Any] = json.loads(process.stdout.splitlines()[-1])
    return told | {"wall": told["at"] - started}


def _segmenting(segmenter: Segmenter, effort: Effort) -> Iterator[Measured]:
    for side, what in ((224, "one RGB image of 224×224, warm"), (2048, "one RGB image of 2048×2048")):
        yield Measured.seconds(f"image_{side}", what, effort.costs(partial(segmenter.segment, picture(side))))
    stack = np.stack([picture(_FRAME)[..., 0]] * _FRAMES)
    plan = plan_stack(stack.shape, stack.dtype, rgb=False, every=True)
    costs = effort.costs(lambda: deque(segment_planes(segmenter, stack, plan), maxlen=0))
    rates = [_FRAMES / cost.wall for cost in costs]
    yield Measured.of("stack", f"a stack of {_FRAMES} frames of {_FRAME}×{_FRAME}", "frames/s", rates, costs)


def _corrections() -> list[Pair]:
    # Small, because they are quick to draw then; learning brings them to the model's size before its first step.
    phantoms = [ultrasound_phantom(seed, (128, 160)) for seed in range(_CORRECTIONS)]
    return [Pair(str(seed), phantom.image, phantom.mask != 0) for seed, phantom in enumerate(phantoms)]


def _quick(steps_of: Callable[[TrainConfig], Steps], effort: Effort) -> Iterator[Measured]:
    """Steps of Quick, which remembers what the encoder made of each of an image's eight flips and turns."""
    # Without flips and turns all is remembered after one epoch; beside a step they cost nothing.
    upright = replace(QUICK.config.augmentation, flips_and_turns=False)
    with closing(steps_of(replace(QUICK.config, augmentation=upright))) as steps:
        next(steps)  # allocates, and compiles where that was never done
        new = []
        for epoch, cost in steps:
            if epoch:
                break
            new.append(cost)
        known = [next(steps)[1] for _ in effort.rounds()]
    yield Measured.seconds("quick_step", "a step of Quick, on two corrections in views seen before", known)
    yield Measured.seconds("quick_step_new", "… in new views", new)


def _full(steps_of: Callable[[TrainConfig], Steps], effort: Effort) -> Iterator[Measured]:
    with closing(steps_of(FULL.config)) as steps:
        next(steps)
        costs = [next(steps)[1] for _ in effort.rounds()]
    yield Measured.seconds("full_step", "a step of Full, on two corrections", costs)


def _steps(model: Path, device: str, pairs: Sequence[Pair], config: TrainConfig) -> Steps:
    """Learn as the Fine-tune panel does, but not by the clock, and give each step's epoch and cost.

    What comes between the steps, such as writing the best model, does not count.
    """
    network, card = load_checkpoint(model)
    config = replace(config, size=int(card.preprocessing["size"]), max_seconds=0.0)
    with TemporaryDirectory() as folder:
        events = iter_train(
            pairs, (), network, load_codec("mask-codec"), config, folder, card=card, device=device, resumable=False
        )
        with closing(events):
            while True:
                event, cost = timed(lambda: next(events))
                if isinstance(event, TrainStep):
                    yield event.epoch, cost
