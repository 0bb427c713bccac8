"""LMM, the latent mapping model: from image latents to mask latents; 1,564,976 parameters (arXiv 2510.03216, 2.2)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from napari_wavegms.model.attention import attend
from napari_wavegms.model.encoder import LATENT_CHANNELS
from napari_wavegms.model.fused_norm import in_best_layout, norm_act

ENCODER_WIDTHS = (32, 64, 128, 128)
DECODER_WIDTHS = (128, 64, 32, 32)
GROUPS = 16
HEADS = ("level3", "level2", "level1", "out")


class MaskLatents(NamedTuple):
    """Predicted mask latents of the four decoder levels, coarse to final; each (B, 4, H/8, W/8)."""

    level3: Tensor
    level2: Tensor
    level1: Tensor
    out: Tensor


class _NormActConv(nn.Sequential):
    """GroupNorm, activation and 3×3 convolution."""

    def __init__(self, norm: nn.GroupNorm, activation: nn.PReLU | nn.SiLU, conv: nn.Conv2d) -> None:
        super().__init__(norm, activation, conv)

    def forward(self, x: Tensor) -> Tensor:
        norm, activation, conv = self
        return conv(norm_act(x, norm, activation))  # type: ignore[no-any-return,arg-type]


def _norm_act_conv(channels_in: int, channels_out: int) -> _NormActConv:
    return _NormActConv(
        nn.GroupNorm(GROUPS, channels_in, eps=1e-6),
        nn.PReLU(),
        nn.Conv2d(channels_in, channels_out, 3, padding=1),
    )


class ResidualBlock(nn.Module):
    """GroupNorm – PReLU – conv, twice, with a bias-free 1×1 convolution on the skip where widths differ."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv1 = _norm_act_conv(channels_in, channels_out)
        self.conv2 = _norm_act_conv(channels_out, channels_out)
        same = channels_in == channels_out
        self.skip = nn.Identity() if same else nn.Conv2d(channels_in, channels_out, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.skip(x) + self.conv2(self.conv1(x))  # type: ignore[no-any-return]


class SelfAttention(nn.Module):
    """Single-head self-attention over positions, residual; scale C^-1/2."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(GROUPS, channels, eps=1e-6)
        self.q = nn.Conv2d(channels, channels, 1)
        self.k = nn.Conv2d(channels, channels, 1)
        self.v = nn.Conv2d(channels, channels, 1)
        self.projection = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        b, c, h, w = x.shape
        normed = norm_act(x, self.norm)
        # Positions become tokens of one head: (B, 1, H·W, C).
        q, k, v = (conv(normed).flatten(2).transpose(1, 2)[:, None].contiguous() for conv in (self.q, self.k, self.v))
        mixed = attend(q, k, v)[:, 0]
        return x + self.projection(mixed.transpose(1, 2).reshape(b, c, h, w))  # type: ignore[no-any-return]


class ResidualAttentionBlock(nn.Sequential):
    """A residual block followed by self-attention."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.residual = ResidualBlock(channels_in, channels_out)
        self.attention = SelfAttention(channels_out)


def _head(channels: int) -> _NormActConv:
    return _NormActConv(
        nn.GroupNorm(GROUPS, channels),
        nn.SiLU(),
        nn.Conv2d(channels, LATENT_CHANNELS, 3, padding=1, bias=False),
    )


class LatentMapper(nn.Module):
    """LMM: four residual-attention blocks, four decoder blocks on skip concatenations, one head per decoder block."""

    def __init__(self) -> None:
        super().__init__()
        widths = ENCODER_WIDTHS
        self.stem = nn.Conv2d(LATENT_CHANNELS, widths[0], 3, padding=1)
        self.encoder = nn.ModuleList(
            ResidualAttentionBlock(a, b) for a, b in zip((widths[0], *widths[:-1]), widths, strict=True)
        )
        skips = (*widths[-2::-1], widths[0])  # 128, 64, 32 and the stem's 32
        below = (widths[-1], *DECODER_WIDTHS[:-1])
        self.decoder = nn.ModuleList(
            ResidualAttentionBlock(skip + b, out) for skip, b, out in zip(skips, below, DECODER_WIDTHS, strict=True)
        )
        self.heads = nn.ModuleDict({name: _head(width) for name, width in zip(HEADS, DECODER_WIDTHS, strict=True)})
        self.apply(_initialise)

    def features(self, latent: Tensor) -> list[Tensor]:
        """Maps of the four decoder blocks, coarse to final: (B, 128 | 64 | 32 | 32, H/8, W/8)."""
        x = self.stem(in_best_layout(latent))
        skips = [x]
        for block in self.encoder:
            x = block(x)
            skips.append(x)
        x = skips.pop()
        levels = []
        for block in self.decoder:
            x = block(torch.cat([skips.pop(), x], dim=1))
            levels.append(x)
        return levels

    def forward(self, latent: Tensor) -> MaskLatents:
        """Map image latents to mask latents at all four decoder levels.

        Parameters
        ----------
        latent : torch.Tensor of shape (B, 4, H/8, W/8)
            `z_MR`, its mean at inference.
        """
        levels = self.features(latent)
        return MaskLatents(*(self.heads[name](x) for name, x in zip(HEADS, levels, strict=True)))


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="leaky_relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
