"""What native detail brings: DSC of the image as a whole against DSC with --detail native, and the time.

    python benchmarks/native_detail.py --discs
    python benchmarks/native_detail.py --lesions ../shared/data/isic2017 ../shared/data/busi
    python benchmarks/native_detail.py --whole ../shared/data/busi ../shared/data/isic2017 [--larger 10] [--most 20]

--discs makes images of 4096 x 4096 with three discs of 40, 60 or 120 pixels at random places, brighter or darker than
the background by 30 to 90 grey levels, under noise of 3 to 18. --lesions pastes four lesions of the val images, with a
soft border, into 3072 x 3072 pixels of the texture beside one of them; their outlines are cut and their surroundings
are not theirs, so that no model reaches 1. --whole takes val images as they are, or so many times larger. `found` and
`false` count true pieces that are touched and drawn pieces that touch none.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy import ndimage

from napari_wavegms.learn.metrics import dice
from napari_wavegms.learn.pairs import Pair, load_pairs
from napari_wavegms.segment.segmenter import Segmenter

Case = tuple[str, np.ndarray, np.ndarray]
_PATCH = 64  # pixels of texture


def main() -> None:
    options = parse()
    torch.set_num_threads(1)
    whole = Segmenter.from_checkpoint(options.model, device="cpu")
    kinds = [("discs", discs())] if options.discs else []
    kinds += [(f"lesions of {folder.name}", lesions(folder)) for folder in options.lesions]
    kinds += [(f"{folder.name} x {options.larger}", larger(folder, options)) for folder in options.whole]
    for name, cases in kinds:
        compare(name, cases, whole, whole.with_detail("native"))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--discs", action="store_true")
    parser.add_argument("--lesions", type=Path, nargs="+", default=[])
    parser.add_argument("--whole", type=Path, nargs="+", default=[])
    parser.add_argument("--larger", type=int, default=1)
    parser.add_argument("--most", type=int)
    parser.add_argument("--model", default="default")
    return parser.parse_args()


def compare(name: str, cases: Iterator[Case], whole: Segmenter, native: Segmenter) -> None:
    changes, first, second = [], [], []
    for case, image, truth in cases:
        before, after = whole.segment(image), native.segment(image)
        first.append(dice(before.mask, truth))
        second.append(dice(after.mask, truth))
        changes.append(not np.array_equal(before.mask, after.mask))
        if changes[-1]:
            found, false, all_ = pieces(after.mask, truth)
            print(
                f"{name:20s} {case:14s} whole {first[-1]:.3f}  native {second[-1]:.3f}  found {found} of {all_}, "
                f"false {false}  {before.seconds:.1f} s, {after.seconds:.1f} s",
                flush=True,
            )
    better, worse = (int((sign * (np.array(second) - first) > 0.005).sum()) for sign in (1, -1))
    print(
        f"{name}: {len(first)} images, mean whole {np.mean(first):.4f}, native {np.mean(second):.4f}, least native "
        f"{min(second):.3f}; {sum(changes)} changed, {better} better, {worse} worse"
    )


def pieces(mask: np.ndarray, truth: np.ndarray) -> tuple[int, int, int]:
    """Number of true pieces that are touched, of drawn pieces that touch none, and of true pieces."""
    true, count = ndimage.label(truth)
    drawn, number = ndimage.label(mask)
    touching = np.unique(drawn[truth != 0])
    found = np.unique(true[mask != 0])
    return int((found != 0).sum()), number - int((touching != 0).sum()), count


def discs(side: int = 4096) -> Iterator[Case]:
    for seed in range(12):
        rng = np.random.default_rng(seed)
        diameter = (40, 60, 120)[seed % 3]
        ground, noise = rng.uniform(60, 160), rng.uniform(3, 18)
        image = np.full((side, side), ground, np.float32)
        truth = np.zeros((side, side), np.uint8)
        rows, columns = np.ogrid[-diameter:diameter, -diameter:diameter]
        inside = rows**2 + columns**2 <= (diameter / 2) ** 2
        step = rng.choice([-1, 1]) * rng.uniform(30, 90)
        while ndimage.label(truth[::8, ::8])[1] < 3:
            row, column = rng.integers(diameter, side - diameter, 2)
            place = (slice(row - diameter, row + diameter), slice(column - diameter, column + diameter))
            truth[place][inside] = 1
        image += step * truth + noise * rng.standard_normal(image.shape, dtype=np.float32)
        yield f"{diameter} px, {seed}", np.clip(image, 0, 255).astype(np.uint8), truth


def lesions(folder: Path, side: int = 3072) -> Iterator[Case]:
    pairs = list(load_pairs(folder / "images", folder / "masks", folder / "split.json", "val"))
    for seed in range(6):
        rng = np.random.default_rng(seed)
        order = [pairs[number] for number in rng.permutation(len(pairs))]
        canvas = next(filter(lambda one: one is not None, (texture(pair, rng, side) for pair in order)))
        ground = np.median(canvas.reshape(-1, 3)[::97], axis=0)
        truth = np.zeros((side, side), np.uint8)
        for pair in order:
            cut = lesion(pair, ground)
            if cut is None:
                continue
            colours, mask = cut
            height, width = mask.shape
            row, column = rng.integers(50, side - 250, 2)
            if truth[max(0, row - 100) : row + 350, max(0, column - 100) : column + 350].any():
                continue
            part = canvas[row : row + height, column : column + width]
            near = np.clip(1 - ndimage.distance_transform_edt(mask == 0) / 8, 0, 1)[..., None]
            part += near * (colours - part)
            truth[row : row + height, column : column + width] = mask
            if ndimage.label(truth[::4, ::4])[1] >= 4:
                break
        yield str(seed), np.clip(canvas, 0, 255).astype(np.uint8), truth


def texture(pair: Pair, rng: np.random.Generator, side: int) -> np.ndarray | None:
    """Patches beside a structure, blended into each other; None where there is no room for patches."""
    half = _PATCH // 2
    far = ndimage.distance_transform_edt(pair.mask == 0) > 12
    free = ndimage.minimum_filter(far.astype(np.uint8), _PATCH)[half:-half, half:-half]
    rows, columns = np.nonzero(free)
    if len(rows) < 300:
        return None
    image = in_colours(pair.image)
    ground = image[pair.mask == 0].mean(axis=0)
    window = np.hanning(_PATCH + 2)[1:-1]
    weight = np.multiply.outer(window, window)[..., None].astype(np.float32) + np.float32(1e-3)
    sums, weights = np.zeros((side + _PATCH, side + _PATCH, 3), np.float32), np.full((side + _PATCH,) * 2 + (1,), 1e-6)
    for row in range(0, side, half):
        for column in range(0, side, half):
            at = rng.integers(len(rows))
            patch = image[rows[at] : rows[at] + _PATCH, columns[at] : columns[at] + _PATCH]
            place = (slice(row, row + _PATCH), slice(column, column + _PATCH))
            sums[place] += weight * (patch - patch.mean(axis=(0, 1)) + ground)
            weights[place] += weight
    return (sums / weights)[:side, :side].astype(np.float32)


def lesion(pair: Pair, ground: np.ndarray, around: int = 10) -> tuple[np.ndarray, np.ndarray] | None:
    """A structure cut out with some pixels around it, brought to the canvas's colour; None for one that is cut off."""
    labels, count = ndimage.label(pair.mask)
    if count != 1:
        return None
    rows, columns = ndimage.find_objects(labels)[0]
    first, last = (rows.start - around, columns.start - around), (rows.stop + around, columns.stop + around)
    if min(first) < 0 or last[0] > pair.mask.shape[0] or last[1] > pair.mask.shape[1]:
        return None
    if max(last[0] - first[0], last[1] - first[1]) > 200:
        return None
    place = (slice(first[0], last[0]), slice(first[1], last[1]))
    colours, mask = in_colours(pair.image)[place], (pair.mask[place] != 0).astype(np.uint8)
    ring = ndimage.binary_dilation(mask, iterations=8) & (mask == 0)
    return colours - colours[ring].mean(axis=0) + ground, mask


def in_colours(image: np.ndarray) -> np.ndarray:
    colours = np.repeat(image[..., None], 3, 2) if image.ndim == 2 else image[..., :3]
    return colours.astype(np.float32)


def larger(folder: Path, options: argparse.Namespace) -> Iterator[Case]:
    for pair in load_pairs(folder / "images", folder / "masks", folder / "split.json", "val")[: options.most]:
        size = (options.larger * pair.mask.shape[1], options.larger * pair.mask.shape[0])
        image = Image.fromarray(np.asarray(pair.image)).resize(size, Image.Resampling.BICUBIC)
        truth = Image.fromarray((pair.mask != 0).astype(np.uint8)).resize(size, Image.Resampling.NEAREST)
        yield pair.name, np.asarray(image), np.asarray(truth)


if __name__ == "__main__":
    main()
