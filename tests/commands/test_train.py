"""`wavegms train`: the whole recipe on three tiny images, stopped and continued."""

from __future__ import annotations

import io
import json
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from napari_wavegms.cli import main
from napari_wavegms.commands.common.train_plan import hold_out
from napari_wavegms.model.card import read_card
from napari_wavegms.model.checkpoint import load_checkpoint

Run = Callable[..., Any]
Folders = Callable[[int], tuple[Path, Path]]
SMALL = ("--size", "32", "--batch", "12", "--epochs", "2", "--device", "cpu")
ONE = (*SMALL, "--epochs", "1")


@pytest.fixture
def train(wavegms: Run, model: Path, tmp_path: Path) -> Run:
    """Run `wavegms train` from the tiny model into the folder `run`."""

    def run(folders: tuple[Path, Path], *arguments: object) -> Any:
        images, masks = folders
        return wavegms(
            "train", "--images", images, "--masks", masks, "--output", tmp_path / "run", "--from", model, *arguments
        )

    return run


def history(folder: Path) -> list[dict[str, Any]]:
    """Lines of history.jsonl."""
    return [json.loads(line) for line in (folder / "history.jsonl").read_text(encoding="utf-8").splitlines()]


def test_a_run_leaves_a_model_that_says_where_it_comes_from(
    train: Run, folders: Folders, model: Path, tmp_path: Path
) -> None:
    made = folders(3)
    said = train(made, *SMALL, "--seed", "5")
    assert said.code == 0
    best = tmp_path / "run" / "best.safetensors"
    assert f"The model is {best}: " in said.out
    assert "than tiny.safetensors on 1 test image (DSC 0." in said.out
    assert ", after 2 steps in " in said.out
    assert "Test images: 1 of 3 pairs, drawn with seed 5." in said.err
    assert [line.split()[1] for line in said.err.splitlines() if line.startswith("epoch ")] == ["1/2", "2/2"]
    network, card = load_checkpoint(best)
    assert not network.training
    assert card.name == "run"
    assert card.title == "tiny.safetensors, fine-tuned on 2 pairs of images and masks"
    assert card.data == "Nothing; then 2 pairs of images and masks"
    assert card.terms == "CC0"
    assert card.scores.keys() == {"validation"}
    assert card.scores["validation"]["n"] == 1, "the scores of the start are not those of the new model"
    assert card.lineage[-1]["config"]["seed"] == 5
    assert card.lineage[-2]["start"] == "tiny.safetensors"
    assert card.command.startswith("wavegms train --images IMAGES --masks MASKS --output run ")
    told = json.dumps(card.as_dict())
    assert tmp_path.name not in told, "a card does not tell folders"
    assert "images" not in card.lineage[-2]
    assert len(history(tmp_path / "run")) == 2


def test_quick_leaves_the_encoder_as_it_is(train: Run, folders: Folders, model: Path, tmp_path: Path) -> None:
    assert train(folders(1), *ONE, "--quick", "--keep-names").code == 0
    assert read_card(tmp_path / "run" / "best.safetensors").title.endswith(
        "fine-tuned on 1 pair of images and masks from 'images'"
    )
    before, after = load_checkpoint(model)[0], load_checkpoint(tmp_path / "run" / "best.safetensors")[0]
    assert all(torch.equal(a, b) for a, b in zip(before.encoder.parameters(), after.encoder.parameters(), strict=True))
    assert not torch.equal(before.mapper.stem.weight, after.mapper.stem.weight)


def test_a_finished_run_is_resumed_with_its_own_settings_alone(train: Run, folders: Folders, tmp_path: Path) -> None:
    made = folders(1)
    assert train(made, *ONE).code == 0
    said = train(made, "--resume", "--json")
    assert said.code == 0
    assert "This run has finished: 1 of 1 epoch." in said.err
    assert json.loads(said.out)["epochs"] == 1
    for arguments, complaint in (
        (["--epochs", "7"], "This run has --epochs 1, not 7. Drop --epochs to resume it"),
        (["--from", "scratch"], "This run started from tiny.safetensors, not from scratch"),
    ):
        said = train(made, "--resume", *arguments)
        assert said.code == 2
        assert complaint in said.err


