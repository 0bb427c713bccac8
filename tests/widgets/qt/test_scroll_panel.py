"""A scrolled panel is never narrower than what it shows, also when that grows."""

from __future__ import annotations

from pytestqt.qtbot import QtBot
from qtpy.QtWidgets import QLabel, QMainWindow, QVBoxLayout, QWidget

from napari_wavegms.widgets.qt.docks import ScrolledPanel


def test_a_dock_is_as_wide_as_its_panel_needs_even_after_it_grew(qtbot: QtBot) -> None:
    panel = QWidget()
    label = QLabel("short", panel)
    QVBoxLayout(panel).addWidget(label)
    window = QMainWindow()
    qtbot.addWidget(window)
    window.setCentralWidget(ScrolledPanel(panel))
    window.resize(50, 50)
    window.show()
    for width in (80, 400, 120):
        label.setMinimumWidth(width)
        qtbot.waitUntil(lambda needed=width: panel.width() >= panel.minimumSizeHint().width() >= needed)
        assert window.minimumSizeHint().height() < 200
