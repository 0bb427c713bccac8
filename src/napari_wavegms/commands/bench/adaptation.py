"""How well and how fast a model learns a kind of image that it has never seen: the measurement behind the speeds."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_wavegms.finetune.from_corrections import fine_tune
from napari_wavegms.finetune.replay import ReplaySet
from napari_wavegms.finetune.split import StickySplit
from napari_wavegms.learn.evaluate import evaluate
from napari_wavegms.model.card import read_card

if TYPE_CHECKING:
    from napari_wavegms.finetune.presets import Preset
    from napari_wavegms.learn.pairs import Pair


@dataclass(frozen=True, slots=True, eq=False)
class Clinic:
    """A kind of image: pairs to learn from and pairs to score on."""

    name: str
    train: Sequence[Pair]
    val: Sequence[Pair]


@dataclass(frozen=True, slots=True)
class Adapted:
    """What one fine-tuning came to.

    Attributes
    ----------
    draw : int
        Which draw of corrections.
    speed : str
    before, after : float
        Mean DSC on the new clinic's val images.
    known_before, known_after : float or None
        The same on the clinic that the model comes from.
    seconds : float
        Wall time of the fine-tuning, from a press on the button to the verdict: loading, scoring the held-out
        corrections before and after, and learning.
    learned, held_out, replayed : int
        How many corrections were on which side.
    epochs : int
    promoted : bool
        What the gate said.
    """

    draw: int
    speed: str
    before: float
    after: float
    known_before: float | None
    known_after: float | None
    seconds: float
    learned: int
    held_out: int
    replayed: int
    epochs: int
    promoted: bool


@dataclass(frozen=True, slots=True, eq=False)
class AdaptationPlan:
    """What is measured.

    Attributes
    ----------
    start : pathlib.Path
        The model to adapt.
    new : Clinic
        Where it is to go.
    known : Clinic, optional
        Where it comes from; its train pairs are replayed, its val pairs tell what was forgotten.
    speeds : sequence of Preset
    draws : int
        How often corrections are drawn, from another seed each time.
    corrections : int
        How many are drawn from the new clinic's train pairs.
    replayed : int
        How many are drawn from the known clinic's train pairs, as corrections learned from before.
    steps : int
        About how many steps a run takes, so that a busy machine measures the same; 0 leaves the end to the clock.
    device : str
    """

    start: Path
    new: Clinic
    known: Clinic | None
    speeds: Sequence[Preset]
    draws: int = 3
    corrections: int = 10
    replayed: int = 10
    steps: int = 0
    device: str = "auto"


def measure_adaptation(plan: AdaptationPlan) -> Generator[Adapted, None, list[Adapted]]:
    """Fine-tune as the dock does, on corrections drawn anew each time, and score before and after.

    The corrections go through the sticky split like a user's, so that the model learns from about four fifths of them.
    Nothing outside a temporary folder is written.

    Yields
    ------
    Adapted

    Returns
    -------
    list of Adapted
    """
    results = []
    before = _mean_dsc(plan, plan.start, plan.new)
    known_before = None if plan.known is None else _mean_dsc(plan, plan.start, plan.known)
    for draw in range(plan.draws):
        for speed in plan.speeds:
            with tempfile.TemporaryDirectory() as folder:
                adapted = _adapt(plan, draw, speed, Path(folder))
            results.append(replace(adapted, before=before, known_before=known_before))
            yield results[-1]
    return results


def _adapt(plan: AdaptationPlan, draw: int, speed: Preset, folder: Path) -> Adapted:
    rng = np.random.default_rng(draw)
    drawn = draw_pairs(plan.new.train, plan.corrections, rng)
    replayed = () if plan.known is None else draw_pairs(plan.known.train, plan.replayed, rng)
    clock = time.perf_counter()
    sides = StickySplit(folder).divide(drawn)
    material = ReplaySet.of(sides.train, sides.held_out, read_card(plan.start))
    result = fine_tune(
        plan.start,
        material.new,
        preset=_by_steps(speed, plan.steps, len(material.new), len(replayed)) if plan.steps else speed,
        output=folder,
        held_out=material.held_out,
        replay=replayed,
        device=plan.device,
        seed=draw,
    )
    seconds = time.perf_counter() - clock
    assert result.version is not None
    assert result.path is not None
    return Adapted(
        draw=draw,
        speed=speed.key,
        before=0.0,
        after=_mean_dsc(plan, result.path, plan.new),
        known_before=None,
        known_after=None if plan.known is None else _mean_dsc(plan, result.path, plan.known),
        seconds=seconds,
        learned=len(material.new),
        held_out=len(material.held_out),
        replayed=len(replayed),
        epochs=result.epochs,
        promoted=result.version.promoted,
    )


def _by_steps(speed: Preset, steps: int, new: int, replayed: int) -> Preset:
    """A speed that ends after whole epochs of about so many steps together, and not by the clock."""
    from napari_wavegms.learn.frames import epoch_order

    config = speed.config
    order = epoch_order(new, replayed, config.replay_share, np.random.default_rng(0))
    epochs = max(1, round(steps / -(-len(order) // config.batch)))
    return replace(
        speed,
        config=replace(
            config,
            epochs=epochs,
            max_seconds=0.0,
            validation_share=0.0,
            patience=0,
            validate_every=max(1, epochs // 10),
        ),
    )


def draw_pairs(pairs: Sequence[Pair], count: int, rng: np.random.Generator) -> list[Pair]:
    """So many of the pairs, at random."""
    return [pairs[i] for i in rng.permutation(len(pairs))[:count]]


def _mean_dsc(plan: AdaptationPlan, model: Path, clinic: Clinic) -> float:
    from napari_wavegms.segment.segmenter import Segmenter

    return evaluate(Segmenter.from_checkpoint(model, plan.device), clinic.val).dsc
