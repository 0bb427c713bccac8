"""Haar bands of an image: what the encoder sees.

The L-level 2-D Haar decomposition of an image halves its sides L times. Wave-GMS feeds its encoder with the coarsest
level only, approximation and three details, for L = 1, 2 and 3 (arXiv 2510.03216, section 2.1).
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pywt
import torch
import torch.nn.functional as F
from torch import Tensor

from napari_wavegms.errors import InputError

LEVELS = (1, 2, 3)


@cache
def haar_kernels() -> Tensor:
    """Kernels of one Haar step for a correlation of stride 2: approximation, horizontal, vertical, diagonal.

    Returns
    -------
    torch.Tensor of shape (4, 1, 2, 2), float32
        Outer products of PyWavelets' decomposition filters, reversed because `conv2d` correlates.
    """
    wavelet = pywt.Wavelet("haar")
    low, high = np.array(wavelet.dec_lo)[::-1], np.array(wavelet.dec_hi)[::-1]
    # PyWavelets' "horizontal" detail is high-pass along rows (axis 0): it answers to horizontal edges.
    pairs = ((low, low), (high, low), (low, high), (high, high))
    return torch.from_numpy(np.stack([np.outer(rows, columns) for rows, columns in pairs])[:, None]).float()


def haar_step(image: Tensor) -> Tensor:
    """One level of the 2-D Haar transform.

    Parameters
    ----------
    image : torch.Tensor of shape (B, C, H, W)
        H and W even.

    Returns
    -------
    torch.Tensor of shape (B, 4, C, H/2, W/2)
        Approximation, horizontal, vertical and diagonal detail.
    """
    b, c, h, w = image.shape
    kernels = haar_kernels().to(image)
    bands = F.conv2d(image.reshape(b * c, 1, h, w), kernels, stride=2)  # (B·C, 4, H/2, W/2)
    return bands.reshape(b, c, 4, h // 2, w // 2).transpose(1, 2)


def haar_bands(image: Tensor, level: int) -> Tensor:
    """Scaled bands of the coarsest of `level` Haar levels.

    Parameters
    ----------
    image : torch.Tensor of shape (B, C, H, W)
        H and W multiples of 2**level.
    level : int
        Number of levels L, at least 1.

    Returns
    -------
    torch.Tensor of shape (B, 4·C, H/2**L, W/2**L)
        Approximation, horizontal, vertical, diagonal detail, C channels each, divided by 2**L so that the
        approximation is the local mean of the image.

    Raises
    ------
    InputError
        If a side is not a multiple of 2**level.

    Examples
    --------
    >>> haar_bands(torch.ones(1, 1, 4, 4), level=2).flatten().tolist()
    [1.0, 0.0, 0.0, 0.0]
    """
    h, w = image.shape[-2:]
    if h % 2**level or w % 2**level:
        raise InputError(
            f"The image is {h} x {w} pixels; {level} Haar levels need sides that are multiples of {2**level}. "
            "Resize or pad it first."
        )
    approximation = image
    for _ in range(level - 1):
        approximation = haar_step(approximation)[:, 0]
    bands = haar_step(approximation).flatten(1, 2)
    return bands / float(2**level)
