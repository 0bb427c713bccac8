"""Wave-GMS Fine-tune in a real viewer, with the real network, tiny only in its frame and its epochs."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from weakref import WeakSet

import numpy as np
import pytest
import tifffile
from qtpy.QtCore import QThreadPool
from qtpy.QtWidgets import QApplication, QLabel, QPushButton, QRadioButton

from napari_wavegms.corrections.store import CorrectionStore
from napari_wavegms.finetune.preflight import Remedy
from napari_wavegms.finetune.presets import Preset
from napari_wavegms.finetune.split import SHARE, rank
from napari_wavegms.finetune.versions import ModelVersions
from napari_wavegms.learn.config import Augmentation, TrainConfig
from napari_wavegms.model import registry
from napari_wavegms.storage.content_hash import content_hash
from napari_wavegms.storage.database import Database
from napari_wavegms.widgets.finetune.widget import FineTuneWidget
from napari_wavegms.widgets.layers.mask_layers import SHOWN_BY_US
from napari_wavegms.widgets.thumbnails import SHOWN

PATIENCE = 60_000  # ms; a busy machine is no reason to fail
STILL = Augmentation(flips_and_turns=False, jitter_probability=0, warp_probability=0)
SHORT = Preset(
    "quick",
    "Quick",
    1.0,
    "",
    TrainConfig(trained="mapper", epochs=2, batch=4, precision="float32", augmentation=STILL, alignment_weight=0),
)
LONG = Preset("long", "Long", 60.0, "", replace(SHORT.config, epochs=5000))


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch

    from napari_wavegms.model.card import ModelCard
    from napari_wavegms.model.checkpoint import save_checkpoint
    from napari_wavegms.model.network import WaveGMS

    torch.manual_seed(0)
    card = ModelCard("tiny", preprocessing={"size": 16, "aspect": "squash", "percentiles": [0.1, 99.9]})
    return save_checkpoint(tmp_path_factory.mktemp("weights") / "tiny.safetensors", WaveGMS(), card)


def lesion(side: str, number: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """An image that stands in front or behind in the order of holding out; each number has a size of its own."""
    shape = (20 + number, 24)
    mask = np.zeros(shape, np.uint8)
    mask[5:15, 6:18] = 1
    for seed in range(1000):
        noise = np.random.default_rng((number, seed)).integers(0, 30, shape)
        image = (mask * 180 + noise).astype(np.uint8)
        if (rank(content_hash(image)) < SHARE) == (side == "held_out"):
            return image, mask
    raise AssertionError("no such image")


@dataclass
class Class:
    """A viewer with our panel, and what a teacher does with them."""

    viewer: Any
    widget: FineTuneWidget
    qtbot: Any

    @property
    def panel(self) -> Any:
        return self.widget.panel

    @property
    def versions(self) -> ModelVersions:
        return ModelVersions()

    def open(self, side: str, number: int = 0, name: str = "") -> Any:
        """Open an image of the side with its mask; gives the mask."""
        image, mask = lesion(side, number)
        name = name or f"{side}_{number}"
        self.viewer.add_image(image, name=name)
        return self.viewer.add_labels(mask, name=f"{name} mask")

    def row(self, name: str) -> Any:
        return next(row for row in self.panel.pairs.rows if row.name == name)

    def wait(self, condition: Callable[[], bool]) -> None:
        self.qtbot.waitUntil(condition, timeout=PATIENCE)

    @property
    def button(self) -> Any:
        return self.panel.learn_row.findChild(QPushButton)

    def choices(self) -> list[Any]:
        """The buttons between the new model and the current one."""
        buttons = self.panel.findChildren(QPushButton)
        words = ("Use v", "Keep ")
        return [button for button in buttons if button.text().startswith(words) and not button.isHidden()]

    def choose_device(self, name: str) -> None:
        devices = self.panel.device_row.devices
        devices.setCurrentText(name)
        devices.activated.emit(devices.currentIndex())

    def device(self) -> str:
        """What is said about the device."""
        return str(self.panel.device_row.findChild(QLabel).text())

    def help_ends(self) -> None:
        """Wait until nothing runs in the background, and what it brought is in the window."""
        self.threads_end()
        QApplication.processEvents()

    def learn(self, speed: str = "quick") -> None:
        (button,) = (each for each in self.panel.findChildren(QRadioButton) if each.text().lower().startswith(speed))
        button.click()
        self.widget.fine_tune()
        assert self.widget.busy, self.panel.status

    def end(self) -> None:
        self.wait(lambda: not self.widget.busy)

    def threads_end(self) -> None:
        self.wait(lambda: QThreadPool.globalInstance().activeThreadCount() == 0)


@pytest.fixture
def lesson(
    tiny_weights: Path,
    tmp_data_home: Path,
    qtbot: Any,
    shared_viewer: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Class]:
    # An installation whose only model is a tiny one; the shipped one would learn for minutes.
    monkeypatch.setattr(registry, "_ASSETS", tmp_data_home / "no assets")
    model = tmp_data_home / "models" / f"{registry.DEFAULT_MODEL}.safetensors"
    model.parent.mkdir(parents=True)
    model.write_bytes(tiny_weights.read_bytes())
    widget = FineTuneWidget(shared_viewer, presets=(SHORT, LONG))
    shared_viewer.window.add_dock_widget(widget, name="Wave-GMS Fine-tune")
    lesson = Class(shared_viewer, widget, qtbot)
    lesson.help_ends()
    yield lesson
    lesson.threads_end()
    shared_viewer.window.remove_dock_widget("all")
    shared_viewer.layers.clear()


def test_a_damaged_database_is_told_and_the_panel_works_on(lesson: Class) -> None:
    Database().path.write_bytes(b"no database at all" * 100)
    lesson.open("train")
    lesson.widget.refresh_models()
    assert lesson.panel.model_row.choice.name == registry.DEFAULT_MODEL
    lesson.widget.fine_tune()
    assert "is damaged" in lesson.panel.status
    assert not lesson.widget.busy


def test_an_empty_viewer_says_what_to_do(lesson: Class) -> None:
    assert not lesson.panel.learn_row.is_enabled
    assert "Open an image and segment it, or add a folder" in lesson.button.toolTip()
    assert lesson.panel.model_row.choice.name == registry.DEFAULT_MODEL
    assert lesson.panel.why_start.sentence == ""


def test_the_whole_loop_and_a_look_at_what_it_brought(lesson: Class) -> None:
    for side, number in (("train", 0), ("train", 1), ("held_out", 2)):
        lesson.open(side, number)
    summaries = [row.summary for row in lesson.panel.pairs.rows]
    assert summaries == [f"{percent} % labelled, ready" for percent in (25, 24, 23)]
    lesson.widget.keep()
    lesson.help_ends()
    assert len(CorrectionStore().corrections()) == 3
    assert [row.summary[-6:] for row in lesson.panel.pairs.rows] == ["stored"] * 3
    lesson.learn()
    lesson.end()
    [version] = lesson.versions.versions()
    assert (version.parent, version.title) == (registry.DEFAULT_MODEL, "Quick, 2 corrections")
    assert version.after.keys() == {"held_out_2"}
    assert lesson.device().startswith("Running on the processor")
    curves = lesson.panel.plot.curves
    assert (len(curves.loss), len(curves.dsc), curves.images) == (2, 2, 1)
    assert curves.before == pytest.approx(version.before["held_out_2"])
    assert lesson.panel.status.startswith("Learned 2 steps in ")
    assert "on 1 test image and 2 left out in turn (DSC " in lesson.panel.status
    assert lesson.panel.versions.rows[0].words.startswith(f"v1   DSC {version.dsc:.2f} on 1 test image   today ")
    if version.promoted:
        assert lesson.panel.model_row.choice.name == "v1"
    rows, layers = lesson.panel.pairs.rows, list(lesson.viewer.layers)
    lesson.panel.verdict.compare_requested.emit()
    lesson.help_ends()
    for _ in range(4):  # a layer a turn
        QApplication.processEvents()
    shown = [layer.name for layer in lesson.viewer.layers if SHOWN_BY_US in layer.metadata]
    assert shown == ["test images", "test images: yours", "test images: previous", "test images: new"]
    assert lesson.panel.pairs.rows == rows
    np.testing.assert_array_equal(lesson.viewer.layers["test images: yours"].data[0], lesion("held_out", 2)[1])
    outlines = [layer.get_color(1) for layer in lesson.viewer.layers if layer.name.startswith("test images: ")]
    assert len({tuple(colour) for colour in outlines}) == 3, "told apart by their colours, too"
    lesson.panel.verdict.compare_requested.emit()
    assert list(lesson.viewer.layers) == layers


def test_what_was_kept_is_learned_from_without_its_layers(lesson: Class) -> None:
    lesson.open("train")
    lesson.widget.keep()
    lesson.help_ends()
    lesson.viewer.layers.clear()
    assert lesson.row("train_0").summary == "25 % labelled, stored"
    lesson.learn()
    lesson.end()
    assert lesson.versions.versions()[0].title == "Quick, 1 correction"
    lesson.panel.pairs.included.emit(lesson.row("train_0").key, False)
    assert not lesson.panel.learn_row.is_enabled


def test_stored_corrections_are_forgotten_after_one_question(lesson: Class) -> None:
    for number in range(3):
        lesson.open("train", number)
    lesson.widget.keep()
    lesson.help_ends()
    assert f"copied to {CorrectionStore().folder}" in lesson.panel.status
    lesson.viewer.layers.clear()

    def press(text: str, name: str = "") -> None:
        (button,) = (
            each
            for each in lesson.panel.findChildren(QPushButton)
            if each.text().startswith(text) and name in each.toolTip() and each.isVisibleTo(lesson.panel)
        )
        button.click()
        lesson.help_ends()

    press("Forget…", "train_0")
    press("Keep")
    assert len(CorrectionStore().corrections()) == 3
    press("Forget…", "train_0")
    press("Forget it")
    assert [row.name for row in lesson.panel.pairs.rows] == ["train_1", "train_2"]
    for row in lesson.panel.pairs.rows:
        lesson.panel.pairs.included.emit(row.key, False)
    press("Forget…", "train_2")
    press("Forget all 2 unticked")
    assert lesson.panel.pairs.rows == ()
    assert CorrectionStore().history() == []
    assert not list(CorrectionStore().folder.rglob("*.npy.gz"))


def test_a_stored_correction_is_forgotten_while_its_image_is_open(lesson: Class) -> None:
    lesson.open("train", 0)
    lesson.widget.keep()
    lesson.help_ends()
    assert lesson.row("train_0").summary == "25 % labelled, stored"
    for text in ("Forget…", "Forget it"):
        (button,) = (each for each in lesson.panel.findChildren(QPushButton) if each.text() == text)
        button.click()
        lesson.help_ends()
    assert CorrectionStore().history() == []
    row = lesson.row("train_0")
    assert (row.summary, row.stored) == ("25 % labelled, ready", ())
    assert len(lesson.viewer.layers) == 2


def test_a_refused_candidate_can_be_used_anyway_and_taken_back(lesson: Class) -> None:
    lesson.open("train")
    lesson.learn()
    lesson.end()
    assert lesson.versions.current() is None
    first, before = lesson.panel.versions.rows
    assert first.note == "cannot tell yet"
    assert (first.action, before.note) == ("Use", "in use")
    lesson.panel.verdict.compare_requested.emit()
    lesson.help_ends()
    assert len(lesson.viewer.layers) == 2, "there is no test image to show"
    lesson.panel.versions.use_requested.emit(1)
    assert lesson.versions.current().name == "v1"
    assert lesson.panel.model_row.choice.name == "v1"
    assert [row.note for row in lesson.panel.versions.rows] == ["in use", ""]
    assert lesson.choices() == [], "who has chosen is not asked again"
    lesson.panel.versions.use_requested.emit(0)
    assert lesson.versions.current() is None
    assert lesson.panel.model_row.choice.name == registry.DEFAULT_MODEL
    assert lesson.panel.status == f"{registry.DEFAULT_MODEL} (start) is in use again."


def test_where_nobody_can_tell_there_are_two_equal_buttons(lesson: Class) -> None:
    lesson.open("train")
    assert lesson.choices() == []
    lesson.learn()
    lesson.end()
    use, keep = lesson.choices()
    assert (use.text(), keep.text()) == ("Use v1", f"Keep {registry.DEFAULT_MODEL}")
    assert use.size() == keep.size()
    assert "Cannot tell yet whether v1 is better" in lesson.panel.status
    keep.click()
    assert lesson.choices() == []
    assert lesson.versions.current() is None
    assert lesson.panel.status == f"{registry.DEFAULT_MODEL} stays in use; v1 is in the list of versions."
    lesson.learn()
    lesson.end()
    lesson.choices()[0].click()
    assert lesson.versions.current().name == "v2"
    assert lesson.panel.status == "v2 is in use."


def test_stop_keeps_the_best_and_strokes_land_meanwhile_and_memory_comes_back(lesson: Class) -> None:
    from torch.nn.modules.module import register_module_forward_pre_hook

    from napari_wavegms.model.network import LatentMapper

    # Seen by a hook and held weakly: gc.get_objects() while another thread makes a tuple breaks that tuple.
    at_work: WeakSet[LatentMapper] = WeakSet()

    def note(module: object, _inputs: object) -> None:
        if isinstance(module, LatentMapper):
            at_work.add(module)

    hook = register_module_forward_pre_hook(note)
    try:
        lesson.open("train")
        mask = lesson.open("held_out", 1)
        lesson.learn("long")
        assert lesson.button.text() == "Stop, keep best"
        lesson.wait(lambda: len(lesson.panel.plot.curves.dsc) > 0)
        assert len(at_work) > 0
        mask.paint((1, 1), 1)
        assert mask.data[1, 1] == 1
        lesson.panel.learn_row.cancel_requested.emit()
        assert lesson.button.text() == "Stopping…"
        lesson.end()
        lesson.threads_end()
    finally:
        hook.remove()
    [version] = lesson.versions.versions()
    assert version.after.keys() == {"held_out_1"}
    assert lesson.button.text().startswith("Fine-tune")
    gc.collect()
    assert len(at_work) == 0


def test_a_second_stop_does_not_wait_for_the_scores(lesson: Class) -> None:
    lesson.open("train")
    lesson.learn("long")
    lesson.wait(lambda: len(lesson.panel.plot.curves.loss) > 1)
    lesson.widget.stop()
    lesson.widget.stop()
    lesson.end()
    assert len(lesson.versions.versions()) == 1
    assert "list of versions" in lesson.panel.status


def test_a_window_closed_during_a_run_keeps_what_was_learned(lesson: Class) -> None:
    lesson.open("train")
    lesson.learn("long")
    lesson.wait(lambda: len(lesson.panel.plot.curves.loss) > 1)
    lesson.viewer.window.remove_dock_widget(lesson.widget)
    lesson.threads_end()
    [version] = lesson.versions.versions()
    assert version.reason == "stopped before it was scored"


def test_what_a_killed_program_had_learned_is_found_when_the_panel_opens(
    lesson: Class, tiny_weights: Path, tmp_data_home: Path
) -> None:
    work = tmp_data_home / "training"
    work.mkdir()
    (work / "best.safetensors").write_bytes(tiny_weights.read_bytes())
    lesson.viewer.window.add_dock_widget(FineTuneWidget(lesson.viewer), name="opened later")
    reason = "cut off before it was scored, because the program ended"
    lesson.wait(lambda: [version.reason for version in lesson.versions.versions()] == [reason])
    lesson.wait(lambda: not (work / "best.safetensors").exists())  # cleared away once the version is kept


def test_a_failure_is_a_sentence_and_the_models_stay(lesson: Class, tmp_data_home: Path) -> None:
    lesson.open("train")
    (tmp_data_home / "models" / f"{registry.DEFAULT_MODEL}.safetensors").write_bytes(b"nonsense")
    lesson.learn()
    lesson.end()
    assert lesson.panel.status.startswith(f"{registry.DEFAULT_MODEL}.safetensors is not a .safetensors file")
    assert lesson.versions.versions() == []


def test_every_problem_has_its_remedy_beside_it(lesson: Class) -> None:
    image, mask = lesion("train")
    lesson.viewer.add_image(image, name="small mask")
    small = lesson.viewer.add_labels(mask[::2, ::2])
    lesson.panel.pairs.mask_chosen.emit(lesson.row("small mask").key, small.unique_id)
    row = lesson.row("small mask")
    assert (row.summary, row.remedies[0]) == ("sizes differ", Remedy.RESIZE)
    assert not lesson.panel.learn_row.is_enabled
    lesson.panel.pairs.remedy_chosen.emit(row.key, Remedy.RESIZE)
    assert lesson.row("small mask").ready
    assert lesson.panel.learn_row.is_enabled
    small.data = np.zeros_like(small.data)
    lesson.wait(lambda: lesson.row("small mask").summary == "mask is empty")
    lesson.panel.pairs.remedy_chosen.emit(row.key, Remedy.LEAVE_OUT)
    assert not lesson.row("small mask").included
    lesson.panel.pairs.included.emit(row.key, True)
    assert lesson.row("small mask").included


def test_what_waits_for_a_decision_stands_on_top(lesson: Class) -> None:
    for number in range(3):
        mask = lesson.open("train", number)
    mask.data = np.zeros_like(mask.data)
    lesson.wait(lambda: lesson.panel.pairs.rows[0].name == "train_2")
    assert lesson.panel.ready.sentence == "1 image will be left out unless you decide otherwise."


def test_a_stroke_shows_in_the_list(lesson: Class) -> None:
    mask = lesson.open("train")
    mask.paint((1, 1), 0)
    mask.data_setitem(np.nonzero(mask.data), 0)
    lesson.wait(lambda: lesson.row("train_0").summary == "mask is empty")


def test_each_pair_shows_its_image_with_the_outline_of_its_mask(lesson: Class) -> None:
    mask = lesson.open("train")
    thumbnails = lesson.panel.pairs.thumbnails
    lesson.panel.pairs.grab()  # paints, as a window would; the picture is asked for
    lesson.wait(lambda: thumbnails.picture(lesson.row("train_0").picture) is not None)
    shown = lesson.panel.pairs.grab().toImage()
    assert any(_is_yellow(shown.pixelColor(x, y)) for x in range(SHOWN) for y in range(SHOWN))
    before = lesson.row("train_0").picture
    mask.paint((1, 1), 1)
    lesson.wait(lambda: lesson.row("train_0").picture != before)


def test_the_device_can_be_chosen_where_it_is_there(lesson: Class) -> None:
    lesson.open("train")
    devices = lesson.panel.device_row.devices
    lesson.choose_device("mps" if sys.platform != "darwin" else "cuda")
    assert not lesson.panel.learn_row.is_enabled
    assert lesson.device() in lesson.button.toolTip()
    assert devices.toolTip() == lesson.device(), "the field is marked"
    assert devices.styleSheet()
    lesson.choose_device("cpu")
    assert lesson.panel.learn_row.is_enabled
    assert not devices.styleSheet()
    lesson.learn()
    lesson.end()
    assert lesson.device() == "Running on the processor (chosen)"


def _is_yellow(colour: Any) -> bool:
    return min(colour.red(), colour.green()) > colour.blue() + 100


def test_a_stack_gives_its_labelled_frames(lesson: Class) -> None:
    image, mask = lesion("train")
    lesson.viewer.add_image(np.stack([image, image[::-1], image[:, ::-1]]), name="loop")
    lesson.viewer.add_labels(np.stack([mask, mask[::-1], np.zeros_like(mask)]))
    assert lesson.row("loop").summary == "2 of 2 labelled frames ready"
    lesson.widget.keep()
    lesson.help_ends()
    kept = CorrectionStore().corrections()
    assert [(correction.name, correction.plane) for correction in kept] == [("loop [0]", (0,)), ("loop [1]", (1,))]
    assert len({correction.group for correction in kept}) == 1


def test_a_folder_brings_pairs(lesson: Class, tmp_path: Path) -> None:
    image, mask = lesion("train")
    for name, array in (("images", image), ("masks", mask)):
        (tmp_path / "clinic" / name).mkdir(parents=True)
        tifffile.imwrite(tmp_path / "clinic" / name / "polyp_03.tif", array)
    lesson.widget.add_folder(tmp_path / "clinic")
    lesson.help_ends()
    assert lesson.row("polyp_03").ready
    assert lesson.panel.learn_row.is_enabled
    lesson.widget.add_folder(tmp_path)
    lesson.help_ends()
    assert "There is no image in" in lesson.panel.status


def test_what_several_labels_mean_is_asked_once(lesson: Class) -> None:
    for side, number in (("train", 0), ("train", 1), ("held_out", 2)):
        mask = lesson.open(side, number)
        mask.data[8:12, 8:14] = 2
        mask.refresh()
    lesson.widget.refresh_pairs()
    assert lesson.row("train_0").note == "Labels 1, 2."
    lesson.learn()
    lesson.end()
    question = lesson.panel.labels
    assert "The masks hold the labels 1 and 2, and the model has one class." in question.findChild(QLabel).text()
    answers = {button.text(): button for button in question.findChildren(QPushButton) if not button.isHidden()}
    assert [*answers] == ["Each", "All as one", "Only 1", "Only 2"]
    assert not lesson.versions.versions()
    answers["Each"].click()
    lesson.end()
    [version] = lesson.versions.versions()
    card = registry.read_card(lesson.versions.path(version.number))
    assert card.class_names == ("background", "lesion", "label 2")
    lesson.learn()  # not asked again
    lesson.end()
    assert len(lesson.versions.versions()) == 2
