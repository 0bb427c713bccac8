"""What several classes cost: time and memory of one image against the number of classes.

    python benchmarks/classes.py --side 1024 --repeats 20

The networks have random weights, and take turns, so that a busy machine slows all of them. Prints a row for each number
of classes: parameters, the median time of `Segmenter.segment` and its ratio to one class, and the peak memory of a
process that segments one image, above that of a process that has loaded the model only.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time

import numpy as np
import torch

from napari_wavegms.model.card import ModelCard
from napari_wavegms.model.codec import load_codec
from napari_wavegms.model.device import choose_device
from napari_wavegms.model.network import WaveGMS
from napari_wavegms.segment.segmenter import Segmenter

COUNTS = (1, 2, 4, 8, 16)


def segmenter_of(classes: int) -> Segmenter:
    torch.manual_seed(0)
    return Segmenter(WaveGMS(classes=classes), ModelCard("any"), load_codec(), choose_device("cpu"))


def peak(classes: int, side: int, *, loads_only: bool) -> float:
    """Peak memory of a fresh process in MiB."""
    arguments = ["--child", str(classes), "--side", str(0 if loads_only else side)]
    run = subprocess.run([sys.executable, __file__, *arguments], capture_output=True, text=True, check=True)
    return float(run.stdout)


def child(classes: int, side: int) -> None:
    segmenter = segmenter_of(classes)
    segmenter.segment(np.random.default_rng(0).integers(0, 255, (side or 32, side or 32)).astype(np.uint8))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=1024, help="of the image, in pixels")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.child:
        child(options.child, options.side)
        return
    image = np.random.default_rng(0).integers(0, 255, (options.side, options.side)).astype(np.uint8)
    segmenters = {count: segmenter_of(count) for count in COUNTS}
    seconds: dict[int, list[float]] = {count: [] for count in COUNTS}
    for _ in range(options.repeats):
        for count, segmenter in segmenters.items():
            clock = time.process_time()
            segmenter.segment(image)
            seconds[count].append(time.process_time() - clock)
    print("| classes | parameters | ms | times | MiB |\n| --- | --- | --- | --- | --- |")
    one = np.median(seconds[1])
    for count, segmenter in segmenters.items():
        parameters = sum(weights.numel() for weights in segmenter.model.parameters())
        took = np.median(seconds[count])
        memory = peak(count, options.side, loads_only=False) - peak(count, options.side, loads_only=True)
        print(f"| {count} | {parameters:,} | {1000 * took:.0f} | {took / one:.2f} | {memory:.0f} |", flush=True)


if __name__ == "__main__":
    main()
