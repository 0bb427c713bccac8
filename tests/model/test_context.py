"""Context: the folded trunk is the original one, and a network with it begins as the network without."""

from __future__ import annotations

import importlib
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from napari_wavegms.errors import CheckpointError
from napari_wavegms.model.card import HEADER_KEY, ModelCard, read_card
from napari_wavegms.model.checkpoint import load_checkpoint, save_checkpoint
from napari_wavegms.model.context import BLOCKS, TAPS, ContextTrunk, expected_shapes
from napari_wavegms.model.network import WaveGMS

GOLDEN_SPREAD = [8.311, 10.0912, 8.3234, 6.7498]
GOLDEN_VALUES = [-6.5061, -11.7883, 5.0164, 15.5199]
RECIPES = Path(__file__).resolve().parents[2] / "recipes"


def ramps(side: int = 64) -> torch.Tensor:
    """An image (1, 3, side, side) of three ramps and a disc, without any random number."""
    rows, columns = torch.meshgrid(torch.linspace(0, 1, side), torch.linspace(0, 1, side), indexing="ij")
    disc = ((rows - 0.4) ** 2 + (columns - 0.6) ** 2 < 0.05).float()
    return torch.stack([rows, columns, 0.5 * (rows + columns)])[None] * (1 - 0.7 * disc)


def test_shipped_trunk_is_the_one_that_the_models_name() -> None:
    trunk = ContextTrunk.from_file()
    assert trunk.fingerprint == "efficientnet-lite0-1061d1e4f69c"
    assert sum(tensor.numel() for tensor in trunk.buffers()) == 692_688
    assert not list(trunk.parameters()), "nothing of it learns"
    assert not trunk.state_dict(), "no checkpoint holds it"


