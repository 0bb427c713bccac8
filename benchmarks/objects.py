"""Which rule parts touching objects best: how many it counts and matches where the truth is known.

    python benchmarks/objects.py [--masks FOLDER] [--whole FOLDER] [--clusters N] [--json FILE]

The masks (by default the nuclei of dsb2018_fluo in ../shared) are binary, so that their touching objects have no truth.
Their convex pieces that do not touch the border are taken for single nuclei. Clusters of one to four nuclei of one
image are made of them: each comes from a random side, turned by a random quarter, until it touches the others, or is
pressed into them by a tenth or a fifth of its width, where it loses what they cover. Discs are the same with discs of
radius 4 to 20. Whole are masks of one piece that nothing should part (by default the lesions of BUSI, at half size).

Each rule parts the union: *pieces* does not, *peak n* has markers at least n pixels apart, *depth h* those that rise h
pixels above the neck to a higher one (both watersheds of the distance), and *neck r* is `split_objects` with that
share. A found object is right where its intersection over union with a true one is above 0.5. Rules are chosen by every
other image, for the mean of the nuclei's F1 and the share of lesions left whole, and judged by the others.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.feature import peak_local_max
from skimage.measure import label as label_pieces
from skimage.measure import regionprops
from skimage.morphology import h_maxima
from skimage.segmentation import watershed

from napari_wavegms import read_mask
from napari_wavegms.segment.postprocess import split_objects

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
MASKS, WHOLE = DATA / "atlas" / "train" / "dsb2018_fluo" / "masks", DATA / "busi" / "masks"
CONVEX, SMALLEST = 0.95, 30  # share of the convex hull, pixels
CANVAS = 280

Mask = NDArray[np.bool_]
Rule = Callable[[Mask], NDArray[Any]]


def by_markers(find: Callable[[Mask, NDArray[Any]], NDArray[Any]]) -> Rule:
    """A watershed of the distance from markers."""

    def split(mask: Mask) -> NDArray[Any]:
        distance = ndimage.distance_transform_edt(mask)
        return np.asarray(watershed(-distance, find(mask, distance), connectivity=2, mask=mask))

    return split


def by_peaks(apart: int) -> Rule:
    """Markers that are at least so many pixels apart."""

    def find(mask: Mask, distance: NDArray[Any]) -> NDArray[Any]:
        markers = np.zeros(mask.shape, int)
        found = peak_local_max(distance, min_distance=apart, labels=label_pieces(mask), exclude_border=False)
        markers[tuple(found.T)] = np.arange(1, len(found) + 1)
        return markers

    return by_markers(find)


def by_depth(height: float) -> Rule:
    """Markers that rise so many pixels above the neck to a higher one."""
    return by_markers(lambda _mask, distance: np.asarray(label_pieces(h_maxima(distance, height))))


def by_neck(share: float) -> Rule:
    """Our own."""
    return lambda mask: split_objects(mask, neck=share)


RULES: dict[str, Rule] = {
    "pieces": lambda mask: split_objects(mask, touching=False),
    **{f"peak {apart}": by_peaks(apart) for apart in (3, 5, 10)},
    **{f"depth {height:g}": by_depth(height) for height in (0.5, 1, 2)},
    **{f"neck {share:g}": by_neck(share) for share in (0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98)},
}


def single(path: Path) -> list[Mask]:
    """The pieces of a mask that look like one nucleus."""
    mask = read_mask(path) > 0
    sides = np.asarray(mask.shape)
    found = regionprops(label_pieces(mask))
    inside = [one for one in found if min(one.bbox[:2]) > 0 and (np.asarray(one.bbox[2:]) < sides).all()]
    return [
        one.image
        for one in inside
        if one.solidity >= CONVEX and one.num_pixels >= SMALLEST and max(one.image.shape) < CANVAS / 5
    ]


def cluster(shapes: list[Mask], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Shapes that touch, numbered from 1."""
    canvas = np.zeros((CANVAS, CANVAS), np.uint8)
    for number, shape in enumerate(shapes, start=1):
        turned = np.rot90(shape, int(rng.integers(4)))
        angle = rng.uniform(0, 2 * np.pi)
        direction = np.asarray([np.sin(angle), np.cos(angle)])
        pressed = rng.choice([0.0, 0.1, 0.2]) * min(turned.shape)
        near = ndimage.binary_dilation(canvas > 0)
        far = np.arange(CANVAS / 2 - max(turned.shape), -1, -1.0) if number > 1 else np.zeros(1)
        touches = next((by for by in far if near[window(turned, by * direction)][turned].any()), 0.0)
        place = window(turned, max(touches - pressed, 0.0) * direction)
        canvas[place][turned & (canvas[place] == 0)] = number
    return cropped(canvas)


