"""`wavegms demo` on a screen: napari opens with the sample, and the panel segments it by itself."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
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


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")
@pytest.mark.skipif(bool(no_screen(os.environ, sys.platform)), reason="there is no display to open a window on")
def test_napari_opens_with_the_segmented_sample(
    model: Path, tmp_path: Path, forked_window: Callable[..., Iterator[str]]
) -> None:
    script = tmp_path / "demo.py"
    script.write_text(SCRIPT, encoding="utf-8")
    *said, ended = forked_window(script, model)
    layers, why_not = (json.loads(line) for line in said if line.startswith(("{", '"')))
    assert (why_not, ended) == ("", "ended 0")
    assert layers == {
        "ultrasound_phantom_0": True,
        "ultrasound_phantom_0_truth": False,
        "ultrasound_phantom_0 mask": True,
    }
