"""Random views: image and mask move together, turns form their group, and nothing changes that was not asked to."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from napari_wavegms.learn.augmentation import draw_views, misplacing_turns, turn, warmup_cosine
from napari_wavegms.learn.config import Augmentation

STILL = Augmentation(flips_and_turns=False, jitter_probability=0, warp_probability=0)


def blobs(n: int = 6, side: int = 32) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(0)
    masks = torch.zeros(n, 1, side, side)
    for mask in masks:
        r, c = rng.integers(6, 14, 2)
        mask[0, r : r + 9, c : c + 12] = 1
    return masks.expand(-1, 3, -1, -1).clone(), masks


def test_nothing_asked_nothing_done() -> None:
    images, masks = blobs()
    views = draw_views(images, masks, STILL, np.random.default_rng(0))
    assert torch.equal(views.images, images)
    assert torch.equal(views.masks, masks)
    assert views.plain.all()
    assert set(views.turns) == {0}


def test_the_eight_turns_are_different_and_invertible() -> None:
    square = torch.arange(9.0).reshape(1, 3, 3)
    turned = {tuple(turn(square, k).flatten().tolist()) for k in range(8)}
    assert len(turned) == 8
    for k in range(4):
        assert torch.equal(turn(turn(square, k), 4 - k if k else 0), square)
        assert torch.equal(turn(turn(square, 4 + k), 4 + k), square)  # a reflection undoes itself


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (Augmentation(), set(range(8))),
        (Augmentation(quarter_turns=False), {0, 2, 4, 6}),
        (Augmentation(quarter_turns=False, upright=True), {0, 4}),
        (Augmentation(upright=True), {0, 4}),
    ],
)
def test_views_keep_their_height_or_their_up_where_asked(rules: Augmentation, expected: set[int]) -> None:
    images, masks = torch.zeros(60, 3, 8, 8), torch.zeros(60, 1, 8, 8)
    assert set(draw_views(images, masks, rules, np.random.default_rng(0)).turns) == expected


def test_image_and_mask_move_together() -> None:
    images, masks = blobs()
    everything = Augmentation(jitter_probability=0, warp_probability=1.0)
    views = draw_views(images, masks, everything, np.random.default_rng(1))
    assert not views.plain.any()
    moved = (views.images[:, :1] >= 0.5).float()
    assert (moved != views.masks).float().mean() < 0.01
    assert set(views.masks.unique().tolist()) == {0.0, 1.0}


def test_jitter_leaves_the_mask_and_the_range() -> None:
    images, masks = blobs()
    views = draw_views(images, masks, Augmentation(False, 0.3, 1.0, warp_probability=0), np.random.default_rng(2))
    assert torch.equal(views.masks, masks)
    assert not torch.equal(views.images, images)
    assert 0 <= views.images.min() <= views.images.max() <= 1


def test_the_callers_tensors_are_left_alone() -> None:
    images, masks = blobs()
    before = images.clone(), masks.clone()
    draw_views(images, masks, Augmentation(warp_probability=1, jitter_probability=1), np.random.default_rng(3))
    assert torch.equal(images, before[0])
    assert torch.equal(masks, before[1])


def test_the_rate_warms_up_and_falls_by_hand() -> None:
    assert [warmup_cosine(step, 12, 2) for step in (0, 1)] == [0.5, 1.0]
    assert warmup_cosine(2, 12, 2) == 1.0
    assert warmup_cosine(7, 12, 2) == pytest.approx(0.5)
    assert warmup_cosine(11, 12, 2) == pytest.approx(0.5 * (1 + math.cos(0.9 * math.pi)))


def test_upright_views_are_mirrored_at_most() -> None:
    planes = torch.arange(16.0).reshape(1, 1, 4, 4).expand(40, 1, 4, 4).clone()
    upright = Augmentation(jitter_probability=0, warp_probability=0, upright=True)
    views = draw_views(planes.expand(-1, 3, -1, -1).clone(), planes, upright, np.random.default_rng(0))
    mirrored = [bool(torch.equal(view[0], planes[0, 0].flip(-1))) for view in views.masks]
    as_is = [bool(torch.equal(view[0], planes[0, 0])) for view in views.masks]
    assert all(a != b for a, b in zip(mirrored, as_is, strict=True))
    assert 10 < sum(mirrored) < 30


def test_one_pair_of_a_batch_may_stand_upright_while_another_turns() -> None:
    planes = torch.arange(16.0).reshape(1, 1, 4, 4).expand(80, 1, 4, 4).clone()
    still = Augmentation(jitter_probability=0, warp_probability=0)
    stands = [True, False] * 40
    views = draw_views(planes.expand(-1, 3, -1, -1).clone(), planes, still, np.random.default_rng(0), stands)
    rows_stay_rows = [bool(view[0, 0].min() == 0 and view[0, 0].max() == 3) for view in views.masks]
    assert all(rows_stay_rows[0::2])
    assert {views.turns[i] for i in range(0, 80, 2)} == {0, 4}
    assert {views.turns[i] for i in range(1, 80, 2)} == set(range(8))


def discs(centres: list[tuple[int, int]], radius: int = 12, side: int = 64) -> torch.Tensor:
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    return torch.stack([((rows - y) ** 2 + (columns - x) ** 2 <= radius**2)[None].to(torch.uint8) for y, x in centres])


HALF_TURN, MIRRORED, UPSIDE_DOWN = 2, 4, 6


def test_a_structure_of_one_side_is_not_put_on_the_other() -> None:
    right = discs([(30, 46), (32, 48), (34, 45), (31, 47)])
    spared = misplacing_turns(right)
    assert spared == [{1, HALF_TURN, 3, MIRRORED, 5, 7}] * 4, "only upside down it stays on its side"
    pixels = right.float()
    rules = Augmentation(jitter_probability=0, warp_probability=0)
    views = draw_views(pixels, pixels, rules, np.random.default_rng(0), misplacing=spared)
    assert set(views.turns) <= {0, UPSIDE_DOWN}


def test_structures_of_both_sides_and_of_one_are_told_apart_in_one_run() -> None:
    right = discs([(30, 50), (32, 52), (34, 49), (31, 51)], radius=10)
    anywhere = discs([(10, 10), (10, 54), (54, 10), (54, 54), (12, 12), (12, 52), (52, 12), (52, 52)], radius=8)
    spared = misplacing_turns(torch.cat([right, anywhere]))
    assert all(MIRRORED in each for each in spared[:4])
    assert all(MIRRORED not in each for each in spared[4:])


@pytest.mark.parametrize(
    "centres",
    [
        pytest.param([(20, 20), (44, 20), (20, 44), (44, 44), (32, 32)], id="anywhere"),
        pytest.param([(31, 32), (32, 31), (33, 33)], id="in the middle"),
        pytest.param([(32, 48)], id="too few to tell"),
    ],
)
def test_every_turn_of_what_lies_anywhere_is_learned_from(centres: list[tuple[int, int]]) -> None:
    assert misplacing_turns(discs(centres)) == [set()] * len(centres)


def test_empty_masks_say_nothing_of_where_a_structure_lies() -> None:
    right = discs([(30, 46), (32, 48), (34, 45)])
    empty = torch.zeros(9, 1, 64, 64, dtype=torch.uint8)
    assert misplacing_turns(torch.cat([right, empty])) == misplacing_turns(right) + [set()] * 9
    assert misplacing_turns(empty) == [set()] * 9
