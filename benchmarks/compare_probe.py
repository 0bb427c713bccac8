"""What `compare.py` measures of one commit, through interfaces that are there to stay; prints JSON."""

import json
import sys
import tempfile
import time

BORN = time.perf_counter()

import numpy as np  # noqa: E402

from napari_wavegms.learn.config import TrainConfig  # noqa: E402
from napari_wavegms.learn.events import TrainStep  # noqa: E402
from napari_wavegms.learn.pairs import Pair  # noqa: E402
from napari_wavegms.learn.train import iter_train  # noqa: E402
from napari_wavegms.model.checkpoint import load_checkpoint  # noqa: E402
from napari_wavegms.model.codec import load_codec  # noqa: E402
from napari_wavegms.model.registry import resolve  # noqa: E402
from napari_wavegms.samples import ultrasound_phantom  # noqa: E402
from napari_wavegms.segment.segmenter import Segmenter  # noqa: E402

STEPS, IMAGES = 4, 7


def now() -> np.ndarray:
    return np.array([time.perf_counter(), time.process_time()])


def middle(times: list[np.ndarray], name: str) -> dict[str, float]:
    wall, cpu = np.median(np.diff(np.stack(times), axis=0), axis=0)
    return {f"{name}_wall_s": float(wall), f"{name}_cpu_s": float(cpu)}


def first_mask() -> dict[str, float]:
    Segmenter.from_checkpoint("breast-ultrasound", "cpu").segment(ultrasound_phantom(0).image)
    return {"first_mask_wall_s": time.perf_counter() - BORN, "first_mask_cpu_s": time.process_time()}


def segment() -> dict[str, float]:
    segmenter, image = Segmenter.from_checkpoint("breast-ultrasound", "cpu"), ultrasound_phantom(0).image
    times = []
    for _ in range(IMAGES + 1):
        segmenter.segment(image)
        times.append(now())
    return middle(times, "segment")


def training(batch: int) -> dict[str, float]:
    network, card = load_checkpoint(resolve("breast-ultrasound"))
    phantoms = [ultrasound_phantom(seed) for seed in range(batch)]
    pairs = [Pair(str(seed), phantom.image, phantom.mask != 0) for seed, phantom in enumerate(phantoms)]
    config = TrainConfig(epochs=STEPS + 2, batch=batch)
    with tempfile.TemporaryDirectory() as folder:
        events = iter_train(pairs, [], network, load_codec(), config, folder, card=card)
        times = [now() for event in events if isinstance(event, TrainStep)]
    return middle(times, "step")


if __name__ == "__main__":
    print(json.dumps({**first_mask(), **segment(), **training(int(sys.argv[1]))}))
