"""What a training run emits, and the files it writes."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from napari_wavegms.learn.config import TrainConfig
    from napari_wavegms.model.card import ModelCard
    from napari_wavegms.model.network import WaveGMS

Event = TypeVar("Event")
Result = TypeVar("Result")


def run_to_end(task: Generator[Event, None, Result], on_event: Callable[[Event], object] | None = None) -> Result:
    """Run a generator to its end, hand each event to `on_event`, and return its result.

    Examples
    --------
    >>> def count():
    ...     yield from "ab"
    ...     return 2
    >>> run_to_end(count(), print)
    a
    b
    2
    """
    try:
        while True:
            try:
                event = next(task)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            if on_event is not None:
                on_event(event)
    finally:
        task.close()


@dataclass(frozen=True, slots=True)
class TrainStarted:
    """The run is ready: how much there is to do, where, and from which epoch on (0 unless resumed)."""

    pairs: int
    validation: int
    steps_per_epoch: int
    steps: int
    epochs: int
    first_epoch: int
    device: str
    precision: str


@dataclass(frozen=True, slots=True)
class MemoryShort:
    """The device ran out of memory; the same step goes on with less of it. `sentence` says how."""

    sentence: str
    batch: int
    device: str


@dataclass(frozen=True, slots=True)
class TrainStep:
    """One step of the optimiser; losses are means over the batch, before their weights."""

    epoch: int
    step: int
    steps_per_epoch: int
    loss: float
    segmentation: float
    latent: float
    alignment: float
    learning_rate: float


@dataclass(frozen=True, slots=True)
class TrainEpoch:
    """One finished epoch, its files written; `dsc` and `iou` in 0–1 on the validation pairs, None if not measured."""

    epoch: int
    epochs: int
    loss: float
    segmentation: float
    latent: float
    alignment: float
    learning_rate: float
    dsc: float | None
    iou: float | None
    best_dsc: float | None
    improved: bool
    seconds: float


TrainEvent = TrainStarted | MemoryShort | TrainStep | TrainEpoch


@dataclass(frozen=True, slots=True, eq=False)
class TrainResult:
    """What a run leaves behind: the best network with its card, the files, and how long the steps took together."""

    model: WaveGMS
    card: ModelCard
    best: Path
    last: Path
    history: Path
    best_dsc: float | None
    best_epoch: int
    epochs: int
    steps: int
    seconds: float
    config: TrainConfig


BEST, LAST, HISTORY = "best.safetensors", "last.safetensors", "history.jsonl"
