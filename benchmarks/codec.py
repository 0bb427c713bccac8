"""The mask codec against TAESD: what survives a round trip, how far they agree, how much faster it decodes.

    python benchmarks/codec.py --taesd ../shared/weights/taesd --data ../shared/data/busi ../shared/data/isic2017

Round trip and agreement are measured on the val part of each data set at 224 × 224: Dice(decode(encode(mask)), mask),
and Dice between the two decoders on the mask latents that `--model` predicts. Times are interleaved in one run; the
ratio is the median of the pairs, with their quartiles.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch

from napari_wavegms.learn.metrics import dice
from napari_wavegms.learn.pairs import Pair, load_pairs
from napari_wavegms.model.codec import TinyVAE, load_codec
from napari_wavegms.segment.preprocessing import prepare_mask
from napari_wavegms.segment.segmenter import Segmenter


def main() -> None:
    options = parse()
    small, taesd = load_codec("mask-codec"), load_codec("taesd", options.taesd)
    segmenter = Segmenter.from_checkpoint(options.model, device="cpu")
    threads = torch.get_num_threads()
    figures: dict[str, object] = {"model": options.model, "codec": small.fingerprint, "threads": threads}
    for folder in options.data:
        pairs = load_pairs(folder / "images", folder / "masks", folder / "split.json", "val")
        figures[folder.name] = agreement(pairs, segmenter, small, taesd)
        print(folder.name, json.dumps(figures[folder.name]), flush=True)
    figures["decode"] = decode_ratio(small, taesd, options.rounds)
    print("decode", json.dumps(figures["decode"]))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--taesd", type=Path, required=True)
    parser.add_argument("--data", type=Path, nargs="+", required=True)
    parser.add_argument("--model", default="default")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


@torch.inference_mode()
def agreement(pairs: list[Pair], segmenter: Segmenter, small: TinyVAE, taesd: TinyVAE) -> dict[str, float]:
    survived, agreed = [], []
    for pair in pairs:
        mask = torch.from_numpy(prepare_mask(pair.mask, segmenter.preprocessing))[None, None]
        survived.append(dice(small.decode(small.encode(mask.float())) >= 0.5, mask))
        latents = segmenter.mask_latents(pair.image)[None]
        agreed.append(dice(small.decode(latents) >= 0.5, taesd.decode(latents) >= 0.5))
    return {
        "n": len(pairs),
        "round_trip": round(float(np.mean(survived)), 4),
        "worst_round_trip": round(float(np.min(survived)), 4),
        "agreement": round(float(np.mean(agreed)), 4),
        "worst_agreement": round(float(np.min(agreed)), 4),
    }


@torch.inference_mode()
def decode_ratio(small: TinyVAE, taesd: TinyVAE, rounds: int) -> dict[str, object]:
    latents = torch.randn(1, 4, 28, 28, generator=torch.Generator().manual_seed(0))
    ratios, ours = [], []
    for _ in range(rounds + 2):  # the first two warm up
        fast, slow = seconds(small, latents), seconds(taesd, latents)
        ratios.append(slow / fast)
        ours.append(fast)
    low, middle, high = np.percentile(ratios[2:], [25, 50, 75])
    return {
        "times_faster": round(float(middle), 1),
        "quartiles": [round(float(low), 1), round(float(high), 1)],
        "milliseconds": round(1000 * float(np.median(ours[2:])), 2),
    }


def seconds(codec: TinyVAE, latents: torch.Tensor) -> float:
    start = time.perf_counter()
    codec.decode(latents)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
