"""`wavegms demo` on a screen: napari opens with the sample, and the panel segments it by itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from napari_wavegms.widgets.demo_window import no_screen

# A timer of Qt's looks for the mask, closes the window and so ends the demo.
SCRIPT = """
import json, sys
from pathlib import Path
import napari
from napari.qt import get_qapp
from qtpy.QtCore import QTimer
from napari_wavegms.widgets.demo_window import open_window

app = get_qapp()

def look():
    viewer = napari.current_viewer()
    if viewer is not None and any(layer.name.endswith(" mask") for layer in viewer.layers):
        timer.stop()
        print(json.dumps({layer.name: layer.visible for layer in viewer.layers}), flush=True)
        viewer.close()

timer = QTimer()
timer.timeout.connect(look)
timer.start(200)
print(json.dumps(open_window(Path(sys.argv[1]))))
"""


@pytest.mark.skipif(bool(no_screen(os.environ, sys.platform)), reason="there is no display to open a window on")
def test_napari_opens_with_the_segmented_sample(model: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT, str(model)]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    layers, why_not = (json.loads(line) for line in run.stdout.splitlines() if line[:1] in '{"')
    assert why_not == "", run.stderr
    assert layers == {
        "ultrasound_phantom_0": True,
        "ultrasound_phantom_0_truth": False,
        "ultrasound_phantom_0 mask": True,
    }
