"""Carry on: how well the slices between fixed ones are drawn, how many have to be fixed, and how long it takes.

    python benchmarks/carry_on.py --volumes ../shared/data/hippocampus [--model FILE] [--most 12]
    python benchmarks/carry_on.py --image IMAGE --mask MASK [--model FILE]

Of a volume, every K-th slice with the organ is fixed with its true mask, beginning with the first one and with that
K/2 further; the slices between are compared with their true masks, all labels taken together. Compared are plain
interpolation of signed distances, the model alone, and `carry_on`. Then slices are fixed one after another until the
organ's DSC reaches 0.90, from the first and the last on: the middle of the widest gap for interpolation, the slice of
the largest doubt for `carry_on`. --image makes a cine of one image and its mask: 24 frames of 1.7 heartbeats, in which
everything around the structure's centre narrows by a third, moves by a tenth of its size, and is covered by noise.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from napari_wavegms.files.reading import read_image, read_mask_details
from napari_wavegms.segment.between import carry_on
from napari_wavegms.segment.segmenter import Segmenter

GOAL = 0.90
FRAMES = 24


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """A volume: its slices, the true masks, and the model's probability."""

    name: str
    truth: Any  # (N, H, W) bool
    probability: Any  # (N, H, W) float32

    @property
    def filled(self) -> tuple[int, int]:
        """The first and the last slice with the organ."""
        there = np.flatnonzero(self.truth.any(axis=(1, 2)))
        return int(there[0]), int(there[-1])


def by_interpolation(case: Case, fixed: Sequence[int]) -> dict[int, Any]:
    """The slices between fixed ones by signed distances alone, as other programs do it."""
    found = {}
    for first, last in pairwise(fixed):
        a, b = (_distance(case.truth[number]) for number in (first, last))
        for number in range(first + 1, last):
            part = (number - first) / (last - first)
            found[number] = (1 - part) * a + part * b > 0
    return found


def by_model(case: Case, fixed: Sequence[int]) -> dict[int, Any]:
    """The same slices by the model alone."""
    return {number: case.probability[number] >= 0.5 for number in range(fixed[0], fixed[-1]) if number not in fixed}


def carried(case: Case, fixed: Sequence[int]) -> tuple[dict[int, Any], int | None]:
    """The slices by `carry_on`, and the one of the largest doubt."""
    masks = {number: case.truth[number] for number in fixed}
    made = list(carry_on(masks, lambda number: case.probability[number], len(case.truth)))
    doubtful = max(made, key=lambda one: one.doubt, default=None)
    return {one.number: one.probability >= 0.5 for one in made}, None if doubtful is None else doubtful.number


def _distance(mask: Any) -> Any:
    inside, outside = ndimage.distance_transform_edt(mask), ndimage.distance_transform_edt(~mask)
    return np.where(mask, inside - 0.5, 0.5 - outside)


def dice(case: Case, masks: dict[int, Any], numbers: Sequence[int]) -> float:
    """DSC of some slices taken together; those without a mask are empty."""
    drawn = np.array([masks.get(number, np.zeros_like(case.truth[0])) for number in numbers])
    truth = case.truth[list(numbers)]
    return float(2 * np.count_nonzero(drawn & truth) / (drawn.sum() + truth.sum()))


def corrections(case: Case, draw: Callable[[Case, Sequence[int]], tuple[dict[int, Any], int | None]]) -> int:
    """How many slices have to be fixed until the whole organ reaches the goal."""
    first, last = case.filled
    fixed = [first, last]
    while True:
        masks, worth = draw(case, fixed)
        whole = masks | {number: case.truth[number] for number in fixed}
        if dice(case, whole, range(len(case.truth))) >= GOAL or worth is None:
            return len(fixed)
        fixed = sorted({*fixed, worth})


def interpolated_and_middle(case: Case, fixed: Sequence[int]) -> tuple[dict[int, Any], int | None]:
    """Interpolation, and the middle of the widest gap."""
    start, end = max(pairwise(fixed), key=lambda pair: pair[1] - pair[0])
    return by_interpolation(case, fixed), (start + end) // 2 if end - start > 1 else None


def volumes(folder: Path, most: int, segmenter: Segmenter) -> Iterator[Case]:
    """Read volumes and ask the model about all slices."""
    for path in sorted((folder / "images").glob("*.nii.gz"))[:most]:
        truth = read_mask_details(folder / "labels" / path.name).labels > 0
        yield _case(path.name, read_image(path).pixels, truth, segmenter)


