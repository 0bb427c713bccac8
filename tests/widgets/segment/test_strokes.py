"""What is drawn in Wave-GMS Segment is on disk at once, and comes back after a crash."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from napari_wavegms.journal.journal import Journal
from napari_wavegms.storage.content_hash import content_hash

CRASH = Path(__file__).with_name("segment_crash.py")


def draw(desk: Any, *places: tuple[int, ...]) -> None:
    """Label single pixels of the newest mask."""
    for place in places:
        desk.masks[-1].data_setitem(tuple(np.array([at]) for at in place), 1)


def wait_for_edits(desk: Any, image: np.ndarray, count: int = 1) -> Journal:
    journal = Journal()
    desk.qtbot.waitUntil(lambda: len(journal.edits(content_hash(image))) >= count, timeout=20_000)
    return journal


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Leave what is on disk as a killed program does: the next panel works on a copy, which nobody owns."""

    def kill() -> None:
        home = Path(os.environ["WAVEGMS_HOME"])
        copy = home.with_name(f"{home.name}-killed")
        shutil.copytree(home, copy)
        monkeypatch.setenv("WAVEGMS_HOME", str(copy))

    return kill


def asks(desk: Any) -> bool:
    return desk.panel.restore.isVisibleTo(desk.panel)


def test_a_stroke_is_on_disk_and_the_models_own_work_is_no_edit(desk: Any, disc: np.ndarray) -> None:
    desk.viewer.add_image(disc, name="lesion")
    desk.run()
    desk.drag(0.3, 0.6)
    desk.qtbot.wait(300)
    assert Journal().images() == []
    draw(desk, (1, 1), (1, 2))
    journal = wait_for_edits(desk, disc)
    desk.qtbot.waitUntil(lambda: desk.says("Changed 2 px"), timeout=20_000)
    assert desk.says("Saved")
    np.testing.assert_array_equal(journal.restore(content_hash(disc)), desk.mask.data)
    np.testing.assert_array_equal(journal.restore(content_hash(disc), 0), disc == 200)
    (edit,) = journal.edits(content_hash(disc))
    assert (edit.model, edit.threshold, edit.added) == ("tiny", 0.6, 2)


def test_a_panel_that_is_closed_leaves_nothing_to_restore(desk: Any, open_desk: Any, disc: np.ndarray) -> None:
    desk.viewer.add_image(disc, name="lesion")
    desk.run()
    draw(desk, (1, 1))
    wait_for_edits(desk, disc)
    desk.viewer.window.remove_dock_widget(desk.widget)
    assert Journal().unfinished() == []
    again = open_desk(desk.viewer)
    draw(again, (1, 2))
    wait_for_edits(again, disc, 2)
    again.qtbot.waitUntil(lambda: again.says("Changed 2 px"), timeout=20_000)


@pytest.mark.parametrize("saved", [True, False])
def test_a_mask_that_is_in_a_file_is_not_asked_about(
    desk: Any, open_desk: Any, disc: np.ndarray, tmp_path: Path, killed: Callable[[], None], saved: bool
) -> None:
    desk.viewer.add_image(disc, name="lesion")
    desk.run()
    draw(desk, (1, 1))
    wait_for_edits(desk, disc)
    if saved:
        desk.widget.save_mask(tmp_path / "lesion_mask.tif")
        desk.qtbot.waitUntil(lambda: desk.says("Saved lesion_mask.tif"), timeout=20_000)
        desk.qtbot.waitUntil(lambda: not desk.says("Changed"), timeout=20_000)
    killed()
    assert len(Journal().unfinished()) == (not saved)


def test_each_channel_has_edits_of_its_own(desk: Any, disc: np.ndarray, killed: Callable[[], None]) -> None:
    both = np.stack([disc, disc[::-1, ::-1]])
    both[1, 5] = 99
    desk.viewer.add_image(both, name="cells", axis_labels=("c", "y", "x"))
    for channel in (0, 1):
        desk.viewer.dims.set_current_step(0, channel)
        desk.run()
        draw(desk, (channel, 1))
        wait_for_edits(desk, both[channel])
    assert [mask.name for mask in desk.masks] == ["cells channel 1 mask", "cells channel 2 mask"]
    killed()
    assert len(Journal().unfinished()) == 2


