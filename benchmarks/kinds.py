"""Which kind of image is it, by pooled context features alone? Right answers, and how many foreign images pass.

    python benchmarks/kinds.py --data BUSI ISIC KVASIR ATLAS/adapt/* [--known BUSI ISIC] [--images 10]

Each is a folder with images/. The means are made of so many images of each kind, drawn at random (of the train part,
where there is a split), and up to forty others are sorted. Then only `--known` have means, and the others are foreign:
the share of each that lies within the limit is told.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from napari_wavegms.files.reading import read_image
from napari_wavegms.model.context import ContextTrunk
from napari_wavegms.segment.ood import KindMeans
from napari_wavegms.segment.preprocessing import Preprocessing, prepare

Points = npt.NDArray[np.float64]


def main() -> None:
    options = parse()
    torch.set_num_threads(1)
    trunk, rules = ContextTrunk.from_file(), Preprocessing(margins=True)
    drawn = {folder.name: divided(folder, options.images, options.seed) for folder in options.data}
    means, others = ({name: pooled(trunk, rules, files[part]) for name, files in drawn.items()} for part in (0, 1))
    kinds = KindMeans.of(means)
    right = {name: [found == name for found, _ in kinds.nearest(points)] for name, points in others.items()}
    print(f"{len(drawn)} kinds, {options.images} images each: sorted rightly")
    for name, answers in right.items():
        print(f"  {name}: {sum(answers)} of {len(answers)}")
    everything = [answer for answers in right.values() for answer in answers]
    print(f"  together: {sum(everything)} of {len(everything)}")
    if options.known:
        few = KindMeans.of({folder.name: means[folder.name] for folder in options.known})
        print(f"known: {', '.join(few.names)}; within the limit")
        for name, points in others.items():
            within = [known for _, known in few.nearest(points)]
            print(f"  {name}: {sum(within)} of {len(within)}")


def divided(folder: Path, count: int, seed: int) -> tuple[list[Path], list[Path]]:
    """So many images to make a mean of, and up to forty others."""
    files = {file.stem: file for file in sorted((folder / "images").iterdir())}
    split, rng = folder / "split.json", np.random.default_rng(seed)
    if split.exists():
        lists = json.loads(split.read_text(encoding="utf-8"))
        train, val = (rng.permutation(lists[part]) for part in ("train", "val"))
    else:
        mixed = rng.permutation(list(files))
        train, val = mixed[:count], mixed[count:]
    return [files[stem] for stem in train[:count]], [files[stem] for stem in val[:40]]


def pooled(trunk: ContextTrunk, rules: Preprocessing, files: list[Path]) -> Points:
    """Pooled features (N, 256) of images."""
    frames = [torch.from_numpy(prepare(read_image(file).pixels, rules).pixels)[None] for file in files]
    return torch.cat([trunk.pooled(frame) for frame in frames]).double().numpy()


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="+", required=True)
    parser.add_argument("--known", type=Path, nargs="+", default=[])
    parser.add_argument("--images", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
