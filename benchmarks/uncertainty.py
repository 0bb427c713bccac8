"""Which score puts the worst masks first? Spearman's rank correlation between the score and 1 - DSC, image by image.

    python benchmarks/uncertainty.py --data ../shared/data/busi ../shared/data/isic2017 ../shared/data/kvasir_seg
    python benchmarks/uncertainty.py --times

On the val part of each data set, in the working frame: entropy, head disagreement, latent samples, flips, their
combinations, and what is shipped. The interval is the middle 95 % of 2000 bootstrap samples of the images. `cost` is
the time of what a score needs beside the mask, as a share of the time that the mask itself takes, in one run on one
machine. Also: how much of what is really wrong lies under the spots, and how much of true masks the codec can draw.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.ndimage import binary_erosion
from scipy.stats import rankdata

from napari_wavegms.finetune.mask_fidelity import CANNOT_DRAW, roundtrip_dice
from napari_wavegms.learn.metrics import dice
from napari_wavegms.learn.pairs import Pair, load_pairs
from napari_wavegms.model.codec import TinyVAE
from napari_wavegms.samples import ultrasound_phantom
from napari_wavegms.segment.ood import describe
from napari_wavegms.segment.preprocessing import prepare, prepare_mask
from napari_wavegms.segment.segmenter import Segmenter
from napari_wavegms.segment.uncertainty import image_uncertainty, uncertain_regions, uncertainty_map

Plane = npt.NDArray[np.float32]
SAMPLES = 4


@dataclass(frozen=True, slots=True)
class Preview:
    """Everything that one image gives: probabilities (S, S), and the truth."""

    out: Plane
    heads: list[Plane]  # of the three coarser levels
    samples: list[Plane]
    across: Plane  # of the mirrored image, mirrored back
    down: Plane
    truth: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Scored:
    """One image's scores, and 1 - DSC of its mask."""

    scores: dict[str, float]
    error: float


def main() -> None:
    options = parse()
    segmenter = Segmenter.from_checkpoint(options.model, device="cpu")
    if options.times:
        times(segmenter)
        return
    figures: dict[str, Any] = {}
    everything: list[Scored] = []
    seconds: dict[str, list[float]] = {name: [] for name in ("encode", "map", "decode", "samples")}
    for folder in options.data:
        pairs = load_pairs(folder / "images", folder / "masks", folder / "split.json", "val")
        looked = [look(segmenter, pair, seconds) for pair in pairs]
        scored = [Scored(candidates(at), 1 - dice(at.out >= 0.5, at.truth)) for at in looked]
        everything += scored
        figures[f"{folder.name} val"] = correlations(scored)
        figures[f"{folder.name} val"] |= {"spots": spots(looked), "drawable": drawable(pairs, segmenter)}
        told = {name: value for name, value in figures[f"{folder.name} val"].items() if name != "scores"}
        print(folder.name, json.dumps(told), flush=True)
    figures["all in one list"] = correlations(everything)
    tell(figures, costs({name: float(np.median(times)) for name, times in seconds.items()}))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="+", help="folders with images/, masks/ and split.json")
    parser.add_argument("--model", default="default")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--times", action="store_true", help="only measure what Review adds to a segmentation")
    options = parser.parse_args()
    if not (options.data or options.times):
        parser.error("give --data, or --times")
    return options


