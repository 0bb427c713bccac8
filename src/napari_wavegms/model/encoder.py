"""E_wave: from the Haar bands of an image to its latent `z_MR`; 1,035,692 parameters (arXiv 2510.03216, 2.1)."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_wavegms.model.fused_norm import in_best_layout, norm_act
from napari_wavegms.model.wavelets import LEVELS, haar_bands

BAND_CHANNELS = 12  # four bands of three colours
LATENT_CHANNELS = 4
WIDTHS = (16, 32, 32)
LOGVAR_RANGE = (-30.0, 20.0)
_SILU = nn.SiLU()


class Latent(NamedTuple):
    """A diagonal Gaussian over latents; both of shape (B, 4, H/8, W/8)."""

    mean: Tensor
    logvar: Tensor

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """Draw one latent; used in training only, inference takes the mean."""
        logvar = self.logvar.clamp(*LOGVAR_RANGE)
        noise = torch.randn(self.mean.shape, generator=generator, device=self.mean.device, dtype=self.mean.dtype)
        return self.mean + torch.exp(0.5 * logvar) * noise


class ResidualBlock(nn.Module):
    """GroupNorm – SiLU – conv – GroupNorm – SiLU – dropout – conv, with a 1×1 convolution on a skip that widens."""

    def __init__(self, channels_in: int, channels_out: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(8, channels_in)
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, padding=1)
        self.norm2 = nn.GroupNorm(8, channels_out)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1)
        self.skip = nn.Identity() if channels_in == channels_out else nn.Conv2d(channels_in, channels_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(norm_act(x, self.norm1, _SILU))
        h = self.conv2(self.dropout(norm_act(h, self.norm2, _SILU)))
        return self.skip(x) + h  # type: ignore[no-any-return]


class FlatUNet(nn.Module):
    """A U-shaped stack of residual blocks that widens and narrows but never changes resolution.

    Parameters
    ----------
    channels_in, channels_out : int
        Channels of the maps that come and go; (B, channels_in, H, W) becomes (B, channels_out, H, W).
    """

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        down = [width for width in WIDTHS for _ in range(2)]
        self.stem = nn.Conv2d(channels_in, WIDTHS[0], 3, padding=1)
        self.down = nn.ModuleList(ResidualBlock(a, b) for a, b in zip([WIDTHS[0], *down[:-1]], down, strict=True))
        self.middle = nn.ModuleList(ResidualBlock(WIDTHS[-1], WIDTHS[-1]) for _ in range(2))
        # Six blocks consume the six newest skips; the stem's own output is not skipped to.
        up = down[::-1]
        below = [WIDTHS[-1], *up[:-1]]
        self.up = nn.ModuleList(ResidualBlock(b + skip, out) for b, skip, out in zip(below, up, up, strict=True))
        self.head = nn.Conv2d(up[-1], channels_out, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        skips = []
        for block in self.down:
            x = block(x)
            skips.append(x)
        for block in self.middle:
            x = block(x)
        for block in self.up:
            x = block(torch.cat([x, skips.pop()], dim=1))
        return self.head(x)  # type: ignore[no-any-return]


class WaveEncoder(nn.Module):
    """E_wave: one `FlatUNet` per Haar level, pooled to H/8, aggregated by a fourth one."""

    def __init__(self) -> None:
        super().__init__()
        self.levels = nn.ModuleList(FlatUNet(BAND_CHANNELS, BAND_CHANNELS) for _ in LEVELS)
        self.aggregate = FlatUNet(BAND_CHANNELS * len(LEVELS), 2 * LATENT_CHANNELS)

    def forward(self, image: Tensor) -> Latent:
        """Encode images.

        Parameters
        ----------
        image : torch.Tensor of shape (B, 3, H, W)
            Values in [0, 1]; H and W multiples of 8.

        Returns
        -------
        Latent
            Mean and log-variance (not clamped) of `z_MR`.
        """
        dtype = self.aggregate.stem.weight.dtype
        features = []
        for level, extractor in zip(LEVELS, self.levels, strict=True):
            # Bands are differences of pixels, so that they are taken before anything is rounded.
            bands = haar_bands(image, level).to(dtype)
            maps = extractor(in_best_layout(bands))  # (B, 12, H/2^L, W/2^L)
            features.append(F.avg_pool2d(maps, 2 ** (LEVELS[-1] - level)))
        mean, logvar = self.aggregate(in_best_layout(torch.cat(features, dim=1))).chunk(2, dim=1)
        return Latent(mean, logvar)
