"""Time and peak memory of a first mask; run as a script, in a fresh process."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

_STATUS = Path("/proc/self/status")


def peak_mib() -> float | None:
    """Largest resident memory of this process so far, in MiB; None where the system does not tell, as on Windows."""
    if _STATUS.is_file():
        # On Linux getrusage reports the peak of the parent to a process that it has just started.
        fields = dict(line.split(":", 1) for line in _STATUS.read_text().splitlines() if ":" in line)
        return float(fields["VmHWM"].split()[0]) / 1024 if "VmHWM" in fields else None
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def random_image(side: int) -> Any:
    """RGB noise (side, side, 3), uint8; the content does not change how long segmentation takes."""
    import numpy as np

    return np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)


def main(model: str, device: str) -> None:
    """Import, load, segment; print wall and processor seconds of each stage as JSON."""
    stages: dict[str, tuple[float, float]] = {}

    def timed(stage: str, work: Callable[[], Any]) -> Any:
        wall, processor = time.perf_counter(), time.process_time()
        done = work()
        stages[stage] = (time.perf_counter() - wall, time.process_time() - processor)
        return done

    timed("torch", lambda: import_module("torch"))
    from napari_wavegms.segment.segmenter import Segmenter

    segmenter = timed("model", lambda: Segmenter.from_checkpoint(model, device))
    image = random_image(224)
    timed("mask", lambda: segmenter.segment(image))
    # Clock time, because only the parent knows when Python was started.
    end = {"at": time.time(), "processor": time.process_time(), "peak_mib": peak_mib()}
    print(json.dumps({"stages": stages, **end}))


if __name__ == "__main__":
    main(*sys.argv[1:])
