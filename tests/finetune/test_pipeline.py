"""From corrections to a version: scored, learned, judged, kept; and nothing lost on any way out."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from shutil import copyfile
from typing import Any

import numpy as np
import pytest

from napari_wavegms.errors import CheckpointError, InputError, TrainingError, WaveGMSError
from napari_wavegms.finetune.events import FineTuneRequest, FineTuneResult, RefitStep, Scored, Stage
from napari_wavegms.finetune.gate import UNSURE
from napari_wavegms.finetune.pipeline import iter_fine_tune, recover
from napari_wavegms.finetune.presets import PRESETS, Preset
from napari_wavegms.finetune.replay import LEARNED, ReplaySet, learned, learned_mark
from napari_wavegms.finetune.versions import ModelVersions
from napari_wavegms.learn.config import Augmentation, TrainConfig
from napari_wavegms.learn.events import TrainEpoch, TrainStarted, TrainStep, run_to_end
from napari_wavegms.learn.pairs import Pair
from napari_wavegms.model.card import ModelCard, read_card
from napari_wavegms.model.registry import resolve
from napari_wavegms.samples import ultrasound_phantom
from napari_wavegms.storage.content_hash import content_hash

SIZE = 16
STILL = Augmentation(flips_and_turns=False, jitter_probability=0, warp_probability=0)
TINY = Preset(
    "quick",
    "Quick",
    1.0,
    "",
    TrainConfig(trained="mapper", epochs=2, batch=4, precision="float32", augmentation=STILL, alignment_weight=0),
)


def pairs(n: int, first: int = 0) -> tuple[Pair, ...]:
    rng = np.random.default_rng(first)
    mask = np.zeros((SIZE, SIZE), np.uint8)
    mask[4:12, 4:12] = 1
    return tuple(
        Pair(f"p{first + i}", (mask * 200 + rng.integers(0, 20, mask.shape)).astype(np.uint8), mask) for i in range(n)
    )


@pytest.fixture(scope="session")
def start_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real network with random weights, for images of 16 x 16."""
    import torch

    from napari_wavegms.model.checkpoint import save_checkpoint
    from napari_wavegms.model.network import WaveGMS

    torch.manual_seed(0)
    card = ModelCard("tiny", preprocessing={"size": SIZE, "aspect": "squash", "percentiles": [0.1, 99.9]})
    return save_checkpoint(tmp_path_factory.mktemp("start") / "tiny.safetensors", WaveGMS(), card)


@pytest.fixture
def request_of(start_file: Path, tmp_path: Path) -> Any:
    def make(**changes: Any) -> FineTuneRequest:
        plain = FineTuneRequest(pairs=pairs(2), start=start_file, held_out=pairs(2, 10), preset=TINY, home=tmp_path)
        return replace(plain, **changes)

    return make


def drain(run: Generator[Any, None, FineTuneResult]) -> tuple[list[Any], FineTuneResult]:
    events: list[Any] = []
    return events, run_to_end(run, events.append)


def reasons(folder: Path) -> list[str]:
    return [version.reason for version in ModelVersions(folder).versions()]


def left_in_work(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "training").iterdir())


def test_a_run_scores_learns_scores_judges_and_keeps(request_of: Any, tmp_path: Path, start_file: Path) -> None:
    bytes_before = start_file.read_bytes()
    request = request_of()
    events, result = drain(iter_fine_tune(request))
    stages = ["before", "learning", "after", "after", "after"]  # four images are few: two are left out in turn
    assert [event.name for event in events if isinstance(event, Stage)] == stages
    assert [(e.stage, e.image.name) for e in events if isinstance(e, Scored)] == [
        *(("before", pair.name) for pair in request.held_out),
        *(("after", pair.name) for pair in request.held_out),
    ]
    kinds = [type(event) for event in events if isinstance(event, TrainStarted | TrainStep | TrainEpoch)]
    assert kinds == [TrainStarted, TrainStep, TrainEpoch, TrainStep, TrainEpoch]
    assert result.version is not None
    assert result.verdict is not None
    assert result.before.keys() == result.after.keys() == result.version.after.keys() == {"p10", "p11"}
    assert (result.verdict.images, result.verdict.left_out) == (4, 2)
    assert result.sentence.startswith("Learned 2 steps in ")
    assert f"{result.verdict.measured}" in result.sentence
    assert (result.steps, result.epochs) == (2, 2)
    assert 0 < result.learning < result.seconds
    assert (result.version.parent, result.version.title) == ("tiny", "Quick, 2 corrections")
    assert start_file.read_bytes() == bytes_before
    assert left_in_work(tmp_path) == ["training.lock"]
    card = read_card(ModelVersions(tmp_path).path(1))
    assert card.lineage[-1][LEARNED] == sorted(learned_mark(pair) for pair in request.pairs)
    assert not {content_hash(pair.image) for pair in request.pairs} & learned(card)
    assert card.scores["test images"]["n"] == 2


