"""What is to be done when Qt takes an object away, and no viewer tells it any other way."""

from __future__ import annotations

from collections.abc import Callable
from weakref import finalize

from qtpy.QtCore import QObject


def when_gone(watched: QObject, do: Callable[..., object], *arguments: object) -> None:
    """Call a function once, as soon as Qt destroys an object or Python collects it.

    Parameters
    ----------
    watched : QObject
    do : callable
        Called in whichever thread that happens; neither it nor its arguments may lead back to the object.
    *arguments
        What it is called with.
    """
    # A function or a partial that is connected to `destroyed` is garbage together with its object. The collector may
    # empty it before Qt destroys the object and calls it, which is a segmentation fault. A finalizer is out of reach
    # of the collector until it was called.
    watched.destroyed.connect(finalize(watched, do, *arguments))
