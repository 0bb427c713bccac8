"""Measure what a model's training images look like, and write it into the model's file, for Review's light.

    python recipes/familiarity.py --data ../shared/data/busi --model MODEL.safetensors

The shipped model is src/napari_wavegms/assets/breast-ultrasound.safetensors. Run it again whenever the weights change:
the light knows its encoder, and stays dark with another one. Only the card is rewritten; of the images it keeps the
means of 14 numbers and their covariance.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from napari_wavegms.learn.pairs import load_pairs
from napari_wavegms.model.card import read_card
from napari_wavegms.model.checkpoint import rewrite_card
from napari_wavegms.review.familiarity import remember


def main() -> None:
    options = parse()
    pairs = load_pairs(options.data / "images", options.data / "masks", options.data / "split.json", options.subset)
    # What an earlier run wrote is measured anew, not added to.
    rewrite_card(options.model, replace(read_card(options.model), familiarity={}))
    found = remember(options.model, pairs, device=options.device)
    green, amber = found["limits"]
    print(f"{options.model}: {found['trained']['count']} images, green to {green}, amber to {amber}, red beyond.")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with images/, masks/ and split.json")
    parser.add_argument("--subset", default="train", help="the part that the model learned from")
    parser.add_argument("--model", type=Path, required=True, help="the model file to write into")
    parser.add_argument("--device", default="cpu")
    return parser.parse_args()


if __name__ == "__main__":
    main()
