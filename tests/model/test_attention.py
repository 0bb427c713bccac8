"""Attention as it runs here against its definition in float64."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from napari_wavegms.model.network import attend

EPSILON = 2.0**-8  # half a unit in bfloat16's last place is at most this share of the value


def _tokens(positions: int, channels: int, dtype: torch.dtype = torch.bfloat16) -> list[Tensor]:
    generator = torch.Generator().manual_seed(positions + channels)
    return [torch.randn(2, 1, positions, channels, generator=generator).to(dtype) for _ in range(3)]


def _defined(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return torch.softmax(q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5, dim=-1) @ v


@pytest.mark.parametrize(("positions", "channels"), [(1, 32), (49, 32), (784, 128), (1030, 64)])
def test_looking_in_bfloat16_is_attention_but_for_rounding(positions: int, channels: int) -> None:
    q, k, v = _tokens(positions, channels)
    with torch.no_grad():
        given = attend(q, k, v)
    exact = _defined(q.double(), k.double(), v.double())
    assert given.dtype == torch.bfloat16
    # Scores are below 8 here, so that each is rounded by at most 8ε and its weight by a share of that.
    assert (given.double() - exact).abs().max() <= 10 * EPSILON * v.double().abs().max()
    assert (given.double() - exact).norm() <= 2 * EPSILON * exact.norm()


@pytest.mark.parametrize("autocast", [False, True])
def test_its_gradients_are_those_of_the_definition(autocast: bool) -> None:
    half = [each.requires_grad_() for each in _tokens(64, 32)]
    exact = [each.detach().double().requires_grad_() for each in half]
    back = torch.randn(2, 1, 64, 32, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        given = torch.autograd.grad(attend(*half), half, back.bfloat16())
    wanted = torch.autograd.grad(_defined(*exact), exact, back.double())
    for ours, true in zip(given, wanted, strict=True):
        assert (ours.double() - true).norm() <= 3 * EPSILON * true.norm()


def test_float32_and_more_positions_than_can_be_written_down_are_left_to_torch() -> None:
    exact, learned = _tokens(64, 32, torch.float32), [each.requires_grad_() for each in _tokens(1025, 32)]
    assert torch.equal(attend(*exact), F.scaled_dot_product_attention(*exact))
    assert torch.equal(attend(*learned), F.scaled_dot_product_attention(*learned))
