"""What fine-tuning adds to a run: a frozen encoder, replay, stopping in time, and going on with less memory."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_wavegms.errors import InputError, TrainingError
from napari_wavegms.learn.config import Augmentation, TrainConfig
from napari_wavegms.learn.events import MemoryShort, TrainEpoch, TrainEvent, TrainStarted, TrainStep, run_to_end
from napari_wavegms.learn.frames import epoch_order
from napari_wavegms.learn.pairs import Pair
from napari_wavegms.learn.teacher import FrozenEncoder
from napari_wavegms.learn.train import iter_train
from napari_wavegms.model.checkpoint import load_checkpoint
from napari_wavegms.model.codec import MaskCodec
from napari_wavegms.model.network import WaveGMS

STILL = Augmentation(flips_and_turns=False, jitter_probability=0, warp_probability=0)
TINY = TrainConfig(epochs=1, batch=4, size=16, precision="float32", augmentation=STILL, alignment_weight=0)


def pairs(n: int, name: str = "p") -> list[Pair]:
    rng = np.random.default_rng(3)
    return [Pair(f"{name}{i}", rng.integers(0, 256, (20, 20), np.uint8), np.eye(20, dtype=bool)) for i in range(n)]


def start() -> WaveGMS:
    torch.manual_seed(0)
    return WaveGMS()


def codec() -> MaskCodec:
    torch.manual_seed(1)
    return MaskCodec()


@given(new=st.integers(1, 30), replayed=st.integers(0, 30), share=st.floats(0, 0.9), seed=st.integers(0, 99))
def test_an_epoch_has_every_new_pair_once_and_its_share_of_replay(
    new: int, replayed: int, share: float, seed: int
) -> None:
    order = epoch_order(new, replayed, share, np.random.default_rng(seed))
    assert sorted(i for i in order if i < new) == list(range(new))
    again = [i for i in order if i >= new]
    assert all(i < new + replayed for i in again)
    if replayed and share:
        assert len(again) == max(1, round(new * share / (1 - share)))
        counts = np.bincount(np.array(again) - new, minlength=replayed)
        assert counts.max() - counts.min() <= 1  # none is favoured
    else:
        assert again == []


def test_replayed_pairs_are_learned_from(tmp_path: Path) -> None:
    events = list(
        iter_train(
            pairs(2), [], start(), codec(), replace(TINY, batch=1), tmp_path, replay=pairs(5, "old"), resumable=False
        )
    )
    assert sum(isinstance(event, TrainStep) for event in events) == 4
    assert isinstance(events[0], TrainStarted)
    assert (events[0].pairs, events[0].steps_per_epoch) == (2, 4)


def test_the_mapper_alone_learns_and_the_encoder_stays_bit_for_bit(tmp_path: Path) -> None:
    list(iter_train(pairs(2), [], start(), codec(), replace(TINY, trained="mapper", epochs=2), tmp_path))
    before, after = start(), load_checkpoint(tmp_path / "best.safetensors")[0]
    assert all(torch.equal(a, b) for a, b in zip(before.encoder.parameters(), after.encoder.parameters(), strict=True))
    assert not torch.equal(before.mapper.stem.weight, after.mapper.stem.weight)


def test_the_frozen_encoder_is_asked_once_a_view(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    encode = FrozenEncoder.encode
    monkeypatch.setattr(FrozenEncoder, "encode", lambda self, image: asked.append(len(image)) or encode(self, image))
    list(
        iter_train(pairs(3), [], start(), codec(), replace(TINY, trained="mapper", epochs=3), tmp_path, resumable=False)
    )
    assert asked == [3]


@pytest.mark.parametrize("trained", ["mapper", "everything"])
def test_a_network_with_context_learns_what_to_make_of_it(
    tmp_path: Path, trained: Literal["mapper", "everything"]
) -> None:
    list(iter_train(pairs(2), [], WaveGMS(context=True), codec(), replace(TINY, trained=trained), tmp_path))
    after, card = load_checkpoint(tmp_path / "best.safetensors")
    assert after.mapper.state_dict()["context.weight"].abs().amax() > 0
    assert card.context


@pytest.mark.parametrize("trained", ["mapper", "everything"])
def test_corrections_never_change_a_trunk_of_its_own(tmp_path: Path, trained: Literal["mapper", "everything"]) -> None:
    model = WaveGMS(own_trunk=True)
    before = model.trunk.fingerprint
    config = replace(TINY, trained=trained, average_decay=0.5)
    list(iter_train(pairs(2), [], model, codec(), config, tmp_path))
    after, card = load_checkpoint(tmp_path / "best.safetensors")
    assert after.mapper.state_dict()["context.weight"].abs().amax() > 0
    assert after.trunk.fingerprint == card.context == before


def test_context_is_computed_once_a_view_where_the_encoder_is_frozen(tmp_path: Path) -> None:
    asked: list[int] = []
    for trained, views in (("mapper", [3]), ("everything", [3, 3, 3])):  # in the warm-up and in each of two steps
        model = WaveGMS(context=True)
        assert model.trunk is not None
        model.trunk.register_forward_hook(lambda trunk, arguments, features: asked.append(len(features)))
        asked.clear()
        config = TrainConfig.from_dict(TINY.as_dict() | {"trained": trained, "epochs": 2})
        list(iter_train(pairs(3), [], model, codec(), config, tmp_path / trained, resumable=False))
        assert asked == views


def test_replayed_pairs_keep_upright_while_new_ones_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    encode = FrozenEncoder.encode
    monkeypatch.setattr(FrozenEncoder, "encode", lambda self, image: asked.append(len(image)) or encode(self, image))
    turning = replace(STILL, flips_and_turns=True)
    config = replace(TINY, trained="mapper", epochs=16, augmentation=turning)
    total = []
    for replayed in (None, replace(turning, upright=True)):
        asked.clear()
        changed = replace(config, replay_augmentation=replayed)
        new, old = (replace(pair, mask=np.ones((20, 20), bool)) for pair in pairs(2))  # no turn moves these masks
        events = iter_train([new], [], start(), codec(), changed, tmp_path, replay=[old], resumable=False)
        run_to_end(events)
        total.append(sum(asked))
    assert 8 + 2 < total[0] <= 8 + 8  # each view of each pair once, and 16 epochs come across most of them
    assert 8 < total[1] <= 8 + 2


def test_a_run_without_progress_stops_early(tmp_path: Path) -> None:
    # At this rate nothing changes, so the first validation stays the best.
    config = replace(TINY, epochs=30, patience=2, learning_rate=1e-12, weight_decay=0.0)
    events = list(iter_train(pairs(1), pairs(1), start(), codec(), config, tmp_path, resumable=False))
    assert sum(isinstance(event, TrainEpoch) for event in events) == 3


@pytest.mark.parametrize("n", [1, 3])
def test_a_run_ends_after_so_many_steps_in_whatever_epoch_with_its_rate_decayed(tmp_path: Path, n: int) -> None:
    config = replace(TINY, steps=7, batch=1, warmup_epochs=0)
    events: list[TrainEvent] = []
    result = run_to_end(iter_train(pairs(n), pairs(1), start(), codec(), config, tmp_path), events.append)
    steps = [event for event in events if isinstance(event, TrainStep)]
    assert isinstance(events[0], TrainStarted)
    assert (len(steps), result.steps, events[0].steps) == (7, 7, 7)
    assert isinstance(events[-1], TrainEpoch)
    assert events[-1].dsc is not None
    assert events[-1].epoch + 1 == events[-1].epochs == events[0].epochs == -(-7 // n)
    rates = [step.learning_rate for step in steps]
    assert all(later < earlier for earlier, later in itertools.pairwise(rates[1:]))
    assert rates[-1] < 0.1 * rates[0]


def test_what_comes_before_the_first_step_changes_nothing(tmp_path: Path) -> None:
    network = start()
    run = iter_train(pairs(2), [], network, codec(), TINY, tmp_path, resumable=False)
    assert isinstance(next(run), TrainStarted)
    for before, after in zip(start().parameters(), network.parameters(), strict=True):
        assert torch.equal(before, after)
        assert after.grad is None
    run.close()


class SmallDevice(FrozenEncoder):
    """A teacher whose device holds only so many images at once."""

    def __init__(self, model: WaveGMS, room: int) -> None:
        super().__init__(model)
        self.room = room

    def encode(self, image: torch.Tensor) -> torch.Tensor:
        if len(image) > self.room:
            raise torch.OutOfMemoryError("out of memory")
        return super().encode(image)


def short_of_memory(tmp_path: Path, room: int) -> list[TrainEvent]:
    config = replace(TINY, alignment_weight=1.0, epochs=2)
    return list(iter_train(pairs(5), [], start(), codec(), config, tmp_path, teacher=SmallDevice(start(), room)))


def test_short_of_memory_the_batch_is_halved_and_all_pairs_are_still_seen(tmp_path: Path) -> None:
    events = short_of_memory(tmp_path, room=1)
    told = [event for event in events if isinstance(event, MemoryShort)]
    assert [event.batch for event in told] == [2, 1, 1]  # 4 pairs, then their halves
    assert told[0].sentence == "Out of memory on cpu with 4 pairs a step; continuing with 2."
    assert [event.steps_per_epoch for event in events if isinstance(event, TrainStep)] == [2, 2, 5, 5, 5, 5, 5]


def test_without_memory_for_one_pair_the_run_ends_with_a_sentence_and_a_model(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="Out of memory, even for a single pair"):
        short_of_memory(tmp_path, room=0)
    assert load_checkpoint(tmp_path / "best.safetensors")


class Broken(FrozenEncoder):
    """A teacher that fails as torch does."""

    def encode(self, image: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("shapes do not match\nand a long trace")


def test_what_torch_raises_becomes_our_own_error(tmp_path: Path) -> None:
    config = replace(TINY, alignment_weight=1.0)
    with pytest.raises(TrainingError, match=r"The training step failed: shapes do not match\."):
        list(iter_train(pairs(1), [], start(), codec(), config, tmp_path, teacher=Broken(start())))


def test_empty_masks_teach_nothing(tmp_path: Path) -> None:
    empty = [Pair("a", np.zeros((9, 9), np.uint8), np.zeros((9, 9), bool))]
    with pytest.raises(InputError, match="All masks are empty"):
        next(iter_train(empty, [], start(), codec(), TINY, tmp_path))


def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(TrainingError, match=r"could not be written to .*taken"):
        next(iter_train(pairs(1), [], start(), codec(), TINY, tmp_path / "taken"))
