"""What napari opens: docks that are there at once, and hold their panel as soon as it is imported and made.

A worker imports it, which would hold the window up for half a second, and then what the first acts in it will need.
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import suppress
from functools import partial
from importlib import import_module
from typing import Any, ClassVar

import pint
from napari.components import ViewerModel
from qtpy.QtCore import QEvent, Qt
from qtpy.QtWidgets import QDockWidget, QLabel, QMainWindow, QSizePolicy, QVBoxLayout, QWidget

from napari_wavegms.widgets.jobs import JobRunner, Outcome, preload_napari_imports
from napari_wavegms.widgets.qt.docks import enclosing
from napari_wavegms.widgets.qt.lifetime import single_shot

_PACKAGE = "napari_wavegms.widgets"
_NAPARI_ASKS = ("native", "reset_choices")  # whether we are a widget of magicgui's


class _Dock(QWidget):
    """Has the attributes of its panel's widget; whoever asks for one of them gets the widget made at once.

    Parameters
    ----------
    napari_viewer : ViewerModel
        napari passes it by this name.
    """

    _module: ClassVar[str]
    _class: ClassVar[str]

    def __init__(self, napari_viewer: ViewerModel) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._widget: QWidget | None = None
        self._told = QLabel("Opening…")
        self._told.setWordWrap(True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._told)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        self._make_soon, self._widen_soon = single_shot(self, 0, self._make), single_shot(self, 0, self._widen)
        self._importer, self._warmer = JobRunner(self), JobRunner(self)
        self._importer.ended.connect(self._on_imported)
        self._warmer.progressed.connect(_take_units)

    @property
    def is_ready(self) -> bool:
        """Whether the panel is there."""
        return self._widget is not None

    def __getattr__(self, name: str) -> Any:
        if name in _NAPARI_ASKS or (name.startswith("_") and self.__dict__.get("_widget") is None):
            raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")
        return getattr(self._make(), name)

    def changeEvent(self, event: QEvent | None) -> None:
        """Begin when napari docks us; then close and open with the dock, as the widget does by itself elsewhere."""
        if event is not None and event.type() == QEvent.Type.ParentChange:
            self._on_docked() if self.parent() is not None else self._on_taken_out()
        super().changeEvent(event)

    def _on_docked(self) -> None:
        if self._widget is not None:
            self._put_in(self._widget)
        elif self._module in sys.modules:
            self._make_soon.start()
        elif not self._importer.busy:
            self._importer.start(partial(_import_job, self._module))

    def _on_taken_out(self) -> None:
        self._importer.abandon()
        self._make_soon.stop()
        self._warmer.abandon()
        if self._widget is not None:
            self._widget.setParent(None)

    def _make(self) -> QWidget:
        if self._widget is None:
            kind = getattr(import_module(self._module), self._class)
            self._widget = kind(self._viewer)
            self._told.hide()
            self._put_in(self._widget)
            self._widen_soon.start()
            self._warmer.start(_warm_up_job)
        return self._widget

    def _put_in(self, widget: QWidget) -> None:
        layout = self.layout()
        assert layout is not None
        layout.addWidget(widget)
        widget.show()

    def _widen(self) -> None:
        """Make the dock as wide as the panel, which napari's theme has reached by now, would have made it."""
        window, dock = enclosing(self, QMainWindow), enclosing(self, QDockWidget)
        if window is not None and dock is not None and not dock.isFloating():
            window.resizeDocks([dock], [max(dock.width(), self.sizeHint().width())], Qt.Orientation.Horizontal)

    def _on_imported(self, outcome: Outcome) -> None:
        if outcome.error is None:
            self._make()
        else:
            self._told.setText(f"The panel cannot be opened. {outcome.error}")


class SegmentDock(_Dock):
    """Wave-GMS Segment; see `widgets.segment.widget.SegmentWidget`."""

    _module, _class = f"{_PACKAGE}.segment.widget", "SegmentWidget"


class ReviewDock(_Dock):
    """Wave-GMS Review; see `widgets.review.widget.ReviewWidget`."""

    _module, _class = f"{_PACKAGE}.review.widget", "ReviewWidget"


class FineTuneDock(_Dock):
    """Wave-GMS Fine-tune; see `widgets.finetune.widget.FineTuneWidget`."""

    _module, _class = f"{_PACKAGE}.finetune.widget", "FineTuneWidget"


def _import_job(module: str) -> Generator[None, None, None]:
    yield
    import_module(module)


def _warm_up_job() -> Generator[Any, None, None]:
    """Import in a worker what would hold up the window at a first image, mask, clean-up, box or panel.

    Neither PyTorch, which a person may never need, nor napari's layers, which two threads must not make at a time.
    """
    yield
    if _units_are_unread():
        yield pint.UnitRegistry(on_redefinition="raise")  # as pint itself makes it
    preload_napari_imports()
    yield
    import_module("scipy.ndimage")
    yield
    # For a first Shapes layer, such as our box; numba has a lock of its own, and another napari may not have this.
    with suppress(ImportError, AttributeError):
        import_module("napari.layers.shapes._accelerated_triangulate_dispatch").warmup_numba_cache()
    for panel in ("segment", "review", "finetune"):
        yield
        import_module(f"{_PACKAGE}.{panel}.widget")


def _units_are_unread() -> bool:
    """Whether pint would read its units, a third of a second, in whichever thread makes the first layer."""
    in_use = pint.get_application_registry()
    return isinstance(in_use.get(), pint.registry.LazyRegistry)


def _take_units(units: Any) -> None:
    """Give napari, in the window's thread, the units that a worker has read, unless they have been read meanwhile."""
    if units is not None and _units_are_unread():
        pint.set_application_registry(units)
