"""A day of reviewing, with strokes, second thoughts and kills at any moment: not one stroke is lost."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_wavegms.corrections.store import CorrectionStore

CRASH = Path(__file__).with_name("review_crash.py")
SHAPE = (24, 32)
IMAGES = 30
STEPS = 40


@dataclass
class Day:
    """A person with a memory that forgets nothing, and a program that may be killed."""

    open_room: Callable[[], Any]
    folder: Path
    rng: np.random.Generator
    room: Any = field(init=False)
    masks: dict[str, np.ndarray] = field(default_factory=dict)  # as they were left, by the name of the image
    approved: set[str] = field(default_factory=set)
    kills: int = 0
    strokes: int = 0

    def begin(self) -> None:
        self.room = self.open_room()
        self.room.open(self.folder)
        self.answer()

    def answer(self) -> None:
        """Restore whatever was left behind."""
        room = self.room
        while room.asks:
            left = room.panel.question.asked
            room.widget.recovery.answer("restore")
            room.wait(lambda left=left: left not in room.widget.recovery.left)
            room.wait_shown()

    def check(self) -> None:
        """What is on screen is what was left."""
        room, name = self.room, self.room.item.name
        expected = self.masks.get(name, room.predicted)
        assert np.array_equal(room.mask.data, expected), f"{name} is not as it was left"
        assert room.shown.approved == (name in self.approved), name
        assert room.mask.editable == (name not in self.approved), name

    def step(self) -> None:
        chances = {
            self.stroke: 10,
            self.undo: 2,
            self.redo: 1,
            self.tidy: 1,
            self.approve: 4,
            self.withdraw: 4,
            self.skip: 1,
            self.go: 5,
            self.jump_to_approved: 1,
            self.kill: 1,
            self.leave_in_order: 0.5,
        }
        weights = np.array([*chances.values()], float)
        [*chances][self.rng.choice(len(chances), p=weights / weights.sum())]()
        if not self.room.shown.approved:
            now = np.array(self.room.mask.data)
            if not np.array_equal(now, self.masks.get(self.room.item.name, self.room.predicted)):
                self.masks[self.room.item.name] = now
        self.check()

    def stroke(self) -> None:
        if self.room.shown.approved:
            return
        for _ in range(self.rng.integers(1, 4)):
            self.room.mask.brush_size = int(self.rng.integers(1, 9))
            place = tuple(int(at) for at in self.rng.integers(0, SHAPE))
            self.room.stroke(place, int(self.rng.integers(0, 3)))
            self.strokes += 1

    def undo(self) -> None:
        if not self.room.shown.approved:
            self.room.mask.undo()

    def redo(self) -> None:
        if not self.room.shown.approved:
            self.room.mask.redo()

    def tidy(self) -> None:
        self.room.widget.tools.clean_up("keep_largest")

    def approve(self) -> None:
        if not self.room.shown.approved:
            name, mask = self.room.item.name, np.array(self.room.mask.data)
            self.room.approve()
            self.approved.add(name)
            self.masks[name] = mask

    def withdraw(self) -> None:
        if self.room.shown.approved:
            self.approved.discard(self.room.item.name)
            self.room.withdraw()
            self.room.wait(lambda: not self.room.widget.busy)

    def skip(self) -> None:
        self.room.widget.lists.skip()
        self.room.wait_shown()

    def go(self) -> None:
        (self.room.widget.lists.next if self.rng.random() < 0.7 else self.room.widget.lists.previous)()
        self.room.wait_shown()

    def jump_to_approved(self) -> None:
        if self.approved:
            name = sorted(self.approved)[int(self.rng.integers(len(self.approved)))]
            self.room.show(str(self.folder.resolve() / f"{name}.png"))

    def kill(self) -> None:
        """Killed in the middle of work, after the journal said that the last stroke is on disk."""
        self.remember()
        self.room.kill()
        self.kills += 1
        self.begin()

    def leave_in_order(self) -> None:
        self.remember()
        self.room.close()
        self.begin()
        assert not self.room.asks

    def remember(self) -> None:
        if not self.room.shown.approved and self.room.item.state == "corrected":
            self.masks[self.room.item.name] = np.array(self.room.mask.data)


@pytest.mark.parametrize("number", range(2))
def test_a_day_with_kills_loses_no_stroke(
    open_room: Callable[[], Any], scans: Callable[..., Path], number: int
) -> None:
    folder = scans(IMAGES, seed=number)
    day = Day(open_room, folder, np.random.default_rng(number))
    day.begin()
    for _ in range(STEPS):
        day.step()
    day.kill()  # every day ends with one
    assert day.kills >= 1
    assert day.strokes >= 10
    for name in day.masks:  # all that was ever drawn, once more
        day.room.show(str(folder.resolve() / f"{name}.png"))
        day.check()
    store = CorrectionStore()
    assert {kept.name for kept in store.corrections()} == day.approved
    for kept in store.corrections():
        assert np.array_equal(store.load(kept).mask, day.masks[kept.name])
    journal = day.room.journal
    assert [sentence for image in journal.images() for sentence in journal.verify(image)] == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither fork nor SIGKILL")
def test_a_window_killed_for_real_gives_back_every_confirmed_stroke(
    open_room: Callable[[], Any], scans: Callable[..., Path], forked_window: Callable[..., Iterator[str]]
) -> None:
    sys.path.insert(0, str(CRASH.parent))
    try:
        from review_crash import painted
    finally:
        sys.path.remove(str(CRASH.parent))
    folder = scans(2)
    window = forked_window(CRASH, folder, 5)
    process, *confirmed = (int(next(window)) for _ in range(4))
    os.kill(process, signal.SIGKILL)
    *_, ended = window
    assert (confirmed, ended) == ([1, 2, 3], f"ended {-signal.SIGKILL}")
    room = open_room()
    room.wait(lambda: room.asks)
    edits = room.widget.recovery.left[0].edits
    assert edits >= 3
    room.open(folder)
    predicted = room.predicted
    room.widget.recovery.answer("restore")
    room.wait(lambda: not room.widget.recovery.left)
    mask = np.array(room.mask.data)
    possible = [strokes for strokes in range(edits, 301) if np.array_equal(mask, painted(predicted, 5, strokes))]
    assert possible  # the strokes from the first on, none left out, as many as there were edits at least
