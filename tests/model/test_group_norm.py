"""The compiled normalisation against torch's own, in float64 on the same bfloat16 numbers."""

import itertools

import pytest
import torch
from torch import Tensor, nn

from napari_wavegms.model import group_norm
from napari_wavegms.model.group_norm import _NormAct, in_best_layout, norm_act
from napari_wavegms.model.network import WaveGMS

pytest.importorskip("numba")
EPSILON = 2.0**-8  # half a unit in bfloat16's last place is at most this share of the value
ACTIVATIONS = {"silu": nn.SiLU(), "prelu": nn.PReLU(init=0.3), "none": None}
SHAPES = ((2, 16, 8, 8, 8), (1, 32, 7, 5, 8), (3, 48, 4, 6, 16), (2, 320, 2, 2, 8))  # N, C, H, W, groups


def _maps(n: int, c: int, h: int, w: int, seed: int = 0, offset: float = 0.0) -> Tensor:
    values = torch.randn(n, c, h, w, generator=torch.Generator().manual_seed(seed)) * 2 + offset
    return values.bfloat16().contiguous(memory_format=torch.channels_last)


def _norm(channels: int, groups: int) -> nn.GroupNorm:
    norm = nn.GroupNorm(groups, channels, eps=1e-6)
    with torch.no_grad():
        norm.weight.copy_(torch.linspace(-1.5, 1.5, channels))
        norm.bias.copy_(torch.linspace(0.5, -0.5, channels))
    return norm


def _fused(x: Tensor, norm: nn.GroupNorm, activation: nn.Module | None) -> Tensor:
    slope = activation.weight if isinstance(activation, nn.PReLU) else None
    silu = isinstance(activation, nn.SiLU)
    return _NormAct.apply(x, norm.weight, norm.bias, slope, norm.num_groups, norm.eps, silu)


def _exact(x: Tensor, norm: nn.GroupNorm, activation: nn.Module | None) -> tuple[Tensor, list[Tensor]]:
    """What torch computes in float64, and the leaves it can be differentiated by."""
    leaves = [x.detach().double(), norm.weight.detach().double(), norm.bias.detach().double()]
    if isinstance(activation, nn.PReLU):
        leaves.append(activation.weight.detach().double())
    for leaf in leaves:
        leaf.requires_grad_()
    y = nn.functional.group_norm(leaves[0], norm.num_groups, leaves[1], leaves[2], norm.eps)
    if isinstance(activation, nn.PReLU):
        return nn.functional.prelu(y, leaves[3]), leaves
    return (y if activation is None else nn.functional.silu(y)), leaves


@pytest.mark.parametrize(("shape", "name"), list(itertools.product(SHAPES, ACTIVATIONS)))
def test_it_is_group_norm_and_activation_to_the_last_bit_of_bfloat16(shape, name):
    x, norm = _maps(*shape[:4]), _norm(shape[1], shape[4])
    exact, _ = _exact(x, norm, ACTIVATIONS[name])
    fused = _fused(x, norm, ACTIVATIONS[name])
    assert fused.is_contiguous(memory_format=torch.channels_last)
    # Where terms cancel, float32's rounding of them remains.
    assert ((fused.double() - exact).abs() <= 1.01 * EPSILON * exact.abs() + 1e-5).all()


@pytest.mark.parametrize(("shape", "name"), list(itertools.product(SHAPES, ACTIVATIONS)))
def test_its_gradients_are_those_of_float64(shape, name):
    x, norm, activation = _maps(*shape[:4]), _norm(shape[1], shape[4]), ACTIVATIONS[name]
    dy = _maps(*shape[:4], seed=1)
    exact, leaves = _exact(x, norm, activation)
    wanted = torch.autograd.grad(exact, leaves, dy.double())
    parameters = [norm.weight, norm.bias, *(activation.parameters() if activation else ())]
    given = torch.autograd.grad(_fused(x.requires_grad_(), norm, activation), [x, *parameters], dy)
    # Two roundings of terms as large as the largest; sums over many pixels average them out.
    assert (given[0].double() - wanted[0]).abs().max() <= 2 * EPSILON * wanted[0].abs().max()
    for ours, true in zip(given[1:], wanted[1:], strict=True):
        assert (ours.double() - true).abs().max() <= 1e-4 * true.abs().max()


def test_pixels_far_from_zero_lose_nothing():
    x, norm = _maps(2, 16, 32, 32, offset=60.0), _norm(16, 8)
    exact, _ = _exact(x, norm, None)
    assert ((_fused(x, norm, None).double() - exact).abs() <= EPSILON * exact.abs() + 1e-3).all()


def test_a_constant_map_becomes_the_bias():
    norm = _norm(16, 8)
    y = _fused(torch.full((1, 16, 4, 4), 0.75).bfloat16().contiguous(memory_format=torch.channels_last), norm, None)
    assert torch.allclose(y.float(), norm.bias[None, :, None, None].expand(1, 16, 4, 4), atol=EPSILON)


def test_numbers_that_are_none_stay_so():
    x = _maps(1, 16, 4, 4)
    x[0, 0, 0, 0] = torch.nan
    y = _fused(x, _norm(16, 8), nn.SiLU())
    assert not y[0, :2].isfinite().any()
    assert y[0, 2:].isfinite().all()


def test_threads_change_no_bit(monkeypatch):
    monkeypatch.setattr(group_norm, "_WORTH_A_THREAD", 1)
    x, dy, norm = _maps(5, 32, 8, 8).requires_grad_(), _maps(5, 32, 8, 8, seed=2), _norm(32, 8)
    results = []
    threads = torch.get_num_threads()
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            y = _fused(x, norm, nn.SiLU())
            results.append([y, *torch.autograd.grad(y, [x, norm.weight, norm.bias], dy)])
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_outside_autocast_it_is_torchs_own():
    x, norm = torch.randn(1, 16, 4, 4), _norm(16, 8)
    assert torch.equal(norm_act(x, norm, nn.SiLU()), nn.functional.silu(norm(x)))
    assert in_best_layout(x) is x


def test_the_network_learns_the_same_with_it(monkeypatch):
    """Its gradients in bfloat16 are as near to those of float32 as they are without."""
    torch.manual_seed(0)
    net, image = WaveGMS().eval(), torch.rand(1, 3, 48, 48)

    def gradients(bfloat16: bool, fused: bool) -> Tensor:
        monkeypatch.setattr(group_norm, "_available", lambda: fused)
        net.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            prediction = net(image)
        sum((head.float() ** 2).mean() for head in prediction.mask).backward()
        return torch.cat([p.grad.flatten() for p in net.parameters() if p.grad is not None])

    exact = gradients(False, False)
    apart = [(gradients(True, fused) - exact).norm() / exact.norm() for fused in (True, False)]
    assert 0 < apart[0] < 1.2 * apart[1] < 0.6
