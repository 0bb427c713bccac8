"""The adaptation benchmark, once for real with a tiny model, and its counting by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_wavegms.commands.bench.adaptation import AdaptationPlan, Clinic, measure_adaptation
from napari_wavegms.finetune.presets import Preset
from napari_wavegms.learn.config import Augmentation, TrainConfig
from napari_wavegms.learn.pairs import Pair
from napari_wavegms.model.card import ModelCard
from napari_wavegms.model.checkpoint import save_checkpoint
from napari_wavegms.model.network import WaveGMS

STILL = Augmentation(flips_and_turns=False, jitter_probability=0, warp_probability=0)
LEARNING = TrainConfig(epochs=1, batch=4, precision="float32", augmentation=STILL, alignment_weight=0)
SPEEDS = (
    Preset("quick", "Quick", 1.0, "", replace(LEARNING, trained="mapper")),
    Preset("full", "Full", 1.0, "", LEARNING),
)


def pairs(n: int, seed: int) -> list[Pair]:
    rng = np.random.default_rng(seed)
    mask = np.zeros((16, 16), np.uint8)
    mask[4:12, 4:12] = 1
    return [Pair(f"p{i}", rng.integers(0, 256, (16, 16), np.uint8), mask) for i in range(n)]


@pytest.fixture
def plan(tmp_path: Path) -> AdaptationPlan:
    torch.manual_seed(0)
    card = ModelCard("tiny", preprocessing={"size": 16, "aspect": "squash", "percentiles": [0.1, 99.9]})
    start = save_checkpoint(tmp_path / "tiny.safetensors", WaveGMS(), card)
    new, known = Clinic("new", pairs(12, 1), pairs(2, 2)), Clinic("known", pairs(3, 3), pairs(2, 4))
    return AdaptationPlan(start, new, known, SPEEDS, draws=2, corrections=10, replayed=2, device="cpu")


def test_every_draw_is_learned_at_every_speed_and_the_start_stays(plan: AdaptationPlan) -> None:
    before = plan.start.read_bytes()
    results = list(measure_adaptation(plan))
    assert [(adapted.draw, adapted.speed) for adapted in results] == [
        (0, "quick"),
        (0, "full"),
        (1, "quick"),
        (1, "full"),
    ]
    for adapted in results:
        assert adapted.learned + adapted.held_out == 10  # none is both, none is lost
        assert (adapted.replayed, adapted.epochs) == (2, 1)
        assert adapted.seconds > 0
        assert adapted.known_before is not None
        assert adapted.known_after is not None
    # What was there before is one model's score, whoever learned from it.
    assert len({(adapted.before, adapted.known_before) for adapted in results}) == 1
    assert plan.start.read_bytes() == before


def test_a_draw_can_be_repeated(plan: AdaptationPlan) -> None:
    once, again = (next(iter(measure_adaptation(replace(plan, known=None)))) for _ in range(2))
    assert replace(once, seconds=0) == replace(again, seconds=0)
    assert (once.known_before, once.known_after, once.replayed) == (None, None, 0)


def test_a_run_can_be_as_long_as_steps_say_whatever_the_clock_says(plan: AdaptationPlan) -> None:
    hasty = [replace(speed, config=replace(speed.config, max_seconds=1e-6)) for speed in SPEEDS[:1]]
    adapted = next(iter(measure_adaptation(replace(plan, speeds=hasty, steps=12))))
    # An epoch shows each new pair and as many replayed ones, four a step.
    assert adapted.epochs == round(12 / -(-2 * adapted.learned // 4)) > 1
