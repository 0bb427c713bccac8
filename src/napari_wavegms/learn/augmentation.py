"""Random views of the training pairs: image and mask turned, warped and jittered together, on the training device."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from napari_wavegms.learn.config import Augmentation

TURNS = 8  # the dihedral group of the square
QUARTERS = 4  # turns below this are not mirrored
ROUGH_SIDE = 28
"""Side of the grid on which masks are compared."""
NEAREST, MOST_COMPARED = 3, 256
"""A mask is compared with so many that overlap it most, of at most so many."""


@dataclass(frozen=True, slots=True)
class Views:
    """A batch ready to train on."""

    images: Tensor  # (B, 3, S, S)
    masks: Tensor  # (B, K, S, S), 0 or 1
    turns: list[int]  # which of the eight flips and turns each sample took
    plain: Tensor  # (B,) bool: nothing but a flip or turn happened, so that teacher latents can be remembered


def draw_views(
    images: Tensor,
    masks: Tensor,
    augmentation: Augmentation,
    rng: np.random.Generator,
    upright: Sequence[bool] | None = None,
    misplacing: Sequence[Collection[int]] | None = None,
) -> Views:
    """Draw one random view of each pair.

    Images (B, 3, S, S) and masks (B, K, S, S) are float32 in [0, 1]; `upright` says which have an up and a down, and
    `misplacing` which turns each is spared: it stays as it is instead.
    """
    b = len(images)
    stand = [True] * b if augmentation.upright else upright or [False] * b
    drawn = rng.integers(TURNS, size=b) if augmentation.flips_and_turns else np.zeros(b, int)
    # What stands upright keeps of its turn the mirror image only, and without quarter turns what is half a turn.
    finest = 1 if augmentation.quarter_turns else 2
    turns = [int(k - k % (QUARTERS if stands else finest)) for k, stands in zip(drawn, stand, strict=True)]
    if misplacing is not None:
        turns = [0 if k in spared else k for k, spared in zip(turns, misplacing, strict=True)]
    images = torch.stack([turn(image, k) for image, k in zip(images, turns, strict=True)])
    masks = torch.stack([turn(mask, k) for mask, k in zip(masks, turns, strict=True)])
    warped = torch.from_numpy(rng.random(b) < augmentation.warp_probability)
    if warped.any():
        grid = warp_grid(int(warped.sum()), images.shape[-1], augmentation, rng).to(images)
        images[warped] = F.grid_sample(images[warped], grid, padding_mode="reflection", align_corners=False)
        moved = F.grid_sample(masks[warped], grid, padding_mode="reflection", align_corners=False)
        masks[warped] = (moved >= 0.5).to(masks)
    jittered = torch.from_numpy(rng.random(b) < augmentation.jitter_probability)
    if jittered.any():
        images[jittered] = jitter(images[jittered], augmentation.jitter, rng)
    return Views(images, masks, turns, ~(warped | jittered))


def joined(parts: Sequence[Views]) -> Views:
    """Views of several groups as one batch, in their order."""
    return Views(
        torch.cat([part.images for part in parts]),
        torch.cat([part.masks for part in parts]),
        [k for part in parts for k in part.turns],
        torch.cat([part.plain for part in parts]),
    )


def turn(planes: Tensor, k: int) -> Tensor:
    """The k-th of the eight flips and quarter turns of planes (..., S, S)."""
    planes = torch.rot90(planes, k % QUARTERS, dims=(-2, -1))
    return planes.flip(-1) if k >= QUARTERS else planes


def misplacing_turns(masks: Tensor) -> list[frozenset[int]]:
    """For each of the masks (N, 1, S, S) of 0 and 1, the flips and turns that put its structure where it never is.

    Right lungs lie on one side: their masks overlap each other, and hardly each other's mirror images. A network that
    learns from mirrored ones learns that they may be left lungs. Polyps lie anywhere, and every turn is as likely. Each
    mask is compared with those that it overlaps most, so that several kinds may be among them.
    """
    parts = masks.split(MOST_COMPARED)  # as numbers, all masks of a large set would take gigabytes
    rough = torch.cat([F.adaptive_avg_pool2d(part.float(), ROUGH_SIDE)[:, 0] for part in parts])
    rough /= rough.flatten(1).norm(dim=1).clamp_min(1e-6)[:, None, None]  # what two have in common is a cosine now
    placed = torch.nonzero(rough.flatten(1).any(dim=1))[:, 0]
    others = placed[:: -(-len(placed) // MOST_COMPARED) or 1]
    nearest = min(NEAREST, len(others) - 1)
    if nearest < 1:
        return [frozenset()] * len(masks)
    itself = torch.arange(len(masks))[:, None] == others
    overlaps = torch.stack(
        [
            torch.einsum("iyx,jyx->ij", rough, turn(rough[others], k)).masked_fill(itself, -1).topk(nearest).values
            for k in range(TURNS)
        ]
    ).mean(dim=2)
    by_chance = 0.1 + 0.25 / nearest  # what a turn may cost masks that lie anywhere
    lost = overlaps[0] - overlaps > by_chance
    return [frozenset(torch.nonzero(each)[:, 0].tolist()) for each in lost.T]


def warp_grid(count: int, side: int, augmentation: Augmentation, rng: np.random.Generator) -> Tensor:
    """Sampling grids (count, side, side, 2) of random rotations, scalings and shifts about the centre."""
    angle = np.radians(rng.uniform(-augmentation.rotation, augmentation.rotation, count))
    zoom = 1 / (1 + rng.uniform(-augmentation.scale, augmentation.scale, count))
    shift = rng.uniform(-augmentation.shift, augmentation.shift, (count, 2)) * 2  # the grid spans -1 to 1
    cosine, sine = zoom * np.cos(angle), zoom * np.sin(angle)
    theta = np.stack([cosine, -sine, shift[:, 0], sine, cosine, shift[:, 1]], axis=1).reshape(count, 2, 3)
    return F.affine_grid(torch.from_numpy(theta).float(), [count, 1, side, side], align_corners=False)


def jitter(images: Tensor, strength: float, rng: np.random.Generator) -> Tensor:
    """Random brightness, contrast and saturation of images (B, 3, S, S) in [0, 1]."""
    factors = torch.from_numpy(rng.uniform(1 - strength, 1 + strength, (3, len(images), 1, 1, 1))).to(images)
    brightness, contrast, saturation = factors
    images = images * brightness
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    images = (images - mean) * contrast + mean
    grey = images.mean(dim=1, keepdim=True)
    return torch.clamp((images - grey) * saturation + grey, 0, 1)


def warmup_cosine(step: int, steps: int, warmup: int) -> float:
    """Factor of the learning rate: linear up over `warmup` steps, then a cosine to nearly zero at `steps`."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))
