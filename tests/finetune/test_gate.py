"""The gate between a new model and the user."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_wavegms.errors import InputError
from napari_wavegms.finetune.gate import judge, measure
from napari_wavegms.learn.pairs import Pair
from napari_wavegms.segment.preprocessing import Preprocessing

scores = st.floats(0, 1)
both = st.lists(st.tuples(scores, scores), min_size=1, max_size=8)


def named(values: list[float]) -> dict[str, float]:
    return {f"image {number}": value for number, value in enumerate(values)}


@given(values=st.lists(scores, min_size=1, max_size=8), rises=st.lists(scores, min_size=8, max_size=8))
def test_a_model_that_loses_nowhere_is_promoted(values: list[float], rises: list[float]) -> None:
    after = [min(1.0, value + rise) for value, rise in zip(values, rises, strict=False)]
    verdict = judge(named(values), named(after))
    assert verdict.promote
    assert judge(named(values), named(values)).promote


@given(pairs=both)
def test_the_verdict_is_the_rule(pairs: list[tuple[float, float]]) -> None:
    before, after = (np.array(column) for column in zip(*pairs, strict=True))
    margin = min(abs(after.mean() - before.mean()), np.abs(before - after - 0.1).min())
    verdict = judge(named(list(before)), named(list(after)))
    if margin > 1e-6:  # away from the edge, which has its own test
        assert verdict.promote == (after.mean() > before.mean() and (before - after).max() < 0.1)
    assert verdict.mean_before == pytest.approx(before.mean())
    assert verdict.mean_after == pytest.approx(after.mean())
    assert verdict.reason.startswith(
        ("better on ", "as good on ") if verdict.promote else ("worse on ", "not clearly better ")
    )


@given(pairs=both, number=st.integers(0, 7), better=scores)
def test_a_better_score_never_costs_the_promotion(pairs: list[tuple[float, float]], number: int, better: float) -> None:
    before, after = (list(column) for column in zip(*pairs, strict=True))
    improved = list(after)
    place = number % len(improved)
    improved[place] = max(improved[place], better)
    assert judge(named(before), named(improved)).promote >= judge(named(before), named(after)).promote


@pytest.mark.parametrize(("before", "promoted"), [(0.81, True), (0.8101, False)])
def test_a_fall_by_a_tenth_is_just_allowed(before: float, promoted: bool) -> None:
    verdict = judge({"a": before, "b": 0.5}, {"a": 0.71, "b": 0.9})
    assert verdict.promote is promoted
    assert promoted or verdict.reason == "worse on a (Dice 0.71, before 0.81)"


def test_the_reasons_name_the_images_and_the_scores() -> None:
    three = {"polyp_01": 0.5, "polyp_07": 0.8, "polyp_09": 0.6}
    fell = judge(three, {"polyp_01": 0.9, "polyp_07": 0.66, "polyp_09": 0.6})
    assert fell.reason == "worse on polyp_07 (Dice 0.66, before 0.80)"
    two = judge(three, {"polyp_01": 1.0, "polyp_07": 0.66, "polyp_09": 0.4})
    assert two.reason == "worse on polyp_09 (Dice 0.40, before 0.60) and 1 more"
    lower = judge(three, {name: score - 0.05 for name, score in three.items()})
    assert lower.reason == "not clearly better on 3 test images (Dice 0.58, before 0.63), too few to judge"
    better = judge(three, {name: score + 0.1 for name, score in three.items()})
    assert better.reason == "better on 3 test images (Dice 0.73, before 0.63), too few to judge"
    assert judge(three, three).reason == "as good on 3 test images (Dice 0.63), too few to judge"
    five = {str(number): 0.5 for number in range(5)}
    assert judge(five, five).reason == "as good on 5 test images (Dice 0.50)"
    close = judge({"a": 0.612}, {"a": 0.611})
    assert "(Dice 0.611, before 0.612)" in close.reason, "a difference that decides is a difference that can be seen"


def test_the_user_may_allow_a_fall() -> None:
    assert not judge({"a": 0.9, "b": 0.1}, {"a": 0.5, "b": 0.9}).promote
    assert judge({"a": 0.9, "b": 0.1}, {"a": 0.5, "b": 0.9}, max_fall=1.0).promote


def test_without_held_out_images_nothing_is_measured() -> None:
    verdict = judge({}, {})
    assert not verdict.promote
    assert verdict.reason == "not compared, because there is no test image yet"
    assert (verdict.mean_before, verdict.mean_after, verdict.images) == (None, None, 0)


@pytest.mark.parametrize("score", [float("nan"), -0.1, 1.1])
def test_a_score_that_is_none_keeps_the_current_model(score: float) -> None:
    verdict = judge({"a": 0.1, "b": 0.1}, {"a": 0.9, "b": score})
    assert not verdict.promote
    assert verdict.reason == "not compared, because b could not be scored"


def test_scores_on_different_images_are_no_comparison() -> None:
    with pytest.raises(InputError, match=r"different images \(b, c\)"):
        judge({"a": 0.5, "b": 0.5}, {"a": 0.5, "c": 0.5})


class Bright:
    """A model in one line: what is bright is lesion."""

    threshold = 0.5
    preprocessing = Preprocessing(size=8)

    def frame_probability(self, image: np.ndarray) -> np.ndarray:
        return (image / 255).astype(np.float32)


def test_measuring_gives_the_dice_of_each_image() -> None:
    image = np.zeros((8, 8), np.uint8)
    image[:4] = 255
    right, half = image > 0, np.zeros((8, 8), bool)
    half[:2] = True
    run = measure(Bright(), [Pair("right", image, right), Pair("half", image, half)])  # type: ignore[arg-type]
    assert [next(run).name, next(run).name] == ["right", "half"]
    with pytest.raises(StopIteration) as end:
        next(run)
    assert end.value.value == {"right": 1.0, "half": pytest.approx(2 * 16 / (32 + 16))}


def test_nothing_held_out_measures_nothing() -> None:
    with pytest.raises(StopIteration) as end:
        next(measure(Bright(), []))  # type: ignore[arg-type]
    assert end.value.value == {}


def test_two_images_of_one_name_are_refused() -> None:
    pair = Pair("a", np.zeros((8, 8), np.uint8), np.zeros((8, 8), bool))
    with pytest.raises(InputError, match="Two held-out images are called a"):
        next(measure(Bright(), [pair, pair]))  # type: ignore[arg-type]
