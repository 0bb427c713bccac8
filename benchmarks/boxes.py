"""What a box around the structure brings: DSC of the plain mask against DSC after running again inside the box.

    python benchmarks/boxes.py --data ../shared/data/busi ../shared/data/kvasir_seg

The box is the true bounding box, each side longer by `--enlarged` (20 % by default, as a person draws it); outside it
the plain mask stays as it is, false finds included. Rows are context margins, with and without the whole image's
probability averaged in, and with the least share of the box that is taken to be filled. `better` and `worse` count
images whose DSC moves by more than 0.005.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from napari_wavegms.learn.metrics import dice
from napari_wavegms.learn.pairs import Pair, load_pairs
from napari_wavegms.segment.box_prompt import Box, pasted, segment_box
from napari_wavegms.segment.segmenter import Segmentation, Segmenter
from napari_wavegms.storage.content_hash import content_hash

CONTEXTS = (0.0, 0.25, 0.5, 1.0)
SHARES = (0.0, 0.3, 0.4)


class Remembering:
    """A segmenter that runs once for each window, however many rows of the table need it."""

    def __init__(self, segmenter: Segmenter) -> None:
        self.preprocessing = segmenter.preprocessing
        self._segmenter = segmenter
        self._known: dict[str, Segmentation] = {}

    def segment(self, image: np.ndarray) -> Segmentation:
        """Segment a window, or remember it."""
        looks = content_hash(image)
        if looks not in self._known:
            self._known[looks] = self._segmenter.segment(image)
        return self._known[looks]


def main() -> None:
    options = parse()
    torch.set_num_threads(1)
    segmenter = Segmenter.from_checkpoint(options.model, device="cpu")
    figures: dict[str, object] = {"model": options.model, "enlarged": options.enlarged}
    for folder in options.data:
        pairs = load_pairs(folder / "images", folder / "masks", folder / "split.json", "val")
        scored = [scores(pair, segmenter, options.enlarged) for pair in pairs if pair.mask.any()]
        figures[folder.name] = table(folder.name, scored)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="+", required=True)
    parser.add_argument("--model", default="default")
    parser.add_argument("--enlarged", type=float, default=0.2)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def true_box(mask: np.ndarray, enlarged: float) -> Box:
    rows, columns = np.nonzero(mask)
    corners = np.array([[rows.min(), columns.min()], [rows.max(), columns.max()]], float)
    half = np.maximum((corners[1] - corners[0] + 1) * enlarged / 2, 2)
    return Box.around(corners + np.array([-half, half]), mask.shape)


def scores(pair: Pair, segmenter: Segmenter, enlarged: float) -> dict[str, float]:
    truth, once = pair.mask != 0, Remembering(segmenter)
    plain = once.segment(pair.image)
    box = true_box(truth, enlarged)
    found = {"plain mask": dice(plain.mask, truth)}
    for whole in (None, plain.probability):
        for share in SHARES:
            for context in CONTEXTS:
                result = segment_box(once, pair.image, box, context=context, whole=whole, least_share=share)
                name = f"{'window and whole' if whole is not None else 'window alone'}, share {share}, margin {context}"
                found[name] = dice(pasted(plain.mask, result, 1), truth)
    return found


def table(name: str, scored: list[dict[str, float]]) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    print(f"\n{name}, {len(scored)} images\n{'':46s}   DSC   change  better worse  worst")
    plain = np.array([image["plain mask"] for image in scored])
    for kind in scored[0]:
        now = np.array([image[kind] for image in scored])
        better, worse = float(np.mean(now > plain + 0.005)), float(np.mean(now < plain - 0.005))
        change, worst = float(np.mean(now - plain)), float(np.min(now - plain))
        rows.append({"kind": kind, "dsc": now.mean(), "change": change, "better": better, "worse": worse})
        print(f"{kind:46s} {now.mean():.4f} {change:+.4f}  {better:5.0%} {worse:5.0%}  {worst:+.2f}", flush=True)
    return rows


if __name__ == "__main__":
    main()