@torch.inference_mode()
def look(segmenter: Segmenter, pair: Pair, seconds: dict[str, list[float]]) -> Preview:
    model, codec = segmenter.model, segmenter.codec
    pixels = torch.from_numpy(prepare(pair.image, segmenter.preprocessing).pixels)[None]
    clock = [time.perf_counter()]
    latent = model.encoder(pixels)
    clock.append(time.perf_counter())
    predicted = model.mapper(latent.mean)
    clock.append(time.perf_counter())
    out = decoded(codec, predicted.out)[0]
    clock.append(time.perf_counter())
    generator = torch.Generator().manual_seed(0)
    samples = decoded(codec, model.mapper(torch.cat([latent.sample(generator) for _ in range(SAMPLES)])).out)
    clock.append(time.perf_counter())
    for name, taken in zip(seconds, np.diff(clock), strict=True):
        seconds[name].append(float(taken))
    # The decoder is not symmetric, so what is decoded is flipped back, not the latents.
    turned = [
        np.flip(decoded(codec, model(pixels.flip(axis)).mask.out)[0], axis).astype(np.float32) for axis in (-1, -2)
    ]
    heads = list(decoded(codec, torch.cat([predicted.level3, predicted.level2, predicted.level1])))
    return Preview(out, heads, list(samples), *turned, prepare_mask(pair.mask, segmenter.preprocessing))


def decoded(codec: TinyVAE, latents: torch.Tensor) -> Plane:
    return codec.decode(latents)[:, 0].numpy()


def entropy(p: Plane) -> Plane:
    p = p.clip(1e-6, 1 - 1e-6)
    return -(p * np.log2(p) + (1 - p) * np.log2(1 - p))


def apart(a: Plane, b: Plane) -> float:
    """One minus the soft Dice of two probabilities."""
    return float(1 - 2 * np.minimum(a, b).sum() / max(a.sum() + b.sum(), 1e-6))


def candidates(at: Preview) -> dict[str, float]:
    """Every score, higher where the mask is trusted less."""
    p, mask, doubt = at.out, at.out >= 0.5, entropy(at.out)
    band = (p > 0.1) & (p < 0.9)
    area = max(int(mask.sum()), 1)
    heads = float(np.mean([apart(head, p) for head in at.heads]))
    samples = float(np.mean([apart(sample, p) for sample in at.samples]))
    flips = (apart(at.across, p) + apart(at.down, p)) / 2
    own = image_uncertainty(p)
    together = np.mean([p, *at.heads], axis=0, dtype=np.float32)
    return {
        "expected 1 - Dice (shipped)": own,
        "entropy, mean over the image": float(doubt.mean()),
        "entropy, per pixel of the mask": float(doubt.sum() / area),
        "entropy, mean in the band 0.1 to 0.9": float(doubt[band].mean()) if band.any() else 1.0,
        "band 0.1 to 0.9, per pixel of the mask": float(band.sum() / area),
        "four heads apart": heads,
        "expected 1 - Dice of the four heads' mean": image_uncertainty(together),
        f"{SAMPLES} latent samples apart": samples,
        "one flip apart": apart(at.across, p),
        "two flips apart": flips,
        "shipped + heads": own + heads,
        "shipped + one flip": own + apart(at.across, p),
        "shipped + heads + two flips": own + heads + flips,
        "size of the mask, small first": -float(mask.mean()),
    }


def costs(seconds: dict[str, float]) -> dict[str, float]:
    """What a score costs beside the mask; the arithmetic on probabilities is left out."""
    whole = seconds["encode"] + seconds["map"] + seconds["decode"]
    heads, flip, samples = 3 * seconds["decode"], whole, seconds["samples"]
    return {
        "four heads apart": heads / whole,
        "expected 1 - Dice of the four heads' mean": heads / whole,
        f"{SAMPLES} latent samples apart": samples / whole,
        "one flip apart": flip / whole,
        "two flips apart": 2 * flip / whole,
        "shipped + heads": heads / whole,
        "shipped + one flip": flip / whole,
        "shipped + heads + two flips": (heads + 2 * flip) / whole,
    }


def correlations(scored: list[Scored]) -> dict[str, Any]:
    errors = np.array([at.error for at in scored])
    table = {name: with_interval(np.array([at.scores[name] for at in scored]), errors) for name in scored[0].scores}
    return {"n": len(scored), "dsc": 1 - float(errors.mean()), "zero": int((errors == 1).sum()), "scores": table}


