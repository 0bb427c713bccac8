"""A pyramid of 40,000 x 40,000 pixels: made, segmented at native detail, and how much memory that takes.

    python benchmarks/pyramid.py slide.ome.zarr                        # once; 30 MB on disk
    python benchmarks/pyramid.py slide.ome.zarr --segment [whole|native]

The slide is uniform but for 12 regions of 1000 x 1000 pixels of noisy tissue, each with a darker disc of 60 to 400
pixels. --segment runs `wavegms segment` in this process and prints the peak of its memory above what it takes once the
model has segmented a small image, the time, and how many discs the labels have, with the DSC at the finest level in the
regions.
"""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path

import numpy as np
import zarr

from napari_wavegms.cli import main as wavegms
from napari_wavegms.learn.metrics import dice
from napari_wavegms.segment.segmenter import Segmenter

SIDE, REGION, LEVELS, COUNT = 40_000, 1000, 8, 12
GROUND = 225


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("slide", type=Path)
    parser.add_argument("--segment", choices=("whole", "native"))
    options = parser.parse_args()
    if options.segment is None:
        make(options.slide)
    else:
        segment(options.slide, options.segment)


def regions() -> list[tuple[int, int, np.ndarray, np.ndarray]]:
    """Top and left (multiples of what one pixel of the coarsest level covers), image and mask of each region."""
    rng, step, found = np.random.default_rng(0), 2 ** (LEVELS - 1), []
    cells = rng.choice(16, COUNT, replace=False)
    for number, cell in enumerate(cells):
        top, left = ((int(at) * SIDE // 4 + 2000) // step * step for at in divmod(cell, 4))
        diameter = np.geomspace(60, 400, COUNT)[number]
        rows, columns = np.ogrid[:REGION, :REGION]
        inside = (rows - REGION / 2) ** 2 + (columns - REGION / 2) ** 2 <= (diameter / 2) ** 2
        image = 190 + 12 * rng.standard_normal((REGION, REGION)) - 80 * inside
        found.append((top, left, np.clip(image, 0, 255).astype(np.uint8), inside))
    return found


def make(path: Path) -> None:
    group = zarr.open_group(path, mode="w", zarr_format=3)
    datasets = []
    for level in range(LEVELS):
        step = 2**level
        side = -(-SIDE // step)
        array = group.create_array(
            str(level),
            shape=(side, side),
            chunks=(1024, 1024),
            dtype=np.uint8,
            fill_value=GROUND,
            dimension_names=["y", "x"],
        )
        for top, left, image, _ in regions():
            side = REGION // step * step
            small = image[:side, :side].reshape(side // step, step, side // step, step).mean(axis=(1, 3))
            rows, columns = (slice(at // step, at // step + len(small)) for at in (top, left))
            array[rows, columns] = small.astype(np.uint8)
        steps = [{"type": "scale", "scale": [0.25 * step, 0.25 * step]}]
        datasets.append({"path": str(level), "coordinateTransformations": steps})
    axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in "yx"]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets, "name": "slide"}]}


def segment(path: Path, detail: str) -> None:
    Segmenter.from_checkpoint("default", device="cpu").segment(regions()[0][2])
    before = peak()
    started = time.perf_counter()
    wavegms(["segment", str(path), "--device", "cpu", "--detail", detail, "--label", detail, "--overwrite"])
    print(f"{time.perf_counter() - started:.0f} s, {peak() - before:.0f} MiB above {before:.0f} MiB")
    labels = zarr.open_group(path / "labels" / detail, mode="r")["0"]
    for top, left, _, truth in regions():
        mask = labels[top : top + REGION, left : left + REGION]
        print(f"disc of {2 * np.sqrt(truth.sum() / np.pi):.0f} pixels: DSC {dice(mask, truth):.3f}")


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
