"""Group normalisation and its activation in one step, for training in bfloat16 on a CPU.

torch's own kernels do this in two steps and keep what is between them, and their backward pass is ten to twenty times
slower in channels_last than necessary where groups are narrow, as here; but convolutions are fastest in that layout.
Where numba is installed (napari[all] brings it), the loops of `group_norm_numba` are used; elsewhere torch's kernels.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from napari_wavegms.model.device import computes_bfloat16

_ROW = 256  # values that a row of the kernels has at least, where the map allows
_LARGE = 1024  # positions from which torch's own kernel has a quick loop for channels_last
_WORTH_A_THREAD = 100_000  # values of a map


def norm_act(x: Tensor, norm: nn.GroupNorm, activation: nn.PReLU | nn.SiLU | None = None) -> Tensor:
    """Normalise a map (N, C, H, W), then activate it; a PReLU has one slope."""
    if not _fits(x):
        normed = _normed(x, norm)
        return normed if activation is None else activation(normed)
    slope = activation.weight if isinstance(activation, nn.PReLU) else None
    silu = isinstance(activation, nn.SiLU)
    return _NormAct.apply(x, norm.weight, norm.bias, slope, norm.num_groups, norm.eps, silu)  # type: ignore[no-untyped-call, no-any-return]


def fuses(device: torch.device) -> bool:
    """Whether `norm_act` is one step here: in bfloat16 autocast on a CPU that computes in it, and numba is there."""
    return (
        device.type == "cpu"
        and torch.is_autocast_enabled("cpu")
        and torch.get_autocast_dtype("cpu") == torch.bfloat16
        and _available()
    )


def in_best_layout(x: Tensor) -> Tensor:
    """Convert a map to the layout in which the following convolutions are fastest."""
    inferring = x.device.type == "cpu" and x.dtype == torch.bfloat16 and not torch.is_grad_enabled()
    return x.contiguous(memory_format=torch.channels_last) if inferring or fuses(x.device) else x


def _normed(x: Tensor, norm: nn.GroupNorm) -> Tensor:
    """Normalise with torch, which is slow for small maps in channels_last."""
    small = x.shape[2] * x.shape[3] < _LARGE
    if small and not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last):
        return norm(x.contiguous()).contiguous(memory_format=torch.channels_last)  # type: ignore[no-any-return]
    return norm(x)  # type: ignore[no-any-return]


def _fits(x: Tensor) -> bool:
    in_layout = x.dtype == torch.bfloat16 and x.is_contiguous(memory_format=torch.channels_last)
    return in_layout and x.numel() > 0 and fuses(x.device)


@cache
def _available() -> bool:
    if not computes_bfloat16("cpu"):
        return False
    try:
        import napari_wavegms.model.group_norm_numba  # noqa: F401
    except (ImportError, RuntimeError):  # no numba, one that does not fit numpy, or nowhere to keep compiled code
        return False
    return True


class _NormAct(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, slope: Tensor | None, groups: int, eps: float, silu: bool
    ) -> Tensor:
        from napari_wavegms.model.group_norm_numba import normalise

        y = torch.empty_like(x)
        rows, out = _rows(x), _rows(y)
        n, width = len(x), rows.shape[2]
        affine, moments = np.empty((n, 2, width), np.float32), np.empty((n, 2, groups))
        leak = 1.0 if slope is None else slope.item()
        scale, shift = (_values(parameter) for parameter in (weight, bias))
        _share_out(
            x,
            lambda s: normalise(rows[s], scale, shift, groups, eps, silu, leak, out[s], affine[s], moments[s]),
        )
        ctx.save_for_backward(x, weight)
        ctx.left = affine, moments
        ctx.activation = silu, leak, slope is not None
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        from napari_wavegms.model.group_norm_numba import differentiate

        x, weight = ctx.saved_tensors
        affine, moments = ctx.left
        silu, leak, learned = ctx.activation
        dx = torch.empty_like(x)
        rows, grad, out = _rows(x), _rows(dy.to(x.dtype).contiguous(memory_format=torch.channels_last)), _rows(dx)
        dweight, dbias, dslope = np.empty((len(x), len(weight))), np.empty((len(x), len(weight))), np.empty(len(x))
        scale = _values(weight)

        def kernel(s: slice) -> None:
            left, shared = (affine[s], moments[s]), (dweight[s], dbias[s], dslope[s])
            differentiate(rows[s], grad[s], scale, silu, leak, *left, out[s], *shared)

        _share_out(x, kernel)
        sums = [torch.from_numpy(each.sum(axis=0, keepdims=each.ndim == 1)) for each in (dweight, dbias, dslope)]
        of_weight, of_bias, of_slope = (each.to(weight.dtype) for each in sums)
        return dx, of_weight, of_bias, of_slope if learned else None, None, None, None


def _values(parameter: Tensor) -> npt.NDArray[np.float32]:
    return parameter.detach().float().numpy()


def _rows(x: Tensor) -> npt.NDArray[np.uint16]:
    """The bits of a map in channels_last as (N, M, R), R a multiple of C."""
    n, c, h, w = x.shape
    repeat = 1
    while repeat * c < _ROW and h * w % (2 * repeat) == 0:
        repeat *= 2
    flat = x.detach().permute(0, 2, 3, 1).reshape(n, h * w // repeat, repeat * c)
    return flat.view(torch.uint16).numpy()


def _share_out(x: Tensor, kernel: Callable[[slice], None]) -> None:
    """Run a kernel over the samples, in as many threads as torch has."""
    threads = min(torch.get_num_threads(), len(x))
    if threads == 1 or x.numel() < _WORTH_A_THREAD:
        kernel(slice(None))
        return
    bounds = np.linspace(0, len(x), threads + 1).astype(int)
    for _ in _pool(threads).map(kernel, (slice(a, b) for a, b in pairwise(bounds))):
        pass


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="wavegms-norm")
