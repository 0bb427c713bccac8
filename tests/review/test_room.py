"""The room as a whole: what importing it loads."""

from __future__ import annotations

import json
import pkgutil
import subprocess
import sys

from napari_wavegms import review

HEAVY = {"torch", "diffusers", "scipy", "skimage", "napari", "qtpy", "PyQt6", "magicgui", "superqt"}


def test_no_module_of_the_room_loads_torch_or_a_window() -> None:
    modules = [f"napari_wavegms.review.{module.name}" for module in pkgutil.iter_modules(review.__path__)]
    assert len(modules) > 8
    code = f"import {', '.join(modules)}, sys, json; print(json.dumps([n.split('.')[0] for n in sys.modules]))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert set(json.loads(run.stdout)) & HEAVY == set()
