"""Has napari, our panels and torch in memory and runs scripts in forks of itself; `forked_window` in conftest.py asks.

To import them takes longer than most of those windows live, and a fork ends as a program of its own does. Each line
that comes is an environment and the words of a command. The fork tells the number of its process and what the script
prints; "ended" and the exit code are the last line.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import signal
import sys

import pint
from napari.plugins import _initialize_plugins

PATIENCE = 900  # seconds, after which a window that hangs is ended
PANELS = ("napari_wavegms.widgets.review.widget", "napari_wavegms.widgets.segment.widget")

# What a window imports and reads for itself, its first layers included, takes longer than all the rest of its life.
LATER = ("napari._qt.qt_main_window", "skimage.color", "skimage.exposure", "skimage.util", "xarray")
for module in ("napari.viewer", "torch", *LATER, *PANELS):
    importlib.import_module(module)
_initialize_plugins()
pint.get_application_registry().get().Unit("mm")  # it reads all units there are
gc.freeze()  # or each look through all objects would copy the pages they are in
for line in sys.stdin:
    if child := os.fork():
        sys.stdout.write(f"ended {os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\n")
        sys.stdout.flush()
        continue
    signal.alarm(PATIENCE)
    environment, sys.argv = json.loads(line)
    os.environ.update(environment)
    sys.stdout.write(f"{os.getpid()}\n")
    sys.stdout.flush()
    runpy.run_path(sys.argv[0], run_name="__main__")
    break