def test_a_window_is_kept_in_the_card_and_used_by_segment(train: Run, wavegms: Run, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(2):
        for folder in ("images", "masks"):
            (tmp_path / folder).mkdir(exist_ok=True)
            pixels = rng.integers(-1000, 1000, (40, 48)).astype(np.int16) if folder == "images" else np.eye(40, 48)
            tifffile.imwrite(tmp_path / folder / f"ct{number}.tif", pixels.astype(np.int16))
    made = tmp_path / "images", tmp_path / "masks"
    assert "--window is '250:-150'; give lung, soft-tissue," in train(made, *SMALL, "--window", "250:-150").err
    assert train(made, *ONE, "--window", "liver").code == 0
    best = tmp_path / "run" / "best.safetensors"
    assert read_card(best).preprocessing["window"] == [-45, 105]
    said = wavegms("segment", made[0] / "ct0.tif", "--output", tmp_path, "--model", best)
    assert "-45 to 105 shown as black to white" in said.out
    said = wavegms("segment", made[0] / "ct1.tif", "--output", tmp_path, "--model", best, "--window", "-100:300")
    assert "-100 to 300 shown as black to white" in said.out
    assert "-45 becomes black and 105 white" in wavegms("info", best).out
    tifffile.imwrite(tmp_path / "mri.tif", rng.integers(0, 1000, (40, 48)).astype(np.int16))
    said = wavegms("segment", tmp_path / "mri.tif", "--output", tmp_path, "--model", best)
    assert "mri.tif has no value below 0, so that it is hardly in the Hounsfield units of the window." in said.err
    assert train(made, *ONE, "--output", tmp_path / "other", "--from", best, "--window", "volume").code == 0
    rules = read_card(tmp_path / "other" / "best.safetensors").preprocessing
    assert (rules["of_volume"], "window" in rules) == (True, False)


def test_a_fifth_is_held_out_and_remembered(train: Run, folders: Folders, tmp_path: Path) -> None:
    said = train(folders(5), *SMALL, "--json")
    assert said.code == 0
    told = json.loads(said.out)
    assert (told["pairs"], told["held_out"], told["epochs"], told["finished"]) == (3, 2, 2, True)
    assert told["best_dsc"] == history(tmp_path / "run")[-1]["dsc"], "two are too few to choose an epoch by"
    assert told["verdict"] in ("clearly better", "cannot tell yet", "clearly worse")
    assert told["dsc"]["after"] == pytest.approx(told["best_dsc"], abs=0.02)  # of another precision
    split = json.loads((tmp_path / "run" / "split.json").read_text(encoding="utf-8"))
    assert sorted(split["train"] + split["val"]) == [f"scan{number}" for number in range(5)]
    assert len(split["val"]) == 2
    assert read_card(told["best"]).scores["validation"] == {"dsc": told["best_dsc"], "n": 2}


def test_a_split_file_decides(train: Run, folders: Folders, tmp_path: Path) -> None:
    split = tmp_path / "split.json"
    split.write_text(json.dumps({"train": ["scan2"], "val": ["scan0", "scan1"]}))
    told = json.loads(train(folders(3), *ONE, "--split", split, "--json").out)
    assert (told["pairs"], told["held_out"]) == (1, 2)


def test_a_split_without_held_out_pairs(train: Run, folders: Folders, tmp_path: Path) -> None:
    split = tmp_path / "split.json"
    split.write_text(json.dumps({"train": ["scan2"]}))
    said = train(folders(3), "--size", "32", "--epochs", "1", "--split", split)
    assert said.code == 0
    assert "split.json has no 'val' list; the last epoch is kept." in said.err


def test_a_split_that_leaks(train: Run, folders: Folders, tmp_path: Path) -> None:
    split = tmp_path / "split.json"
    split.write_text(json.dumps({"train": ["scan2", "scan1"], "val": ["scan1"]}))
    said = train(folders(3), "--split", split)
    assert said.code == 2
    assert "split.json has scan1 in both 'train' and 'val'" in said.err


def test_random_weights_without_a_teacher(wavegms: Run, folders: Folders, tmp_path: Path) -> None:
    images, masks = folders(1)
    places = ("--images", images, "--masks", masks, "--output", tmp_path / "run")
    said = wavegms("train", *places, "--from", "scratch", "--epochs", "1", "--size", "32")
    assert said.code == 0
    assert "Teacher: none, so latents are not aligned." in said.err
    config = read_card(tmp_path / "run" / "best.safetensors").lineage[-1]["config"]
    assert (config["batch"], config["learning_rate"], config["alignment_weight"]) == (12, 2e-3, 0)


def test_taesd_teaches_where_its_weights_are(train: Run, folders: Folders, shared: Path, tmp_path: Path) -> None:
    said = train(folders(1), "--size", "32", "--epochs", "1", "--taesd", shared / "weights" / "taesd")
    assert said.code == 0
    assert "Teacher: TAESD." in said.err
    assert read_card(tmp_path / "run" / "best.safetensors").lineage[-2]["teacher"] == "TAESD"
    said = train((tmp_path / "images", tmp_path / "masks"), "--resume")
    assert said.code == 2
    assert "used the teacher 'TAESD' and cannot continue with 'own'. Give --taesd again." in said.err


def test_an_earlier_run_is_not_overwritten(train: Run, folders: Folders, tmp_path: Path) -> None:
    made = folders(1)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "best.safetensors").write_text("precious")
    said = train(made, *SMALL)
    assert said.code == 2
    assert "already contains best.safetensors from an earlier run. Choose another --output." in said.err
    said = train(made, *SMALL, "--resume")
    assert said.code == 2
    assert "choose another one for a new run" in said.err
    assert (tmp_path / "run" / "best.safetensors").read_text() == "precious"


