"""Fill a layout, and make a button, in one line."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from qtpy.QtWidgets import QBoxLayout, QLayout, QPushButton, QWidget

Box = TypeVar("Box", bound=QBoxLayout)


def fill(layout: Box, *parts: QWidget | QLayout, margin: int = 0, spacing: int = 4) -> Box:
    """Put widgets and layouts one after another; `margin` and `spacing` are in pixels of the screen."""
    layout.setContentsMargins(margin, margin, margin, margin)
    layout.setSpacing(spacing)
    for part in parts:
        if isinstance(part, QWidget):
            layout.addWidget(part)
        else:
            layout.addLayout(part)
    return layout


def push_button(text: str, tooltip: str, action: Callable[[], object]) -> QPushButton:
    """Make a button that does something when pressed."""
    button = QPushButton(text)
    button.setToolTip(tooltip)
    button.clicked.connect(lambda: action())
    return button
