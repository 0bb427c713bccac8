"""What `speed.py` runs in fresh processes; prints its figures as the last line, in JSON."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

START = time.perf_counter()


def peak_mib() -> float:
    """Largest resident memory of this process so far, in MiB; Linux."""
    # getrusage reports the peak of the parent to a process that it has just started.
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
    return float(fields["VmHWM"].split()[0]) / 1024


def step(kind: str, model: str, batch: str) -> dict[str, float]:
    from reference_path import TrainingStep

    from napari_wavegms.finetune.presets import FULL
    from napari_wavegms.learn.pairs import Pair
    from napari_wavegms.samples import ultrasound_phantom

    phantoms = [ultrasound_phantom(seed) for seed in range(int(batch))]
    pairs = [Pair(str(seed), phantom.image, phantom.mask != 0) for seed, phantom in enumerate(phantoms)]
    dock = {name: getattr(FULL.config, name) for name in ("augmentation", "alignment_weight", "decoded_levels")}
    take = TrainingStep(pairs, model, kind == "reference", **(dock if kind == "full" else {}))
    base = peak_mib()
    steps = 0 if kind == "reference" else 3
    costs = []
    for number in range(steps + 1):
        wall, cpu = time.perf_counter(), time.process_time()
        take()
        if number or kind == "reference":  # the first one also compiles and allocates; at 20 s that is nothing
            costs.append((time.perf_counter() - wall, time.process_time() - cpu))
    wall, cpu = (sorted(column)[len(column) // 2] for column in zip(*costs, strict=True))
    return {"wall_s": wall, "cpu_s": cpu, "peak_mib": peak_mib(), "base_mib": base}


def files(path: str, model: str, scans: str, output: str) -> dict[str, float]:
    if path == "ours":
        from napari_wavegms.cli import main

        code = main(["segment", scans, "--output", output, "--model", model, "--device", "cpu"])
        return {"code": code}
    from reference_path import ReferenceSegmenter

    from napari_wavegms.files.mask_writer import write_mask
    from napari_wavegms.files.provenance import Provenance
    from napari_wavegms.files.reading import read_image

    segmenter = ReferenceSegmenter(model)
    Path(output).mkdir(exist_ok=True)
    for file in sorted(Path(scans).iterdir()):
        loaded = read_image(file)
        mask = (segmenter.probability(loaded.pixels) >= 0.5).astype("uint8")
        write_mask(
            Path(output, f"{file.stem}_mask.tiff"), mask, loaded.spacing, "YX", Provenance.now(model, 0.5, file.name)
        )
    return {"code": 0}


def first(model: str) -> dict[str, float]:
    """Processor seconds of each stage, and wall seconds of all."""
    told, began = {}, time.process_time()

    def done(stage: str) -> None:
        nonlocal began
        told[f"{stage}_cpu_s"], began = time.process_time() - began, time.process_time()

    told["python_cpu_s"] = began
    import numpy as np

    done("numpy")
    import torch  # noqa: F401

    done("torch")
    from napari_wavegms.segment.segmenter import Segmenter

    done("our_modules")
    segmenter = Segmenter.from_checkpoint(model, "cpu")
    done("model")
    image = np.random.default_rng(0).integers(0, 255, (480, 600, 3), np.uint8)
    segmenter.segment(image)
    told["all_wall_s"], told["all_cpu_s"] = time.perf_counter() - START, time.process_time()
    done("first_mask")
    segmenter.segment(image)
    done("second_mask")
    return told


def large(model: str, side: str) -> dict[str, float]:
    import numpy as np

    from napari_wavegms.segment.segmenter import Segmenter

    segmenter = Segmenter.from_checkpoint(model, "cpu")
    segmenter.segment(np.zeros((224, 224, 3), np.uint8))
    tile = np.random.default_rng(0).integers(0, 255, (256, 256, 3), np.uint8)
    image = np.tile(tile, (int(side) // 256, int(side) // 256, 1))
    base, wall, cpu = peak_mib(), time.perf_counter(), time.process_time()
    segmenter.segment(image)
    return {
        "wall_s": time.perf_counter() - wall,
        "cpu_s": time.process_time() - cpu,
        "above_base_mib": peak_mib() - base,
    }


if __name__ == "__main__":
    print(json.dumps({"step": step, "files": files, "first": first, "large": large}[sys.argv[1]](*sys.argv[2:])))