@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_a_run_stopped_in_its_first_epoch_begins_anew_with_resume(
    train: Run, folders: Folders, tmp_path: Path, how: str
) -> None:
    made = folders(1)
    (tmp_path / "run").mkdir()
    left = {"killed": ["split.json"], "stopped": ["history.jsonl", "best.safetensors"]}[how]
    for name in left:
        (tmp_path / "run" / name).write_text('{"train": ["scan0"], "val": []}' if name == "split.json" else "")
    if how == "stopped":
        assert "Continue it with --resume" in train(made, *ONE).err
    said = train(made, *ONE, "--resume")
    assert said.code == 0
    assert "was stopped in its first epoch; it begins anew" in said.err
    assert read_card(tmp_path / "run" / "best.safetensors").name == "run"


def test_bad_pairs_are_left_out_and_named(train: Run, folders: Folders, tmp_path: Path) -> None:
    images, masks = folders(7)
    (images / "scan0.png").write_text("no picture")
    Image.fromarray(np.zeros((7, 7), np.uint8)).save(masks / "scan2.png")
    Image.fromarray(np.ones((40, 48), np.uint8)).save(masks / "scan3.png")
    tifffile.imwrite(masks / "scan4.tif", np.full((40, 48), -1, np.int16))
    (masks / "scan4.png").unlink()
    shutil.copy(images / "scan5.png", images / "scan6.png")
    Image.fromarray(np.pad(np.zeros((10, 10), np.uint8), ((15, 15), (19, 19)), constant_values=255)).save(
        masks / "scan1.png"
    )
    said = train((images, masks), *ONE)
    assert said.code == 0
    assert "Mostly labelled, and so is the border: 1 mask (scan1)." in said.err
    for sentence in (
        "Left out: ",
        "scan0.png is not an image",
        "scan2 is 40 x 48 pixels and its mask 7 x 7",
        "Every pixel of scan3 is labelled.",
        "scan4.tif: A mask holds labels from 0 up, but this has label -1.",
        "scan6 has the same pixels as scan5 and another mask.",
        "5 of 7 pairs are left out.",
    ):
        assert sentence in said.err


def test_nothing_but_bad_pairs_is_refused(train: Run, folders: Folders, tmp_path: Path) -> None:
    images, masks = folders(1)
    (images / "scan0.png").write_text("no picture")
    said = train((images, masks), *SMALL)
    assert said.code == 2
    assert "None of the 1 pair can be used." in said.err
    assert not list((tmp_path / "run").iterdir())


