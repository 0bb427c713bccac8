"""`wavegms finetune`: the split, the verdict and the versions of the panel, in a terminal."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from napari_wavegms.corrections.records import Approval
from napari_wavegms.corrections.store import CorrectionStore
from napari_wavegms.files.reading import read_image, read_mask
from napari_wavegms.finetune.presets import PRESETS, QUICK
from napari_wavegms.finetune.replay import learned
from napari_wavegms.finetune.versions import ModelVersions
from napari_wavegms.model.card import read_card

Run = Callable[..., Any]
Folders = Callable[[int], tuple[Path, Path]]


@pytest.fixture(autouse=True)
def two_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PRESETS, "quick", replace(QUICK, config=replace(QUICK.config, steps=2, precision="float32")))


def test_learning_twice_keeps_the_test_images_and_replays(wavegms: Run, folders: Folders, model: Path) -> None:
    images, masks = folders(3)
    command = ("finetune", "--images", images, "--masks", masks, "--from", model, "--device", "cpu")
    said = wavegms(*command, "--json")
    told = json.loads(said.out)
    assert said.code == {"clearly better": 0, "cannot tell yet": 3, "clearly worse": 4}[told["verdict"]]
    assert "2 training images, 1 test image." in said.err
    assert (told["version"], told["steps"], told["compared_with"]) == ("v1", 2, "tiny")
    assert told["before"].keys() == told["after"].keys()
    assert told["in_use"] is (ModelVersions().current() is not None)
    assert wavegms("finetune", "--use", "v1").out == "v1 is in use now.\n"
    again = wavegms(*command[:5])  # from the version in use
    assert again.out.startswith("Learned 2 steps in ")
    assert "v2" in again.out
    second = ModelVersions().versions()[1]
    assert second.parent == "v1"
    assert second.after.keys() == told["after"].keys()
    assert learned(read_card(ModelVersions().path(2))) == learned(read_card(told["path"]))


def test_what_was_stored_in_napari_is_learned_from(wavegms: Run, folders: Folders, model: Path) -> None:
    images, masks = folders(2)
    for number in range(2):
        image, mask = (folder / f"scan{number}.png" for folder in (images, masks))
        CorrectionStore().approve(Approval(name="scan", image=read_image(image).pixels, mask=read_mask(mask)))
    said = wavegms("finetune", "--from", model, "--device", "cpu")
    assert said.code in (0, 3, 4)
    assert ModelVersions().versions()[0].title == "Quick, 1 correction"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "There is no pair of image and mask to learn from."),
        (["--images", "x"], "Give --images and --masks together"),
        (["--preset", "fast"], "There is no preset 'fast'; choose quick or full."),
        (["--use", "v7"], "There is no version v7; there are none."),
        (["--use", "best"], "--use is 'best'; give a version such as v1, or start."),
    ],
)
def test_what_cannot_be_done_is_a_sentence(wavegms: Run, model: Path, arguments: list[str], complaint: str) -> None:
    said = wavegms("finetune", "--from", model, *arguments)
    assert said.code == 2
    assert complaint in said.err
    assert wavegms("finetune", "--use", "start").code == 0
