"""What segmenting one image has to compute and to move, what this machine can do at most, and the share that we reach.

    OMP_NUM_THREADS=1 python benchmarks/floor.py [--json FILE]

FLOPs are those of convolutions and matrix products (torch's counter; a multiply-add is two). Bytes are what all
operators read and write if nothing stays in a cache. The machine's peaks are the best of many large products and
convolutions, and of many copies of 256 MB. The floor is the FLOPs at that peak. Times are processor times, the median
of many.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from reference_path import explicit_attention
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from napari_wavegms.model.checkpoint import load_checkpoint
from napari_wavegms.model.codec import load_codec
from napari_wavegms.model.device import multiplies_bfloat16
from napari_wavegms.model.registry import resolve
from napari_wavegms.model.wavelets import haar_bands

ROUNDS = 25


class Moved(TorchDispatchMode):
    """Counts the bytes that operators read and write; views move none."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Count, and go on."""
        result = function(*args, **(kwargs or {}))
        before = [each for each in tree_leaves((args, kwargs)) if isinstance(each, torch.Tensor)]
        after = [each for each in tree_leaves(result) if isinstance(each, torch.Tensor)]
        there = {each.untyped_storage().data_ptr() for each in before}
        if any(each.untyped_storage().data_ptr() not in there for each in after):
            self.bytes += sum(each.numel() * each.element_size() for each in (*before, *after))
        return result


def seconds(work: Callable[[], Any], pick: Callable[[list[float]], float] = np.median) -> float:
    work()
    times = []
    for _ in range(ROUNDS):
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
    return float(pick(times))


def peaks() -> dict[str, float]:
    """What the machine does at best, of large matrices and of a wide convolution: torch has them from two libraries."""
    side, channels, positions = 2048, 256, 56
    told = {}
    for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        a, b = torch.randn(side, side).to(dtype), torch.randn(side, side).to(dtype)
        maps = torch.randn(1, channels, positions, positions).to(dtype).to(memory_format=torch.channels_last)
        wide = torch.nn.Conv2d(channels, channels, 3, padding=1).to(dtype).to(memory_format=torch.channels_last)
        product = 2 * side**3 / seconds(lambda a=a, b=b: a @ b, min) / 1e9
        of_maps = 2 * 9 * channels**2 * positions**2
        convolution = of_maps / seconds(lambda wide=wide, maps=maps: wide(maps), min) / 1e9
        told |= {f"{name}_product_gflops": product, f"{name}_convolution_gflops": convolution}
        told[f"{name}_gflops"] = max(product, convolution)
    block, target = torch.zeros(2**26), torch.zeros(2**26)
    told["copy_gb_s"] = 2 * 2**28 / seconds(lambda: target.copy_(block), min) / 1e9
    return told


def parts() -> dict[str, Callable[[], Any]]:
    """What is run of an image, in the precision and layout that it is run in, and TAESD's halves for comparison."""
    network, codec = load_checkpoint(resolve("breast-ultrasound"))[0], load_codec()
    layout, dtype = torch.contiguous_format, torch.float32
    if multiplies_bfloat16("cpu"):
        layout, dtype = torch.channels_last, torch.bfloat16
    network = network.to(dtype).to(memory_format=layout)
    image, latent = torch.rand(1, 3, 224, 224), torch.randn(1, 4, 28, 28)
    bands = [haar_bands(image, level).to(dtype).contiguous(memory_format=layout) for level in (1, 2, 3)]
    joined = torch.randn(1, 36, 28, 28).to(dtype).contiguous(memory_format=layout)
    encoder, low = network.encoder, latent.to(dtype)
    work: dict[str, Callable[[], Any]] = {
        f"extractor {level}": lambda level=level: encoder.levels[level - 1](bands[level - 1]) for level in (1, 2, 3)
    }
    work["aggregator"] = lambda: encoder.aggregate(joined)
    work["mapper"] = lambda: network.mapper(low)
    work["mask codec, decode"] = lambda: codec.decode(latent)
    taesd_files = Path("../shared/weights/taesd")
    if taesd_files.is_dir():
        taesd = load_codec("taesd", taesd_files)
        work["TAESD, decode (float32)"] = lambda: taesd.decode(latent)
    return work


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    peak = peaks()
    print({name: round(value) for name, value in peak.items()}, f"{torch.get_num_threads()} threads")
    told: dict[str, Any] = {"peak": peak}
    print(f"{'':26}{'GFLOP':>7}{'MB':>7}{'floor ms':>10}{'ms':>8}{'share':>7}")
    for name, work in parts().items():
        # Written out, since the counter does not see into torch's fused attention.
        with explicit_attention(), FlopCounterMode(display=False) as flops:
            work()
        with Moved() as moved:
            work()
        narrow = multiplies_bfloat16("cpu") and "codec" not in name and "TAESD" not in name
        floor = flops.get_total_flops() / (peak["bfloat16_gflops" if narrow else "float32_gflops"] * 1e9)
        took = seconds(work)
        told[name] = {"flops": flops.get_total_flops(), "bytes": moved.bytes, "floor_s": floor, "s": took}
        row = (flops.get_total_flops() / 1e9, moved.bytes / 1e6, floor * 1e3, took * 1e3, floor / took)
        print("{:26}{:7.2f}{:7.0f}{:10.2f}{:8.2f}{:7.0%}".format(name, *row), flush=True)
    if options.json:
        options.json.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
