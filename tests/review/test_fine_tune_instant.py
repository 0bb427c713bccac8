"""The closed-form refit, against numpy's least squares and by what it does to a real network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_wavegms.learn.pairs import Pair
from napari_wavegms.model.card import ModelCard, read_card
from napari_wavegms.review.instant import refit_file, ridge_towards


@pytest.mark.parametrize("ridge", [0.0, 0.3])
def test_the_fit_is_numpys_least_squares(ridge: float) -> None:
    rng = np.random.default_rng(0)
    features, targets, start = rng.normal(size=(50, 7)), rng.normal(size=(50, 3)), rng.normal(size=(7, 3))
    pull = np.sqrt(ridge * np.trace(features.T @ features) / 7)
    rows = np.concatenate([features, pull * np.eye(7)])
    expected = np.linalg.lstsq(rows, np.concatenate([targets, pull * start]), rcond=None)[0]
    np.testing.assert_allclose(ridge_towards(features, targets, start, ridge), expected, rtol=1e-9)


def test_an_endless_pull_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    start = rng.normal(size=(4, 2))
    fitted = ridge_towards(rng.normal(size=(9, 4)), rng.normal(size=(9, 2)), start, ridge=1e12)
    np.testing.assert_allclose(fitted, start, atol=1e-9)


def test_only_the_last_head_changes_and_its_latents_come_closer(tmp_path: Path) -> None:
    import torch

    from napari_wavegms.model.checkpoint import load_checkpoint, save_checkpoint
    from napari_wavegms.model.codec import load_codec
    from napari_wavegms.model.wave_gms import WaveGMS

    torch.manual_seed(0)
    card = ModelCard("tiny", preprocessing={"size": 16, "aspect": "squash", "percentiles": [0.1, 99.9]})
    start = save_checkpoint(tmp_path / "start.safetensors", WaveGMS(), card)
    mask = np.eye(16, dtype=np.uint8)
    codec = load_codec("mask-codec")
    refit_file(start, [Pair("a", mask * 255, mask)], codec, tmp_path / "fitted.safetensors")
    (before, _), (after, _) = load_checkpoint(start), load_checkpoint(tmp_path / "fitted.safetensors")
    changed = [
        name for name, tensor in after.state_dict().items() if not torch.equal(tensor, before.state_dict()[name])
    ]
    assert changed == ["mapper.heads.out.2.weight"]
    image, target = torch.from_numpy(mask)[None, None].float(), codec.encode(torch.from_numpy(mask)[None, None].float())
    with torch.inference_mode():
        errors = [((m(image.expand(1, 3, -1, -1)).mask.out - target) ** 2).mean().item() for m in (before, after)]
    assert errors[1] < errors[0] / 4
    assert read_card(tmp_path / "fitted.safetensors").lineage[-1]["config"]["refit"] > 0
