"""The demo in napari: the ultrasound sample and the Segment panel, which is pressed once."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

_PROBE = "from qtpy.QtWidgets import QApplication; QApplication([])"
_PROBE_SECONDS = 60
_HEADLESS_PLATFORMS = ("offscreen", "minimal", "vnc")  # Qt draws there, but nobody sees it and OpenGL is missing


def open_window(model: Path | None = None) -> str:
    """Show the segmented sample in napari until its window is closed; return why there is none, or an empty string."""
    if why_not := no_screen(os.environ, sys.platform) or _no_qt():
        return why_not
    try:
        _show(model)
    except Exception as error:  # napari and Qt fail in many ways, and the files can be written all the same
        return f"napari does not start ({type(error).__name__}: {error})"
    return ""


def no_screen(environment: Mapping[str, str], platform: str) -> str:
    """Say why no window can be shown; empty where nothing speaks against it.

    Examples
    --------
    >>> no_screen({}, "linux")
    'there is no display'
    >>> no_screen({"WAYLAND_DISPLAY": "wayland-0"}, "linux"), no_screen({}, "darwin")
    ('', '')
    """
    wished = environment.get("QT_QPA_PLATFORM", "").partition(":")[0]
    if wished in _HEADLESS_PLATFORMS:
        return f"QT_QPA_PLATFORM is '{wished}'"
    has_display = environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY")
    return "" if platform in ("darwin", "win32") or has_display else "there is no display"


def _no_qt() -> str:
    """Try Qt in a process of its own, because where it cannot reach the display it ends the process it is in."""
    try:
        probe = subprocess.run(
            [sys.executable, "-c", _PROBE], capture_output=True, text=True, timeout=_PROBE_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return "Qt does not answer"
    if probe.returncode == 0:
        return ""
    lines = [line for line in probe.stderr.splitlines() if line.strip()]
    return f"Qt does not start ({lines[-1].strip() if lines else f'exit code {probe.returncode}'})"


def _show(model: Path | None) -> None:
    import napari

    viewer = napari.Viewer(title="Wave-GMS: a synthetic ultrasound image")
    viewer.open_sample("napari-wavegms", "ultrasound")
    for layer in viewer.layers:
        layer.visible = not layer.name.endswith("_truth")
    _, panel = viewer.window.add_plugin_dock_widget("napari-wavegms", "Wave-GMS Segment")
    if model is not None:
        panel.panel.model_row.open_file(model)
    panel.segment()
    napari.run()
