"""Attention, in the way that is quickest where it runs."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# Positions beyond which the weights are too many to write down, N² an image: those of a frame of 512 pixels where they
# are forgotten at once, those of 256 pixels where each block keeps them for its backward pass.
_MOST_LOOKING, _MOST_LEARNING = 4096, 1024


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Softmax(q kᵀ / √C) v.

    On a CPU torch's fused kernel multiplies in float32 whatever it is given. Products of bfloat16 go to oneDNN, which
    has the processor's own units do them, so that they are written out there; the weights are rounded to bfloat16 on
    the way.

    Parameters
    ----------
    q, k, v : torch.Tensor of shape (B, 1, N, C)
        N positions of one head.

    Returns
    -------
    torch.Tensor of shape (B, 1, N, C)
    """
    most = _MOST_LEARNING if torch.is_grad_enabled() else _MOST_LOOKING
    if q.device.type != "cpu" or q.dtype != torch.bfloat16 or q.shape[-2] > most:
        return F.scaled_dot_product_attention(q, k, v)
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
    # Autocast would have softmax write float32, which it sums in anyway.
    with torch.autocast("cpu", enabled=False):
        return torch.softmax(scores, dim=-1) @ v
