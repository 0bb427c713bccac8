"""Masks with several labels on the command line: asked about, never guessed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_wavegms import write_mask
from napari_wavegms.files.reading import read_mask
from napari_wavegms.model.card import read_card

Run = Callable[..., Any]
SMALL = ("--size", "32", "--epochs", "1", "--device", "cpu")


@pytest.fixture
def folders(tmp_path: Path) -> tuple[str | Path, ...]:
    """Three images with two squares each, labelled 10 and 20."""
    for number in range(3):
        mask = np.zeros((40, 40), np.uint8)
        mask[4:16, 4:16], mask[20:34, 20 : 34 - number] = 10, 20
        write_mask(tmp_path / "images" / f"scan{number}.png", 10 * mask)
        write_mask(tmp_path / "masks" / f"scan{number}.png", mask)
    return "--images", tmp_path / "images", "--masks", tmp_path / "masks"


def test_a_training_and_its_model_know_each_label(
    wavegms: Run, model: Path, folders: tuple[str | Path, ...], tmp_path: Path
) -> None:
    train = "train", *folders, "--from", model, "--output", tmp_path / "run", *SMALL
    refused = wavegms(*train)
    assert refused.code == 2
    assert "The masks hold the labels 10 and 20, and the model has one class." in refused.err
    assert not (tmp_path / "run" / "best.safetensors").exists()
    odd = wavegms(*train, "--labels", "each", "--class-names", "disc")
    assert (odd.code, "--class-names has 1 name for 2 classes." in odd.err) == (2, True)
    assert wavegms(*train, "--labels", "each", "--class-names", "disc, cup").code == 0
    best = tmp_path / "run" / "best.safetensors"
    assert read_card(best).class_names == ("background", "disc", "cup")
    assert wavegms("segment", tmp_path / "images", "--output", tmp_path / "out", "--model", best).code == 0
    assert read_mask(tmp_path / "out" / "scan0_mask.tiff").max() <= 2
    # Its masks hold 10 and 20, which are no classes of it either.
    scored = wavegms("evaluate", *folders, "--model", best)
    assert (scored.code, "the model has 2 classes" in scored.err) == (2, True)
    more = wavegms("train", *folders, "--from", best, "--output", tmp_path / "more", *SMALL, "--labels", "each")
    assert more.code == 0
    names = read_card(tmp_path / "more" / "best.safetensors").class_names
    assert names == ("background", "disc", "cup", "label 10", "label 20")


@pytest.mark.parametrize("labels", ["all", "20"])
def test_scores_of_a_model_of_one_class_say_what_they_are_of(
    wavegms: Run, model: Path, folders: tuple[str | Path, ...], labels: str
) -> None:
    refused = wavegms("evaluate", *folders, "--model", model)
    assert refused.code == 2
    assert "The mask of scan0 holds the labels 10 and 20, and the model has one class." in refused.err
    assert wavegms("evaluate", *folders, "--model", model, "--labels", labels).code == 0
    assert wavegms("evaluate", *folders, "--model", model, "--labels", "none").code == 2
