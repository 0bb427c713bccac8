"""`wavegms models`, `info` and `import`: model files, told about without torch."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from napari_wavegms.commands.common.models import named_model
from napari_wavegms.commands.info import card_lines
from napari_wavegms.commands.models import scores_of
from napari_wavegms.finetune.gate import judge
from napari_wavegms.finetune.versions import ModelVersions
from napari_wavegms.model.card import ModelCard, read_card
from napari_wavegms.model.registry import DEFAULT_MODEL
from napari_wavegms.storage.user_data import user_models_folder

Run = Callable[..., Any]


@pytest.fixture
def mine(model: Path) -> Path:
    """Put the tiny model among the user's models."""
    folder = user_models_folder()
    folder.mkdir(parents=True)
    return Path(shutil.copy(model, folder / "mine.safetensors"))


def test_the_table_names_size_score_and_title(wavegms: Run, mine: Path) -> None:
    said = wavegms("models")
    assert said.code == 0
    row = next(line for line in said.out.splitlines() if line.split()[:1] == ["mine"])
    assert f"{mine.stat().st_size / 1e6:.1f} MB" in row
    assert "0.250 on validation (4 images)" in row
    assert row.endswith("Random weights")


def test_one_model_is_marked_as_the_default(wavegms: Run, model: Path) -> None:
    folder = user_models_folder()
    folder.mkdir(parents=True)
    shutil.copy(model, folder / f"{DEFAULT_MODEL}.safetensors")  # where none is shipped, the user's own is the default
    told = json.loads(wavegms("models", "--json").out)
    assert [entry["name"] for entry in told if entry["default"]] == [DEFAULT_MODEL]
    marked = [line for line in wavegms("models").out.splitlines() if line.startswith("* ") and "MB" in line]
    assert [line.split()[1] for line in marked] == [DEFAULT_MODEL]


def test_json_names_the_file(wavegms: Run, mine: Path) -> None:
    told = {entry["name"]: entry for entry in json.loads(wavegms("models", "--json").out)}
    assert told["mine"]["path"] == str(mine)
    assert told["mine"]["dsc"] == 0.25
    assert not told["mine"]["shipped"]


def test_a_file_that_is_no_model_is_told_apart(wavegms: Run, mine: Path) -> None:
    (mine.parent / "notes.safetensors").write_text("not a model")
    said = wavegms("models")
    assert said.code == 1
    assert "notes.safetensors is not a .safetensors file" in said.err
    assert "mine" in said.out


def test_a_card_is_written_for_people(wavegms: Run, model: Path) -> None:
    said = wavegms("info", model)
    assert said.code == 0
    for words in (
        "tiny: Random weights",
        "2,600,668",
        "squashed to 32 x 32 pixels",
        "the 0.1 percentile becomes black and the 99.9 percentile",
        "0 background, 1 lesion",
        "validation: DSC 0.250, n 4",
        "CC0",
        "Not a medical device",
    ):
        assert words in " ".join(said.out.split())


def test_a_card_is_written_for_programs(wavegms: Run, model: Path) -> None:
    told = json.loads(wavegms("info", model, "--json").out)
    assert told["path"] == str(model)
    assert ModelCard.from_dict(told) == read_card(model)


