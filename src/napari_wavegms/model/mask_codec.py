"""The mask codec: a small autoencoder for masks that speaks TAESD's latent language.

TAESD paints photographs; a binary mask needs far less. The pair below (about 0.19 M parameters each way) is distilled
from TAESD by `recipes/distil_mask_codec.py`, so that its latents and TAESD's are interchangeable.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

LATENT_CHANNELS = 4
WIDTHS = (48, 24, 12)  # at H/8, H/4 and H/2


class _Block(nn.Module):
    """Two 3×3 convolutions with a skip around them; no normalisation, so that tiles agree with the whole."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(F.relu(self.conv1(F.relu(x))))  # type: ignore[no-any-return]


def _down(channels_in: int, channels_out: int) -> nn.Sequential:
    return nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(4 * channels_in, channels_out, 3, padding=1))


def _up(channels_in: int, channels_out: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels_in, 4 * channels_out, 3, padding=1), nn.PixelShuffle(2))


class MaskEncoder(nn.Sequential):
    """Mask (B, 1, H, W) in [0, 1] to latents (B, 4, H/8, W/8)."""

    def __init__(self) -> None:
        wide, middle, narrow = WIDTHS
        super().__init__(
            *(_down(1, narrow), _Block(narrow)),
            *(_down(narrow, middle), _Block(middle)),
            *(_down(middle, wide), _Block(wide), _Block(wide), _Block(wide)),
            nn.Conv2d(wide, LATENT_CHANNELS, 3, padding=1),
        )


class MaskDecoder(nn.Sequential):
    """Latents (B, 4, H/8, W/8) to the mask before its clamp to [0, 1], (B, 1, H, W)."""

    def __init__(self) -> None:
        wide, middle, narrow = WIDTHS
        super().__init__(
            nn.Conv2d(LATENT_CHANNELS, wide, 3, padding=1),
            *(_Block(wide), _Block(wide), _Block(wide), _up(wide, middle)),
            *(_Block(middle), _up(middle, narrow)),
            *(_Block(narrow), _up(narrow, 1)),
        )