def cropped(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """What is labelled, and two pixels around it."""
    return np.pad(labels[ndimage.find_objects((labels > 0).astype(int))[0]], 2)


def window(shape: Mask, offset: NDArray[Any]) -> tuple[slice, slice]:
    """Where a shape lies whose middle is so far from that of the canvas."""
    top, left = (np.rint(CANVAS / 2 + offset - np.asarray(shape.shape) / 2)).astype(int)
    return slice(top, top + shape.shape[0]), slice(left, left + shape.shape[1])


def discs(rng: np.random.Generator, count: int) -> list[Mask]:
    """Discs of random radii."""
    made = []
    for radius in rng.uniform(4, 20, count):
        reach = int(radius) + 1
        rows, columns = np.indices((2 * reach + 1,) * 2) - reach
        made.append(rows**2 + columns**2 <= radius**2)
    return made


def clusters(paths: list[Path], count: int, seed: int) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Clusters of nuclei of one image each, and as many of discs."""
    rng = np.random.default_rng(seed)
    pools = [pool for pool in map(single, paths) if len(pool) >= 4]
    for number in range(count):
        pool, size = pools[number % len(pools)], number % 4 + 1
        chosen = rng.choice(len(pool), size, replace=False)
        yield "nuclei", cluster([pool[at] for at in chosen], rng)
        yield "discs", cluster(discs(rng, size), rng)


def whole(paths: list[Path]) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Masks of one piece, at half size."""
    for path in paths:
        mask = (read_mask(path)[::2, ::2] > 0).astype(np.uint8)
        if label_pieces(mask).max() == 1:
            yield "whole", cropped(mask)


def matches(truth: NDArray[Any], found: NDArray[Any]) -> int:
    """How many found objects have an intersection over union above 0.5 with a true one."""
    both = np.zeros((int(truth.max()) + 1, int(found.max()) + 1))
    np.add.at(both, (truth.ravel(), found.ravel()), 1)
    union = both.sum(axis=1, keepdims=True) + both.sum(axis=0, keepdims=True) - both
    return int((both[1:, 1:] > 0.5 * union[1:, 1:]).sum())


def judged(scenes: list[tuple[str, NDArray[np.uint8]]]) -> dict[str, dict[str, Any]]:
    """F1, the share of scenes with the right count, and objects found for each single one, of each rule and kind."""
    rows: dict[str, dict[str, Any]] = {}
    for name, rule in RULES.items():
        rows[name] = {}
        begin = time.perf_counter()
        for kind in ("nuclei", "discs", "whole"):
            truths = [truth for found_kind, truth in scenes if found_kind == kind]
            parts = [rule(truth > 0) for truth in truths]
            true = [len(np.unique(truth)) - 1 for truth in truths]
            found = [int(part.max()) for part in parts]
            right = sum(matches(truth, part) for truth, part in zip(truths, parts, strict=True))
            rows[name][kind] = {
                "f1": 2 * right / (sum(true) + sum(found)),
                "counted": float(np.mean([one == other for one, other in zip(true, found, strict=True)])),
                "single": float(np.mean([part for part, of in zip(found, true, strict=True) if of == 1])),
            }
        rows[name]["seconds"] = (time.perf_counter() - begin) / len(scenes)
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--masks", type=Path, default=MASKS)
    parser.add_argument("--whole", type=Path, default=WHOLE)
    parser.add_argument("--clusters", type=int, default=240, help="of nuclei, of discs, and at most so many whole ones")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    folders = [sorted(folder.glob("*.png")) for folder in (options.masks, options.whole)]
    told = {}
    for seed, name in enumerate(("chosen by", "judged by")):
        masks, lesions = (paths[seed::2] for paths in folders)
        lesions = lesions[:: max(1, len(lesions) // options.clusters)][: options.clusters]
        told[name] = judged([*clusters(masks, options.clusters, seed), *whole(lesions)])
        print(
            f"\n| {name} | nuclei: F1 | counted right | of one: found | discs: F1 | counted right | left whole | ms |"
        )
        print("| --- | --- | --- | --- | --- | --- | --- | --- |")
        for rule, row in told[name].items():
            nuclei, round_ones = row["nuclei"], row["discs"]
            print(
                f"| {rule} | {nuclei['f1']:.3f} | {nuclei['counted']:.3f} | {nuclei['single']:.2f} | "
                f"{round_ones['f1']:.3f} | {round_ones['counted']:.3f} | {row['whole']['counted']:.3f} | "
                f"{1000 * row['seconds']:.1f} |",
                flush=True,
            )
    if options.json:
        options.json.write_text(json.dumps(told, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
