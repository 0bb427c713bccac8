"""What inference alone can change: flips and turns, threshold, keeping the largest piece, letterbox instead of squash.

    python benchmarks/inference_options.py --data ../shared/data/busi [--model NAME|FILE] [--json FILE]

Everything is measured on the val part in the model's own squashed frame, so that rows compare; `gain` is the mean
difference of DSC to the model as shipped, image by image, and each mean has its standard error. What wins among so many
options on the images that chose them flatters: confirm it on others before it becomes a default.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_wavegms.learn.augmentation import turn
from napari_wavegms.learn.metrics import dice, hd95, iou
from napari_wavegms.learn.pairs import Pair, load_pairs
from napari_wavegms.segment.postprocess import keep_largest
from napari_wavegms.segment.preprocessing import prepare, prepare_mask, resize, restore
from napari_wavegms.segment.segmenter import Segmenter

# Of the eight flips and turns: as it is; with its mirror; with both mirrors and the half turn; all.
VIEWS = {1: (0,), 2: (0, 4), 4: (0, 2, 4, 6), 8: tuple(range(8))}
MIRRORED = (4,)
THRESHOLDS = (0.3, 0.4, 0.45, 0.5, 0.55, 0.6, 0.7)
Clean = Callable[[NDArray[np.bool_]], NDArray[np.bool_]]


def main() -> None:
    options = parse()
    segmenter = Segmenter.from_checkpoint(options.model, device="cpu")
    folder = options.data
    pairs = load_pairs(folder / "images", folder / "masks", folder / "split.json", options.subset)[: options.limit]
    truth = [prepare_mask(pair.mask, segmenter.preprocessing) for pair in pairs]
    latents = [turned_latents(segmenter, pair) for pair in pairs]
    rows: list[dict[str, object]] = []
    baseline: dict[str, NDArray[np.float64]] = {}  # DSC of each image as shipped, which the first row sets

    def row(what: str, found: list[NDArray[np.float32]], threshold: float = 0.5, clean: Clean = np.asarray) -> None:
        masks = [clean(probability >= threshold) for probability in found]
        overlaps = np.array([dice(a, b) for a, b in zip(masks, truth, strict=True)])
        baseline.setdefault("dsc", overlaps)
        gains = overlaps - baseline["dsc"]
        error = float(gains.std(ddof=1) / math.sqrt(len(gains)))
        gain = {"gain": round(float(gains.mean()), 4), "gain_error": round(error, 4)}
        spread = {"dsc_error": round(float(overlaps.std(ddof=1) / math.sqrt(len(overlaps))), 4)}
        rows.append({"what": what} | score(masks, truth) | spread | gain)
        print(json.dumps(rows[-1]), flush=True)

    plain = [decoded(segmenter, views[:1])[0] for views in latents]
    row("as shipped", plain)
    # No option, but a question: val chose the model as it is, and never mirrored.
    row("its mirror image alone", [mean_of_probabilities(segmenter, views, MIRRORED) for views in latents])
    means = {}
    for count, turns in VIEWS.items():
        if count == 1:
            continue
        means[count] = [mean_of_probabilities(segmenter, views, turns) for views in latents]
        row(f"{count} views, mean of probabilities", means[count])
        row(f"{count} views, mean of latents", [mean_of_latents(segmenter, views, turns) for views in latents])
    for threshold in THRESHOLDS:
        row(f"threshold {threshold}", plain, threshold)
    for threshold in THRESHOLDS:
        row(f"8 views, threshold {threshold}", means[8], threshold)
    row("largest piece", plain, clean=keep_largest)
    for count in means:
        row(f"{count} views, largest piece", means[count], clean=keep_largest)
    row("squash, by way of the image's own size", by_way_of_the_source(segmenter, pairs))
    letterbox = replace(segmenter.preprocessing, aspect="letterbox")
    segmenter.preprocessing = letterbox
    row("letterbox, by way of the image's own size", by_way_of_the_source(segmenter, pairs))
    if options.json:
        lines = {"model": segmenter.card.name, "data": folder.name, "subset": options.subset, "rows": rows}
        options.json.write_text(json.dumps(lines, indent=1) + "\n")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with images/, masks/ and split.json")
    parser.add_argument("--subset", default="val")
    parser.add_argument("--model", default="default")
    parser.add_argument("--limit", type=int, help="only so many images")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


@torch.inference_mode()
def turned_latents(segmenter: Segmenter, pair: Pair) -> Tensor:
    """Mask latents (8, 4, S/8, S/8) that the eight flips and turns of an image give."""
    pixels = torch.from_numpy(prepare(pair.image, segmenter.preprocessing).pixels)
    return torch.cat([segmenter.model(turn(pixels, k)[None]).mask.out for k in VIEWS[8]])


@torch.inference_mode()
def decoded(segmenter: Segmenter, latents: Tensor) -> NDArray[np.float32]:
    """Probabilities (N, S, S)."""
    return segmenter.codec.decode(latents)[:, 0].numpy()


def mean_of_probabilities(segmenter: Segmenter, latents: Tensor, turns: tuple[int, ...]) -> NDArray[np.float32]:
    probability = torch.from_numpy(decoded(segmenter, latents[list(turns)]))
    back = [turned_back(plane, k) for plane, k in zip(probability, turns, strict=True)]
    return torch.stack(back).mean(0).numpy()


def mean_of_latents(segmenter: Segmenter, latents: Tensor, turns: tuple[int, ...]) -> NDArray[np.float32]:
    back = torch.stack([turned_back(latents[k], k) for k in turns])
    return decoded(segmenter, back.mean(0, keepdim=True))[0]


def turned_back(planes: Tensor, k: int) -> Tensor:
    """Undo `turn`."""
    return torch.rot90(planes.flip(-1) if k >= 4 else planes, -(k % 4), dims=(-2, -1))


def by_way_of_the_source(segmenter: Segmenter, pairs: list[Pair]) -> list[NDArray[np.float32]]:
    """Probabilities at the image's own size, squashed into the frame: where squash and letterbox can be compared."""
    side = segmenter.preprocessing.size
    found = []
    for pair in pairs:
        prepared = prepare(pair.image, segmenter.preprocessing)
        probability = restore(segmenter.frame_probability(pair.image), prepared)
        found.append(resize(probability[None], (side, side))[0])
    return found


def score(masks: list[NDArray[np.bool_]], truth: list[NDArray[np.bool_]]) -> dict[str, float | int]:
    distances = [hd95(a, b) for a, b in zip(masks, truth, strict=True)]
    defined = [distance for distance in distances if not math.isnan(distance)]
    return {
        "n": len(masks),
        "dsc": round(float(np.mean([dice(a, b) for a, b in zip(masks, truth, strict=True)])), 4),
        "iou": round(float(np.mean([iou(a, b) for a, b in zip(masks, truth, strict=True)])), 4),
        "hd95": round(float(np.mean(defined)), 2),
        "hd95_undefined": len(distances) - len(defined),
    }


if __name__ == "__main__":
    main()
