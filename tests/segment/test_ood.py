"""Unlike what I know: near for images of one kind, far for others, and silent where it does not know."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_wavegms.errors import InputError
from napari_wavegms.finetune.known_images import known_images
from napari_wavegms.learn.pairs import Pair
from napari_wavegms.model.card import ModelCard, read_card
from napari_wavegms.model.checkpoint import load_checkpoint, rewrite_card, save_checkpoint
from napari_wavegms.model.network import WaveGMS
from napari_wavegms.model.registry import resolve, shipped
from napari_wavegms.segment.ood import (
    LEAST_IMAGES,
    NUMBERS,
    STALE,
    UNKNOWN,
    GaussianStats,
    KindMeans,
    OODDetector,
    describe,
    no_ood_level,
)

SIDE = 16


def latents(count: int, seed: int = 0, centre: float = 0.0, width: float = 1.0) -> list[np.ndarray]:
    """Latents of images of one kind: noise whose level and contrast differ a little from image to image."""
    rng = np.random.default_rng(seed)
    levels, widths = rng.normal(centre, 0.2, (count, 4, 1, 1)), width * rng.uniform(0.8, 1.2, (count, 4, 1, 1))
    return list((levels + widths * rng.normal(size=(count, 4, 6, 6))).astype(np.float32))


@pytest.fixture(scope="module")
def known() -> OODDetector:
    return OODDetector.fit(latents(200))


@pytest.fixture(scope="module")
def network() -> WaveGMS:
    import torch

    torch.manual_seed(0)
    return WaveGMS().eval()


def card(**changes: object) -> ModelCard:
    rules = {"size": SIDE, "aspect": "squash", "percentiles": [0.1, 99.9]}
    return replace(ModelCard("tiny", preprocessing=rules), **changes)  # type: ignore[arg-type]


def pairs(count: int) -> list[Pair]:
    rng = np.random.default_rng(count)
    mask = np.ones((SIDE, SIDE), np.uint8)
    return [Pair(f"p{i}", rng.integers(0, 255, mask.shape).astype(np.uint8), mask) for i in range(count)]


def test_the_point_of_an_image_on_paper() -> None:
    image = np.zeros((4, 1, 2))
    image[0], image[1] = [[1, 3]], [[0, 4]]
    point = describe(image)
    assert point.shape == (NUMBERS,)
    # Means 2, 2, 0, 0; variances 1 and 4, their covariance 2; all else 0.
    assert point.tolist() == [2, 2, 0, 0, 1, 2, 0, 0, 4, 0, 0, 0, 0, 0]


def test_where_things_are_in_the_image_does_not_matter() -> None:
    image = latents(1)[0]
    np.testing.assert_allclose(describe(image), describe(image[:, ::-1].transpose(0, 2, 1)), atol=1e-6)


def test_images_of_the_same_kind_are_green_and_of_another_red(known: OODDetector) -> None:
    same = [known.light(known.distance(image)).colour for image in latents(200, seed=1)]
    assert same.count("green") / 200 == pytest.approx(0.95, abs=0.06)
    assert same.count("red") <= 10
    for other in (latents(20, seed=2, centre=3), latents(20, seed=3, width=3)):
        assert {known.light(known.distance(image)).colour for image in other} == {"red"}


def test_the_distance_is_mahalanobis() -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(300, NUMBERS)) @ rng.normal(size=(NUMBERS, NUMBERS))
    inverse = np.linalg.inv(np.cov(points.T, bias=True) * (1 + 1 / 300))
    gap = points[0] - points.mean(axis=0)
    expected = np.sqrt(gap @ inverse @ gap / NUMBERS)
    assert GaussianStats.of(points).distances(points[:1])[0] == pytest.approx(expected, rel=1e-2)


def test_clouds_join_as_if_they_had_been_one() -> None:
    points = np.random.default_rng(0).normal(size=(30, NUMBERS))
    whole, joined = GaussianStats.of(points), GaussianStats.of(points[:11]).joined(GaussianStats.of(points[11:]))
    assert joined.count == 30
    np.testing.assert_allclose(joined.centre, whole.centre, atol=1e-12)
    np.testing.assert_allclose(joined.spread, whole.spread, atol=1e-12)


def test_the_light_turns_at_its_limits_and_says_how_many_images(known: OODDetector) -> None:
    green, amber = known.limits
    assert green < amber
    colours = [known.light(distance).colour for distance in (0, green, amber, np.nextafter(amber, 9), float("nan"))]
    assert colours == ["green", "green", "amber", "red", "red"]
    sentences = {known.light(distance).sentence for distance in (green, amber, 2 * amber)}
    assert len(sentences) == 3
    assert all("the 200 training images" in sentence for sentence in sentences)


def test_corrections_of_a_new_kind_become_familiar_and_the_old_stay_so(known: OODDetector) -> None:
    wiser = known.with_corrections(latents(10, seed=4, centre=3))
    new, old = latents(30, seed=5, centre=3), latents(30, seed=6)
    assert sum(known.light(known.distance(image)).colour == "green" for image in new) == 0
    assert sum(wiser.light(wiser.distance(image)).colour == "green" for image in new) > 20
    assert all(wiser.distance(image) <= known.distance(image) for image in old)
    # One after the other is the same as all at once.
    slowly = known.with_corrections(latents(10, seed=4, centre=3)[:4]).with_corrections(latents(10, 4, 3)[4:])
    assert slowly.distance(new[0]) == pytest.approx(wiser.distance(new[0]))
    assert known.with_corrections([]) is known


def test_what_lies_between_two_kinds_is_unlike_both() -> None:
    both = OODDetector.fit(latents(200), latents(100, seed=1, centre=3))
    colours = {
        centre: [both.light(both.distance(image)).colour for image in latents(40, seed=2, centre=centre)]
        for centre in (0.0, 1.5, 3.0)
    }
    assert colours[0.0].count("green") >= 34
    assert colours[3.0].count("green") >= 34
    assert set(colours[1.5]) == {"red"}
    assert "the 300 training images" in both.light(0.0).sentence
    one_cloud = OODDetector.fit([*latents(200), *latents(100, seed=1, centre=3)])
    assert {one_cloud.light(one_cloud.distance(image)).colour for image in latents(9, 2, 1.5)} == {"green"}


def test_cards_of_the_first_release_had_one_cloud(known: OODDetector) -> None:
    told = known.as_dict()
    (only,) = told["trained"]
    assert OODDetector.from_dict(told | {"trained": only}) is not None


def test_a_constant_image_is_a_number_away(known: OODDetector) -> None:
    assert np.isfinite(known.distance(np.zeros((4, 2, 2))))
    flat = OODDetector.fit([np.full((4, 2, 2), 0.5)] * LEAST_IMAGES)
    assert flat.light(flat.distance(np.full((4, 2, 2), 0.5))).colour == "green"
    assert flat.light(flat.distance(np.ones((4, 2, 2)))).colour == "red"


def test_few_images_and_wrong_shapes_have_their_sentence(known: OODDetector) -> None:
    with pytest.raises(InputError, match=f"are 39 training images of a kind, but {LEAST_IMAGES} are needed"):
        OODDetector.fit(latents(39))
    with pytest.raises(InputError, match=r"latents have shape \(3, 2, 2\)"):
        known.distance(np.zeros((3, 2, 2)))


def test_it_travels_in_the_card_and_the_weights_stay_bit_by_bit(
    known: OODDetector, network: WaveGMS, tmp_path: Path
) -> None:
    file = save_checkpoint(tmp_path / "m.safetensors", network, card(), half=True)
    before = load_checkpoint(file)[0].state_dict()
    size = file.stat().st_size
    rewrite_card(file, replace(read_card(file), familiarity=known.with_corrections(latents(3, 7)).as_dict()))
    assert 0 < file.stat().st_size - size < 6000
    after = load_checkpoint(file)[0].state_dict()
    assert all((before[name] == after[name]).all() for name in before)
    read = OODDetector.from_dict(read_card(file).familiarity)
    assert read is not None
    image = latents(1, seed=8)[0]
    assert read.distance(image) == pytest.approx(known.with_corrections(latents(3, 7)).distance(image), rel=1e-3)


def test_a_model_without_it_or_with_nonsense_has_no_light_and_says_so(network: WaveGMS) -> None:
    for familiarity in ({}, {"limits": [1]}, {"trained": 3}):
        silent = card(familiarity=familiarity)
        assert OODDetector.of(silent, network) is None
        assert no_ood_level(silent) is UNKNOWN
    assert UNKNOWN.colour == ""


def test_another_encoder_or_frame_puts_the_light_out(network: WaveGMS, tmp_path: Path) -> None:
    import torch

    told = replace(card(), familiarity=known_images(network, card(), pairs(LEAST_IMAGES)))
    model, told = load_checkpoint(save_checkpoint(tmp_path / "m.safetensors", network, told))
    assert OODDetector.of(told, model) is not None
    larger = replace(told, preprocessing=told.preprocessing | {"size": 32})
    assert OODDetector.of(larger, model) is None
    with torch.no_grad():
        model.mapper.stem.bias += 1  # Quick changes only the mapper
        assert OODDetector.of(told, model) is not None
        model.encoder.aggregate.head.bias += 1e-3
    assert OODDetector.of(told, model) is None
    assert no_ood_level(told) is STALE


def test_what_a_fine_tuned_model_says_depends_on_its_encoder(network: WaveGMS) -> None:
    assert known_images(network, card(), pairs(LEAST_IMAGES - 1)) == {}
    first = known_images(network, card(), pairs(LEAST_IMAGES - 1), pairs(1))
    assert (first["trained"][0]["count"], first["corrections"]) == (LEAST_IMAGES, None)
    # The encoder stayed: the new are added, and the replayed are not counted again.
    second = known_images(network, replace(card(), familiarity=first), pairs(3), pairs(5))
    assert (second["trained"][0]["count"], second["corrections"]["count"]) == (LEAST_IMAGES, 3)
    other = replace(card(), familiarity=second | {"encoder": "another"})
    assert known_images(network, other, pairs(5), pairs(5)) == {}
    fresh = known_images(network, other, pairs(5), pairs(LEAST_IMAGES))
    assert (fresh["trained"][0]["count"], fresh["corrections"]) == (LEAST_IMAGES + 5, None)


def test_the_shipped_light_is_green_at_home_and_red_abroad(shared: Path) -> None:
    from napari_wavegms.files.reading import read_image
    from napari_wavegms.segment.segmenter import Segmenter

    segmenter = Segmenter.from_checkpoint("breast-ultrasound", device="cpu")
    light = OODDetector.of(segmenter.card, segmenter.model)
    assert light is not None, "run recipes/familiarity.py on the shipped model"
    # The share of each colour is in docs/lab/review.md; single images may fall on the wrong side.
    for folder, expected in (("busi", "green"), ("kvasir_seg", "red"), ("isic2017", "red")):
        files = sorted((shared / "data" / folder / "images").iterdir())[:8]
        found = [segmenter.image_latents(read_image(file).pixels) for file in files]
        colours = [light.light(light.distance(one)).colour for one in found]
        assert len(colours) == 8
        assert colours.count(expected) >= 6


@pytest.mark.parametrize("name", sorted(shipped()))
def test_every_shipped_model_has_a_light(name: str) -> None:
    network, told = load_checkpoint(resolve(name))
    assert OODDetector.of(told, network) is not None, "run recipes/familiarity.py on it"


def cloud(centre: float, count: int = 12, seed: int = 0) -> np.ndarray:
    """Points (count, 5) about a centre."""
    return centre + np.random.default_rng(seed).standard_normal((count, 5))


def test_an_image_is_of_the_kind_whose_mean_is_nearest() -> None:
    kinds = KindMeans.of({"low": cloud(0), "high": cloud(8, seed=1)})
    found = kinds.nearest(np.concatenate([cloud(0, 40, 2), cloud(8, 40, 3), cloud(30, 40, 4)]))
    assert [name for name, _ in found] == ["low"] * 40 + ["high"] * 80
    familiar = [known for _, known in found]
    assert np.mean(familiar[:80]) > 0.85
    assert not any(familiar[80:]), "nothing that far off is known"


def test_the_limit_takes_in_what_the_means_were_made_of() -> None:
    points = cloud(0, 200)
    kinds = KindMeans.of({"only": points})
    assert 0.9 < np.mean([known for _, known in kinds.nearest(points)]) < 1
    # A coordinate's scale does not matter, and one that never changes says nothing.
    scaled = np.concatenate([points * 1000, np.ones((200, 1))], axis=1)
    found = KindMeans.of({"only": scaled}).distances(scaled)
    np.testing.assert_allclose(found, kinds.distances(points) * np.sqrt(5 / 6), rtol=1e-3)


@pytest.mark.parametrize("kinds", [{}, {"one": cloud(0, 1)}, {"enough": cloud(0), "none": np.empty((0, 5))}])
def test_a_kind_without_images_is_refused(kinds: dict[str, np.ndarray]) -> None:
    with pytest.raises(InputError, match="at least two images"):
        KindMeans.of(kinds)
