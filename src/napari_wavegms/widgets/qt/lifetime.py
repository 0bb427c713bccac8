"""What happens when Qt destroys an object, or a moment has passed."""

from __future__ import annotations

from collections.abc import Callable
from weakref import finalize

from qtpy.QtCore import QObject, QTimer


def on_destroyed(watched: QObject, callback: Callable[..., object], *arguments: object) -> None:
    """Run a callback once when Qt destroys an object or Python collects it.

    It runs in whichever thread that happens. Neither it nor its arguments may lead back to the object.
    """
    # A function or a partial that is connected to `destroyed` is garbage together with its object. The collector may
    # empty it before Qt destroys the object and calls it, which is a segmentation fault. A finalizer is out of reach
    # of the collector until it was called.
    watched.destroyed.connect(finalize(watched, callback, *arguments))


def single_shot(parent: QObject | None, milliseconds: int, action: Callable[[], object]) -> QTimer:
    """Make a timer that runs an action once after its last start, and goes with its parent.

    superqt's debouncers may outlive the C++ half of the object whose method they call.
    """
    timer = QTimer(parent)
    timer.setSingleShot(True)
    timer.setInterval(milliseconds)
    timer.timeout.connect(action)
    return timer
