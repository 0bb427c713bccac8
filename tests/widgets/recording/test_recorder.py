"""Whatever happens to a real mask in napari comes to the journal, and the window does not wait for it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels
from qtpy.QtCore import QCoreApplication

from napari_wavegms.errors import InputError
from napari_wavegms.journal.journal import Journal
from napari_wavegms.journal.patches import ChangedBands, bands_of
from napari_wavegms.journal.records import EditTarget
from napari_wavegms.journal.writer import JournalWriter
from napari_wavegms.widgets.layers.undoable import write_planes
from napari_wavegms.widgets.recording.recorder import JournalWatch, saved_sentence

IMAGE = "c" * 32
PATIENCE = 30_000


@dataclass
class Table:
    """A watched mask, and a look into the journal from outside."""

    layer: Labels
    watch: JournalWatch
    writer: JournalWriter
    folder: Path
    qtbot: Any
    now: list[float] = field(default_factory=lambda: [0.0])

    def journal(self) -> Journal:
        return Journal(self.folder)

    def attach(self, **more: Any) -> None:
        data = self.layer.data
        self.watch.attach(self.layer, EditTarget(IMAGE, "benign_12", data.shape), editor="Ann", **more)

    def on_disk(self) -> bool:
        """Whether the journal gives back the mask as it is on the screen."""
        return bool(self.writer.saved_at) and np.array_equal(self.journal().restore(IMAGE), self.layer.data)

    def wait(self) -> None:
        self.qtbot.waitUntil(self.on_disk, timeout=PATIENCE)


@pytest.fixture
def make_table(tmp_path: Path, qtbot: Any) -> Iterator[Callable[..., Table]]:
    tables: list[Table] = []

    def make(data: np.ndarray, **more: Any) -> Table:
        now = [0.0]
        writer = JournalWriter(Journal(tmp_path / "journal"))
        layer = Labels(data, **more)
        watch = JournalWatch(writer, clock=lambda: now[0])
        tables.append(Table(layer, watch, writer, tmp_path / "journal", qtbot, now))
        tables[-1].attach(model="v2", threshold=0.4)
        return tables[-1]

    yield make
    for table in tables:
        table.watch.detach()
        assert table.writer.close()


@pytest.fixture
def table(make_table: Callable[..., Table]) -> Table:
    return make_table(np.zeros((40, 60), np.uint8))


def paint(table: Table) -> None:
    table.layer.paint((20, 30), 1)


def undo_all(table: Table) -> None:
    table.layer.paint((20, 30), 2)
    table.layer.paint((5, 5), 3)
    table.watch.settle()
    assert table.writer.flush()
    table.layer.undo()
    table.layer.undo()


def redo(table: Table) -> None:
    undo_all(table)
    table.watch.settle()
    assert table.writer.flush()
    table.layer.redo()


def write_into(table: Table) -> None:
    table.layer.data[3:9, 4:8] = 2
    table.layer.refresh()


def assign(table: Table) -> None:
    table.layer.data = np.eye(40, 60, dtype=np.uint8)


def assign_other_shape(table: Table) -> None:
    table.layer.data = np.eye(13, 17, dtype=np.uint8)


def assign_other_dtype(table: Table) -> None:
    table.layer.data = np.eye(40, 60, dtype=np.int32) * 70_000


def replace_plane(table: Table) -> None:
    write_planes(table.layer, {(None, None): np.eye(40, 60, dtype=np.uint8)})


def polygon(table: Table) -> None:
    table.layer.paint_polygon([[2, 2], [2, 30], [30, 30]], 4)


def fill_hole(table: Table) -> None:
    table.layer.data[10:20, 10:20] = 1
    table.layer.data[12:15, 12:15] = 0
    table.layer.fill((13, 13), 5)


@pytest.mark.parametrize(
    "change",
    [
        paint,
        undo_all,
        redo,
        write_into,
        assign,
        assign_other_shape,
        assign_other_dtype,
        replace_plane,
        polygon,
        fill_hole,
    ],
)
def test_whatever_happens_to_the_mask_comes_to_the_disk(table: Table, change: Callable[[Table], None]) -> None:
    change(table)
    table.wait()
    edit = table.journal().edits(IMAGE)[-1]
    assert (edit.editor, edit.model, edit.threshold) == ("Ann", "v2", 0.4)
    assert table.journal().verify(IMAGE) == []


def test_what_is_painted_while_the_button_is_down_comes_to_the_disk(table: Table) -> None:
    with table.layer.block_history():
        table.layer.paint((20, 30), 1)
        table.wait()
        table.layer.paint((25, 40), 1)
    table.wait()


def test_a_real_drag_of_the_brush_in_a_viewer(make_table: Callable[..., Table]) -> None:
    viewer = ViewerModel()
    table = make_table(np.zeros((40, 60), np.uint8))
    viewer.add_layer(table.layer)
    table.layer.mode = "paint"
    from napari.utils._test_utils import read_only_mouse_event as event_of
    from napari.utils.interactions import mouse_move_callbacks, mouse_press_callbacks, mouse_release_callbacks

    def event(kind: str, place: tuple[float, float]) -> Any:
        return event_of(
            type=kind,
            is_dragging=kind == "mouse_move",
            position=place,
            view_direction=None,
            dims_displayed=[0, 1],
        )

    mouse_press_callbacks(table.layer, event("mouse_press", (10, 10)))
    for column in range(10, 40, 5):
        mouse_move_callbacks(table.layer, event("mouse_move", (10, column)))
    mouse_release_callbacks(table.layer, event("mouse_release", (10, 40)))
    assert table.layer.data.sum() > 100
    table.wait()
    table.layer.undo()
    table.wait()
    assert not table.journal().restore(IMAGE).any()
    table.watch.detach()


def test_a_mask_that_only_looks_different_is_no_edit(table: Table) -> None:
    table.layer.opacity = 0.3
    table.layer.contour = 2
    table.layer.refresh()
    table.watch.settle()
    assert table.writer.flush()
    assert not table.folder.exists()


def test_renaming_does_no_harm(table: Table) -> None:
    paint(table)
    table.wait()
    table.layer.name = "something else [1]"
    table.layer.paint((5, 5), 2)
    table.wait()
    assert {edit.name for edit in table.journal().edits(IMAGE)} == {"benign_12"}


def test_after_detaching_nothing_is_lost_and_nothing_heard(table: Table) -> None:
    paint(table)
    table.watch.detach()
    assert table.writer.flush()
    assert table.on_disk()
    painted = table.layer.data.copy()
    table.layer.paint((5, 5), 2)
    table.watch.detach()
    table.watch.settle()
    assert table.writer.flush()
    np.testing.assert_array_equal(table.journal().restore(IMAGE), painted)


def test_another_mask_takes_the_place_of_the_one_before(table: Table) -> None:
    paint(table)
    other = Labels(np.zeros((8, 8), np.uint8))
    table.watch.attach(other, EditTarget("d" * 32, "malignant_3", (8, 8)), editor="Ann")
    other.paint((3, 3), 1)
    table.watch.settle()
    assert table.writer.flush()
    assert table.on_disk()
    np.testing.assert_array_equal(table.journal().restore("d" * 32), other.data)


def test_seconds_of_work_are_counted_and_pauses_are_not(table: Table) -> None:
    for now, column in ((4.0, 10), (14.0, 20), (60.0, 30), (65.0, 40)):
        table.now[0] = now
        table.layer.paint((20, column), 1)
        table.watch.settle()
        assert table.writer.flush()
    assert [edit.active_seconds for edit in table.journal().edits(IMAGE)] == [4, 10, 0, 5]
    table.qtbot.waitUntil(lambda: "19 s" in table.watch.sentence, timeout=PATIENCE)


def test_the_sentence_says_what_changed_and_that_it_is_saved(table: Table) -> None:
    sentences: list[str] = []
    table.watch.saved.connect(sentences.append)
    table.layer.brush_size = 4
    paint(table)
    pixels = int(np.count_nonzero(table.layer.data))
    expected = f"Changed {pixels} px, 1 s. Saved 1 s ago."
    table.qtbot.waitUntil(lambda: expected in sentences, timeout=PATIENCE)
    assert sentences[0] == "Saving."
    table.layer.undo()
    table.qtbot.waitUntil(lambda: sentences[-1].startswith("Changed 0 px"), timeout=PATIENCE)


def test_an_approval_ends_the_edits_and_the_watching_goes_on(table: Table) -> None:
    paint(table)
    table.watch.settle()
    table.writer.finish(IMAGE, "approved")
    assert table.writer.flush()
    assert table.on_disk()
    assert table.journal().unfinished(own=True) == []
    table.qtbot.waitUntil(lambda: table.watch.sentence == "", timeout=PATIENCE)
    table.layer.paint((5, 5), 2)
    table.wait()
    numbers = [edit.number for edit in table.journal().edits(IMAGE)]
    assert numbers == [1, 2]


def test_a_disk_that_refuses_is_told_in_the_sentence(table: Table) -> None:
    table.folder.mkdir()
    (table.folder / "owners").write_text("a file where a folder should be")
    paint(table)
    table.qtbot.waitUntil(lambda: "are not on disk yet" in table.watch.sentence, timeout=PATIENCE)
    table.layer.paint((5, 5), 2)
    (table.folder / "owners").unlink()
    table.wait()
    table.qtbot.waitUntil(lambda: "Saved" in table.watch.sentence, timeout=PATIENCE)


@pytest.mark.parametrize("shape", [(4, 40, 60), (2, 3, 40, 60), (900, 700)])
def test_random_days_on_stacks_and_large_masks(make_table: Callable[..., Table], shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(len(shape))
    table = make_table(np.zeros(shape, np.uint8))
    table.layer.brush_size = 9
    table.layer.n_edit_dimensions = 2
    for step in range(25):
        place = tuple(int(rng.integers(0, length)) for length in shape)
        choice = rng.integers(0, 5)
        if choice == 0:
            table.layer.undo()
        elif choice == 1:
            table.layer.redo()
        elif choice == 2:
            table.layer.data_setitem(tuple(np.array([p]) for p in place), step + 1)
        elif choice == 3:
            table.layer.data[place] = step + 1
            table.layer.refresh()
        else:
            table.layer.paint(place, step + 1)
        if step % 3 == 0:
            table.watch.settle()
            assert table.writer.flush()
            np.testing.assert_array_equal(table.writer.journal.restore(IMAGE), table.layer.data)
    table.watch.settle()
    table.writer.flush()
    assert table.on_disk()


def test_a_stroke_in_a_stack_copies_its_own_plane_only(make_table: Callable[..., Table]) -> None:
    table = make_table(np.zeros((50, 40, 60), np.uint8))
    asked: list[Any] = []
    submit = table.writer.submit
    table.writer.submit = lambda image, mask, **who: (asked.append(mask), submit(image, mask, **who))[1]  # type: ignore[method-assign]
    table.layer.data_setitem((np.array([7]), np.array([3]), np.array([4])), 1)
    table.wait()
    (bands,) = asked
    assert [band.plane for band in bands] == [(7,)]


def test_what_cannot_be_read_of_a_stroke_is_searched_for() -> None:
    start = np.zeros((600, 600), np.uint8)
    changed, data = ChangedBands(start.copy()), start
    data[500, 3] = 1
    assert not changed.painted([object()])
    assert changed.take(data) == {}
    for _ in changed.sweep(data):
        pass
    (band,) = changed.take(data)
    assert band.top <= 500 < band.bottom
    assert changed.take(data) == {}, "known from now on"
    assert list(bands_of(start.shape))[-1] == band


def test_layers_with_several_resolutions_are_refused(table: Table) -> None:
    pyramid = Labels([np.zeros((40, 40), np.uint8), np.zeros((20, 20), np.uint8)], multiscale=True)
    with pytest.raises(InputError, match="several resolutions"):
        table.watch.attach(pyramid, EditTarget(IMAGE, "x", (40, 40)))


def test_a_watch_that_is_gone_stops_nobody(table: Table) -> None:
    watch = JournalWatch(table.writer)
    with table.qtbot.waitSignal(watch.destroyed, timeout=PATIENCE):
        watch.deleteLater()
    paint(table)
    table.wait()
    QCoreApplication.processEvents()


def test_the_saving_happens_in_another_thread(table: Table) -> None:
    threads: set[int] = set()
    table.writer.listen(lambda _image, _edit: threads.add(threading.get_ident()))
    paint(table)
    table.wait()
    table.qtbot.waitUntil(lambda: bool(threads), timeout=PATIENCE)
    assert threading.get_ident() not in threads


@pytest.mark.parametrize(
    ("age", "words"), [(0.0, "1 s"), (59.4, "59 s"), (61.0, "1 min"), (3000.0, "50 min"), (7300.0, "2 h 2 min")]
)
def test_the_age_is_told_in_whole_steps(table: Table, age: float, words: str) -> None:
    paint(table)
    table.wait()
    edit = table.journal().edits(IMAGE)[0]
    assert saved_sentence(edit, age, waits=False, problem="").endswith(f"Saved {words} ago.")
    assert saved_sentence(edit, age, waits=True, problem="").endswith("Saving.")
