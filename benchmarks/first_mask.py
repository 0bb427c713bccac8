"""How long a user waits: napari's start, the panel, and from the first press on Segment to the mask.

    python benchmarks/first_mask.py [--rounds 5] [--json FILE]

Each round is a fresh process: a viewer, the panel from the Plugins menu, an ultrasound image of 480 x 600 pixels; once
everything is drawn, Segment is pressed. torch is imported only then. Wall time, the median of the rounds with its
quartiles, and when after the press each thing was there. Needs a display; `xvfb-run -a` will do. `speed.py first` has
the processor time of the same steps without a window.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from speed import quartiles

STARTED = time.perf_counter()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(one_start()))
        return
    rounds = [child() for _ in range(options.rounds + 1)][1:]  # the first one fills disk caches
    told = {name: quartiles([each[name] for each in rounds]) for name in rounds[0]}
    print(json.dumps(told, indent=1))
    if options.json:
        options.json.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def child() -> dict[str, float]:
    run = subprocess.run([sys.executable, __file__, "--child"], capture_output=True, text=True)
    if run.returncode:
        raise SystemExit(run.stderr)
    return json.loads(run.stdout.splitlines()[-1])


def one_start() -> dict[str, float]:
    """Seconds of each stage in this process."""
    import napari
    from napari.layers import Labels
    from qtpy.QtCore import QEventLoop, QTimer

    from napari_wavegms.samples import ultrasound_phantom

    def wait_until(done: Callable[[], bool], at_least: float = 0.0, then: Callable[[], None] | None = None) -> None:
        loop, timer, begun = QEventLoop(), QTimer(), time.perf_counter()

        def look() -> None:
            if then is not None:
                then()
            if done() and time.perf_counter() - begun >= at_least:
                loop.quit()

        timer.timeout.connect(look)
        timer.start(1)
        loop.exec()

    viewer = napari.Viewer()
    viewer.add_image(np.resize(ultrasound_phantom(0).image, (480, 600)), name="scan")
    wait_until(lambda: True, at_least=0.2)
    shown = time.perf_counter()
    _, widget = viewer.window.add_plugin_dock_widget("napari-wavegms", "Wave-GMS Segment")
    docked = time.perf_counter()
    wait_until(lambda: True, at_least=2.0)
    assert "torch" not in sys.modules
    pressed, marks = time.perf_counter(), {}

    def mark() -> None:
        for name in ("torch", "napari_wavegms.segment.segmenter"):
            module = sys.modules.get(name)
            if module is not None and not getattr(module.__spec__, "_initializing", False):
                marks.setdefault(f"{name.rpartition('.')[2]}_imported", time.perf_counter() - pressed)

    widget.segment()
    returned = time.perf_counter() - pressed
    wait_until(lambda: any(isinstance(layer, Labels) for layer in viewer.layers), then=mark)
    mask = time.perf_counter() - pressed
    wait_until(lambda: not widget.busy)
    again = time.perf_counter()
    widget.segment()
    wait_until(lambda: not widget.busy)
    return {
        "viewer": shown - STARTED - 0.2,
        "panel": docked - shown,
        "press_returned": returned,
        **marks,
        "mask": mask,
        "second_mask": time.perf_counter() - again,
    }


if __name__ == "__main__":
    main()
