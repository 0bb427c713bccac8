"""`wavegms export`, and `wavegms import` of its packages: other programs answer as ours, and nothing is lost."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import yaml
from bioimageio.core import test_description as examine
from PIL import Image

from napari_wavegms.cli import main
from napari_wavegms.exchange.bioimageio import licences_of, parent_of
from napari_wavegms.learn.metrics import dice
from napari_wavegms.model.card import ModelCard, read_card
from napari_wavegms.model.checkpoint import load_checkpoint, load_keeper, save_checkpoint
from napari_wavegms.model.codec import load_codec
from napari_wavegms.model.device import choose_device
from napari_wavegms.model.registry import resolve
from napari_wavegms.segment.preprocessing import prepare, restore
from napari_wavegms.segment.segmenter import Segmenter

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with a trunk and a second network, fine-tuned from another one: the generalist, renamed."""
    network, card = load_checkpoint(resolve("generalist"))
    card = replace(card, name="clinic", lineage=(*card.lineage, {"from": "generalist"}))
    file = tmp_path_factory.mktemp("model") / "clinic.safetensors"
    return save_checkpoint(file, network, card, half=True, keeper=load_keeper(resolve("generalist")))


@pytest.fixture(scope="module")
def package(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("package") / "clinic.bioimageio.zip"
    assert main(["export", str(model), "--output", str(file)]) == 0
    return file


@pytest.fixture(scope="module")
def onnx_file(package: Path) -> bytes:
    with zipfile.ZipFile(package) as files:
        return files.read("model.onnx")


def answer(file: bytes, frames: np.ndarray) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    return session.run(["probability", "latents"], {"image": frames})


@pytest.mark.filterwarnings("ignore:unclosed file.*bioimageio.zip:ResourceWarning")  # bioimageio.spec leaves it open
def test_the_package_passes_the_test_of_bioimageio(package: Path) -> None:
    summary = examine(package, devices=["cpu"])
    assert summary.status == "passed", summary.format()


def test_the_package_says_what_it_is(package: Path, model: Path) -> None:
    with zipfile.ZipFile(package) as files:
        description = yaml.safe_load(files.read("rdf.yaml"))
        text = files.read("README.md").decode()
        cover = Image.open(BytesIO(files.read(description["covers"][0]["source"])))
        licence = files.read(description["license"]["source"]).decode()
        assert "Apache License" in files.read("context-trunk.LICENSE").decode()
        sources = [entry["source"] for entry in description["attachments"]]
        assert hashlib.sha256(files.read("clinic.safetensors")).digest() == hashlib.sha256(model.read_bytes()).digest()
    card = read_card(model)
    assert description["parent"] == {"id": "generalist"}
    assert "clinic.safetensors" in sources
    assert licence.strip() == card.terms
    assert cover.size == (512, 256)
    for said in (card.description, card.data, card.terms, card.disclaimer, "second network", "generalist"):
        assert said in text


def test_the_model_comes_back_bit_for_bit(wavegms: Run, package: Path, model: Path, tmp_path: Path) -> None:
    said = wavegms("import", package, "--output", tmp_path / "back.safetensors")
    assert said.code == 0
    assert (tmp_path / "back.safetensors").read_bytes() == model.read_bytes()


def test_the_card_and_the_outputs_are_in_the_file(onnx_file: bytes, model: Path) -> None:
    loaded = onnx.load_from_string(onnx_file)
    onnx.checker.check_model(loaded, full_check=True)
    said = {entry.key: entry.value for entry in loaded.metadata_props}
    assert ModelCard.from_dict(json.loads(said["wavegms"])) == read_card(model)
    assert "[0, 1]" in said["image"]
    shapes = {
        value.name: [side.dim_param or side.dim_value for side in value.type.tensor_type.shape.dim]
        for value in (*loaded.graph.input, *loaded.graph.output)
    }
    assert shapes == {
        "image": ["batch", 3, 224, 224],
        "probability": ["batch", 1, 224, 224],
        "latents": ["batch", 4, 28, 28],
    }
    assert b"napari_wavegms/" not in onnx_file, "no folder of whoever exported it"


@pytest.mark.parametrize("batch", [1, 3])
def test_any_number_of_frames_is_answered_as_by_torch(onnx_file: bytes, model: Path, batch: int) -> None:
    frames = torch.rand(batch, 3, 224, 224, generator=torch.Generator().manual_seed(batch))
    with torch.inference_mode():
        latents = load_checkpoint(model)[0](frames).mask.out
        probability = load_codec().decode(latents)
    found = answer(onnx_file, frames.numpy())
    np.testing.assert_allclose(found[0], probability.numpy(), atol=1e-4)
    np.testing.assert_allclose(found[1], latents.numpy(), atol=1e-3)


@pytest.mark.parametrize("folder", ["busi", "isic2017"])
def test_masks_of_real_images_agree(onnx_file: bytes, model: Path, shared: Path, folder: str) -> None:
    files = sorted((shared / "data" / folder / "images").glob("*"))[:4]
    network, card = load_checkpoint(model)
    ours = Segmenter(network, card, load_codec(), choose_device("cpu"))  # without the second network
    for file in files:
        image = np.asarray(Image.open(file))
        prepared = prepare(image, ours.preprocessing)
        probability = restore(answer(onnx_file, prepared.pixels[None])[0][0, 0], prepared)
        mask = ours.segment(image).mask
        assert mask.any()
        assert dice(probability >= card.threshold, mask) >= 0.9995, file.name


def test_the_parent_is_the_last_one_that_was_learned_from() -> None:
    assert parent_of(ModelCard("own", lineage=({"start": "scratch"}, {"pairs": 4}))) == ""
    assert parent_of(ModelCard("own", lineage=({"start": "generalist"}, {"from": "v1"}, {"pairs": 4}))) == "v1"


def test_terms_without_a_licence_name_none() -> None:
    assert licences_of(ModelCard("own", terms="Ask us. The images are CC-0 or CC BY 4.0.")) == []


@pytest.mark.parametrize("name", ["clinic.zip", "clinic.pt", "onnx"])
def test_another_ending_is_refused(wavegms: Run, model: Path, tmp_path: Path, name: str) -> None:
    said = wavegms("export", model, "--output", tmp_path / name)
    assert said.code == 2
    assert ".onnx or .bioimageio.zip" in said.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", ["nothing", "no model", "two models", "damage"])
def test_a_zip_without_our_model_is_refused(wavegms: Run, model: Path, tmp_path: Path, content: str) -> None:
    source = tmp_path / "theirs.bioimageio.zip"
    with zipfile.ZipFile(source, "w") as files:
        files.writestr("rdf.yaml", "type: model")
        for number in range({"two models": 2, "damage": 1}.get(content, 0)):
            files.writestr(f"model{number}.safetensors", model.read_bytes()[:9000])
    if content == "nothing":
        source.write_bytes(b"PK")
    said = wavegms("import", source, "--output", tmp_path / "back.safetensors")
    assert said.code == 2
    assert said.err.count("\n") == 2, "what is loaded, and one sentence"
    assert not (tmp_path / "back.safetensors").exists()


def test_what_is_missing_is_named_with_its_remedy(
    wavegms: Run, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_wavegms.commands.export.find_spec", lambda name: None)
    said = wavegms("export", model, "--output", tmp_path / "clinic.onnx")
    assert said.code == 2
    assert "onnxscript" in said.err
    assert "napari-wavegms[onnx]" in said.err
