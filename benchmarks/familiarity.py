"""Does the out-of-distribution level tell foreign images from familiar ones? The share of each colour.

    python benchmarks/familiarity.py --known BUSI ISIC --foreign KVASIR ATLAS/adapt/*
    python benchmarks/familiarity.py --known BUSI ISIC --foreign KVASIR ATLAS/adapt/* --corrections 1 3 10

Each is a folder with images/ and, where it has one, a split.json: kinds are made of the train parts of `--known`, and
val parts are looked at; of a folder without a split, the first images of a permutation are looked at, and the others
are for corrections. What else turns the level is shown by known images that were turned, mirrored and so on, and by
the package's phantoms. With `--corrections`: the shares of green after so many corrections of each foreign kind,
on that kind and on the other foreign ones, means over draws. With `--keeper MODEL`: the shares that a model's second
network answers, before and after so many corrections of each foreign kind.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_wavegms.files.reading import read_image
from napari_wavegms.model.card import read_card
from napari_wavegms.model.registry import resolve
from napari_wavegms.samples import ultrasound_phantom
from napari_wavegms.segment.ood import NUMBERS, ImageKind, ImageKinds, describe

Image = npt.NDArray[Any]
Points = npt.NDArray[np.float64]
LOOKED_AT, DRAWS = 80, 3


def main() -> None:
    options = parse()
    known = ImageKinds(tuple(ImageKind.of(points(images(folder, "train"))) for folder in options.known))
    val = [image for folder in options.known for image in images(folder, "val")]
    if options.keeper:
        answered(options)
        return
    if options.corrections:
        corrected(known, points(val), options)
        return
    print("| images | n | median distance | green | amber | red |")
    print("| --- | --- | --- | --- | --- | --- |")
    for folder in options.known:
        show(f"{folder.name} val", images(folder, "val"), known)
    for folder in options.foreign:
        show(folder.name, images(folder, "val"), known)
    for name, change in CHANGES.items():
        show(f"known val, {name}", map(change, val), known)
    show("ultrasound phantoms", [ultrasound_phantom(seed).image for seed in range(20)], known)


def images(folder: Path, part: str) -> list[Image]:
    """The images of a part of a split, drawn where there is none."""
    files = {file.stem: file for file in sorted((folder / "images").iterdir())}
    split = folder / "split.json"
    if split.exists():
        stems = json.loads(split.read_text(encoding="utf-8"))[part]
    else:
        mixed = np.random.default_rng(0).permutation(list(files))
        stems = mixed[:LOOKED_AT] if part == "val" else mixed[LOOKED_AT:]
    return [read_image(files[stem]).pixels for stem in stems]


def points(some: Iterable[Image]) -> Points:
    return np.array([describe(image) for image in some]).reshape(-1, NUMBERS)


def corrected(known: ImageKinds, val: Points, options: argparse.Namespace) -> None:
    """Shares of green once some images of a foreign kind are corrected."""
    seen = {folder: points(images(folder, "val")) for folder in options.foreign}
    pools = {folder: points(images(folder, "train")) for folder in options.foreign}
    print("| corrections | the known kinds, val | the corrected kind | worst kind | other foreign kinds |")
    print("| --- | --- | --- | --- | --- |")
    for count in (0, *options.corrections):
        own, home, others = [], [], []
        for folder, pool in pools.items():
            if len(pool) < count:
                continue
            for draw in range(DRAWS):
                wiser = known.with_corrections(np.random.default_rng(draw).permutation(pool)[:count])
                home.append(green(wiser, val))
                own.append((green(wiser, seen[folder]), folder.name))
                others += [green(wiser, seen[other]) for other in seen if other != folder]
        worst, name = min(own)
        print(
            f"| {count} | {np.mean(home):.1%} | {np.mean([share for share, _ in own]):.1%} | {worst:.1%} ({name}) "
            f"| {np.mean(others):.1%} |",
            flush=True,
        )


def answered(options: argparse.Namespace) -> None:
    """Shares of images that the second network of a model answers."""
    known = ImageKinds.from_dict(read_card(resolve(options.keeper)).familiarity)
    assert known is not None
    home = {folder.name: points(images(folder, "val")) for folder in options.known}
    seen = {folder.name: points(images(folder, "val")) for folder in options.foreign}
    print(f"| corrections | {' | '.join(home)} | the corrected kind | kinds of which most |")
    print("| --- " * (len(home) + 3) + "|")
    for count in (0, *(options.corrections or ())):
        own, others, kept = [], Counter[str](), {name: [] for name in home}
        for name, pool in seen.items():
            for draw in range(DRAWS if count else 1):
                # The corrections are taken from what is looked at, so that small sets serve, too.
                mixed = np.random.default_rng(draw).permutation(pool)
                wiser = known.with_corrections(mixed[:count])
                own.append(np.mean([wiser.is_kept(point) for point in mixed[count:]]))
                others[name] += own[-1] / (DRAWS if count else 1)
                for known_name, some in home.items():
                    kept[known_name].append(np.mean([wiser.is_kept(point) for point in some]))
        most = ", ".join(f"{name} {share:.0%}" for name, share in others.most_common(2) if share)
        shares = [f"{np.mean(each):.1%}" for each in (*kept.values(), own)]
        print(f"| {' | '.join([str(count), *shares, most or 'none'])} |", flush=True)


def green(known: ImageKinds, some: Points) -> float:
    return float(np.mean([known.distance(point) <= 1 for point in some]))


def show(name: str, some: Iterable[Image], known: ImageKinds) -> None:
    distances = [known.distance(point) for point in points(some)]
    colours = Counter(known.level(distance).colour for distance in distances)
    shares = [f"{colours[colour] / len(distances):.0%}" for colour in ("green", "amber", "red")]
    print(f"| {' | '.join([name, str(len(distances)), f'{np.median(distances):.2f}', *shares])} |", flush=True)


def _middle(image: Image) -> Image:
    rows, columns = (side * 15 // 100 for side in image.shape[:2])
    return image[rows:-rows, columns:-columns]


def _grey(image: Image) -> Image:
    return np.rint(image[..., :3] @ (0.299, 0.587, 0.114)).astype(np.uint8) if image.ndim == 3 else image


CHANGES: dict[str, Callable[[Image], Image]] = {
    "in grey": _grey,
    "mirrored": lambda image: image[:, ::-1],
    "upside down": lambda image: image[::-1],
    "turned by 90 degrees": lambda image: np.rot90(image),
    "the middle 70 %": _middle,
    "darker (x 0.6)": lambda image: (image * 0.6).astype(np.uint8),
    "brighter (x 1.4)": lambda image: np.clip(image * 1.4, 0, 255).astype(np.uint8),
    "inverted": lambda image: 255 - image,
    "replaced by noise": lambda image: np.random.default_rng(0).integers(0, 256, image.shape).astype(np.uint8),
}


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--known", type=Path, nargs="+", required=True, help="data sets that the model learned from")
    parser.add_argument("--foreign", type=Path, nargs="+", required=True)
    parser.add_argument("--corrections", type=int, nargs="+")
    parser.add_argument("--keeper", metavar="NAME|FILE", help="the model whose second network is asked about")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
