"""Score a model on the val parts of all sets of the atlas that the generalist learns from, as it is used.

    python recipes/score_kinds.py --models generalist --data DATA

DATA holds busi/, isic2017/ and atlas/train/. At most 24 images a set, without their margins, at 224 x 224, against the
union of all labels; the mean is that of the sets, each counting once.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from atlas import SOURCES, read
from draws import few

from napari_wavegms.learn.evaluate import evaluate
from napari_wavegms.learn.pairs import Pair
from napari_wavegms.segment.preprocessing import Preprocessing
from napari_wavegms.segment.segmenter import Segmenter

SIDE, MOST = 224, 24
TWO = ("busi", "isic2017")


def main() -> None:
    options = parse()
    held_out = {source.name: few(read(options.data, source, Preprocessing(SIDE))[1], MOST) for source in SOURCES}
    print("| model | " + " | ".join([*held_out, "mean without BUSI and ISIC"]) + " |")
    print("| --- " * (len(held_out) + 2) + "|")
    for name in options.models:
        segmenter = Segmenter.from_checkpoint(name, "cpu")
        scores = {}
        for kind, frames in held_out.items():
            views = [(frame.name, *frame.views[-1]) for frame in frames]
            pairs = [Pair(stem, np.moveaxis(image, 0, -1), labels > 0) for stem, image, labels in views]
            scores[kind] = evaluate(segmenter, pairs).dsc
        others = np.mean([score for kind, score in scores.items() if kind not in TWO])
        print(f"| {Path(name).stem} | " + " | ".join(f"{score:.3f}" for score in (*scores.values(), others)) + " |")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", metavar="NAME|FILE", default=["default"])
    parser.add_argument("--data", type=Path, required=True)
    return parser.parse_args()


if __name__ == "__main__":
    main()
