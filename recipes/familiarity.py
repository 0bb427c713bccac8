"""Measure what a model's training images look like, and write it into the model's file, for Review's light.

    python recipes/familiarity.py --data BUSI --model src/napari_wavegms/assets/breast-ultrasound.safetensors
    python recipes/familiarity.py --data BUSI ISIC --model src/napari_wavegms/assets/generalist.safetensors

Each data set is a kind of image. Run it again whenever the weights change: the light knows its encoder, and stays dark
with another one. Only the card is rewritten; of each kind it keeps the means of 14 numbers and their covariance.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from sets import read_set

from napari_wavegms.model.checkpoint import rewrite_card
from napari_wavegms.segment.ood import OODDetector, encoder_fingerprint
from napari_wavegms.segment.segmenter import Segmenter


def main() -> None:
    options = parse()
    segmenter = Segmenter.from_checkpoint(options.model, options.device)
    kinds = [[segmenter.image_latents(pair.image) for pair in read_set(folder, "train")] for folder in options.data]
    encoder = encoder_fingerprint(segmenter.model, segmenter.card.preprocessing)
    known = OODDetector.fit(*kinds, encoder=encoder)
    rewrite_card(options.model, replace(segmenter.card, familiarity=known.as_dict()))
    green, amber = known.limits
    counts = " and ".join(str(len(kind)) for kind in kinds)
    print(f"{options.model}: {counts} images, green to {green:.2f}, amber to {amber:.2f}, red beyond.")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, nargs="+", required=True, help="folders with images/, masks/ and split.json"
    )
    parser.add_argument("--model", type=Path, required=True, help="the model file to write into")
    parser.add_argument("--device", default="cpu")
    return parser.parse_args()


if __name__ == "__main__":
    main()
