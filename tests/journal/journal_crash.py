"""A program that paints and submits until it is killed; test_journal_writer.py runs it and looks at what is left.

It prints the number of each edit once the writer has said that it is on disk.
"""

from __future__ import annotations

import sys
import time

import numpy as np

from napari_wavegms.journal.journal import Journal
from napari_wavegms.journal.records import EditTarget
from napari_wavegms.journal.writer import JournalWriter

SHAPE = (120, 160)


def mask_after(seed: int, strokes: int) -> np.ndarray:
    """The mask that a seed has painted after so many strokes, each of which changes something."""
    rng = np.random.default_rng(seed)
    mask = np.zeros(SHAPE, np.uint8)
    for stroke in range(1, strokes + 1):
        top, left = rng.integers(0, 100, 2)
        mask[top : top + 15, left : left + 15] = stroke % 251 + 1
    return mask


def paint_until_killed(folder: str, image: str, seed: int) -> None:
    writer = JournalWriter(Journal(folder))
    writer.listen(lambda _, edit: edit and print(edit.number, flush=True))  # noqa: T201
    writer.begin(EditTarget(image, "benign_12", SHAPE), mask_after(seed, 0), editor="Ann")
    for strokes in range(1, 10**6):
        writer.submit(image, mask_after(seed, strokes), editor="Ann", active_seconds=1)
        writer.flush()
        time.sleep(0)


if __name__ == "__main__":
    paint_until_killed(sys.argv[1], sys.argv[2], int(sys.argv[3]))
