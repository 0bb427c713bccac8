"""The benchmark of adaptation, once for real with a tiny model; its table by hand."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from napari_wavegms.finetune.presets import Preset
from napari_wavegms.learn.config import Augmentation, TrainConfig
from napari_wavegms.learn.pairs import Pair
from napari_wavegms.model.card import ModelCard
from napari_wavegms.model.checkpoint import save_checkpoint
from napari_wavegms.model.network import WaveGMS

STILL = Augmentation(flips_and_turns=False, jitter_probability=0, warp_probability=0)
LEARNING = TrainConfig(epochs=1, batch=4, precision="float32", augmentation=STILL, alignment_weight=0)
QUICK = Preset("quick", "Quick", 1.0, "", replace(LEARNING, trained="mapper", steps=500))


@pytest.fixture
def adapt(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[1] / "benchmarks"))
    return importlib.import_module("adapt")


def pairs(n: int, seed: int) -> list[Pair]:
    rng = np.random.default_rng(seed)
    mask = np.zeros((16, 16), np.uint8)
    mask[4:12, 4:12] = 1
    return [Pair(f"p{i}", rng.integers(0, 256, (16, 16), np.uint8), mask) for i in range(n)]


def test_a_draw_is_learned_for_as_many_steps_as_were_asked_for(adapt: Any, tmp_path: Path) -> None:
    card = ModelCard("tiny", preprocessing={"size": 16, "aspect": "squash", "percentiles": [0.1, 99.9]})
    torch.manual_seed(0)
    start = save_checkpoint(tmp_path / "tiny.safetensors", WaveGMS(), card)
    before = start.read_bytes()
    new, known = adapt.Clinic("new", pairs(12, 1), pairs(2, 2)), adapt.Clinic("known", pairs(3, 3), pairs(2, 4))
    (adapted,) = adapt.measure(adapt.Plan(start, new, known, [QUICK], draws=1, replayed=2, steps=12, device="cpu"))
    assert adapted.learned + adapted.held_out == 10  # none is both, none is lost
    assert adapted.steps == 12, "the preset's own steps do not count"
    assert adapted.known_before is not None
    assert adapted.known_after is not None
    assert start.read_bytes() == before


def test_the_table_gives_means_and_the_range_of_the_draws(adapt: Any) -> None:
    one = adapt.Adapted(0, "quick", 0.1, 0.3, 0.8, 0.75, 20.0, 30.0, 10.0, 60, 8, 2, 10, "clearly better")
    other = replace(one, draw=1, after=0.5, known_after=0.79, seconds=30.0)
    assert adapt.table([one, other])[2] == (
        "| quick | 0.100 | 0.400 (0.300 to 0.500) | +0.300 (+0.200 to +0.400) | 25.0 (20.0 to 30.0) s | "
        "30.0 (30.0 to 30.0) s | 0.800 | "
        "0.770 (0.750 to 0.790) |"
    )
    alone = replace(one, known_before=None, known_after=None)
    assert adapt.table([alone])[2] == "| quick | 0.100 | 0.300 | +0.200 | 20.0 s | 30.0 s | – | – |"