def test_show_both_then_restore_and_discard(
    desk: Any, open_desk: Any, disc: np.ndarray, killed: Callable[[], None]
) -> None:
    desk.viewer.add_image(disc, name="lesion")
    desk.run()
    draw(desk, (1, 1), (1, 2))
    wait_for_edits(desk, disc)
    drawn = desk.mask.data.copy()
    killed()
    desk.viewer.window.remove_dock_widget(desk.widget)
    desk.viewer.layers.clear()
    again = open_desk(desk.viewer)
    again.qtbot.waitUntil(lambda: asks(again), timeout=20_000)
    again.button("Restore").click()
    again.qtbot.waitUntil(lambda: again.says("lesion is not open. Open its image"), timeout=20_000)
    again.viewer.add_image(disc, name="renamed")
    again.button("Show both").click()
    again.qtbot.waitUntil(lambda: "lesion unsaved edits" in again.viewer.layers, timeout=20_000)
    assert not again.viewer.layers["renamed mask"].data.any()
    again.button("Restore").click()
    again.qtbot.waitUntil(lambda: again.says("restored. Press Ctrl+Z to undo."), timeout=20_000)
    np.testing.assert_array_equal(again.mask.data, drawn)
    assert not asks(again)
    again.mask.undo()
    assert not again.mask.data.any()
    again.mask.redo()
    np.testing.assert_array_equal(wait_for_edits(again, disc, 2).restore(content_hash(disc)), drawn)


def test_discarded_edits_are_not_asked_about_again(
    desk: Any, open_desk: Any, disc: np.ndarray, killed: Callable[[], None]
) -> None:
    desk.viewer.add_image(disc, name="lesion")
    desk.run()
    draw(desk, (1, 1))
    wait_for_edits(desk, disc)
    killed()
    desk.viewer.window.remove_dock_widget(desk.widget)
    again = open_desk(desk.viewer)
    again.qtbot.waitUntil(lambda: asks(again), timeout=20_000)
    again.button("Discard").click()
    again.qtbot.waitUntil(lambda: Journal().unfinished(own=True) == [], timeout=20_000)
    assert not asks(again)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither fork nor SIGKILL")
def test_a_window_killed_for_real_gives_back_every_stroke_older_than_two_seconds(
    shared_viewer: Any, open_desk: Any, disc: np.ndarray, model_file: Path, tmp_path: Path, forked_window: Any
) -> None:
    sys.path.insert(0, str(CRASH.parent))
    try:
        from segment_crash import painted
    finally:
        sys.path.remove(str(CRASH.parent))
    scan = tmp_path / "scan.png"
    Image.fromarray(disc).save(scan)
    made, times = 0, []
    window = forked_window(CRASH, scan, model_file)
    process = int(next(window))
    while len(times) < 300 and len(Journal().edits()) < 3:
        made = int(next(window))
        times.append(time.monotonic())
    os.kill(process, signal.SIGKILL)
    end = time.monotonic()
    assert [*window][-1] == f"ended {-signal.SIGKILL}"
    confirmed = sum(at < end - 2 for at in times)
    desk = open_desk(shared_viewer)
    desk.qtbot.waitUntil(lambda: asks(desk), timeout=20_000)
    assert desk.says("on scan from today")
    desk.button("Restore").click()  # its image is opened, too
    desk.qtbot.waitUntil(lambda: desk.says("restored"), timeout=20_000)
    predicted = (disc >= 127.5).astype(np.uint8)
    mask = desk.mask.data
    possible = [count for count in range(301) if np.array_equal(mask, painted(predicted, count))]
    assert possible
    assert max(confirmed, 1) <= possible[0] <= made + 5
    assert desk.viewer.layers[0].name == "scan"
    shared_viewer.window.remove_dock_widget("all")
    shared_viewer.layers.clear()
