"""The recipes: what cards will say, pairs of several data sets, and each training once, made tiny."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from napari_wavegms.model.card import read_card
from napari_wavegms.model.checkpoint import load_checkpoint
from napari_wavegms.model.registry import resolve


def data_set(folder: Path, seed: int) -> Path:
    """Three images with bright squares, two to learn from."""
    rng = np.random.default_rng(seed)
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    for name in ("one", "two", "three"):
        mask = np.zeros((30, 40), np.uint8)
        mask[8:20, 10:26] = 255
        image = (mask // 2 + rng.integers(0, 90, mask.shape)).astype(np.uint8)
        Image.fromarray(image).save(folder / "images" / f"{name}.png")
        Image.fromarray(mask).save(folder / "masks" / f"{name}.png")
    (folder / "split.json").write_text(json.dumps({"train": ["one", "two"], "val": ["three"]}))
    return folder


def test_cards_name_every_data_set_with_its_terms(recipe: Any) -> None:
    for made in recipe("settings").RECIPES.values():
        counts = list(range(7, 7 + len(made.sets)))
        for source in made.sets:
            assert source.terms in made.terms
            assert f"{source.name} ({source.citation})" in made.data(counts, counts)
        assert "Kvasir" not in made.data(counts, counts), "it may not be in shipped weights"


def test_pairs_of_two_sets_are_told_apart(recipe: Any, tmp_path: Path) -> None:
    sets = recipe("sets")
    found = [sets.read_set(data_set(tmp_path / name, 0), "train") for name in "ab"]
    together = sets.joined(list(zip("ab", found, strict=True)))
    assert [pair.name for pair in together] == ["a/one", "a/two", "b/one", "b/two"]
    assert [pair.group for pair in together] == ["a", "a", "b", "b"]
    assert sets.joined([("a", found[0])]) == found[0], "one set keeps its names"


def test_the_lab_file_holds_no_folders_of_this_machine(
    recipe: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = recipe("lab")
    monkeypatch.setattr(
        sys, "argv", ["somewhere/recipes/try.py", "--data", "/data/mine/BUSI", "--run=a/b/c", "two words"]
    )
    said = lab.command(sys.argv[1:])
    assert said == "python recipes/try.py --data BUSI --run=c 'two words'"
    scores = {"n": 2, "dsc": 0.5, "iou": 1 / 3, "hd95": None}
    for what in ("first", "second"):
        lab.record(tmp_path / "lab.jsonl", what, scores, data="BUSI val", command=said)
    lines = [json.loads(line) for line in (tmp_path / "lab.jsonl").read_text().splitlines()]
    assert [line["what"] for line in lines] == ["first", "second"]
    assert lab.table(lines).splitlines()[2].startswith("| first | BUSI val | 2 | 0.5000 | 0.3333 | – |")


def test_a_model_of_two_sets_is_trained_shipped_and_not_trained_again(
    recipe: Any, shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    taesd, output = shared / "weights" / "taesd", tmp_path / "both.safetensors"
    folders = [str(data_set(tmp_path / name, seed)) for seed, name in enumerate(("busi", "isic"))]
    words = ["both", "--data", *folders, "--taesd", str(taesd), "--output", str(output), "--device", "cpu"]
    words += ["--run", str(tmp_path / "run"), "--size", "32", "--epochs", "joint=2", "further=1"]
    words += ["--start", "breast-ultrasound"]
    recipe("train_shipped").main(words)
    card = read_card(output)
    assert set(card.scores) == {"BUSI val", "ISIC-2017 val"}
    *before, joint, further = card.lineage
    assert (joint["pairs"], joint["config"]["size"], joint["config"]["epochs"]) == (4, 32, 2)
    assert (further["config"]["epochs"], further["config"]["batch"]) == (1, 4)
    assert before == list(read_card(resolve("breast-ultrasound")).lineage), "it goes on from the other model"
    assert "2 to learn from, 1 to choose the epoch by" in card.data
    assert card.data.count("Started from") == 1, "what came before that stands in the lineage"
    assert str(tmp_path) not in card.command
    assert '"epoch"' in capsys.readouterr().out
    recipe("train_shipped").main(words)
    assert '"epoch"' not in capsys.readouterr().out, "the stage was done"
    with pytest.raises(SystemExit, match="holds a run with other settings"):
        recipe("train_shipped").main([*words, "--seed", "1"])


def test_the_mean_of_two_models_is_shipped_with_its_own_scores(recipe: Any, tmp_path: Path) -> None:
    output, names = tmp_path / "generalist.safetensors", ("breast-ultrasound", "skin-lesion")
    folders = [str(data_set(tmp_path / name, seed)) for seed, name in enumerate(("busi", "isic"))]
    words = ["--models", *names, "--data", *folders, "--output", str(output)]
    recipe("average").main(words)
    mean, card = load_checkpoint(output)
    first, second = (load_checkpoint(resolve(name))[0].state_dict() for name in names)
    for name, weight in mean.state_dict().items():
        torch.testing.assert_close(weight, (first[name] + second[name]) / 2, atol=1e-3, rtol=1e-3)
    assert set(card.scores) == {"BUSI val", "ISIC-2017 val"}
    assert card.data.endswith("the mean of those of breast-ultrasound, skin-lesion.")
    assert card.command.startswith("python recipes/")
    assert str(tmp_path) not in card.command


def ablation(recipe: Any, shared: Path, folder: Path, name: str) -> list[dict[str, Any]]:
    """Run one and read the lab file."""
    words = [name, "--data", str(data_set(folder / "busi", 0)), "--taesd", str(shared / "weights" / "taesd")]
    words += ["--epochs", "1", "--size", "32", "--run", str(folder / "run"), "--lab", str(folder / "lab.jsonl")]
    recipe("ablations").main([*words, "--device", "cpu"])
    return [json.loads(line) for line in (folder / "lab.jsonl").read_text().splitlines()]


def test_an_ablation_leaves_a_line_that_says_what_learned(recipe: Any, shared: Path, tmp_path: Path) -> None:
    (line,) = ablation(recipe, shared, tmp_path, "taesd-encoder")
    assert (line["what"], line["data"], line["codec"]) == ("taesd-encoder", "busi val", "mask-codec")
    assert line["parameters"] == 1_564_976, "the mapper alone"
    assert line["training"] == "1 epochs at 32 px"
    assert 0 <= line["dsc"] <= 1


def test_a_frozen_mapper_stays_as_the_other_ablation_left_it(recipe: Any, shared: Path, tmp_path: Path) -> None:
    import torch

    from napari_wavegms.model.checkpoint import load_checkpoint

    (line,) = ablation(recipe, shared, tmp_path, "other-lmm")
    assert line["parameters"] == 1_035_692, "the encoder alone"
    (before,), (after,) = ((tmp_path / "run" / name).rglob("best.safetensors") for name in ("other-vae", "other-lmm"))
    kept, now = (load_checkpoint(path)[0] for path in (before, after))
    assert all(torch.equal(a, b) for a, b in zip(kept.mapper.parameters(), now.mapper.parameters(), strict=True))
    assert not torch.equal(kept.encoder.aggregate.head.weight, now.encoder.aggregate.head.weight)


def test_folds_keep_near_duplicates_together_and_are_of_one_size(recipe: Any) -> None:
    groups = {f"image {number}": number % 37 for number in range(200)}
    folds = recipe("five_folds").folds_of([SimpleNamespace(name=name) for name in groups], groups)
    assert len(set(zip(folds, groups.values(), strict=True))) == 37  # each group in one fold
    sizes = [folds.count(fold) for fold in range(5)]
    assert max(sizes) - min(sizes) <= 6  # the largest group


def test_the_mean_over_folds_is_one_over_all_their_images(recipe: Any) -> None:
    lines = [
        {"network": "unet", "parameters": 7, "steps": 10, "dsc": [0.5], "hd95": [None]},
        {"network": "unet", "parameters": 7, "steps": 20, "dsc": [0.8, 0.8], "hd95": [2.0, 4.0]},
    ]
    *_, row = recipe("five_folds").summary(lines).splitlines()
    assert row == "| unet | 7 | 2 | 3 | 0.7000 ± 0.1000 | 3.0 | 1 | 15 |"
