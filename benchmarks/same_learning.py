"""Whether what is faster learns as well: the official way and Full, from one start, by the same views, seed and epochs.

    python benchmarks/same_learning.py --data ../shared/data/kvasir_seg [--epochs 8] [--size 128] [--seeds 1 2]

The official way computes in float32, decodes four levels with TAESD and aligns with TAESD on every view; Full computes
in bfloat16 where that pays, decodes the last level with the mask codec, and aligns nothing. Both are scored as the
program segments, on the val part and by the last epoch's weights. Each line is one run; the last one has the mean
difference of the seeds.
"""

from __future__ import annotations

import argparse
import json
import time
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from reference_path import TAESD, explicit_attention

from napari_wavegms.learn.config import TrainConfig
from napari_wavegms.learn.evaluate import evaluate
from napari_wavegms.learn.pairs import Pair, load_pairs
from napari_wavegms.learn.train import iter_train
from napari_wavegms.model.checkpoint import load_checkpoint
from napari_wavegms.model.codec import load_codec
from napari_wavegms.model.registry import resolve
from napari_wavegms.segment.segmenter import Segmenter

WAYS: dict[str, dict[str, Any]] = {
    "official": {"precision": "float32"},
    "full": {"decoded_levels": ("out",), "alignment_weight": 0.0},
}


def main() -> None:
    options = parse()
    parts = [
        load_pairs(options.data / "images", options.data / "masks", options.data / "split.json", part)
        for part in ("train", "val")
    ]
    learned, held_out = (pairs[: options.limit] for pairs in parts)
    differences = []
    for seed in options.seeds:
        scores = {}
        for way in WAYS:
            scores[way], seconds = run(way, learned, held_out, seed, options)
            print(json.dumps({"way": way, "seed": seed, "dsc": round(scores[way], 4), "cpu_s": round(seconds)}))
        differences.append(scores["full"] - scores["official"])
    print(json.dumps({"full_minus_official": round(float(np.mean(differences)), 4), "seeds": len(differences)}))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with images/, masks/ and split.json")
    parser.add_argument("--model", default="default", help="what both start from")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--limit", type=int, default=100, help="images of each part (default: 100)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    return parser.parse_args()


def run(
    way: str, learned: list[Pair], held_out: list[Pair], seed: int, options: argparse.Namespace
) -> tuple[float, float]:
    """Train one way; the DSC on held-out images, and processor seconds of training."""
    official = way == "official"
    model, card = load_checkpoint(resolve(options.model))
    codec = load_codec("taesd", TAESD) if official else load_codec()
    config = TrainConfig(
        epochs=options.epochs, size=options.size, seed=seed, keep="last", validate_every=options.epochs, **WAYS[way]
    )
    with TemporaryDirectory() as folder:
        clock = time.process_time()
        with explicit_attention() if official else nullcontext():
            teacher = codec if official else None
            for _ in iter_train(
                learned, (), model, codec, config, Path(folder, way), teacher=teacher, card=card, device="cpu"
            ):
                pass
        seconds = time.process_time() - clock
        segmenter = Segmenter.from_checkpoint(Path(folder, way, "best.safetensors"), "cpu")
        return mean_dsc(segmenter, held_out), seconds


def mean_dsc(segmenter: Segmenter, pairs: list[Pair]) -> float:
    return evaluate(segmenter, pairs).dsc


if __name__ == "__main__":
    main()
