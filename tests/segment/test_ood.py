"""Kinds of image: near for images of one kind, far for others, and silent where nothing is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_wavegms.errors import InputError
from napari_wavegms.files.reading import read_image
from napari_wavegms.model.card import ModelCard, read_card
from napari_wavegms.model.checkpoint import load_checkpoint, rewrite_card, save_checkpoint
from napari_wavegms.model.network import WaveGMS
from napari_wavegms.model.registry import resolve, shipped
from napari_wavegms.samples import ultrasound_phantom
from napari_wavegms.segment.ood import (
    AMBER,
    LEAST_IMAGES,
    MOST_CORRECTIONS,
    NUMBERS,
    USUAL_LIMIT,
    ImageKind,
    ImageKinds,
    describe,
)


def cloud(count: int, seed: int = 0, centre: float = 0.0) -> np.ndarray:
    """Points of images of one kind."""
    return np.random.default_rng(seed).normal(centre, 1, (count, NUMBERS))


def colours(kinds: ImageKinds, points: np.ndarray) -> list[str]:
    return [kinds.level(kinds.distance(point)).colour for point in points]


@pytest.fixture(scope="module")
def known() -> ImageKinds:
    return ImageKinds((ImageKind.of(cloud(200)), ImageKind.of(cloud(100, 1, 9))))


def test_a_kind_on_paper() -> None:
    points = np.zeros((LEAST_IMAGES, NUMBERS))
    points[0] = LEAST_IMAGES
    kind = ImageKind.of(points)
    assert (kind.count, kind.mean.tolist()) == (LEAST_IMAGES, [1.0] * NUMBERS)
    # Nine points lie 1 from the mean and one lies 9; without each the mean is 10/9 times as far. The 0.95 quantile lies
    # 0.55 of the way from the last but one to the last.
    assert kind.limit == pytest.approx((1 + 0.55 * 8) * 10 / 9)
    kinds = ImageKinds((ImageKind(10, np.zeros(NUMBERS), 2.0), ImageKind(10, np.full(NUMBERS, 10.0), 1.0)))
    assert kinds.distance(np.full(NUMBERS, 3.0)) == 1.5
    assert kinds.distance(np.full(NUMBERS, 9.0)) == 1
    assert kinds.with_corrections([np.full(NUMBERS, 3.0)]).distance(np.full(NUMBERS, 4.0)) == 1 / USUAL_LIMIT


def test_images_of_the_same_kind_are_green_and_others_are_red(known: ImageKinds) -> None:
    for seed, centre in ((2, 0), (3, 9)):
        same = colours(known, cloud(200, seed, centre))
        assert same.count("green") / 200 == pytest.approx(0.95, abs=0.07)
        assert same.count("red") <= 10
    # What lies between two kinds is unlike both.
    assert {*colours(known, cloud(40, 4, 4.5)), *colours(known, cloud(40, 5, 20))} == {"red"}


def test_the_level_turns_at_its_limits_and_says_how_many_images(known: ImageKinds) -> None:
    found = [known.level(distance) for distance in (0, 1, AMBER, np.nextafter(AMBER, 9), float("nan"))]
    assert [level.colour for level in found] == ["green", "green", "amber", "red", "red"]
    assert len({level.sentence for level in found}) == 3
    assert all("the 300 training images" in level.sentence for level in found)


def test_corrections_of_a_new_kind_become_familiar_and_the_old_stay_so(known: ImageKinds) -> None:
    new, old = cloud(30, 5, 4.5), cloud(30, 6)
    wiser = known.with_corrections(cloud(20, 4, 4.5) * 0.5 + 2.25)
    assert colours(known, new).count("green") == 0
    assert colours(wiser, new).count("green") > 20
    assert all(wiser.distance(point) <= known.distance(point) for point in old)
    assert "the 320 training images" in wiser.level(0).sentence
    many = known.with_corrections(cloud(MOST_CORRECTIONS, 7)).with_corrections(cloud(3, 8))
    assert len(many.corrected) == MOST_CORRECTIONS
    np.testing.assert_array_equal(many.corrected[-3:], cloud(3, 8))
    assert len(known.with_corrections([]).corrected) == 0


def test_a_kind_is_kept_until_a_correction_falls_in_it(known: ImageKinds) -> None:
    first, second, between = np.zeros(NUMBERS), np.full(NUMBERS, 9.0), np.full(NUMBERS, 4.5)
    assert known.is_kept(first)
    assert known.is_kept(second)
    taught = known.with_corrections([second + 0.5, between])
    assert not taught.is_kept(between), "like a correction"
    assert not taught.is_kept(between - 2), "about as far from a correction as from the kind"
    assert taught.is_kept(first), "corrections of other kinds change nothing"
    assert not taught.is_kept(second), "of the corrected kind"
    beside = first + 1.1 * known.kinds[0].limit
    assert known.is_kept(beside)
    assert not known.with_corrections([beside]).is_kept(beside)
    # A hundred later corrections of something else do not make a kind uncorrected again.
    later = taught.with_corrections(cloud(MOST_CORRECTIONS, 7, 4.5))
    read = ImageKinds.from_dict(later.as_dict())
    assert read is not None
    assert [kind.relearned for kind in read.kinds] == [False, True]
    assert not read.is_kept(second)


def test_networks_change_places_for_images_of_the_keepers_kinds(known: ImageKinds) -> None:
    first, second = cloud(5, 2), cloud(5, 3, 9)
    two = replace(known, kinds=(known.kinds[0], replace(known.kinds[1], relearned=True)))
    exchanged = two.exchanged([*first, second[0]])
    assert exchanged is not None
    assert [kind.relearned for kind in exchanged.kinds] == [True, False]
    assert exchanged.is_kept(second[0])
    assert two.exchanged([*second, first[0]]) is None
    assert two.exchanged(list(cloud(5, 4, -4))) is None, "nearest to the keeper's kind and yet of none"
    # What was corrected before is known to the network alone, which has to go on learning.
    assert two.with_corrections(second).exchanged(list(first)) is None


def test_too_few_images_have_their_sentence() -> None:
    with pytest.raises(InputError, match=f"are 9 training images of a kind, but {LEAST_IMAGES} are needed"):
        ImageKind.of(cloud(9))


def test_it_travels_in_the_card_and_the_weights_stay_bit_by_bit(known: ImageKinds, tmp_path: Path) -> None:
    file = save_checkpoint(tmp_path / "m.safetensors", WaveGMS(), ModelCard("tiny"), half=True)
    before, size = load_checkpoint(file)[0].state_dict(), file.stat().st_size
    wiser = known.with_corrections(cloud(MOST_CORRECTIONS, 7))
    rewrite_card(file, replace(read_card(file), familiarity=wiser.as_dict()))
    assert 0 < file.stat().st_size - size < 40_000
    after = load_checkpoint(file)[0].state_dict()
    assert all((before[name] == after[name]).all() for name in before)
    read = ImageKinds.from_dict(read_card(file).familiarity)
    assert read is not None
    point = cloud(1, 8)[0]
    assert read.distance(point) == pytest.approx(wiser.distance(point), rel=1e-3)


def test_what_cannot_be_read_is_no_statistics(known: ImageKinds) -> None:
    good = known.as_dict()
    assert ImageKinds.from_dict(good) is not None
    kind = good["kinds"][0]
    for changes in (
        {"trunk": "another"},
        {"kinds": []},
        {"kinds": 3},
        {"kinds": [kind | {"limit": 0}]},
        {"kinds": [kind | {"mean": [1.0]}]},
        {"kinds": [kind | {"mean": [float("nan")] * NUMBERS}]},
        {"kinds": [kind | {"count": float("inf")}]},
        {"corrected": [[1.0]]},
    ):
        assert ImageKinds.from_dict(good | changes) is None
    assert ImageKinds.from_dict({}) is None
    assert ImageKinds.from_dict({"encoder": "0", "limits": [1, 2], "trained": []}) is None, "as cards were before"


def test_every_image_has_a_point() -> None:
    image = ultrasound_phantom(0).image
    assert describe(image).shape == (NUMBERS,)
    assert np.isfinite(describe(np.zeros((5, 7), np.uint8))).all()
    coloured = np.dstack([image] * 3) if image.ndim == 2 else image
    np.testing.assert_allclose(describe(coloured), describe(image), atol=1e-5)
    # Black bars are no part of an image.
    barred = np.pad(image, ((40, 40), (60, 0)))
    assert np.sqrt(((describe(barred) - describe(image)) ** 2).mean()) < 0.2
    with pytest.raises(InputError):
        describe(np.zeros((3, 4, 5, 6)))


def test_shipped_models_know_their_images_and_no_others(shared: Path) -> None:
    # The share of each colour is in docs/review-measured.md; single images may fall on the wrong side.
    kinds = ImageKinds.from_dict(read_card(resolve("breast-ultrasound")).familiarity)
    assert kinds is not None
    for folder, expected in (("busi", "green"), ("kvasir_seg", "red"), ("isic2017", "red")):
        files = sorted((shared / "data" / folder / "images").iterdir())[:8]
        found = colours(kinds, np.array([describe(read_image(file).pixels) for file in files]))
        assert found.count(expected) >= 7


@pytest.mark.parametrize("name", sorted(shipped()))
def test_every_shipped_model_has_statistics(name: str) -> None:
    assert ImageKinds.from_dict(read_card(resolve(name)).familiarity) is not None, "run recipes/familiarity.py on it"