def test_a_worse_candidate_is_kept_with_the_reason(request_of: Any, tmp_path: Path) -> None:
    # The model in use is the start's child that has learned the held-out images; a wild rate cannot match it.
    _, good = drain(iter_fine_tune(request_of(pairs=pairs(2, 10), held_out=(), preset=_longer(TINY, 5))))
    current = ModelVersions(tmp_path).path(good.version.number)
    wild = replace(TINY, config=replace(TINY.config, learning_rate=3.0, epochs=1))
    _, result = drain(iter_fine_tune(request_of(current=current, preset=wild)))
    assert sum(result.before.values()) > sum(result.after.values())
    assert result.version is not None
    assert not result.version.promoted
    assert result.version.reason == result.verdict.word
    assert result.verdict.measured in result.sentence
    assert ModelVersions(tmp_path).current() is None


def test_a_version_keeps_the_network_of_before_all_fine_tunings(tmp_path: Path) -> None:
    from napari_wavegms.model.checkpoint import load_checkpoint, load_keeper, rewrite_card

    def lesions(seed: int) -> tuple[Pair, ...]:
        phantom = ultrasound_phantom(seed)
        return (Pair(phantom.name, phantom.image, phantom.mask != 0),)

    once = replace(TINY, config=replace(TINY.config, epochs=1, learning_rate=0.01))
    small = Path(copyfile(resolve("default"), tmp_path / "small.safetensors"))
    card = read_card(small)
    rewrite_card(small, replace(card, preprocessing={**card.preprocessing, "size": 64}))
    request = FineTuneRequest(lesions(0), small, preset=once, home=tmp_path)
    _, first = drain(iter_fine_tune(request))
    _, second = drain(iter_fine_tune(replace(request, pairs=lesions(1), start=first.path)))
    kept = load_keeper(request.start)
    assert kept is not None
    weights = kept.state_dict()
    learned = [load_checkpoint(result.path)[0] for result in (first, second)]
    for result in (first, second):
        start = load_keeper(result.path)
        assert start is not None
        assert all((tensor == weights[name]).all() for name, tensor in start.state_dict().items())
    assert (learned[0].mapper.stem.weight != learned[1].mapper.stem.weight).any()


@pytest.mark.parametrize(("learned", "replayed", "left_out"), [(1, 0, 1), (3, 0, 3), (4, 0, 0), (1, 1, 0)])
def test_few_images_are_left_out_in_turn(request_of: Any, learned: int, replayed: int, left_out: int) -> None:
    held_out, replay = pairs(1, 10), pairs(replayed, 20)
    once = _longer(TINY, 1)
    asked = request_of(pairs=pairs(learned), held_out=held_out, replay=replay, preset=once)
    events, result = drain(iter_fine_tune(asked))
    steps = [(event.done, event.total) for event in events if isinstance(event, RefitStep)]
    assert steps == [(done, left_out) for done in range(1, left_out + 1)]
    assert result.verdict.left_out == left_out
    assert result.verdict.images == 1 + left_out
    assert ("left out in turn" in result.sentence) == bool(left_out)


def test_without_held_out_images_nothing_is_claimed(request_of: Any) -> None:
    events, result = drain(iter_fine_tune(request_of(held_out=())))
    assert not any(isinstance(event, Scored) for event in events)
    assert result.verdict.word == UNSURE
    assert "choose; from two corrections on, one is a test image." in result.sentence
    assert not result.version.promoted


def test_a_stop_keeps_the_best_and_judges_it(request_of: Any) -> None:
    seen: list[Any] = []
    run = iter_fine_tune(
        request_of(preset=_longer(TINY, 100)), stop=lambda: any(isinstance(event, TrainEpoch) for event in seen)
    )
    while True:
        try:
            seen.append(next(run))
        except StopIteration as end:
            result = end.value
            break
    assert sum(isinstance(event, TrainEpoch) for event in seen) == 1
    assert result.stopped
    assert result.verdict.images == 2
    assert result.version.after == result.after


def test_a_stop_before_the_first_step_changes_nothing(request_of: Any, tmp_path: Path) -> None:
    _, result = drain(iter_fine_tune(request_of(), stop=lambda: True))
    assert (result.version, result.epochs) == (None, 0)
    assert "nothing has changed" in result.sentence
    assert reasons(tmp_path) == []
    assert left_in_work(tmp_path) == ["training.lock"]


def test_closing_keeps_what_was_learned_unscored(request_of: Any, tmp_path: Path) -> None:
    run = iter_fine_tune(request_of(preset=_longer(TINY, 100)))
    while not isinstance(next(run), TrainEpoch):
        pass
    run.close()
    assert reasons(tmp_path) == ["stopped before it was scored"]
    assert read_card(ModelVersions(tmp_path).path(1)).lineage[-1][LEARNED]


def test_closing_before_an_epoch_keeps_nothing(request_of: Any, tmp_path: Path) -> None:
    run = iter_fine_tune(request_of())
    while not isinstance(next(run), TrainStep):
        pass
    run.close()
    assert reasons(tmp_path) == []
    assert left_in_work(tmp_path) == ["training.lock"]


