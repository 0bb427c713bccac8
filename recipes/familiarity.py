"""Write into models' cards which kinds of image they have learned from, for the out-of-distribution level.

    python recipes/familiarity.py --data DATA --projection src/napari_wavegms/assets/context-kinds.npy
    python recipes/familiarity.py --data DATA --sets busi \
        --models src/napari_wavegms/assets/breast-ultrasound.safetensors
    python recipes/familiarity.py --data DATA --kept busi isic2017 --models runs/many-kinds.safetensors

DATA holds busi/, isic2017/ and atlas/train/; the train part of each set (all sets by default) is a kind of image. The
first command makes the projection from all of them: linear discriminant analysis of the context trunk's pooled
features, scaled to a deviation of one within the kinds. The others only rewrite cards.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from atlas import SOURCES, Framed, read

from napari_wavegms.model.card import read_card
from napari_wavegms.model.checkpoint import rewrite_card
from napari_wavegms.model.context import ContextTrunk
from napari_wavegms.segment.ood import FRAME, NUMBERS, ImageKind, ImageKinds, describe_frames

Values = npt.NDArray[np.float64]
RIDGE = 0.03
"""Weight of the identity in the correlation within the kinds, which a thousand images alone determine too badly."""


def main() -> None:
    options = parse()
    torch.set_num_threads(1)
    sources = [source for source in SOURCES if not options.sets or source.name in options.sets]
    learned = {source.name: read(options.data, source, FRAME)[0] for source in sources}
    if options.projection:
        trunk = ContextTrunk.from_file()
        batches = [torch.cat(list(map(pixels, frames))) for frames in learned.values()]
        features = [trunk(images).mean(dim=(2, 3)).double().numpy() for images in batches]
        np.save(options.projection, projection(features).astype(np.float32))
    kinds = [
        ImageKind.of(np.concatenate([describe_frames(pixels(frame)) for frame in each])) for each in learned.values()
    ]
    if options.kept:
        kinds = [replace(kind, relearned=name not in options.kept) for name, kind in zip(learned, kinds, strict=True)]
    for name, kind in zip(learned, kinds, strict=True):
        print(f"{name}: {kind.count} images, limit {kind.limit:.2f}")
    for model in options.models:
        rewrite_card(model, replace(read_card(model), familiarity=ImageKinds(tuple(kinds)).as_dict()))


def pixels(frame: Framed) -> torch.Tensor:
    """An image without its margins, (1, 3, S, S)."""
    return torch.from_numpy(frame.views[-1][0])[None].float() / 255


def projection(kinds: list[Values]) -> Values:
    """The (NUMBERS, C) directions in which kinds differ most for how much they vary, a variation of one in each."""
    gaps = np.concatenate([points - points.mean(axis=0) for points in kinds])
    within = gaps.T @ gaps / len(gaps)
    scale = np.sqrt(np.diag(within)) + 1e-6
    correlation = (1 - RIDGE) * within / np.outer(scale, scale) + RIDGE * np.eye(len(scale))
    whiten = np.linalg.inv(np.linalg.cholesky(correlation)) / scale
    total = whiten @ np.cov(np.concatenate(kinds).T) @ whiten.T
    _, directions = np.linalg.eigh(total)
    result: Values = directions[:, ::-1][:, :NUMBERS].T @ whiten
    return result


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", choices=[source.name for source in SOURCES])
    parser.add_argument("--projection", type=Path, help="make the projection and write it here")
    parser.add_argument("--models", type=Path, nargs="+", default=[], help="model files to write into")
    parser.add_argument("--kept", nargs="+", default=[], help="sets that the file's second network answers")
    return parser.parse_args()


if __name__ == "__main__":
    main()
