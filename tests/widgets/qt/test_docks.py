"""Our panels in napari's window: behind one another, and narrow where the window is."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDockWidget

from napari_wavegms.finetune.gate import Verdict
from napari_wavegms.finetune.versions import ModelVersions

PANELS = ("Wave-GMS Segment", "Wave-GMS Fine-tune", "Wave-GMS Review")
NARROW = 260


@pytest.fixture
def window(make_napari_viewer: Any, qtbot: Any) -> Any:
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1100, 700)
    viewer.add_image(np.zeros((3, 16, 16), np.int16), axis_labels=("z", "y", "x"))  # so that Segment has all its rows
    for name in PANELS:
        viewer.window.add_plugin_dock_widget("napari-wavegms", name)
        qtbot.wait(50)  # the next event of the loop puts it in its place
    return viewer.window


def test_panels_of_ours_become_tabs_and_can_be_narrow(window: Any, qtbot: Any) -> None:
    main = window._qt_window
    docks = [dock for dock in main.findChildren(QDockWidget) if dock.windowTitle().startswith(PANELS)]
    assert len(docks) == len(PANELS)
    for dock in docks:
        assert {*main.tabifiedDockWidgets(dock), dock} == set(docks)
        assert dock.minimumSizeHint().width() <= NARROW

    def is_narrow(dock: QDockWidget) -> bool:
        main.resizeDocks([dock], [NARROW], Qt.Orientation.Horizontal)
        return dock.width() <= NARROW

    for dock in docks:
        dock.raise_()
        qtbot.wait(10)
        qtbot.waitUntil(lambda shown=dock: is_narrow(shown))


def test_a_tab_that_comes_to_the_front_knows_the_version_in_use(
    model_file: Path, make_napari_viewer: Any, qtbot: Any
) -> None:
    viewer = make_napari_viewer(show=True)
    (dock, segment), (_, review) = (
        viewer.window.add_plugin_dock_widget("napari-wavegms", name) for name in ("Wave-GMS Segment", "Wave-GMS Review")
    )
    main = viewer.window._qt_window
    qtbot.waitUntil(lambda: len(main.tabifiedDockWidgets(dock)) == 1)
    version = ModelVersions().add(partial(shutil.copy, model_file), Verdict("first"), "tiny")
    ModelVersions().promote(version.number)
    assert segment.panel.model_row.choice.name != version.name
    (other,) = main.tabifiedDockWidgets(dock)
    for each, panel in ((dock, segment), (other, review)):
        each.raise_()
        qtbot.waitUntil(lambda panel=panel: panel.panel.model_row.choice.name == version.name)
