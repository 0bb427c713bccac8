"""How fast we are against the official pipeline with the same weights; `reference_path.py` is that pipeline.

    python benchmarks/speed.py [ROW…] [--rounds N] [--files N] [--images N] [--batch N] [--json FILE]

Rows are image, masks, files, step, first, large; by default all. The two paths take turns within a run, and ratios are
of neighbours in time: median, with quartiles. Both wall time and processor time (of all threads) are told; on a machine
that does other work as well, the latter is the steadier one. Steps and files run in fresh processes, whose largest
resident memory is told. `masks` needs ../shared/data/busi, and whatever has a reference needs ../shared/weights/taesd.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
MODEL = "breast-ultrasound"
Cost = tuple[float, float]  # seconds of wall time, of processor time


def cost(work: Callable[[], Any]) -> Cost:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def quartiles(values: Any) -> list[float]:
    low, middle, high = np.percentile(np.asarray(values, float), [25, 50, 75])
    return [float(f"{value:.4g}") for value in (middle, low, high)]


def compared(reference: list[Cost], ours: list[Cost]) -> dict[str, Any]:
    """Median, lower and upper quartile of the seconds and of the ratios of neighbours."""
    theirs, mine = np.array(reference), np.array(ours)
    told = {}
    for column, name in enumerate(("wall", "cpu")):
        told[f"{name}_reference_s"] = quartiles(theirs[:, column])
        told[f"{name}_ours_s"] = quartiles(mine[:, column])
        told[f"{name}_ratio"] = quartiles(theirs[:, column] / mine[:, column])
    return told


def image(options: argparse.Namespace) -> dict[str, Any]:
    """One 224 x 224 image, warm."""
    from reference_path import ReferenceSegmenter

    from napari_wavegms.segment.segmenter import Segmenter

    pixels = np.random.default_rng(0).integers(0, 255, (224, 224, 3), np.uint8)
    reference, ours = ReferenceSegmenter(MODEL), Segmenter.from_checkpoint(MODEL, "cpu")
    paths = (lambda: reference.probability(pixels), lambda: ours.segment(pixels))
    rounds = [[cost(path) for path in paths] for _ in range(options.rounds * 5 + 2)][2:]
    return compared(*zip(*rounds, strict=True))


def masks(options: argparse.Namespace) -> dict[str, Any]:
    """Agreement of the masks, and what either scores, on the val images of BUSI."""
    from reference_path import ReferenceSegmenter

    from napari_wavegms.learn.metrics import dice
    from napari_wavegms.learn.pairs import load_pairs
    from napari_wavegms.segment.preprocessing import prepare_mask
    from napari_wavegms.segment.segmenter import Segmenter

    data = Path("../shared/data/busi")
    pairs = load_pairs(data / "images", data / "masks", data / "split.json", "val")
    reference, ours = ReferenceSegmenter(MODEL), Segmenter.from_checkpoint(MODEL, "cpu")
    plain = Segmenter.from_checkpoint(MODEL, "cpu")
    plain._inference = type(ours._inference)(plain.model, plain.codec, "cpu", bfloat16=False)
    rows = []
    for pair in pairs[:: max(1, len(pairs) // options.images)]:
        truth = prepare_mask(pair.mask, ours.preprocessing)
        official, quick, exact = (each.frame_probability(pair.image) >= 0.5 for each in (reference, ours, plain))
        scores = [dice(each, truth) for each in (official, quick, exact)]
        rows.append([dice(quick, official), dice(quick, exact), dice(exact, official), *scores])
    mean = [round(float(value), 4) for value in np.mean(rows, axis=0)]
    names = ("quick_reference", "quick_float32", "float32_reference", "score_reference", "score_quick", "score_float32")
    worst = [round(float(value), 4) for value in np.min(rows, axis=0)[:3]]
    return {"images": len(rows), "mean_dsc": dict(zip(names, mean, strict=True)), "worst_of_first_three": worst}


def fresh(*arguments: object) -> dict[str, Any]:
    run = subprocess.run(
        [sys.executable, HERE / "speed_child.py", *map(str, arguments)], capture_output=True, text=True
    )
    if run.returncode:
        raise SystemExit(run.stderr)
    return json.loads(run.stdout.splitlines()[-1])


def files(options: argparse.Namespace) -> dict[str, Any]:
    """Files from the command line, start to end, the start of Python and torch included."""
    from PIL import Image

    from napari_wavegms.samples import ultrasound_phantom

    with tempfile.TemporaryDirectory() as folder:
        scans = Path(folder, "scans")
        scans.mkdir()
        phantoms = [ultrasound_phantom(seed).image for seed in range(10)]
        for number in range(options.files):
            Image.fromarray(phantoms[number % 10]).save(scans / f"scan{number:03}.png")
        rounds = []
        for _ in range(options.rounds):
            rounds.append([])
            for path in ("reference", "ours"):
                before, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
                fresh("files", path, MODEL, scans, Path(folder, path))
                after = resource.getrusage(resource.RUSAGE_CHILDREN)
                cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
                rounds[-1].append((time.perf_counter() - wall, cpu))
    return {"files": options.files, **compared(*zip(*rounds, strict=True))}


def step(options: argparse.Namespace) -> dict[str, Any]:
    """One training step of the paper's recipe, and of the Full that the dock offers, each in fresh processes."""
    told = {}
    kinds = ("reference", "recipe", "full")
    rounds = [[fresh("step", kind, MODEL, options.batch) for kind in kinds] for _ in range(options.rounds)]
    by_kind = {kind: [each[i] for each in rounds] for i, kind in enumerate(kinds)}
    costs = {kind: [(each["wall_s"], each["cpu_s"]) for each in runs] for kind, runs in by_kind.items()}
    for kind in kinds[1:]:
        told[kind] = compared(costs["reference"], costs[kind])
    # Above what Python, torch and the network take before the first step.
    told["peak_mib"] = {kind: quartiles([each["peak_mib"] for each in runs]) for kind, runs in by_kind.items()}
    told["base_mib"] = {kind: quartiles([each["base_mib"] for each in runs]) for kind, runs in by_kind.items()}
    return {"batch": options.batch, **told}


def first(options: argparse.Namespace) -> dict[str, Any]:
    """The first mask of a fresh process, and where its time goes."""
    rounds = [fresh("first", MODEL) for _ in range(options.rounds + 1)][1:]  # the first one fills disk caches
    return {name: quartiles([each[name] for each in rounds]) for name in rounds[0]}


def large(options: argparse.Namespace) -> dict[str, Any]:
    """RGB images of 1k to 8k a side: seconds, and memory above what was there before."""
    told = {}
    for side in (1024, 2048, 4096, 8192):
        rounds = [fresh("large", MODEL, side) for _ in range(max(1, options.rounds // 2))]
        told[side] = {name: quartiles([each[name] for each in rounds]) for name in rounds[0]}
    return told


ROWS = {row.__name__: row for row in (image, masks, files, step, first, large)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("row", nargs="*", choices=[*ROWS, []], default=list(ROWS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--files", type=int, default=200)
    parser.add_argument("--images", type=int, default=10_000, help="of BUSI val, evenly chosen (default: all)")
    parser.add_argument("--batch", type=int, default=12)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    import torch

    told: dict[str, Any] = {
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}",
        "capabilities": [name for name, there in torch.cpu.get_capabilities().items() if there is True],
    }
    print(json.dumps(told), flush=True)
    for name in options.row:
        told[name] = ROWS[name](options)
        print(name, json.dumps(told[name], indent=1), flush=True)
    if options.json:
        options.json.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
