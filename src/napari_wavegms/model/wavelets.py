"""Haar bands of an image: what the encoder sees.

The L-level 2-D Haar decomposition of an image halves its sides L times. Wave-GMS feeds its encoder with the coarsest
level only, approximation and three details, for L = 1, 2 and 3 (arXiv 2510.03216, section 2.1).
"""

from __future__ import annotations

from functools import cache

import pywt
import torch
from torch import Tensor

from napari_wavegms.errors import InputError

LEVELS = (1, 2, 3)


@cache
def haar_filters() -> tuple[float, tuple[float, float]]:
    """The common factor of both filters, and the weight of the odd sample for low-pass and high-pass."""
    wavelet = pywt.Wavelet("haar")
    # A convolution applies its filter from the end.
    (odd_low, even), (odd_high, _) = wavelet.dec_lo, wavelet.dec_hi
    return even, (odd_low / even, odd_high / even)


def haar_step(image: Tensor) -> Tensor:
    """One level of the 2-D Haar transform of (B, C, H, W), H and W even.

    Returns (B, 4, C, H/2, W/2): approximation, horizontal, vertical and diagonal detail.
    """
    low, high = _sums_and_differences(image, -2)
    # PyWavelets' "horizontal" detail is high-pass along rows (axis 0): it responds to horizontal edges.
    approximation, vertical = _sums_and_differences(low, -1)
    horizontal, diagonal = _sums_and_differences(high, -1)
    common, _ = haar_filters()
    # Scaled once by the square, a half, which loses nothing; the root of a half, twice, would.
    return torch.stack([approximation, horizontal, vertical, diagonal], dim=1) * common**2


def _sums_and_differences(x: Tensor, axis: int) -> list[Tensor]:
    even, odd = x.unflatten(axis, (-1, 2)).unbind(axis)
    _, shares = haar_filters()
    return [torch.add(even, odd, alpha=share) for share in shares]


def haar_bands(image: Tensor, level: int) -> Tensor:
    """Bands of the coarsest of L = `level` Haar levels of (B, C, H, W), as (B, 4·C, H/2^L, W/2^L).

    Approximation, horizontal, vertical, diagonal detail, C channels each, divided by 2^L so that the approximation is
    the local mean of the image. Raises `InputError` if a side is not a multiple of 2^L.

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
