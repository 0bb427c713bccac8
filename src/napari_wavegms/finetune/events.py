"""What a fine-tuning is asked for, tells, and comes to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from napari_wavegms.finetune.gate import Verdict
from napari_wavegms.finetune.presets import QUICK, Preset
from napari_wavegms.finetune.versions import Version
from napari_wavegms.learn.evaluate import ImageScored
from napari_wavegms.learn.events import TrainEvent
from napari_wavegms.learn.pairs import Pair
from napari_wavegms.model.classes import Learned


@dataclass(frozen=True, slots=True, eq=False)
class FineTuneRequest:
    """All that a fine-tuning needs, see `fine_tune`."""

    pairs: tuple[Pair, ...]  # to learn from
    start: Path  # the model file to start from; it is only read
    start_name: str = ""  # what the user calls it: v2, default; the file's stem where it is empty
    held_out: tuple[Pair, ...] = ()  # to score on; without, nothing can be measured and nothing is put in use
    replay: tuple[Pair, ...] = ()  # earlier pairs to mix in, so that they are not forgotten
    current: Path | None = None  # the model in use, with which the new one is compared; the start by default
    preset: Preset = QUICK
    device: str = "auto"
    learned: Learned | None = None  # what becomes of several labels; nothing said, they must be the model's classes
    label_names: Mapping[int, str] = field(default_factory=dict)  # of labels that are no classes of the model yet
    class_names: tuple[str, ...] = ()  # of the new model, background first, where they are others than the start's
    home: Path | None = None  # folder of the database with the versions, and of the unfinished run; the user's own
    seed: int = 2333


StageName = Literal["before", "learning", "after"]


@dataclass(frozen=True, slots=True)
class Stage:
    """Another part of the work begins; with the learning it is known where it is done, and why."""

    name: StageName
    sentence: str
    device_reason: str = ""


@dataclass(frozen=True, slots=True)
class Scored:
    """One test image was scored, with the model before or after."""

    stage: StageName
    image: ImageScored


@dataclass(frozen=True, slots=True)
class SplitMade:
    """The pairs are divided into training and test images."""

    held_out: int
    sentence: str


@dataclass(frozen=True, slots=True)
class RefitStep:
    """A step of the trainings that leave one image out each."""

    done: int
    total: int


FineTuneEvent = SplitMade | Stage | Scored | RefitStep | TrainEvent


@dataclass(frozen=True, slots=True, eq=False)
class FineTuneResult:
    """What a fine-tuning came to.

    Attributes
    ----------
    version : Version or None
        What was kept, in use or not; None where it was stopped before anything was learned.
    path : pathlib.Path or None
        The new model's file.
    compared_with : pathlib.Path
        The model that it was compared with.
    held_out : tuple of Pair
        What both were scored on.
    verdict : Verdict or None
    before, after : dict of str to float
        DSC by test image.
    steps, epochs : int
    learning : float
        Seconds that the steps took.
    seconds : float
        Seconds from the start to the verdict.
    stopped : bool
        Whether it was stopped before its end.
    sentence : str
        What became of it, and what to do next.
    """

    version: Version | None
    path: Path | None
    compared_with: Path
    held_out: tuple[Pair, ...]
    verdict: Verdict | None
    before: dict[str, float]
    after: dict[str, float]
    steps: int
    epochs: int
    learning: float
    seconds: float
    stopped: bool
    sentence: str
