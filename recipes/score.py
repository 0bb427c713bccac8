"""Score models on the val parts of data sets, seen or never seen, into the lab file.

    python recipes/score.py --models breast-ultrasound skin-lesion generalist --data BUSI ISIC KVASIR

Each data set is a folder with images/, masks/ and split.json. `wavegms evaluate` gives the same scores image by image.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from atlas import grouped
from lab import LAB, command, machine, record
from scoring import score
from sets import barred, mirrored, read_set

from napari_wavegms.learn.pairs import Pair
from napari_wavegms.model.codec import load_codec
from napari_wavegms.segment.segmenter import Segmenter


def main() -> None:
    options = parse()
    codec = load_codec("taesd", options.taesd) if options.taesd else load_codec("mask-codec")
    for folder in options.data:
        pairs = read_set(folder, options.subset, options.limit)
        if options.apart:
            pairs = apart(folder, pairs)
        if options.mirrored:
            pairs = list(map(mirrored, pairs))
        if options.bars:
            pairs = barred(pairs)
        views = "".join(f", {view}" for view in ("apart", "mirrored", "bars") if getattr(options, view))
        for name in options.models:
            segmenter = Segmenter.from_checkpoint(name, options.device, codec)
            label = segmenter.card.name if codec.name == "mask-codec" else f"{segmenter.card.name}, decoded by taesd"
            if options.margins is not None:
                segmenter.preprocessing = replace(segmenter.preprocessing, margins=options.margins == "out")
                label += f", margins {options.margins}"
            if options.without_context:
                segmenter.model.mapper.context = None
                segmenter = Segmenter(segmenter.model, segmenter.card, codec, segmenter.device)
                label += ", without context"
            record(
                options.lab,
                label,
                score(segmenter, pairs),
                data=f"{folder.name} {options.subset}{views}",
                codec=codec.name,
                size=segmenter.preprocessing.size,
                parameters=segmenter.card.parameters,
                device=machine(segmenter.device.name),
                command=command(sys.argv[1:]),
            )


def apart(folder: Path, pairs: Sequence[Pair]) -> list[Pair]:
    """Those that have no near-duplicate among the images of the other part."""
    files = sorted((folder / "images").iterdir())
    groups = dict(zip((file.stem for file in files), grouped(files, ""), strict=True))
    scored = {pair.name for pair in pairs}
    others = {group for stem, group in groups.items() if stem not in scored}
    return [pair for pair in pairs if groups[pair.name] not in others]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", metavar="NAME|FILE", default=["default"])
    parser.add_argument("--data", type=Path, nargs="+", required=True)
    parser.add_argument("--subset", default="val")
    parser.add_argument(
        "--apart", action="store_true", help="only images without a near-duplicate in the other part of the set"
    )
    parser.add_argument("--mirrored", action="store_true", help="with left and right exchanged")
    parser.add_argument("--bars", action="store_true", help="with random black bars on each side")
    parser.add_argument(
        "--margins", choices=("in", "out"), help="keep uniform margins or leave them out, not as the card says"
    )
    parser.add_argument(
        "--without-context", action="store_true", help="without the context features of a model that has them"
    )
    parser.add_argument("--taesd", type=Path, help="decode with TAESD's weights in this folder, not the mask codec")
    parser.add_argument("--limit", type=int, help="only so many images of each set")
    parser.add_argument("--lab", type=Path, default=LAB, help=f"file that gets a line a result (default: {LAB})")
    parser.add_argument("--device", default="auto")
    return parser.parse_args()


if __name__ == "__main__":
    main()