def test_features_of_a_known_image() -> None:
    features = ContextTrunk.from_file()(ramps())
    assert features.shape == (1, 256, 8, 8)
    measured = torch.stack([part.std() for part in features.split([24, 40, 80, 112], dim=1)])
    torch.testing.assert_close(measured, torch.tensor(GOLDEN_SPREAD), atol=1e-3, rtol=1e-4)
    torch.testing.assert_close(features[0, ::64, 3, 5], torch.tensor(GOLDEN_VALUES), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("side", [(64, 64), (72, 40)])
def test_features_stand_at_an_eighth_of_any_frame(side: tuple[int, int]) -> None:
    assert ContextTrunk.from_file()(torch.rand(2, 3, *side)).shape == (2, 256, side[0] // 8, side[1] // 8)


def unfolded(state: dict[str, torch.Tensor], image: torch.Tensor) -> list[torch.Tensor]:
    """The original network as its authors wrote it: convolution, BatchNorm, ReLU6, "same" padding."""

    def convolve(x: torch.Tensor, name: str, norm: str, stride: int = 1, groups: int = 1) -> torch.Tensor:
        weight = state[f"{name}.weight"]
        missing = [max((math.ceil(n / stride) - 1) * stride + k - n, 0) for n, k in zip(x.shape[2:], weight.shape[2:])]  # noqa: B905
        (rows, columns) = missing
        x = F.pad(x, [columns // 2, columns - columns // 2, rows // 2, rows - rows // 2])
        x = F.conv2d(x, weight, None, stride, groups=groups)
        statistics = (state[f"{norm}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
        return F.batch_norm(x, *statistics, eps=1e-3)

    x = F.relu6(convolve((255 * image - 127) / 128, "_conv_stem", "_bn0", stride=2))
    taps = []
    for number, block in enumerate(BLOCKS):
        at, h = f"_blocks.{number}", x
        if block.expand > 1:
            h = F.relu6(convolve(h, f"{at}._expand_conv", f"{at}._bn0"))
        h = F.relu6(convolve(h, f"{at}._depthwise_conv", f"{at}._bn1", block.stride, h.shape[1]))
        h = convolve(h, f"{at}._project_conv", f"{at}._bn2")
        x = x + h if h.shape == x.shape and block.stride == 1 else h
        if number in TAPS:
            taps.append(x)
    return taps


def test_folded_is_the_unfolded_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(RECIPES))
    recipe: Any = importlib.import_module("context_trunk")
    torch.manual_seed(0)
    state = {}
    for name, shape in expected_shapes().items():
        if name.endswith(".weight"):
            convolution, norm = recipe.original_names(name.removesuffix(".weight"))
            fan_in = math.prod(shape[1:])
            state[f"{convolution}.weight"] = torch.randn(shape) * (2 / fan_in) ** 0.5
            state |= {f"{norm}.weight": torch.rand(shape[0]) + 0.5, f"{norm}.bias": torch.randn(shape[0])}
            state |= {f"{norm}.running_mean": torch.randn(shape[0]), f"{norm}.running_var": torch.rand(shape[0]) + 0.5}
    trunk = ContextTrunk(recipe.folded(state))
    image = torch.rand(1, 3, 64, 64)
    fine, same, coarse, last = unfolded(state, image)
    larger = {"size": (8, 8), "mode": "bilinear", "align_corners": False}
    expected = torch.cat(
        [F.avg_pool2d(fine, 2), same, F.interpolate(coarse, **larger), F.interpolate(last, **larger)], dim=1
    )
    torch.testing.assert_close(trunk(image), expected, atol=1e-3, rtol=1e-3)


def test_a_network_with_context_begins_bit_by_bit_as_the_one_without() -> None:
    networks = []
    for context in (False, True):
        torch.manual_seed(3)
        networks.append(WaveGMS(context=context).eval())
    without, with_it = networks
    with torch.inference_mode():
        before, after = without(ramps()), with_it(ramps())
    assert all(torch.equal(a, b) for a, b in zip(before.mask, after.mask, strict=True))
    counts = [sum(parameter.numel() for parameter in network.parameters()) for network in networks]
    assert counts == [2_600_668, 2_600_668 + 8_224]


def test_context_matters_as_soon_as_its_weights_do() -> None:
    model = WaveGMS(context=True).eval()
    latent = torch.rand(1, 4, 8, 8)
    features = model.context(ramps())
    model.mapper(latent, features).out.sum().backward()
    assert model.mapper.context is not None
    gradient = model.mapper.context.weight.grad
    assert gradient is not None
    assert gradient.abs().amax() > 0, "zero weights still learn"


@pytest.mark.parametrize("half", [False, True])
def test_a_file_says_whether_there_is_context_and_which_trunk(tmp_path: Path, half: bool) -> None:
    model = WaveGMS(context=True)
    torch.nn.init.normal_(model.mapper.context.weight, std=0.01)  # type: ignore[union-attr]
    file = save_checkpoint(tmp_path / "context.safetensors", model, ModelCard(name="context"), half=half)
    assert not any("trunk" in name for name in load_file(file)), "the trunk is shipped once, not in every model"
    loaded, card = load_checkpoint(file)
    assert card.context == ContextTrunk.from_file().fingerprint
    assert card.parameters == 2_608_892
    wanted = model.mapper.state_dict()["context.weight"]
    found = loaded.mapper.state_dict()["context.weight"]
    assert torch.equal(found, wanted.half().float() if half else wanted)
    plain = save_checkpoint(tmp_path / "plain.safetensors", WaveGMS(), ModelCard(name="plain"))
    assert read_card(plain).context == ""
    assert load_checkpoint(plain)[0].trunk is None


def test_a_trunk_that_learns_is_in_the_file_and_counts(tmp_path: Path) -> None:
    model = WaveGMS(own_trunk=True)
    torch.nn.init.normal_(model.mapper.context.weight, std=0.01)
    frozen = ContextTrunk.from_file()
    assert torch.equal(model.context(ramps()), frozen(ramps()))
    before = model.trunk.fingerprint
    assert before == frozen.fingerprint
    model(ramps()).mask.out.sum().backward()
    with torch.no_grad():
        for weights in model.trunk.parameters():
            assert weights.grad is not None
            weights -= 1e-3 * weights.grad.sign()
    assert model.trunk.fingerprint != before
    file = save_checkpoint(tmp_path / "own.safetensors", model, ModelCard(name="own"))
    loaded, card = load_checkpoint(file)
    assert card.parameters == 2_608_892 + 692_688
    assert card.context == model.trunk.fingerprint
    with torch.inference_mode():
        wanted, found = model.eval()(ramps()), loaded(ramps())
    assert all(torch.equal(a, b) for a, b in zip(wanted.mask, found.mask, strict=True))


def test_a_model_of_another_trunk_is_refused(tmp_path: Path) -> None:
    file = save_checkpoint(tmp_path / "other.safetensors", WaveGMS(context=True), ModelCard(name="other"))
    card = read_card(file).as_dict() | {"context": "efficientnet-lite0-000000000000"}
    save_file(load_file(file), file, metadata={HEADER_KEY: json.dumps(card)})
    with pytest.raises(CheckpointError, match="context trunk 'efficientnet-lite0-000000000000'"):
        load_checkpoint(file)
