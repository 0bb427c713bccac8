"""Attention, in the way that is quickest where it runs."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_MOST = 4096  # positions, those of a frame of 512 pixels; the weights of more are too many to write down


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Softmax(q kᵀ / √C) v.

    On a CPU torch's fused kernel multiplies in float32 whatever it is given. Where nothing is learned, bfloat16 is
    multiplied by oneDNN, which has the processor's own units do it; the weights are rounded to bfloat16 on the way.

    Parameters
    ----------
    q, k, v : torch.Tensor of shape (B, 1, N, C)
        N positions of one head.

    Returns
    -------
    torch.Tensor of shape (B, 1, N, C)
    """
    looks = q.device.type == "cpu" and q.dtype == torch.bfloat16 and not torch.is_grad_enabled()
    if not looks or q.shape[-2] > _MOST:
        return F.scaled_dot_product_attention(q, k, v)
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
    return torch.softmax(scores, dim=-1) @ v  # summed in float32 whatever the weights are kept in