def with_interval(score: npt.NDArray[Any], error: npt.NDArray[Any]) -> tuple[float, float, float]:
    """Spearman's rank correlation and the middle 95 % of its bootstrap samples."""
    rng = np.random.default_rng(0)
    drawn = [spearman(score[pick], error[pick]) for pick in rng.integers(0, len(score), (2000, len(score)))]
    return spearman(score, error), *(float(q) for q in np.nanquantile(drawn, [0.025, 0.975]))


def spearman(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> float:
    a, b = rankdata(a), rankdata(b)
    return float(np.corrcoef(a, b)[0, 1]) if a.std() and b.std() else float("nan")


def spots(looked: list[Preview], most: int = 5) -> dict[str, float]:
    """Share of the wrongly labelled pixels under the first spots, and under as many such boxes anywhere on the edge."""
    rng = np.random.default_rng(0)
    shares = []
    for at in looked:
        mask = at.out >= 0.5
        wrong, edge = mask != at.truth, np.argwhere(mask & ~binary_erosion(mask))
        boxes = [(s.top, s.left, s.bottom - s.top, s.right - s.left) for s in uncertain_regions(at.out, most=most)]
        if not (wrong.any() and boxes and len(edge)):
            continue
        centres = edge[rng.integers(0, len(edge), len(boxes))]
        moved = [(r - h // 2, c - w // 2, h, w) for (r, c), (_, _, h, w) in zip(centres, boxes, strict=True)]
        inside, elsewhere = covered(boxes, wrong.shape), covered(moved, wrong.shape)
        shares.append([(wrong & inside).sum() / wrong.sum(), (wrong & elsewhere).sum() / wrong.sum(), inside.mean()])
    under, by_chance, share = np.mean(shares, axis=0).round(3).tolist()
    return {"images": len(shares), "under_spots": under, "on_the_edge": by_chance, "of_the_image": share}


def covered(boxes: list[tuple[int, int, int, int]], shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    inside = np.zeros(shape, bool)
    for top, left, height, width in boxes:
        inside[max(top, 0) : max(top + height, 0), max(left, 0) : max(left + width, 0)] = True
    return inside


def drawable(pairs: list[Pair], segmenter: Segmenter) -> dict[str, float]:
    left = np.array([roundtrip_dice(pair.mask, segmenter.codec, segmenter.preprocessing) for pair in pairs])
    return {
        "median": round(float(np.median(left)), 4),
        "lowest": round(float(left.min()), 4),
        "cannot_draw": int((left < CANNOT_DRAW).sum()),
    }


def times(segmenter: Segmenter, rounds: int = 15) -> None:
    """Processor time of what Review computes beside a mask, interleaved with the segmentation itself."""
    found = segmenter.segment(image := ultrasound_phantom(0).image)
    jobs: dict[str, Callable[[], object]] = {
        "segmentation": lambda: segmenter.segment(image),
        "image_uncertainty": lambda: image_uncertainty(found.probability),
        "uncertainty_map": lambda: uncertainty_map(found.probability),
        "uncertain_regions": lambda: uncertain_regions(found.probability),
        "describe": lambda: describe(image),
        "survives": lambda: roundtrip_dice(found.mask, segmenter.codec, segmenter.preprocessing),
    }
    taken: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(rounds):
        for name, job in jobs.items():
            start = time.process_time()
            job()
            taken[name].append(time.process_time() - start)
    whole = np.median(taken["segmentation"])
    for name, seconds in taken.items():
        print(f"{name:22}{1000 * np.median(seconds):8.2f} ms {np.median(seconds) / whole:8.1%}")


def tell(figures: dict[str, Any], cost: dict[str, float]) -> None:
    names = list(figures)
    print("| score | " + " | ".join(f"{name} ({figures[name]['n']})" for name in names) + " | cost |")
    print("| --- " * (len(names) + 2) + "|")
    for score in figures[names[0]]["scores"]:
        cells = ["{:.2f} ({:.2f} to {:.2f})".format(*figures[name]["scores"][score]) for name in names]
        print(f"| {score} | {' | '.join(cells)} | {cost.get(score, 0.0):.0%} |")


if __name__ == "__main__":
    main()
