"""Which operators take the time of segmenting an image and of a training step: torch's profiler, one thread.

    python benchmarks/where_time_goes.py [--what segment step quick] [--batch 12] [--rounds 5]

`step` is a step of the paper's recipe (four levels decoded, teacher included), `quick` one of Quick as the dock takes
it, of two images. Shares are of the processor time of all operators, by operator and by the shapes of its inputs.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import torch
from torch.profiler import profile

from napari_wavegms.learn.pairs import Pair
from napari_wavegms.samples import ultrasound_phantom
from napari_wavegms.segment.segmenter import Segmenter

MODEL = "default"


def segment(options: argparse.Namespace) -> Callable[[], Any]:
    segmenter, image = Segmenter.from_checkpoint(MODEL, "cpu"), ultrasound_phantom(0).image
    return lambda: segmenter.segment(image)


def step(options: argparse.Namespace) -> Callable[[], Any]:
    from reference_path import TrainingStep

    return TrainingStep(_pairs(options.batch), MODEL, reference=False)


def quick(options: argparse.Namespace) -> Callable[[], Any]:
    from reference_path import TrainingStep

    from napari_wavegms.finetune.presets import QUICK

    settings = {entry.name: getattr(QUICK.config, entry.name) for entry in fields(QUICK.config)}
    batch = settings.pop("batch")
    del settings["precision"]
    return TrainingStep(_pairs(batch), MODEL, reference=False, **settings)


WORK = {work.__name__: work for work in (segment, step, quick)}


def _pairs(count: int) -> list[Pair]:
    phantoms = [ultrasound_phantom(seed) for seed in range(count)]
    return [Pair(str(seed), phantom.image, phantom.mask != 0) for seed, phantom in enumerate(phantoms)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--what", nargs="+", choices=list(WORK), default=list(WORK))
    parser.add_argument("--batch", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name in options.what:
        work = WORK[name](options)
        for _ in range(2):  # compiles, allocates, remembers latents
            work()
        with profile(record_shapes=True) as seen:
            for _ in range(options.rounds):
                work()
        show(name, seen, options.rounds)


def show(name: str, seen: profile, rounds: int) -> None:
    total = sum(each.self_cpu_time_total for each in seen.key_averages())
    print(f"\n{name}: {total / rounds / 1000:.1f} ms in operators")
    for shapes, count in ((False, 12), (True, 12)):
        rows = sorted(seen.key_averages(group_by_input_shape=shapes), key=lambda row: -row.self_cpu_time_total)
        for row in rows[:count]:
            sizes = str([size for size in row.input_shapes if size])[:90] if shapes else ""
            share, each = row.self_cpu_time_total / total, row.self_cpu_time_total / rounds / 1000
            print(f"{share:6.1%} {each:9.2f} ms {row.count // rounds:5} x {row.key} {sizes}", flush=True)


if __name__ == "__main__":
    main()
