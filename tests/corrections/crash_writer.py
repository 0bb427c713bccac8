"""A program that approves corrections until it is killed; test_crashes.py runs it and counts what is left.

For every round that is asked for on stdin (folder, first seed, how many, lines until the kill), a child process
approves and reports each correction that the store has confirmed. The kill strikes from inside, after a number of
executed lines of our own code, so that every line is the last one sooner or later.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from napari_wavegms.corrections.records import Approval
from napari_wavegms.corrections.store import CorrectionStore

OURS = tuple(str(Path("napari_wavegms") / room) for room in ("corrections", "storage"))


def approval(seed: int) -> Approval:
    """The correction that a seed stands for; every third one is of an image that has been approved before."""
    rng = np.random.default_rng(seed)
    image = np.random.default_rng(seed - seed % 3).integers(0, 65536, (9, 7), np.uint16)
    return Approval(name=f"image {seed % 5}", image=image, mask=rng.integers(0, 2, (9, 7)), prediction=image > 30000)


def fuse(lines: int) -> Callable[[FrameType, str, Any], Any]:
    """A trace function that kills the process at the given line of our code."""
    left = lines

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal left
        if not any(part in frame.f_code.co_filename for part in OURS):
            return None
        if event == "line":
            left -= 1
            if left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    return trace


def approve_until_killed(folder: str, first: int, count: int, lines: int, report: int) -> None:
    sys.settrace(fuse(lines))
    store = CorrectionStore(folder)
    for seed in range(first, first + count):
        wanted = approval(seed)
        store.approve(wanted)
        os.write(report, f"{seed}\n".encode())
    sys.settrace(None)


def play_round(folder: str, first: int, count: int, lines: int) -> list[int]:
    """Run one child to its end; gives the seeds that it had confirmed."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            approve_until_killed(folder, first, count, lines, writing)
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as reports:
        confirmed = [int(line) for line in reports]
    os.waitpid(child, 0)
    return confirmed


if __name__ == "__main__":
    for request in sys.stdin:
        sys.stdout.write(json.dumps(play_round(*json.loads(request))) + "\n")
        sys.stdout.flush()
