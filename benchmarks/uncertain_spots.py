"""How long the window waits for uncertain spots of a large image, and how long a person does.

    python benchmarks/uncertain_spots.py [--side 4096] [--repeats 5]

A mask of side x side pixels with a blurred border is made, and the key for the next uncertain spot is pressed; then the
uncertainty is shown as a layer. "Gap" is the longest time between two turns of a 1 ms timer while that goes on. Needs a
display; `xvfb-run` will do. To compare two commits, run it with either's `src` on `PYTHONPATH`, in turns.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable

import napari
import numpy as np
from qtpy.QtCore import QEventLoop, QTimer
from qtpy.QtWidgets import QApplication

from napari_wavegms.segment.planes import plan_stack
from napari_wavegms.widgets.layers.mask_history import Written
from napari_wavegms.widgets.layers.mask_layers import add_mask
from napari_wavegms.widgets.tools.uncertainty_tool import UncertaintyTool


def probability_of(side: int, seed: int) -> np.ndarray:
    rows, columns = np.ogrid[:side, :side]
    centre = np.random.default_rng(seed).integers(side // 3, 2 * side // 3, 2)
    distance = np.hypot(rows - centre[0], columns - centre[1])
    return (1 / (1 + np.exp((distance - side / 5) / (side / 60)))).astype(np.float32)


def measured(press: Callable[[], object], done: Callable[[], bool]) -> dict[str, float]:
    """Press, and run the window until it is done."""
    loop, timer, turns = QEventLoop(), QTimer(), [time.perf_counter()]

    def turn() -> None:
        turns.append(time.perf_counter())
        if done():
            loop.quit()

    timer.timeout.connect(turn)
    timer.start(1)
    busy = time.thread_time()
    press()
    loop.exec()
    worked = time.thread_time() - busy
    gap = float(np.diff(turns).max())
    return {"gap_ms": gap * 1000, "processor_ms": worked * 1000, "wait_ms": (turns[-1] - turns[0]) * 1000}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=4096)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    app = QApplication.instance() or QApplication([])
    viewer = napari.Viewer(show=True)
    tool, heard = UncertaintyTool(viewer), []
    tool.said.connect(lambda sentence, _kind: heard.append(sentence))
    image = viewer.add_image(np.zeros((options.side, options.side), np.uint8))
    plan = plan_stack((options.side, options.side), "uint8", rgb=False)
    results: dict[str, list[dict[str, float]]] = {"spot": [], "layer": []}
    for seed in range(options.repeats + 1):
        mask = add_mask(viewer, image, plan, "a", {(None, None): Written(probability_of(options.side, seed), 0.5)})
        viewer.layers.selection.active = mask
        app.processEvents()
        heard.clear()
        spot = measured(tool.next, lambda: any("Uncertain spot" in sentence for sentence in heard))
        layer = measured(tool.show_layer, lambda: tool.shown)
        if seed:  # the first one warms up
            results["spot"].append(spot)
            results["layer"].append(layer)
        tool.close()
        viewer.layers.remove(mask)
    report = {
        what: {name: round(float(np.median([one[name] for one in several])), 1) for name in several[0]}
        for what, several in results.items()
    }
    print(json.dumps(report))
    viewer.close()


if __name__ == "__main__":
    main()
