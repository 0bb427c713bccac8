"""Does the light tell foreign images from familiar ones? AUROC against other data sets, and the share of each colour.

    python benchmarks/familiarity.py --known BUSI --foreign KVASIR ISIC
    python benchmarks/familiarity.py --known BUSI --foreign KVASIR ISIC --corrections 5 10 20

Each is a folder with images/, masks/ and split.json. The light is measured on the train part of `--known` with the
model's own encoder, and compared on the val parts. Colour could make it too easy: so foreign images are also shown in
grey, and the means and deviations of the three colours alone play a light of their own. What else turns it on is told
by known images that were turned, mirrored, brightened and so on, and by the package's phantoms. A model of two kinds
of image takes both: `--known BUSI ISIC --foreign KVASIR --model generalist`. With `--corrections`:
the colours after that many train images of the first foreign data set were learned from by the mapping model alone.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_wavegms.learn.pairs import load_pairs
from napari_wavegms.samples import ultrasound_phantom
from napari_wavegms.segment.ood import OODDetector
from napari_wavegms.segment.preprocessing import prepare
from napari_wavegms.segment.segmenter import Segmenter

Image = npt.NDArray[Any]
Values = npt.NDArray[np.float64]


def main() -> None:
    options = parse()
    segmenter = Segmenter.from_checkpoint(options.model, device="cpu")
    kinds = [images(folder, "train") for folder in options.known]
    val = [image for folder in options.known for image in images(folder, "val")]
    known = OODDetector.fit(*(map(segmenter.image_latents, train) for train in kinds))
    if options.corrections:
        corrected(known, segmenter, options)
        return
    colours = ColourLight([image for train in kinds for image in train], segmenter)
    at_home = [known.distance(segmenter.image_latents(image)) for image in val], colours.distances(val)
    rows = [row(f"{' and '.join(folder.name for folder in options.known)} val", val, known, *at_home)]
    print("| images | n | AUROC | AUROC of colours alone | median distance | green | amber | red |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    show(rows[0])
    for name, others in groups(val, options.foreign):
        distances = [known.distance(segmenter.image_latents(image)) for image in others]
        rows.append(row(name, others, known, distances, colours.distances(others), at_home))
        show(rows[-1])
    if options.json:
        options.json.write_text(json.dumps({"limits": known.limits, "rows": rows}, indent=1))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--known", type=Path, nargs="+", required=True, help="data sets that the model learned from")
    parser.add_argument("--foreign", type=Path, nargs="+", required=True)
    parser.add_argument("--model", default="default")
    parser.add_argument("--corrections", type=int, nargs="+")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def images(folder: Path, subset: str) -> list[Image]:
    return [pair.image for pair in load_pairs(folder / "images", folder / "masks", folder / "split.json", subset)]


def groups(val: list[Image], foreign: list[Path]) -> Iterable[tuple[str, list[Image]]]:
    for folder in foreign:
        others = images(folder, "val")
        yield f"{folder.name} val", others
        yield f"{folder.name} val, in grey", [grey(image) for image in others]
    for name, change in CHANGES.items():
        yield f"known val, {name}", [change(image) for image in val]
    yield "ultrasound phantoms", [ultrasound_phantom(seed).image for seed in range(20)]


def corrected(known: OODDetector, segmenter: Segmenter, options: argparse.Namespace, draws: int = 3) -> None:
    """Shares of green, amber and red on each val part, means over draws of the corrections."""
    parts = {folder.name: images(folder, "val") for folder in (*options.known, *options.foreign)}
    seen = {name: [segmenter.image_latents(image) for image in part] for name, part in parts.items()}
    pool = [segmenter.image_latents(image) for image in images(options.foreign[0], "train")]
    print(f"| corrections of {options.foreign[0].name} | " + " | ".join(f"{name} val" for name in seen) + " |")
    print("| --- " * (len(seen) + 1) + "|")
    for count in (0, *options.corrections):
        picks = [np.random.default_rng(draw).permutation(len(pool))[:count] for draw in range(draws)]
        lights = [known.with_corrections([pool[i] for i in pick]) for pick in picks]
        cells = []
        for latents in seen.values():
            colours = [light.light(light.distance(one)).colour for light in lights for one in latents]
            cells.append(", ".join(f"{colours.count(c) / len(colours):.0%} {c}" for c in ("green", "amber", "red")))
        print(f"| {count} | {' | '.join(cells)} |")


def grey(image: Image) -> Image:
    return np.rint(image[..., :3] @ (0.299, 0.587, 0.114)).astype(np.uint8) if image.ndim == 3 else image


def _middle(image: Image) -> Image:
    rows, columns = (side * 15 // 100 for side in image.shape[:2])
    return image[rows:-rows, columns:-columns]


CHANGES: dict[str, Callable[[Image], Image]] = {
    "mirrored": lambda image: image[:, ::-1],
    "upside down": lambda image: image[::-1],
    "turned by 90 degrees": lambda image: np.rot90(image),
    "the middle 70 %": _middle,
    "darker (x 0.6)": lambda image: (image * 0.6).astype(np.uint8),
    "brighter (x 1.4)": lambda image: np.clip(image * 1.4, 0, 255).astype(np.uint8),
    "inverted": lambda image: 255 - image,
    "replaced by noise": lambda image: np.random.default_rng(0).integers(0, 256, image.shape).astype(np.uint8),
}


class ColourLight:
    """What colour alone tells: the same distance on means and deviations of red, green and blue."""

    def __init__(self, train: list[Image], segmenter: Segmenter) -> None:
        self.rules = segmenter.preprocessing
        points = self._points(train)
        self.centre = points.mean(axis=0)
        self.inverse = np.linalg.pinv(np.cov(points.T))

    def distances(self, some: list[Image]) -> list[float]:
        """How far each image is."""
        gaps = self._points(some) - self.centre
        return [float(square) ** 0.5 for square in np.einsum("ni,ij,nj->n", gaps, self.inverse, gaps).clip(0)]

    def _points(self, some: list[Image]) -> Values:
        planes = [prepare(image, self.rules).pixels.reshape(3, -1) for image in some]
        return np.array([[*plane.mean(axis=1), *plane.std(axis=1)] for plane in planes])


def auroc(known: list[float], foreign: list[float]) -> float:
    """Share of the pairs of a known and a foreign image in which the foreign one is farther away."""
    gaps = np.subtract.outer(foreign, known)
    return float((gaps > 0).mean() + (gaps == 0).mean() / 2)


def row(
    name: str,
    some: list[Image],
    known: OODDetector,
    distances: list[float],
    colours: list[float],
    home: tuple[list[float], list[float]] | None = None,
) -> dict[str, Any]:
    lights = [known.light(distance).colour for distance in distances]
    return {
        "images": name,
        "n": len(some),
        "auroc": auroc(home[0], distances) if home else None,
        "colours": auroc(home[1], colours) if home else None,
        "median": float(np.median(distances)),
    } | {colour: lights.count(colour) for colour in ("green", "amber", "red")}


def show(entry: dict[str, Any]) -> None:
    scores = ["–" if entry[name] is None else f"{entry[name]:.3f}" for name in ("auroc", "colours")]
    counts = [f"{entry[colour] / entry['n']:.0%}" for colour in ("green", "amber", "red")]
    cells = [entry["images"], str(entry["n"]), *scores, f"{entry['median']:.2f}", *counts]
    print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