def test_each_class_has_its_name_colour_and_code(tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.touch()
    names = ("background", "liver", "kidney", "gut")
    card = ModelCard("x", class_names=names, class_colors=("#dd8265", "#b9664c"), class_codes=("", "SCT 64033007"))
    text = " ".join(" ".join(card_lines(card, file)).split())
    assert "Labels 0 background, 1 liver (#dd8265), 2 kidney (#b9664c, SCT 64033007), 3 gut Threshold" in text


def test_a_long_lineage_is_numbered(tmp_path: Path) -> None:
    entry = {"from": "a", "pairs": 9, "config": {"epochs": 5, "size": 64, "learning_rate": 0.001, "seed": 1}}
    file = tmp_path / "x"
    file.touch()
    text = " ".join(" ".join(card_lines(ModelCard("x", lineage=(entry, entry)), file)).split())
    assert "Training 1. from a, pairs 9, 5 epochs, 64 x 64 pixels, learning rate 0.001, seed 1 2. from a" in text


def test_a_card_tells_its_trunk_and_its_margins_only_where_it_has_them(tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.touch()
    old = ModelCard("x")
    new = ModelCard("x", context="efficientnet-lite0-0", preprocessing=old.preprocessing | {"margins": True})
    before, after = (" ".join(" ".join(card_lines(card, file)).split()) for card in (old, new))
    assert "Context efficientnet-lite0-0" in after
    assert "uniform margins left out, squashed to 224 x 224" in after
    assert not {"Context", "margins"} & set(before.split())


def test_a_card_with_odd_values_is_damaged(wavegms: Run, model: Path, tmp_path: Path) -> None:
    raw = model.read_bytes()
    assert raw.count(b"[0.1, 99.9]") == 1
    odd = tmp_path / "odd.safetensors"
    odd.write_bytes(raw.replace(b"[0.1, 99.9]", b"12345678901"))
    said = wavegms("info", odd)
    assert said.code == 2
    assert "The model card of odd.safetensors is damaged" in said.err
    assert said.err.count("\n") == 1


def test_every_set_of_images_that_a_model_was_scored_on_is_told() -> None:
    scores = {"BUSI val": {"dsc": 0.8, "n": 57}, "unfinished": {"epoch": 3}, "ISIC val": {"dsc": 0.86}}
    assert [str(score) for score in scores_of(ModelCard("a", scores=scores))] == [
        "0.800 on BUSI val (57 images)",
        "0.860 on ISIC val",
    ]


def test_an_unknown_model_is_answered_with_the_known_ones(wavegms: Run, mine: Path) -> None:
    said = wavegms("info", "nothing")
    assert said.code == 2
    assert "There is no model 'nothing'. Choose one of default," in said.err
    assert "mine" in said.err


def test_an_official_checkpoint_becomes_a_model(wavegms: Run, shared: Path, tmp_path: Path) -> None:
    source = shared / "reference" / "wave_gms_official_format.pth"
    said = wavegms("import", source, "--output", tmp_path / "theirs.safetensors", "--json")
    assert said.code == 0
    told = json.loads(said.out)
    assert told["parameters"] == 2_600_668
    assert read_card(tmp_path / "theirs.safetensors").name == "theirs"


@pytest.mark.parametrize(
    ("source", "target", "complaint"),
    [
        ("none.pth", "out.safetensors", "There is no file"),
        ("text.pth", "out.pth", "'out.pth' does not end in .safetensors; give --output that ending."),
        ("text.pth", "out.safetensors", "cannot be read as a PyTorch checkpoint"),
        ("text.safetensors", "text.safetensors", "is one of the inputs and would be overwritten"),
    ],
)
def test_what_cannot_be_imported(wavegms: Run, tmp_path: Path, source: str, target: str, complaint: str) -> None:
    for name in ("text.pth", "text.safetensors"):
        (tmp_path / name).write_text("not a checkpoint")
    said = wavegms("import", tmp_path / source, "--output", tmp_path / target)
    assert said.code == 2
    assert complaint in said.err
    assert (tmp_path / "text.safetensors").read_text() == "not a checkpoint"


def learned(model: Path, *promotions: bool) -> list[Path]:
    """Keep versions as the Fine-tune panel does."""
    versions = ModelVersions()
    for promote in promotions:
        verdict = judge({"a": 0.3}, {"a": 1.0 if promote else 0.2})
        versions.add(partial(shutil.copyfile, model), verdict, "default", "Quick", {"a": 0.5}, {"a": 0.6})
    return [versions.path(version.number) for version in versions.versions()]


def test_learned_versions_are_listed_and_go_by_their_names(wavegms: Run, model: Path) -> None:
    files = learned(model, True, False)
    said = wavegms("models")
    assert "Fine-tuned versions:" in said.out
    assert any(line.strip().startswith("v1: DSC 0.60") and line.endswith("in use") for line in said.out.splitlines())
    told = {entry["name"]: entry for entry in json.loads(wavegms("models", "--json").out)}
    assert (told["v1"]["in_use"], told["v2"]["in_use"]) == (True, False)
    assert [named_model(name) for name in ("v1", "v2", "in-use")] == [files[0], files[1], files[0]]


def test_nothing_is_in_use_before_anything_was_learned(wavegms: Run) -> None:
    said = wavegms("info", "in-use")
    assert said.code == 2
    assert said.err == ("No fine-tuned version is in use yet. Fine-tune a model first, or name another model.\n")


@pytest.mark.parametrize(
    "change",
    [
        {"title": "x" * 200_000},
        {"title": "\x1b[2J\x07"},
        {"scores": {"val": {"dsc": 10**400, "n": []}}},
        {"scores": {str(number): {"dsc": 0.5} for number in range(5000)}},
        {"format_version": 10**400},
        {"name": "\ud800"},
        {"preprocessing": {"size": 1e30, "aspect": "squash", "percentiles": [0, 100]}},
    ],
)
def test_no_card_of_a_stranger_stops_the_list_or_speaks_to_the_terminal(
    wavegms: Callable[..., Any], change: dict[str, Any]
) -> None:
    header = json.dumps({"__metadata__": {"wavegms": json.dumps(ModelCard("odd").as_dict() | change)}}).encode()
    user_models_folder().mkdir(parents=True)
    (user_models_folder() / "odd.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    for arguments in (("models",), ("models", "--json"), ("info", "odd")):
        said = wavegms(*arguments)
        assert "generalist" in said.out or arguments[0] == "info"
        assert "\x1b" not in said.out + said.err
        assert "--json" in arguments or max(map(len, (said.out + said.err).splitlines())) < 1000
