"""The codecs: one language of latents, ranges kept, weights in every layout, and a sentence where they are missing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import napari_wavegms
from napari_wavegms.errors import CheckpointError, InputError, WeightsNotFoundError
from napari_wavegms.learn.metrics import dice
from napari_wavegms.model.codec import MaskCodec, Taesd, TinyVAE, load_codec
from napari_wavegms.segment.preprocessing import Preprocessing, prepare_mask


@pytest.fixture(scope="module")
def codec() -> TinyVAE:
    return load_codec("mask-codec")


@pytest.fixture(scope="module")
def taesd(shared: Path) -> Taesd:
    return Taesd.from_file(shared / "weights" / "taesd")


def ellipse(rows: int = 64, columns: int = 80) -> torch.Tensor:
    y, x = np.mgrid[:rows, :columns]
    inside = ((y - rows / 2) / (rows / 4)) ** 2 + ((x - columns / 2) / (columns / 3)) ** 2 < 1
    return torch.from_numpy(inside).float()[None, None]


def test_shapes_ranges_and_frozen_weights(codec: TinyVAE) -> None:
    assert isinstance(codec, TinyVAE)
    latents = codec.encode(ellipse())
    assert latents.shape == (1, 4, 8, 10)
    probability = codec.decode(latents * 5)
    assert probability.shape == (1, 1, 64, 80)
    assert 0 <= probability.min() <= probability.max() <= 1
    assert not any(parameter.requires_grad for parameter in codec.parameters())  # type: ignore[attr-defined]


def test_a_simple_mask_survives_the_round_trip(codec: TinyVAE) -> None:
    assert dice(codec.decode(codec.encode(ellipse())) >= 0.5, ellipse() >= 0.5) > 0.98


def test_three_equal_channels_are_one(codec: TinyVAE) -> None:
    torch.testing.assert_close(codec.encode(ellipse().expand(-1, 3, -1, -1)), codec.encode(ellipse()))


def test_the_gradient_reaches_the_latents(codec: TinyVAE) -> None:
    latents = codec.encode(ellipse()).clone().requires_grad_()
    codec.decode(latents).mean().backward()
    assert latents.grad is not None
    assert latents.grad.any()


def test_the_fingerprint_is_that_of_the_weights() -> None:
    first, second = MaskCodec.from_file(), MaskCodec.from_file()
    assert first.fingerprint == second.fingerprint
    changed = MaskCodec.from_file()
    with torch.no_grad():
        changed.decoder[0].bias += 1e-3
    assert changed.fingerprint != first.fingerprint
    assert first.fingerprint.startswith("mask-codec-")


@pytest.mark.parametrize("dataset", ["busi", "isic2017"])
@torch.no_grad()
def test_real_masks_survive_the_round_trip(shared: Path, codec: TinyVAE, dataset: str) -> None:
    folder = shared / "data" / dataset
    stems = json.loads((folder / "split.json").read_text())["val"][::3]
    masks = [
        prepare_mask(np.asarray(Image.open(folder / "masks" / f"{stem}.png").convert("L")) > 127, Preprocessing())
        for stem in stems
    ]
    truth = torch.from_numpy(np.stack(masks))[:, None]
    again = torch.cat([codec.decode(codec.encode(part.float())) for part in truth.split(16)]) >= 0.5
    assert np.mean([dice(a, b) for a, b in zip(again, truth, strict=True)]) >= 0.99


@torch.no_grad()
def test_both_codecs_speak_the_same_language(codec: TinyVAE, taesd: Taesd) -> None:
    mask = ellipse(96, 96)
    latents = taesd.encode(mask)
    assert dice(codec.decode(latents) >= 0.5, taesd.decode(latents) >= 0.5) > 0.98
    assert dice(taesd.decode(codec.encode(mask)) >= 0.5, mask >= 0.5) > 0.97


@torch.no_grad()
def test_taesd_loads_from_diffusers_layout_too(
    shared: Path, taesd: Taesd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Written by diffusers' own class, so that its layout is the oracle.
    taesd.vae.save_pretrained(tmp_path)
    file = tmp_path / "diffusion_pytorch_model.safetensors"
    monkeypatch.setenv("WAVEGMS_TAESD", str(tmp_path))
    for codec in (load_codec("taesd", file), load_codec("taesd")):
        assert torch.equal(codec.encode(ellipse(16, 16)), taesd.encode(ellipse(16, 16)))
        assert codec.fingerprint == taesd.fingerprint
    one_of_two = shared / "weights" / "taesd" / "taesd_decoder.safetensors"
    assert Taesd.from_file(one_of_two).fingerprint == taesd.fingerprint


def test_missing_weights_are_never_downloaded_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WAVEGMS_TAESD", raising=False)
    with pytest.raises(WeightsNotFoundError, match=r"Set WAVEGMS_TAESD .* or allow their download .* --allow-download"):
        load_codec("taesd")


def test_a_download_that_fails_is_a_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("WAVEGMS_TAESD", raising=False)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(WeightsNotFoundError, match="could not be downloaded"):
        load_codec("taesd", allow_download=True)


def test_an_unknown_codec() -> None:
    with pytest.raises(InputError, match=r"no codec 'jpeg'\. Choose mask-codec or taesd"):
        load_codec("jpeg")


def test_weights_that_are_not_there_or_not_ours(tmp_path: Path) -> None:
    with pytest.raises(WeightsNotFoundError, match="There is no weight file"):
        MaskCodec.from_file(tmp_path / "none.safetensors")
    with pytest.raises(WeightsNotFoundError, match="contains no TAESD weights"):
        Taesd.from_file(tmp_path)
    (tmp_path / "text.safetensors").write_text("hello")
    with pytest.raises(CheckpointError, match=r"cannot be read as \.safetensors"):
        MaskCodec.from_file(tmp_path / "text.safetensors")
    save_file({"foreign.weight": torch.zeros(1)}, tmp_path / "foreign.safetensors")
    with pytest.raises(CheckpointError, match="not the weights of the mask codec"):
        MaskCodec.from_file(tmp_path / "foreign.safetensors")
    with pytest.raises(CheckpointError, match="is not TAESD"):
        Taesd.from_file(tmp_path / "foreign.safetensors")


def test_the_shipped_codec_is_small_and_half_precision() -> None:
    file = Path(napari_wavegms.__file__).parent / "assets" / "mask-codec.safetensors"
    assert file.stat().st_size < 1_000_000
    assert {tensor.dtype for tensor in load_file(file).values()} == {torch.float16}
