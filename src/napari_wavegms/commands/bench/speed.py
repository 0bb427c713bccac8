"""How fast the program is on this machine: the first mask, later ones, and steps of training."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, TypeVar

import numpy as np

from napari_wavegms.commands.bench.first_mask import peak_mib, random_image
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

T = TypeVar("T")

_CORRECTIONS = 10
_FRAMES, _FRAME = 16, 512


class Cost(NamedTuple):
    """Seconds by the wall clock, and of the processor, all threads together."""

    wall: float
    processor: float


Steps = Generator[tuple[int, Cost], None, None]
"""Epoch and cost of each training step."""


def timed(work: Callable[[], T]) -> tuple[T, Cost]:
    """Do something; return its result and its cost."""
    wall, processor = time.perf_counter(), time.process_time()
    done = work()
    return done, Cost(time.perf_counter() - wall, time.process_time() - processor)


@dataclass(frozen=True, slots=True)
class Effort:
    """How often each thing is measured: as often as `seconds` allow, but within `least` and `most`."""

    seconds: float = 2.5
    least: int = 3
    most: int = 20

    def rounds(self) -> Iterator[int]:
        """Number the rounds; the clock starts with the first."""
        began = time.perf_counter()
        done = 0
        while done < self.least or (done < self.most and time.perf_counter() - began < self.seconds):
            yield done
            done += 1

    def costs(self, work: Callable[[], Any]) -> list[Cost]:
        """Do something in each round."""
        return [timed(work)[1] for _ in self.rounds()]


@dataclass(frozen=True, slots=True)
class Measured:
    """Median and quartiles of the rounds, in `unit`; `processor_seconds` is the steadier figure on a busy machine."""

    key: str
    what: str
    unit: str
    median: float
    lower_quartile: float
    upper_quartile: float
    processor_seconds: float | None
    rounds: int

    @classmethod
    def of(cls, key: str, what: str, unit: str, values: Sequence[float], costs: Sequence[Cost] = ()) -> Measured:
        """Sum up a figure of each round, and what the rounds cost.

        Examples
        --------
        >>> Measured.of("memory", "memory", "MiB", [5.0, 1.0, 2.0, 4.0, 3.0]).lower_quartile
        2.0
        """
        low, middle, high = (float(value) for value in np.percentile(values, [25, 50, 75]))
        processor = float(np.median([cost.processor for cost in costs])) if costs else None
        return cls(key, what, unit, middle, low, high, processor, len(values))

    @classmethod
    def seconds(cls, key: str, what: str, costs: Sequence[Cost]) -> Measured:
        """Sum up how long the rounds took."""
        return cls.of(key, what, "s", [cost.wall for cost in costs], costs)

    def __str__(self) -> str:
        """Median and quartiles, with the unit.

        Examples
        --------
        >>> print(Measured.of("stack", "a stack", "frames/s", [9.0, 10.0, 11.0]))
        10.0 (9.50 to 10.5) frames/s
        >>> print(Measured.of("memory", "memory", "MiB", [1234.5]))
        1234 MiB
        """
        quartiles = f" ({_figure(self.lower_quartile)} to {_figure(self.upper_quartile)})" if self.rounds > 1 else ""
        return f"{_figure(self.median)}{quartiles} {self.unit}"


def table(results: Sequence[Measured]) -> list[str]:
    """Rows of a Markdown table."""
    rows = ["| | median (quartiles) | processor time | rounds |", "| --- " * 4 + "|"]
    for measured in results:
        seconds = measured.processor_seconds
        processor = "–" if seconds is None else f"{_figure(seconds)} s"
        rows.append(f"| {measured.what} | {measured} | {processor} | {measured.rounds} |")
    return rows


def _figure(value: float) -> str:
    """Three digits; those before the point are all kept."""
    return f"{value:.0f}" if value >= 100 else f"{value:#.3g}"


def measure_speed(model: Path, device: str) -> Iterator[Measured]:
    """Measure how fast a model file is on a torch device; nothing but temporary files is written.

    Raises
    ------
    WaveGMSError
        If the model cannot be used here.
    """
    effort = Effort()
    segmenter = Segmenter.from_checkpoint(model, device)
    segmenter.segment(random_image(224))  # warms up; and a model that cannot be used says so here, in a sentence
    yield from _fresh(model, device, effort)
    yield from _segmenting(segmenter, effort)
    # Small, because they are quick to draw then; training brings them to the model's size before its first step.
    phantoms = [ultrasound_phantom(seed, (128, 160)) for seed in range(_CORRECTIONS)]
    pairs = [Pair(phantom.name, phantom.image, phantom.mask != 0) for phantom in phantoms]
    steps = partial(_steps, model, device, pairs)
    yield from _quick(steps, effort)
    with closing(steps(FULL.config)) as full:
        next(full)
        yield Measured.seconds(
            "full_step", "a step of Full, on two corrections", [next(full)[1] for _ in effort.rounds()]
        )
    if (peak := peak_mib()) is not None:
        yield Measured.of("memory", "peak memory, all of the above in one process", "MiB", [peak])


def _fresh(model: Path, device: str, effort: Effort) -> Iterator[Measured]:
    runs = [first_mask(model, device) for _ in effort.rounds()]
    whole = [Cost(run["wall"], run["processor"]) for run in runs]
    yield Measured.seconds("first_mask", "first mask of a fresh Python process, from its start", whole)
    for stage, what in (
        ("torch", "… of which importing torch"),
        ("model", "… loading the model, from its file to ready"),
        ("mask", "… the mask, 224×224"),
    ):
        yield Measured.seconds(f"first_mask_{stage}", what, [Cost(*run["stages"][stage]) for run in runs])
    peaks = [run["peak_mib"] for run in runs]
    if None not in peaks:
        yield Measured.of("first_mask_memory", "… peak memory", "MiB", peaks)


def first_mask(model: Path, device: str) -> dict[str, Any]:
    """Segment one image in a fresh Python process; what that process printed, and its wall time.

    Raises
    ------
    WaveGMSError
        If it failed.
    """
    # -P: as for the installed command, nothing is imported from the current folder.
    command = [sys.executable, "-P", "-m", "napari_wavegms.commands.bench.first_mask", str(model), device]
    started = time.time()
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    if process.returncode:
        said = process.stderr.strip().splitlines() or [f"it ended with {process.returncode}"]
        raise WaveGMSError(f"A fresh Python process could not segment an image: {said[-1]}")
    printed: dict[str, Any] = json.loads(process.stdout.splitlines()[-1])
    return printed | {"wall": printed["at"] - started}


def _segmenting(segmenter: Segmenter, effort: Effort) -> Iterator[Measured]:
    for side, what in ((224, "one RGB image of 224×224, warm"), (2048, "one RGB image of 2048×2048")):
        yield Measured.seconds(f"image_{side}", what, effort.costs(partial(segmenter.segment, random_image(side))))
    stack = np.stack([random_image(_FRAME)[..., 0]] * _FRAMES)
    plan = plan_stack(stack.shape, stack.dtype, rgb=False, every=True)
    costs = effort.costs(lambda: deque(segment_planes(segmenter, stack, plan), maxlen=0))
    rates = [_FRAMES / cost.wall for cost in costs]
    yield Measured.of("stack", f"a stack of {_FRAMES} frames of {_FRAME}×{_FRAME}", "frames/s", rates, costs)


def _quick(steps_of: Callable[[TrainConfig], Steps], effort: Effort) -> Iterator[Measured]:
    """Steps of Quick, which caches the encoder's output for each of an image's eight flips and turns."""
    # Without flips and turns everything is cached after one epoch; beside a step they cost nothing.
    upright = replace(QUICK.config.augmentation, flips_and_turns=False)
    with closing(steps_of(replace(QUICK.config, augmentation=upright))) as steps:
        next(steps)  # allocates, and compiles where that was never done
        new = []
        for epoch, cost in steps:
            if epoch:
                break
            new.append(cost)
        known = [next(steps)[1] for _ in effort.rounds()]
    yield Measured.seconds("quick_step", "a step of Quick, on one correction in a view seen before", known)
    yield Measured.seconds("quick_step_new", "… in new views", new)


def _steps(model: Path, device: str, pairs: Sequence[Pair], config: TrainConfig) -> Steps:
    """Train as the Fine-tune panel does; only the steps themselves are timed."""
    network, card = load_checkpoint(model)
    config = replace(config, size=int(card.preprocessing["size"]))
    codec = load_codec("mask-codec")
    with TemporaryDirectory() as folder:
        events = iter_train(pairs, (), network, codec, config, folder, card=card, device=device, resumable=False)
        with closing(events):
            while True:
                event, cost = timed(lambda: next(events))
                if isinstance(event, TrainStep):
                    yield event.epoch, cost
