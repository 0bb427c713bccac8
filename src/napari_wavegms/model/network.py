"""Wave-GMS: encoder, latent mapper and the network of both, 2,600,668 trainable parameters (arXiv 2510.03216).

The Tiny-VAE around it is in `codec`.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_wavegms.model.context import CONTEXT_CHANNELS, ContextTrunk
from napari_wavegms.model.group_norm import in_best_layout, norm_act
from napari_wavegms.model.wavelets import LEVELS, haar_bands

BAND_CHANNELS = 12  # four bands of three colours
LATENT_CHANNELS = 4
WIDTHS = (16, 32, 32)
LOGVAR_RANGE = (-30.0, 20.0)
ENCODER_WIDTHS = (32, 64, 128, 128)  # of the mapper
DECODER_WIDTHS = (128, 64, 32, 32)
GROUPS = 16
HEADS = ("level3", "level2", "level1", "out")

_SILU = nn.SiLU()

# Positions beyond which the N² weights of an image are too many to store: those of a frame of 512 pixels where they are
# freed at once, those of 256 pixels where each block keeps them for its backward pass.
_MOST_INFERRING, _MOST_TRAINING = 4096, 1024


class Latent(NamedTuple):
    """A diagonal Gaussian over latents; both of shape (B, 4, H/8, W/8)."""

    mean: Tensor
    logvar: Tensor

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """Draw one latent; used in training only, inference takes the mean."""
        logvar = self.logvar.clamp(*LOGVAR_RANGE)
        noise = torch.randn(self.mean.shape, generator=generator, device=self.mean.device, dtype=self.mean.dtype)
        return self.mean + torch.exp(0.5 * logvar) * noise


class EncoderBlock(nn.Module):
    """GroupNorm – SiLU – conv – GroupNorm – SiLU – conv, with a 1×1 convolution on a skip that widens."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(8, channels_in)
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, padding=1)
        self.norm2 = nn.GroupNorm(8, channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1)
        self.skip = nn.Identity() if channels_in == channels_out else nn.Conv2d(channels_in, channels_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(norm_act(x, self.norm1, _SILU))
        h = self.conv2(norm_act(h, self.norm2, _SILU))
        return self.skip(x) + h  # type: ignore[no-any-return]


class FlatUNet(nn.Module):
    """A U-shaped stack of residual blocks that never changes resolution: (B, in, H, W) to (B, out, H, W)."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        down = [width for width in WIDTHS for _ in range(2)]
        self.stem = nn.Conv2d(channels_in, WIDTHS[0], 3, padding=1)
        self.down = nn.ModuleList(EncoderBlock(a, b) for a, b in zip([WIDTHS[0], *down[:-1]], down, strict=True))
        self.middle = nn.ModuleList(EncoderBlock(WIDTHS[-1], WIDTHS[-1]) for _ in range(2))
        # Six blocks consume the six newest skips; the stem's own output is not skipped to.
        up = down[::-1]
        below = [WIDTHS[-1], *up[:-1]]
        self.up = nn.ModuleList(EncoderBlock(b + skip, out) for b, skip, out in zip(below, up, up, strict=True))
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


class _QuickCopy(nn.Module):
    """A module that `copy.deepcopy` copies without looking into the dozen empty tables of each of its parts."""

    def __deepcopy__(self, memo: dict[int, object]) -> nn.Module:
        return _copied(self, memo)


def _copied(module: nn.Module, memo: dict[int, object]) -> nn.Module:
    if isinstance(known := memo.get(id(module)), nn.Module):
        return known
    twin: nn.Module = object.__new__(type(module))
    memo[id(module)] = twin
    for name, value in vars(module).items():
        vars(twin)[name] = value.copy() if isinstance(value, dict | set) else value
    for tensors in (twin._parameters, twin._buffers):
        tensors.update(copy.deepcopy(dict(tensors), memo))  # type: ignore[arg-type]
    twin._modules.update({name: part and _copied(part, memo) for name, part in module._modules.items()})
    return twin


class WaveEncoder(_QuickCopy):
    """E_wave: one `FlatUNet` per Haar level, pooled to H/8, aggregated by a fourth one."""

    def __init__(self) -> None:
        super().__init__()
        self.levels = nn.ModuleList(FlatUNet(BAND_CHANNELS, BAND_CHANNELS) for _ in LEVELS)
        self.aggregate = FlatUNet(BAND_CHANNELS * len(LEVELS), 2 * LATENT_CHANNELS)

    def forward(self, image: Tensor) -> Latent:
        """Encode images (B, 3, H, W) in [0, 1], H and W multiples of 8; the log-variance is not clamped."""
        dtype = self.aggregate.stem.weight.dtype
        features = []
        for level, extractor in zip(LEVELS, self.levels, strict=True):
            # Bands are differences of pixels, so that they are taken before anything is rounded.
            bands = haar_bands(image, level).to(dtype)
            maps = extractor(in_best_layout(bands))  # (B, 12, H/2^L, W/2^L)
            features.append(F.avg_pool2d(maps, 2 ** (LEVELS[-1] - level)))
        mean, logvar = self.aggregate(in_best_layout(torch.cat(features, dim=1))).chunk(2, dim=1)
        return Latent(mean, logvar)


class MaskLatents(NamedTuple):
    """Predicted mask latents of the four decoder levels, coarse to final; each (B, 4·K, H/8, W/8) for K classes."""

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
        return conv(norm_act(x, norm, activation))  # type: ignore[arg-type, no-any-return]


def _norm_act_conv(channels_in: int, channels_out: int) -> _NormActConv:
    return _NormActConv(
        nn.GroupNorm(GROUPS, channels_in, eps=1e-6),
        nn.PReLU(),
        nn.Conv2d(channels_in, channels_out, 3, padding=1),
    )


class MapperBlock(nn.Module):
    """GroupNorm – PReLU – conv, twice, with a bias-free 1×1 convolution on the skip where widths differ."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv1 = _norm_act_conv(channels_in, channels_out)
        self.conv2 = _norm_act_conv(channels_out, channels_out)
        same = channels_in == channels_out
        self.skip = nn.Identity() if same else nn.Conv2d(channels_in, channels_out, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.skip(x) + self.conv2(self.conv1(x))  # type: ignore[no-any-return]


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
        self.residual = MapperBlock(channels_in, channels_out)
        self.attention = SelfAttention(channels_out)


def _head(channels: int, classes: int) -> _NormActConv:
    return _NormActConv(
        nn.GroupNorm(GROUPS, channels),
        nn.SiLU(),
        nn.Conv2d(channels, LATENT_CHANNELS * classes, 3, padding=1, bias=False),
    )


class LatentMapper(nn.Module):
    """LMM: four residual-attention blocks, four decoder blocks on skip concatenations, one head per decoder block.

    With `context`, context features enter the stem by a 1×1 convolution that starts at zero (8,224 parameters more).
    Each of `classes` has a latent of its own in every head (9,216 parameters), which the mask codec draws by itself.
    """

    def __init__(self, context: bool = False, classes: int = 1) -> None:
        super().__init__()
        self.classes = classes
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
        self.heads = nn.ModuleDict(
            {name: _head(width, classes) for name, width in zip(HEADS, DECODER_WIDTHS, strict=True)}
        )
        self.apply(_initialise)
        self.context: nn.Conv2d | None = None
        if context:  # made last, so that the other weights are those that the same seed gives without it
            self.context = nn.Conv2d(CONTEXT_CHANNELS, widths[0], 1)
            nn.init.zeros_(self.context.weight)
            nn.init.zeros_(self.context.bias)  # type: ignore[arg-type]

    def last(self, head: str) -> nn.Conv2d:
        """The convolution of a head that makes its latents."""
        conv = self.heads[head][2]  # type: ignore[index]
        assert isinstance(conv, nn.Conv2d)
        return conv

    def before_last(self, head: str, x: Tensor) -> Tensor:
        """What the last convolution of a head takes, of the maps of its decoder block."""
        parts = self.heads[head]
        assert isinstance(parts, _NormActConv)
        return norm_act(x, parts[0], parts[1])  # type: ignore[arg-type]

    def features(self, latent: Tensor, context: Tensor | None = None) -> list[Tensor]:
        """Maps of the four decoder blocks, coarse to final: (B, 128 | 64 | 32 | 32, H/8, W/8)."""
        x = self.stem(in_best_layout(latent))
        if self.context is not None and context is not None:
            x = x + self.context(in_best_layout(context))
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

    def forward(self, latent: Tensor, context: Tensor | None = None) -> MaskLatents:
        """Map image latents (B, 4, H/8, W/8) to mask latents (B, 4·K, H/8, W/8).

        `context` (B, 256, H/8, W/8) is ignored by a mapper without it.
        """
        levels = self.features(latent, context)
        return MaskLatents(*(self.heads[name](x) for name, x in zip(HEADS, levels, strict=True)))


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="leaky_relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)


class Prediction(NamedTuple):
    """The result of one forward pass."""

    image: Latent
    mask: MaskLatents


class WaveGMS(_QuickCopy):
    """Wave-GMS without its frozen Tiny-VAE: image in, mask latents out (arXiv 2510.03216, figure 1).

    With `context`, features of a `ContextTrunk` enter the mapper, which the paper's network does not have: of the
    shipped one, which is frozen, or, with `own_trunk`, of one that began as that one and learns with the network.
    With several `classes`, the latents of one class stand behind those of the other.
    """

    def __init__(self, context: bool = False, own_trunk: bool = False, classes: int = 1) -> None:
        super().__init__()
        self.encoder = WaveEncoder()
        self.mapper = LatentMapper(context or own_trunk, classes)
        self.trunk = ContextTrunk.from_file(learns=own_trunk) if context or own_trunk else None

    @property
    def classes(self) -> int:
        """How many classes it draws, the background not counted."""
        return self.mapper.classes

    @property
    def copies(self) -> list[int]:
        """Which classes, counted from 0, are copies of earlier ones that have learned nothing of their own yet."""
        rows = self.mapper.last("out").weight.detach().split(LATENT_CHANNELS)
        return [k for k in range(len(rows)) if any(torch.equal(rows[k], earlier) for earlier in rows[:k])]

    def with_classes(self, like: Sequence[int]) -> WaveGMS:
        """A copy whose k-th class begins as the class of this network that `like` names, counted from 0.

        Examples
        --------
        >>> WaveGMS().with_classes([0, 0, 0]).classes
        3
        """
        other = WaveGMS(self.mapper.context is not None, self.trunk is not None and self.trunk.learns, len(like))
        weights = self.state_dict()
        for name in HEADS:
            key = f"mapper.heads.{name}.2.weight"
            weights[key] = torch.cat([weights[key].split(LATENT_CHANNELS)[number] for number in like])
        other.load_state_dict(weights)
        return other.to(weights[key].device)

    def with_at_least(self, classes: int) -> WaveGMS:
        """The network, or a copy with so many classes, of which the new ones begin as the last one that it has."""
        has = self.classes
        return self if classes <= has else self.with_classes([*range(has), *[has - 1] * (classes - has)])

    def context(self, image: Tensor) -> Tensor | None:
        """Context features (B, 256, H/8, W/8) of images (B, 3, H, W) in [0, 1]; None in a network without context."""
        return None if self.trunk is None else self.trunk(image)

    def forward(self, image: Tensor, context: Tensor | None = None) -> Prediction:
        """Predict mask latents of images (B, 3, H, W) in [0, 1]; in training mode the image's latent is sampled.

        `context` is what `context(image)` gives, where somebody has it already.
        """
        latent = self.encoder(image)
        context = self.context(image) if context is None else context
        return Prediction(latent, self.mapper(latent.sample() if self.training else latent.mean, context))
