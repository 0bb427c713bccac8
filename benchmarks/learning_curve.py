"""Does "least certain first" pay? A simulated day of corrections, in that order and in random order.

    python benchmarks/learning_curve.py --data ../shared/data/kvasir_seg --json curve.json --plot docs/images/curve.svg

A reader corrects the train images of a data set that the model has not seen, a few at a time; their true masks play the
corrections. After each few the model learns from all corrections so far, a fixed number of steps, starting from the
model of the round before, and then orders the remaining images anew. Seeds decide the random order and the training.
Everything at `--size`, so that it stays affordable; DSC is the mean over the val images. Where `--json` holds rounds
already, they are not repeated.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from napari_wavegms.learn.config import TrainConfig
from napari_wavegms.learn.metrics import dice
from napari_wavegms.learn.pairs import Pair, load_pairs
from napari_wavegms.learn.train import iter_train
from napari_wavegms.model.checkpoint import load_checkpoint
from napari_wavegms.model.codec import load_codec
from napari_wavegms.model.device import choose_device
from napari_wavegms.model.registry import resolve
from napari_wavegms.segment.preprocessing import prepare_mask
from napari_wavegms.segment.segmenter import Segmenter
from napari_wavegms.segment.uncertainty import image_uncertainty

ORDERS = ("least certain first", "random")
# Encoder and mapping model learn, as with Full, and without alignment, which would cost a third more. With fewer or
# smaller steps the curve is flat: it is then the steps that are short, not the corrections.
UPDATE = TrainConfig(
    batch=4, learning_rate=2e-3, warmup_epochs=2.0, decoded_levels=("out",), alignment_weight=0.0, average_decay=0.9
)


def main() -> None:
    options = parse()
    folders = options.data / "images", options.data / "masks", options.data / "split.json"
    pool, val = load_pairs(*folders, "train"), load_pairs(*folders, "val")
    rounds: list[dict[str, Any]] = json.loads(options.json.read_text()) if options.json.is_file() else []
    for seed in range(options.seeds):
        for order in ORDERS:
            if not any((entry["seed"], entry["order"]) == (seed, order) for entry in rounds):
                rounds += day(order, seed, pool, val, options)
                options.json.write_text(json.dumps(rounds, indent=1))
    tell(rounds)
    if options.plot:
        options.plot.write_text(drawn(rounds, f"{len(val)} val images of {options.data.name}"), encoding="utf-8")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--json", type=Path, required=True, help="rounds that are done, and where they go")
    parser.add_argument("--plot", type=Path, help="an SVG")
    parser.add_argument("--model", default="default")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--at-once", type=int, default=5, help="corrections between two updates")
    parser.add_argument("--steps", type=int, default=120, help="of an update, four images each")
    return parser.parse_args()


def day(order: str, seed: int, pool: list[Pair], val: list[Pair], options: argparse.Namespace) -> list[dict[str, Any]]:
    """Rounds of one order with one seed."""
    codec, device = load_codec("mask-codec"), choose_device("cpu")
    network, card = load_checkpoint(resolve(options.model))
    card = replace(card, preprocessing=card.preprocessing | {"size": options.size})
    ahead = [pool[i] for i in np.random.default_rng(seed).permutation(len(pool))]
    corrected: list[Pair] = []
    entries = []
    for number in range(options.rounds + 1):
        started = time.perf_counter()
        if corrected:
            config = replace(
                UPDATE,
                size=options.size,
                seed=seed * 100 + number,
                epochs=max(1, round(options.steps / -(-len(corrected) // UPDATE.batch))),
            )
            with tempfile.TemporaryDirectory() as folder:
                for _ in iter_train(corrected, [], network, codec, config, folder, card=card):
                    pass
                network, _ = load_checkpoint(Path(folder) / "best.safetensors")
        segmenter = Segmenter(network, card, codec, device)
        entries.append(measured(segmenter, val) | {"order": order, "seed": seed, "corrections": len(corrected)})
        print(json.dumps(entries[-1] | {"seconds": round(time.perf_counter() - started, 1)}), flush=True)
        if order == ORDERS[0]:
            ahead.sort(key=lambda pair: -doubt(segmenter, pair))
        corrected += ahead[: options.at_once]
        ahead = ahead[options.at_once :]
    return entries


def doubt(segmenter: Segmenter, pair: Pair) -> float:
    return image_uncertainty(segmenter.frame_probability(pair.image), segmenter.threshold)


def measured(segmenter: Segmenter, val: list[Pair]) -> dict[str, float]:
    """Mean DSC, its tenth percentile, and how well the score ranks the images by their error."""
    doubts, scores = [], []
    for pair in val:
        probability = segmenter.frame_probability(pair.image)
        doubts.append(image_uncertainty(probability, segmenter.threshold))
        truth = prepare_mask(pair.mask, segmenter.preprocessing)
        scores.append(dice(probability >= segmenter.threshold, truth))
    return {
        "dsc": round(float(np.mean(scores)), 4),
        "tenth": round(float(np.quantile(scores, 0.1)), 4),
        "spearman": round(float(spearmanr(doubts, 1 - np.array(scores)).statistic), 3),
    }


def table(rounds: list[dict[str, Any]], what: str, of: Callable[[np.ndarray], Any]) -> dict[str, dict[int, Any]]:
    """Order -> corrections -> something of the values of all seeds."""
    counts = sorted({entry["corrections"] for entry in rounds})
    return {
        order: {
            count: of(np.array([e[what] for e in rounds if (e["order"], e["corrections"]) == (order, count)]))
            for count in counts
        }
        for order in ORDERS
    }


def tell(rounds: list[dict[str, Any]]) -> None:
    """A table in Markdown, with the paired difference between the orders."""
    means, spreads = table(rounds, "dsc", np.mean), table(rounds, "dsc", lambda v: v.std(ddof=1) if len(v) > 1 else 0.0)
    every, ranks = table(rounds, "dsc", np.asarray), table(rounds, "spearman", np.nanmean)
    print("| corrections | least certain first | random | difference, seed by seed | Spearman with 1 - DSC |")
    print("| --- | --- | --- | --- | --- |")
    for count in means[ORDERS[0]]:
        cells = [f"{means[order][count]:.3f} ± {spreads[order][count]:.3f}" for order in ORDERS]
        gap = every[ORDERS[0]][count] - every[ORDERS[1]][count]
        rank = np.nanmean([ranks[order][count] for order in ORDERS])
        paired = f"{gap.mean():+.3f} (above in {(gap > 0).sum()} of {len(gap)})"
        print(f"| {count} | {' | '.join(cells)} | {paired} | {rank:.2f} |")


def drawn(rounds: list[dict[str, Any]], measured_on: str) -> str:
    """The curves with one standard error as an SVG; dashes tell the orders apart without colour."""
    left, top, width, height = 70, 40, 520, 280
    means = table(rounds, "dsc", np.mean)
    errors = table(rounds, "dsc", lambda v: v.std(ddof=1) / len(v) ** 0.5 if len(v) > 1 else 0.0)
    counts = list(means[ORDERS[0]])
    highest = -(-max(means[o][c] + errors[o][c] for o in ORDERS for c in counts) // 0.1) * 0.1

    def place(count: float, dsc: float) -> str:
        return f"{left + width * count / counts[-1]:.1f},{top + height * (1 - dsc / highest):.1f}"

    parts = []
    for tick in np.arange(0, highest + 0.01, 0.1):
        (x0, y), (x1, _) = (place(c, tick).split(",") for c in (0, counts[-1]))
        parts.append(f'<line x1="{x0}" y1="{y}" x2="{x1}" y2="{y}" stroke="#ddd"/>')
        parts.append(f'<text x="{left - 10}" y="{float(y) + 4}" text-anchor="end">{tick:.1f}</text>')
    for count in counts:
        x = place(count, 0).split(",")[0]
        parts.append(f'<text x="{x}" y="{top + height + 20}" text-anchor="middle">{count}</text>')
    for order, colour, dash, row in zip(ORDERS, ("#0072b2", "#d55e00"), ("", "6 4"), (0, 1), strict=True):
        mean, error = means[order], errors[order]
        around = [place(c, mean[c] + error[c]) for c in counts]
        around += [place(c, max(0, mean[c] - error[c])) for c in reversed(counts)]
        line = " ".join(place(c, mean[c]) for c in counts)
        stroke = f'stroke="{colour}" stroke-width="2.5" stroke-dasharray="{dash}"'
        parts.append(f'<polygon points="{" ".join(around)}" fill="{colour}" opacity="0.15"/>')
        parts.append(f'<polyline points="{line}" fill="none" {stroke}/>')
        y = top + height - 46 + 22 * row
        parts.append(f'<line x1="{left + width - 210}" y1="{y}" x2="{left + width - 170}" y2="{y}" {stroke}/>')
        parts.append(f'<text x="{left + width - 160}" y="{y + 4}">{order}</text>')
    parts.append(f'<text x="{left}" y="24">Mean DSC on {measured_on}, band: one standard error over seeds</text>')
    parts.append(f'<text x="{left + width / 2}" y="{top + height + 44}" text-anchor="middle">corrections taken</text>')
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {left + width + 30} {top + height + 60}" '
    style = 'font-family="sans-serif" font-size="13" fill="#333"'
    return f'{head}{style}><rect width="100%" height="100%" fill="white"/>{"".join(parts)}</svg>\n'


if __name__ == "__main__":
    main()
