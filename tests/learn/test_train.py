"""Training runs, made tiny but real: reproducible, resumable, stoppable, and honest about what they leave behind."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_wavegms.errors import InputError, TrainingError
from napari_wavegms.learn.augmentation import Views, draw_views
from napari_wavegms.learn.config import Augmentation, TrainConfig
from napari_wavegms.learn.events import TrainEpoch, TrainEvent, TrainResult, TrainStarted, TrainStep
from napari_wavegms.learn.pairs import Pair
from napari_wavegms.learn.teacher import FrozenEncoder, LatentCache
from napari_wavegms.learn.train import iter_train
from napari_wavegms.model.checkpoint import load_checkpoint
from napari_wavegms.model.codec import MaskCodec
from napari_wavegms.model.network import WaveGMS

TINY = TrainConfig(epochs=2, batch=2, size=32, precision="float32", average_decay=0.5)


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


def run(
    output: Path, config: TrainConfig = TINY, n: int = 3, **options: object
) -> tuple[list[TrainEvent], TrainResult]:
    events = []
    generator = iter_train(pairs(n), pairs(2), start(), codec(), config, output, **options)  # type: ignore[arg-type]
    while True:
        try:
            events.append(next(generator))
        except StopIteration as stop:
            return events, stop.value


def weights(path: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint(path)[0].state_dict()


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


def steps(events: list[TrainEvent]) -> list[TrainStep]:
    return [event for event in events if isinstance(event, TrainStep)]


def test_events_files_and_history_tell_the_same_story(tmp_path: Path) -> None:
    events, result = run(tmp_path)
    assert [type(event).__name__ for event in events] == ["TrainStarted", *["TrainStep", "TrainStep", "TrainEpoch"] * 2]
    assert events[0] == TrainStarted(3, 2, 2, 2, 0, "cpu", "float32")
    epochs = [event for event in events if isinstance(event, TrainEpoch)]
    history = [json.loads(line) for line in result.history.read_text().splitlines()]
    assert [line["dsc"] for line in history] == [event.dsc for event in epochs]
    assert result.best_dsc == max(event.dsc or 0 for event in epochs)
    card = load_checkpoint(result.best)[1]
    assert card.scores["validation"] == {"dsc": result.best_dsc, "n": 2}
    assert card.lineage[-1]["pairs"] == 3
    assert card.preprocessing["size"] == 32
    assert TrainConfig.from_dict(card.lineage[-1]["config"]) == TINY


def test_same_seed_same_losses_another_seed_others(tmp_path: Path) -> None:
    first, _ = run(tmp_path / "a")
    second, _ = run(tmp_path / "b")
    other, _ = run(tmp_path / "c", replace(TINY, seed=1))
    assert steps(first) == steps(second)
    assert steps(first)[0].loss != steps(other)[0].loss


def test_a_resumed_run_is_the_uninterrupted_one(tmp_path: Path) -> None:
    config = replace(TINY, epochs=3)
    whole, whole_result = run(tmp_path / "whole", config)
    generator = iter_train(pairs(3), pairs(2), start(), codec(), config, tmp_path / "stopped")
    for event in generator:
        if isinstance(event, TrainStep) and event.epoch == 1:
            generator.close()  # in the middle of the second epoch, which is then done again
    rest, result = run(tmp_path / "stopped", config, resume=True)
    assert isinstance(rest[0], TrainStarted)
    assert rest[0].first_epoch == 1
    assert steps(rest) == steps(whole)[2:]
    assert same(weights(result.last), weights(whole_result.last))
    assert same(weights(result.best), weights(whole_result.best))
    assert len(result.history.read_text().splitlines()) == 3


def test_a_run_resumes_with_its_own_settings_only(tmp_path: Path) -> None:
    run(tmp_path)
    with pytest.raises(InputError, match="was trained with other settings"):
        run(tmp_path, replace(TINY, learning_rate=1e-4), resume=True)


def test_settings_survive_the_card() -> None:
    config = replace(TINY, replay_augmentation=Augmentation(upright=True))
    assert TrainConfig.from_dict(json.loads(json.dumps(config.as_dict()))) == config
    for wrong, place in (({"epocs": 3}, "epocs"), ({"augmentation": {"jitter": "much"}}, "augmentation.jitter")):
        with pytest.raises(InputError, match=f"settings cannot be read: {place}: "):
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
    events, _ = run(tmp_path / "one", replace(TINY, batch=12), n=1)
    assert len(steps(events)) == 2
    assert not same(weights(tmp_path / "one" / "last.safetensors"), start().state_dict())
    events, _ = run(tmp_path / "eleven", replace(TINY, batch=4, epochs=1), n=5)
    assert [step.steps_per_epoch for step in steps(events)] == [2, 2]


def test_without_validation_the_last_epoch_is_the_best(tmp_path: Path) -> None:
    config = replace(TINY, average_decay=0.0)
    generator = iter_train(pairs(2), [], start(), codec(), config, tmp_path)
    events = list(generator)
    assert all(event.dsc is None for event in events if isinstance(event, TrainEpoch))
    assert same(weights(tmp_path / "best.safetensors"), weights(tmp_path / "last.safetensors"))


def test_learning_lowers_the_loss(tmp_path: Path) -> None:
    still = Augmentation(flips_and_turns=False, jitter_probability=0, warp_probability=0)
    events, _ = run(tmp_path, replace(TINY, epochs=12, augmentation=still, sample_latent=False), n=1)
    losses = [step.loss for step in steps(events)]
    assert losses[-1] < 0.5 * losses[0]


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
