"""Our panels in napari's window: behind one another, and narrow where the window is."""

from __future__ import annotations

from typing import Any

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDockWidget

PANELS = ("Wave-GMS Segment", "Wave-GMS Fine-tune", "Wave-GMS Review")
NARROW = 260


@pytest.fixture
def window(shown_viewer: Any, qtbot: Any) -> Any:
    viewer = shown_viewer
    viewer.window.resize(1100, 700)
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
