"""What napari opens: a dock at once, its panel a moment later or when it is asked for."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from napari_wavegms.widgets.entry import FineTuneDock, ReviewDock, SegmentDock


@pytest.fixture
def viewer(shared_viewer: Any) -> Iterator[Any]:
    yield shared_viewer
    shared_viewer.window.remove_dock_widget("all")
    shared_viewer.layers.clear()


@pytest.mark.parametrize("kind", [SegmentDock, FineTuneDock, ReviewDock])
def test_the_panel_is_made_after_the_dock_is_there(kind: Any, viewer: Any, qtbot: Any) -> None:
    widget = kind(viewer)
    viewer.window.add_dock_widget(widget)
    assert not widget.is_ready
    qtbot.waitUntil(lambda: widget.is_ready)
    assert widget.panel.isVisibleTo(widget)


def test_a_script_that_asks_for_the_panel_has_it_at_once(viewer: Any) -> None:
    widget = SegmentDock(viewer)
    assert not widget.busy
    assert widget.is_ready
    assert not hasattr(widget, "no_such")


def test_the_panel_rests_while_its_dock_is_closed(viewer: Any, qtbot: Any) -> None:
    widget = SegmentDock(viewer)
    dock = viewer.window.add_dock_widget(widget)
    qtbot.waitUntil(lambda: widget.is_ready)
    image = viewer.add_image(np.zeros((8, 8), np.uint8))
    assert widget.panel.options.image == image.unique_id
    viewer.window.remove_dock_widget(dock)
    viewer.layers.remove(image)
    assert widget.panel.options.image == image.unique_id, "nobody follows the viewer meanwhile"
    viewer.window.add_dock_widget(widget)
    assert widget.panel.options.image is None
    assert widget.panel.isVisibleTo(widget)


def test_a_dock_that_is_closed_at_once_makes_no_panel(viewer: Any, qtbot: Any) -> None:
    widget = SegmentDock(viewer)
    viewer.window.remove_dock_widget(viewer.window.add_dock_widget(widget))
    qtbot.wait(1)
    assert not widget.is_ready


def test_what_is_warmed_up_is_neither_torch_nor_another_unit_registry_than_layers_use() -> None:
    code = """
import sys, time, napari, numpy as np, pint
from napari_wavegms.widgets.jobs import JobRunner
viewer = napari.Viewer(show=False)
read_by_pint = pint.get_application_registry().get()
_, widget = viewer.window.add_plugin_dock_widget("napari-wavegms", "Wave-GMS Segment")
from qtpy.QtWidgets import QApplication
end = time.monotonic() + 120
def rests():
    QApplication.processEvents()
    return widget.is_ready and not any(runner.busy for runner in widget.findChildren(JobRunner))
while not rests() and time.monotonic() < end:
    pass
units = pint.get_application_registry().get()
print(units is not read_by_pint, "torch" in sys.modules, "napari_wavegms.widgets.review.widget" in sys.modules)
layer = viewer.add_image(np.eye(2), scale=(2, 2), units=("mm", "mm"))
print(layer.units[0] == units.mm, pint.Unit("mm") == layer.units[0])
viewer.close()
"""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == ["True", "False", "True", "True", "True"]