def test_a_loss_that_is_no_number_is_a_sentence_and_the_good_epochs_stay(request_of: Any, tmp_path: Path) -> None:
    run = iter_fine_tune(request_of(preset=_longer(TINY, 100)))
    while not isinstance(next(run), TrainEpoch):
        pass
    with pytest.raises(TrainingError, match="no more"):
        run.throw(TrainingError("no more"))
    assert reasons(tmp_path) == ["cut off by an error"]


def test_empty_masks_and_vanished_models_are_sentences(request_of: Any, tmp_path: Path) -> None:
    empty = tuple(replace(pair, mask=np.zeros_like(pair.mask)) for pair in pairs(2))
    with pytest.raises(InputError, match="All masks are empty"):
        drain(iter_fine_tune(request_of(pairs=empty)))
    with pytest.raises(InputError, match="no pair of image and mask"):
        drain(iter_fine_tune(request_of(pairs=())))
    with pytest.raises(CheckpointError, match="does not exist"):
        drain(iter_fine_tune(request_of(start=tmp_path / "gone.safetensors")))
    assert reasons(tmp_path) == []


@contextmanager
def disk_with_room_for(size: int) -> Iterator[None]:
    """A stand-in for a full disk that needs no disk of its own: no file may grow beyond `size` bytes."""
    limits = pytest.importorskip("resource", reason="Windows has no such limit")
    before = limits.getrlimit(limits.RLIMIT_FSIZE)
    limits.setrlimit(limits.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        limits.setrlimit(limits.RLIMIT_FSIZE, before)


def test_a_full_disk_is_a_sentence_and_nothing_is_left_behind(
    request_of: Any, tmp_path: Path, start_file: Path
) -> None:
    before = start_file.read_bytes()
    with disk_with_room_for(100_000), pytest.raises(TrainingError, match=r"could not be written to .* Make room"):
        drain(iter_fine_tune(request_of()))
    assert start_file.read_bytes() == before
    assert ModelVersions(tmp_path).versions() == []
    assert left_in_work(tmp_path) == ["training.lock"]


def test_epochs_before_the_disk_was_full_are_kept_once_there_is_room(request_of: Any, tmp_path: Path) -> None:
    run = iter_fine_tune(request_of(preset=_longer(TINY, 3)))
    for event in run:
        if isinstance(event, TrainEpoch):
            break
    with disk_with_room_for(100_000), pytest.raises(WaveGMSError, match="written"):
        drain(run)
    assert ModelVersions(tmp_path).versions() == []
    version = recover(tmp_path)
    assert version is not None
    assert not version.promoted


def test_a_killed_run_is_found_again(request_of: Any, tmp_path: Path, start_file: Path) -> None:
    code = f"""
import os, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from test_pipeline import *
speed = replace(TINY, config=replace(TINY.config, epochs=100))
run = iter_fine_tune(FineTuneRequest(pairs(1), Path({str(start_file)!r}), preset=speed,
                                home=Path({str(tmp_path)!r})))
while not isinstance(next(run), TrainEpoch): pass
os._exit(9)
"""
    assert subprocess.run([sys.executable, "-c", code], timeout=120, check=False).returncode == 9
    found = recover(tmp_path)
    assert found is not None
    assert found.title == "Quick, 1 correction"
    assert reasons(tmp_path) == ["cut off before it was scored, because the program ended"]
    assert recover(tmp_path) is None


def test_what_was_learned_from_is_replayed_and_never_scored_on() -> None:
    train, held_out = pairs(3), pairs(2, 10)
    # The second as earlier versions wrote it.
    card = ModelCard("m", lineage=({LEARNED: [learned_mark(train[0]), content_hash(held_out[1].image)]},))
    material = ReplaySet.of(train, held_out, card)
    assert [pair.name for pair in material.new] == ["p1", "p2"]
    assert [pair.name for pair in material.replay] == ["p0"]
    assert [pair.name for pair in material.held_out] == ["p10"]


def test_one_pair_is_enough_even_where_it_would_be_held_out() -> None:
    (only,) = pairs(1)
    material = ReplaySet.of((), (only,))
    assert (material.new, material.held_out) == ((only,), ())
    again = ReplaySet.of((only,), (), ModelCard("m", lineage=({LEARNED: [content_hash(only.image)]},)))
    assert (again.new, again.replay) == ((only,), ())


@pytest.mark.parametrize("speed", PRESETS.values(), ids=lambda speed: speed.key)
def test_each_speed_ends_by_its_steps(speed: Preset) -> None:
    least, most = {"quick": (60, 200), "full": (120, 600)}[speed.key]
    assert least <= speed.config.steps <= most


def _longer(speed: Preset, epochs: int) -> Preset:
    return replace(speed, config=replace(speed.config, epochs=epochs))


@pytest.mark.parametrize(("held_out", "epochs"), [(4, 3), (5, 2)])
def test_a_few_held_out_images_do_not_end_a_run_early(request_of: Any, held_out: int, epochs: int) -> None:
    # Nothing moves, so that no epoch is better than the first, and the next one, in vain, would be the last.
    config = replace(TINY.config, epochs=3, patience=1, learning_rate=1e-12, weight_decay=0.0)
    request = request_of(held_out=pairs(held_out, 10), preset=replace(TINY, config=config))
    assert drain(iter_fine_tune(request))[1].epochs == epochs
