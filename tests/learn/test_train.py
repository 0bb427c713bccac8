"""Training runs, made tiny but real: reproducible, resumable, stoppable, and honest about what they leave behind."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from napari_wavegms.errors import InputError, TrainingError
from napari_wavegms.learn.augmentation import Views, draw_views
from napari_wavegms.learn.config import Augmentation, TrainConfig
from napari_wavegms.learn.events import TrainEpoch, TrainEvent, TrainResult, TrainStarted, TrainStep, run_to_end
from napari_wavegms.learn.pairs import Pair
from napari_wavegms.learn.teacher import FrozenEncoder, LatentCache
from napari_wavegms.learn.train import iter_train
from napari_wavegms.model.checkpoint import load_checkpoint
from napari_wavegms.model.codec import MaskCodec
from napari_wavegms.model.network import WaveGMS

TINY = TrainConfig(epochs=3, batch=2, size=16, precision="float32", average_decay=0.5)


def pairs(n: int) -> list[Pair]:
    rng = np.random.default_rng(7)
    found = []
    for i in range(n):
        mask = np.zeros((40, 50), bool)
        mask[8 + i : 28, 10 : 30 + i] = True
        found.append(Pair(f"image_{i}", (mask * 120 + rng.integers(0, 90, mask.shape)).astype(np.uint8), mask))
    return found


def start() -> WaveGMS:
    torch.manual_seed(0)
    return WaveGMS()


def codec() -> MaskCodec:
    torch.manual_seed(1)
    return MaskCodec()


Told = tuple[list[TrainEvent], TrainResult]


def run(output: Path, config: TrainConfig = TINY, n: int = 3, validation: int = 2, **options: Any) -> Told:
    """A run to its end, its events and its result."""
    events: list[TrainEvent] = []
    task = iter_train(pairs(n), pairs(validation), start(), codec(), config, output, **options)
    return events, run_to_end(task, events.append)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Told:
    """A run of three epochs, from which several tests read."""
    torch.set_num_threads(1)
    return run(tmp_path_factory.mktemp("whole"))


def weights(path: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint(path)[0].state_dict()


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


def steps(events: list[TrainEvent]) -> list[TrainStep]:
    return [event for event in events if isinstance(event, TrainStep)]


def test_events_files_and_history_tell_the_same_story(whole: Told) -> None:
    events, result = whole
    assert [type(event).__name__ for event in events] == ["TrainStarted", *["TrainStep", "TrainStep", "TrainEpoch"] * 3]
    assert events[0] == TrainStarted(3, 2, 2, 6, 3, 0, "cpu", "float32")
    epochs = [event for event in events if isinstance(event, TrainEpoch)]
    history = [json.loads(line) for line in result.history.read_text().splitlines()]
    assert [line["dsc"] for line in history] == [event.dsc for event in epochs]
    assert result.best_dsc == max(event.dsc or 0 for event in epochs)
    assert (result.epochs, result.steps) == (3, 6)
    network, card = load_checkpoint(result.best)
    assert card.scores["validation"] == {"dsc": result.best_dsc, "n": 2}
    assert card.lineage[-1]["pairs"] == 3
    assert card.preprocessing["size"] == 16
    assert TrainConfig.from_dict(card.lineage[-1]["config"]) == TINY
    assert same(network.state_dict(), result.model.state_dict())


def test_another_seed_makes_other_losses(whole: Told, tmp_path: Path) -> None:
    other = iter_train(pairs(3), [], start(), codec(), replace(TINY, seed=1), tmp_path)
    step = [next(other), next(other)][1]
    other.close()
    assert isinstance(step, TrainStep)
    assert step.loss != steps(whole[0])[0].loss


def test_a_resumed_run_is_the_uninterrupted_one(whole: Told, tmp_path: Path) -> None:
    events, whole_result = whole
    generator = iter_train(pairs(3), pairs(2), start(), codec(), TINY, tmp_path)
    for event in generator:
        if isinstance(event, TrainStep) and event.epoch == 1:
            generator.close()  # in the middle of the second epoch, which is then done again
    rest, result = run(tmp_path, resume=True)
    assert isinstance(rest[0], TrainStarted)
    assert rest[0].first_epoch == 1
    assert steps(rest) == steps(events)[2:]
    assert same(weights(result.last), weights(whole_result.last))
    assert same(weights(result.best), weights(whole_result.best))
    assert len(result.history.read_text().splitlines()) == 3


def test_a_run_resumes_with_its_own_settings_only(whole: Told) -> None:
    with pytest.raises(InputError, match="was trained with other settings"):
        run(whole[1].best.parent, replace(TINY, learning_rate=1e-4), resume=True)


def test_settings_survive_the_card() -> None:
    config = replace(TINY, replay_augmentation=Augmentation(upright=True))
    assert TrainConfig.from_dict(json.loads(json.dumps(config.as_dict()))) == config
    for wrong, place in (({"epocs": 3}, "epocs"), ({"augmentation": {"jitter": "much"}}, "augmentation.jitter")):
        with pytest.raises(InputError, match=f"settings cannot be read: its {place} is "):
            TrainConfig.from_dict(config.as_dict() | wrong)


def test_a_run_that_nobody_will_resume_writes_no_state(tmp_path: Path) -> None:
    list(iter_train(pairs(1), [], start(), codec(), TINY, tmp_path, resumable=False))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best.safetensors", "history.jsonl"]


def test_a_run_stopped_at_once_leaves_a_loadable_best(tmp_path: Path) -> None:
    generator = iter_train(pairs(2), pairs(1), start(), codec(), TINY, tmp_path)
    assert isinstance(next(generator), TrainStarted)
    assert isinstance(next(generator), TrainStep)
    generator.close()
    assert load_checkpoint(tmp_path / "best.safetensors")[1].lineage


def test_one_image_trains_and_no_small_batch_is_dropped(tmp_path: Path) -> None:
    once = replace(TINY, epochs=1, average_decay=0.0)
    events, result = run(tmp_path / "one", replace(once, batch=12), n=1, validation=0)
    assert len(steps(events)) == 1
    assert not same(weights(result.last), start().state_dict())
    events, _ = run(tmp_path / "eleven", replace(once, batch=4), n=5, validation=0, resumable=False)
    assert [step.steps_per_epoch for step in steps(events)] == [2, 2]


def test_without_validation_the_last_epoch_is_the_best(tmp_path: Path) -> None:
    events, result = run(tmp_path, replace(TINY, epochs=2, average_decay=0.0), n=1, validation=0)
    assert all(event.dsc is None for event in events if isinstance(event, TrainEpoch))
    assert same(weights(result.best), weights(result.last))


def test_learning_lowers_the_loss(tmp_path: Path) -> None:
    still = Augmentation(flips_and_turns=False, jitter_probability=0, warp_probability=0)
    config = replace(TINY, epochs=12, augmentation=still, sample_latent=False)
    events, _ = run(tmp_path, config, n=1, validation=0, resumable=False)
    losses = [step.loss for step in steps(events)]
    assert losses[-1] < 0.5 * losses[0]


def test_a_stop_ends_the_run_with_what_it_has(tmp_path: Path) -> None:
    seen: list[TrainEvent] = []
    task = iter_train(pairs(1), [], start(), codec(), TINY, tmp_path, resumable=False, stop=lambda: len(seen) > 3)
    result = run_to_end(task, seen.append)
    assert [type(event).__name__ for event in seen] == ["TrainStarted", "TrainStep", "TrainEpoch", "TrainStep"]
    assert (result.epochs, result.best_epoch) == (1, 0)
    assert not (tmp_path / "last.safetensors").exists()


def test_a_loss_that_is_no_number_stops_the_run_with_a_sentence(tmp_path: Path) -> None:
    broken = start()
    torch.nn.init.constant_(broken.mapper.heads["out"][2].weight, float("nan"))
    generator = iter_train(pairs(1), [], broken, codec(), TINY, tmp_path)
    next(generator)
    with pytest.raises(TrainingError, match=r"The loss became nan in epoch 1; .* Try a smaller learning rate"):
        next(generator)


def test_nothing_to_learn_from(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no pair of image and mask"):
        next(iter_train([], [], start(), codec(), TINY, tmp_path))


def test_an_image_and_a_mask_of_another_size_are_no_pair() -> None:
    with pytest.raises(InputError, match="4 x 5 pixels and its mask has shape"):
        Pair("odd", np.zeros((4, 5)), np.zeros((5, 4)))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"epochs": 0}, "epochs is 0"),
        ({"size": 50}, "size is 50"),
        (
            {"latent_levels": ("level9",)},
            "must be among level3, level2, level1, out",
        ),
        ({"epochs": 0, "batch": 0}, "epochs is 0 and must be at least 1; batch is 0"),
    ],
)
def test_settings_that_cannot_be_followed_are_all_named(settings: dict[str, object], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        TrainConfig(**settings)  # type: ignore[arg-type]


def test_remembered_latents_are_those_of_the_teacher() -> None:
    teacher = FrozenEncoder(start())
    asked = []

    def encode(planes: torch.Tensor) -> torch.Tensor:
        asked.append(len(planes))
        return teacher.encode(planes)

    cache = LatentCache(encode)
    images = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    masks = torch.zeros(3, 1, 16, 16)
    views = draw_views(images, masks, Augmentation(jitter_probability=0, warp_probability=0), np.random.default_rng(0))
    everything = torch.ones(3, dtype=torch.bool)
    with torch.no_grad():
        expected = teacher.encode(views.images)
    for _ in range(2):
        torch.testing.assert_close(
            cache.latents(views.images, views, [0, 1, 2], everything), expected, atol=2e-3, rtol=2e-3
        )
    assert asked == [3]
    warped = Views(views.images, views.masks, views.turns, torch.tensor([True, False, True]))
    cache.latents(views.images, warped, [0, 1, 2], everything)
    assert asked == [3, 1]
