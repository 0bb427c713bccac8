"""The gate between a new model and the user."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_wavegms.errors import InputError
from napari_wavegms.finetune.gate import BETTER, CONFIDENCE, SPREAD, UNSURE, WORSE, interval, judge, measure
from napari_wavegms.learn.pairs import Pair
from napari_wavegms.segment.preprocessing import Preprocessing

scores = st.floats(0, 1)
both = st.lists(st.tuples(scores, scores), min_size=1, max_size=8)


def named(values: list[float]) -> dict[str, float]:
    return {f"image {number}": value for number, value in enumerate(values)}


@given(pairs=both)
def test_the_verdict_turns_with_the_models(pairs: list[tuple[float, float]]) -> None:
    before, after = (named(list(column)) for column in zip(*pairs, strict=True))
    there, back = judge(before, after), judge(after, before)
    assert back.word == {BETTER: WORSE, WORSE: BETTER, UNSURE: UNSURE}[there.word]
    assert there.promote == (there.word == BETTER)
    assert there.mean_after == back.mean_before == pytest.approx(np.mean(list(after.values())))
    assert judge(before, before).word == UNSURE


@given(values=st.lists(st.floats(0, 0.5), min_size=1, max_size=8), rise=st.floats(0, 0.5), more=st.floats(0, 0.5))
def test_more_of_the_same_is_no_worse(values: list[float], rise: float, more: float) -> None:
    less, much = (named([value + min(0.5, by) for value in values]) for by in (rise, rise + more))
    assert judge(named(values), much).promote >= judge(named(values), less).promote


def test_the_interval_is_a_t_interval_with_a_spread_known_beforehand() -> None:
    # On paper, for 0.3 and 0.6: the variance is (4 · 0.28² + 2 · 0.15²) / 5 = 0.0717; t of 5 degrees at 95 % is 2.015.
    low, high = interval([0.3, 0.6])
    assert (low, high) == pytest.approx(
        (0.45 - 2.015 * 0.0717**0.5 / 2**0.5, 0.45 + 2.015 * 0.0717**0.5 / 2**0.5), abs=1e-3
    )
    # Of many images their own spread counts.
    many = np.tile([0.1, 0.3], 5000)
    assert interval(list(many)) == pytest.approx((0.2 - 1.645 * 0.1 / 100, 0.2 + 1.645 * 0.1 / 100), abs=1e-4)


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 999), images=st.sampled_from([1, 2, 5, 20]))
def test_a_model_that_is_no_better_is_seldom_called_better(seed: int, images: int) -> None:
    draws = np.random.default_rng(seed).normal(0, SPREAD, (2000, images))
    assert np.mean([interval(list(draw))[0] > 0 for draw in draws]) < 1.5 * (1 - CONFIDENCE)


@pytest.mark.parametrize(
    ("before", "after", "word"),
    [
        ([0.2, 0.3], [0.6, 0.8], BETTER),
        ([0.2], [0.9], BETTER),  # more than chance brings
        ([0.40], [0.37], UNSURE),
        ([0.2], [0.7], UNSURE),
        ([0.7, 0.8], [0.75, 0.85], UNSURE),
        ([0.7] * 20, [0.8] * 20, BETTER),
        ([0.8] * 20, [0.7] * 20, WORSE),
        ([0.2] * 4 + [0.9], [0.4] * 4 + [0.3], UNSURE),  # one that fell far makes the others say less
    ],
)
def test_the_three_words(before: list[float], after: list[float], word: str) -> None:
    assert judge(named(before), named(after)).word == word


def test_the_scores_are_said_with_the_digits_that_tell_them_apart() -> None:
    assert judge({"a": 0.61}, {"a": 0.74}).measured == "on 1 test image (DSC 0.74, before 0.61)"
    assert judge({"a": 0.9391, "b": 0.9391}, {"a": 0.9399, "b": 0.9399}).measured == (
        "on 2 test images (DSC 0.940, before 0.939)"
    )


def test_without_test_images_nothing_is_measured() -> None:
    verdict = judge({}, {})
    assert not verdict.promote
    assert (verdict.word, verdict.measured) == (UNSURE, "because there is no test image")
    assert (verdict.mean_before, verdict.mean_after, verdict.images) == (None, None, 0)


@pytest.mark.parametrize("score", [float("nan"), -0.1, 1.1])
def test_a_score_that_is_none_keeps_the_current_model(score: float) -> None:
    verdict = judge({"a": 0.1, "b": 0.1}, {"a": 0.9, "b": score})
    assert not verdict.promote
    assert verdict.word == "not compared, because b could not be scored"


def test_scores_on_different_images_are_no_comparison() -> None:
    with pytest.raises(InputError, match=r"different images \(b, c\)"):
        judge({"a": 0.5, "b": 0.5}, {"a": 0.5, "c": 0.5})


class Bright:
    """A model in one line: what is bright is lesion."""

    threshold = 0.5
    preprocessing = Preprocessing(size=8)
    classes = 1

    def for_volume(self, planes: object) -> Bright:
        return self

    def with_window(self, window: object) -> Bright:
        return self

    def frame_probability(self, image: np.ndarray) -> np.ndarray:
        return (image / 255).astype(np.float32)


def test_measuring_gives_the_dice_of_each_image() -> None:
    image = np.zeros((8, 8), np.uint8)
    image[:4] = 255
    right, half = image > 0, np.zeros((8, 8), bool)
    half[:2] = True
    run = measure(Bright(), [Pair("right", image, right), Pair("half", image, half)])  # type: ignore[arg-type]
    scores = {scored.name: scored.dsc for scored in run}
    assert scores == {"right": 1.0, "half": pytest.approx(2 * 16 / (32 + 16))}


def test_no_test_image_measures_nothing() -> None:
    assert list(measure(Bright(), [])) == []  # type: ignore[arg-type]


def test_two_images_of_one_name_are_refused() -> None:
    pair = Pair("a", np.zeros((8, 8), np.uint8), np.zeros((8, 8), bool))
    with pytest.raises(InputError, match="Two test images are called a"):
        next(measure(Bright(), [pair, pair]))  # type: ignore[arg-type]