def cine(image: Path, mask: Path, segmenter: Segmenter) -> Iterator[Case]:
    """A beating structure, made of one image and its mask."""
    pixels, truth = read_image(image).pixels.astype(np.float64), read_mask_details(mask).labels.squeeze() > 0
    pixels = pixels.mean(axis=-1) if pixels.ndim == 3 else pixels
    centre, radius = np.array(ndimage.center_of_mass(truth)), np.sqrt(truth.sum() / np.pi)
    rng, frames = np.random.default_rng(0), []
    for frame in range(FRAMES):
        beat = np.sin(2 * np.pi * 1.7 * frame / FRAMES)
        grid = np.indices(truth.shape, np.float64)
        away = grid - centre[:, None, None] - radius * 0.1 * np.array([beat, -beat])[:, None, None]
        near = np.exp(-(np.hypot(*away) ** 2) / (2 * (2 * radius) ** 2))  # far from it all stands still
        source = grid + away * near * (0.33 * (1 + beat) / 2)
        source -= near * radius * 0.1 * np.array([beat, -beat])[:, None, None]
        moved = ndimage.map_coordinates(pixels, source, order=1, mode="nearest")
        moved += rng.normal(0, 0.05 * np.ptp(pixels), moved.shape)
        frames.append(
            (moved.clip(0, 255).astype(np.uint8), ndimage.map_coordinates(truth.astype(float), source, order=1))
        )
    yield _case(image.name, np.array([one for one, _ in frames]), np.array([one for _, one in frames]) > 0.5, segmenter)


def _case(name: str, pixels: Any, truth: Any, segmenter: Segmenter) -> Case:
    return Case(name, truth, np.stack([segmenter.segment(plane).probability for plane in pixels]))


def report(cases: Sequence[Case]) -> None:
    """Print both tables."""
    print(f"{len(cases)} stacks; DSC of untouched slices, mean (least)")
    ways = {
        "interpolation": by_interpolation,
        "model": by_model,
        "carry on": lambda case, fixed: carried(case, fixed)[0],
    }
    for step in (3, 6, 12):
        scores: dict[str, list[float]] = {name: [] for name in ways}
        for case in cases:
            first, last = case.filled
            for start in (first, first + step // 2):
                fixed = range(start, last + 1, step)
                numbers = [number for number in range(fixed[0], fixed[-1]) if number not in fixed]
                for name, way in ways.items():
                    scores[name].append(dice(case, way(case, fixed), numbers) if numbers else 1.0)
        words = ", ".join(f"{name} {np.mean(found):.3f} ({min(found):.3f})" for name, found in scores.items())
        behind = sum(c < max(i, m) for i, m, c in zip(*scores.values(), strict=True))
        print(f"every {step}th fixed: {words}; behind the better of both in {behind} of {len(scores['model'])}")
    counts = [(corrections(case, interpolated_and_middle), corrections(case, carried)) for case in cases]
    mean = np.mean(counts, axis=0)
    print(f"slices to fix for {GOAL:.2f}: interpolation {mean[0]:.1f}, carry on {mean[1]:.1f}")


def timing(segmenter: Segmenter) -> None:
    """Forty slices of 256 x 256, every sixth of them fixed, the network's time included and not."""
    rows, columns = np.ogrid[-128:128, -128:128]
    truth = np.array([np.hypot(rows - number, columns) < 30 + number / 2 for number in range(40)])
    pixels = (80 + 80 * truth + np.random.default_rng(0).normal(0, 10, truth.shape)).clip(0, 255).astype(np.uint8)
    segmenter.segment(pixels[0])
    fixed = {number: truth[number] for number in range(0, 40, 6)}
    for words, probability in (("with the network", None), ("probabilities known", truth * np.float32(0.9))):
        started = time.perf_counter()
        made = list(
            carry_on(
                fixed,
                lambda number, known=probability: (  # type: ignore[misc]
                    segmenter.segment(pixels[number]).probability if known is None else known[number]
                ),
                40,
            )
        )
        print(f"40 slices of 256 x 256, {words}: {len(made)} drawn in {time.perf_counter() - started:.2f} s")


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--volumes", type=Path, metavar="DIR", help="folder with images/ and labels/ of NIfTI files")
    parser.add_argument("--most", type=int, default=12, help="volumes to read, in order of their names")
    parser.add_argument("--image", type=Path, help="an image to make a cine of")
    parser.add_argument("--mask", type=Path, help="its mask")
    parser.add_argument("--model", default="default", help="name or file")
    options = parser.parse_args()
    segmenter = Segmenter.from_checkpoint(options.model, device="cpu")
    if options.volumes:
        report(list(volumes(options.volumes, options.most, segmenter)))
    if options.image:
        report(list(cine(options.image, options.mask, segmenter)))
    timing(segmenter)


if __name__ == "__main__":
    main()
