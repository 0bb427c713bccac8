"""The pace of side work: its share of the time is kept, whatever it costs."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_wavegms.learn import training_run as runs
from napari_wavegms.learn.config import Augmentation, TrainConfig
from napari_wavegms.learn.events import TrainEpoch
from napari_wavegms.learn.pairs import Pair
from napari_wavegms.learn.train import iter_train
from napari_wavegms.learn.training_run import Pace
from napari_wavegms.model.card import read_card
from napari_wavegms.model.codec import MaskCodec
from napari_wavegms.model.network import WaveGMS

STILL = Augmentation(flips_and_turns=False, jitter_probability=0, warp_probability=0)
TINY = TrainConfig(epochs=4, batch=4, size=16, precision="float32", augmentation=STILL, alignment_weight=0)
PAIR = Pair("eye", np.arange(400, dtype=np.uint8).reshape(20, 20), np.eye(20, dtype=bool))


def learning(folder: Path, config: TrainConfig = TINY, validation: Sequence[Pair] = ()) -> Generator[Any, None, Any]:
    """A run on one pair, from random weights."""
    return iter_train([PAIR], validation, WaveGMS(), MaskCodec(), config, folder)


class Clock:
    """A clock that is put forward by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@given(st.floats(0.01, 0.9), st.lists(st.tuples(st.floats(0.01, 5), st.floats(0.01, 5)), min_size=1, max_size=60))
def test_side_work_keeps_to_its_share(share: float, rounds: list[tuple[float, float]]) -> None:
    clock = Clock()
    pace = Pace(share, clock)
    spent = last = 0.0
    for work, side_work in rounds:
        clock.now += work
        if pace.is_due():
            with pace.measured():
                clock.now += side_work
            spent, last = spent + side_work, side_work
    # All but the last, which has yet to be earned.
    assert spent - last <= share * clock.now + 1e-9


def test_without_a_share_it_is_always_due() -> None:
    clock = Clock()
    pace = Pace(1, clock)
    for _ in range(3):
        assert pace.is_due()
        with pace.measured():
            clock.now += 100


def epoch_of_last(folder: Path) -> int:
    return int(read_card(folder / "last.safetensors").scores["unfinished"]["epoch"])


def test_where_writing_is_dear_the_files_come_less_often_but_the_end_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "FILES_SHARE", 1e-9)  # after the first epoch only the last one is written
    seen = [epoch_of_last(tmp_path) for event in learning(tmp_path) if isinstance(event, TrainEpoch)]
    assert seen == [1, 1, 1, 4]


def test_a_run_that_is_closed_keeps_what_the_pace_had_held_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "FILES_SHARE", 1e-9)
    run = learning(tmp_path)
    kept = []
    for event in run:
        if isinstance(event, TrainEpoch):
            kept.append((tmp_path / "best.safetensors").read_bytes())
        if len(kept) == 3:
            break
    assert kept[0] == kept[2]
    run.close()
    assert (tmp_path / "best.safetensors").read_bytes() != kept[2]


@pytest.mark.parametrize(("validations", "validated"), [(0, [1, 1, 1, 1]), (2, [0, 1, 0, 1]), (9, [1, 1, 1, 1])])
def test_validations_are_spread_over_the_run(tmp_path: Path, validations: int, validated: list[int]) -> None:
    events = list(learning(tmp_path, replace(TINY, validations=validations), [PAIR]))
    assert [event.dsc is not None for event in events if isinstance(event, TrainEpoch)] == [bool(v) for v in validated]