def test_planes_of_stacks_are_learned_from_and_a_stack_is_on_one_side_of_the_split(train: Run, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(3):
        for folder in ("images", "masks"):
            (tmp_path / folder).mkdir(exist_ok=True)
            stack = np.kron(np.eye(4, dtype=np.uint8), np.ones((10, 12), np.uint8))[None].repeat(5, 0)
            stack = stack if folder == "masks" else rng.integers(0, 255, stack.shape).astype(np.uint8)
            metadata = {"axes": "ZYX"}
            tifffile.imwrite(tmp_path / folder / f"v{number}.tif", stack, photometric="minisblack", metadata=metadata)
    (tmp_path / "masks" / "v1.tif").write_bytes((tmp_path / "masks" / "v0.tif").read_bytes()[:500])
    said = train((tmp_path / "images", tmp_path / "masks"), *ONE)
    assert "Left out: " in said.err
    assert "v1.tif is damaged or cut short" in said.err
    assert "Learning from 5 pairs, with 5 test images" in said.err
    split = json.loads((tmp_path / "run" / "split.json").read_text())
    assert sorted(map(len, split.values())) == [1, 1]
    assert said.code == 0


def test_images_and_masks_in_one_folder_and_masks_of_several_files(train: Run, folders: Folders) -> None:
    images, masks = folders(3)
    for path in masks.iterdir():
        path.rename(images / f"{path.stem}_mask.png")
    Image.fromarray(np.eye(40, 48, dtype=np.uint8) * 255).save(images / "scan0_mask_1.png")
    said = train((images, images), *ONE)
    assert said.code == 0
    assert "Learning from 2 pairs, with 1 test image" in said.err
    assert "Skipped" not in said.err


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--epochs", "0"], "This training cannot start: epochs is 0 and must be at least 1"),
        (["--size", "30"], "size is 30 and must be a multiple of 8"),
        (["--resume"], "There is no last.safetensors in"),
        (["--quick", "--from", "scratch"], "--quick trains the mapping model only and needs a trained encoder."),
    ],
)
def test_wishes_that_cannot_be_met(train: Run, folders: Folders, arguments: list[str], complaint: str) -> None:
    said = train(folders(1), *arguments)
    assert said.code == 2
    assert complaint in said.err
    assert said.err.count("\n") <= 1


def test_held_out_names_follow_the_seed_alone() -> None:
    names = [f"scan{number}" for number in range(23)]
    training, held_out = hold_out(names, seed=1)
    assert len(held_out) == 5
    assert sorted(training + held_out) == sorted(names)
    assert hold_out(names, seed=1) == (training, held_out)
    assert hold_out(names, seed=2)[1] != held_out
    assert hold_out(names[:1], seed=1) == (names[:1], [])


def test_a_rate_that_breaks_the_run_is_failed_work(train: Run, folders: Folders, tmp_path: Path) -> None:
    said = train(folders(1), "--size", "32", "--epochs", "9", "--learning-rate", "1e30")
    assert said.code == 1
    assert "Try a smaller learning rate than 1e+30." in said.err
    load_checkpoint(tmp_path / "run" / "best.safetensors")


class Impatient(io.StringIO):
    """A terminal where Ctrl-C is pressed when the first epoch is told."""

    def write(self, text: str) -> int:
        written = super().write(text)
        if text.startswith("epoch "):
            signal.raise_signal(signal.SIGINT)
        return written


def test_ctrl_c_keeps_the_best_and_the_run_can_go_on(
    folders: Folders, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, masks = folders(5)
    places = ["train", "--images", images, "--masks", masks, "--output", tmp_path / "run", "--from", model]
    command = [str(word) for word in places]

    def interrupted(*options: str) -> str:
        monkeypatch.setattr(sys, "stderr", Impatient())
        # A shell may have started the tests with Ctrl-C switched off.
        handler = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            code = main([*command, *options])
        finally:
            signal.signal(signal.SIGINT, handler)
        said = sys.stderr.getvalue()
        assert code == 130, said
        assert "Traceback" not in said
        return said

    said = interrupted(*SMALL, "--epochs", "5000")
    assert f"The best model so far is {tmp_path / 'run' / 'best.safetensors'}, DSC " in said
    assert "Continue with --resume." in said
    load_checkpoint(tmp_path / "run" / "best.safetensors")
    done = len(history(tmp_path / "run"))
    lines = interrupted("--resume").splitlines()
    assert any("5,000 epochs of 1 step in " in line and f", from epoch {done + 1} on." in line for line in lines)
    assert [line["epoch"] for line in history(tmp_path / "run")][: done + 1] == list(range(done + 1))
