"""Attention, by the fastest way for the device."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# Positions beyond which the N² weights of an image are too many to store: those of a frame of 512 pixels where they are
# freed at once, those of 256 pixels where each block keeps them for its backward pass.
_MOST_INFERRING, _MOST_TRAINING = 4096, 1024


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Softmax(q kᵀ / √C) v.

    q, k, v and the result are (B, 1, N, C), N positions of one head. On a CPU torch's fused kernel multiplies in
    float32 whatever it is given; products of bfloat16 go to oneDNN, which uses the processor's own units for them, so
    they are written out there. The weights are rounded to bfloat16 on the way.
    """
    most = _MOST_TRAINING if torch.is_grad_enabled() else _MOST_INFERRING
    if q.device.type != "cpu" or q.dtype != torch.bfloat16 or q.shape[-2] > most:
        return F.scaled_dot_product_attention(q, k, v)
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
    # Autocast would have softmax write float32, which it sums in anyway.
    with torch.autocast("cpu", enabled=False):
        return torch.softmax(scores, dim=-1) @ v
