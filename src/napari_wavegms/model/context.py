"""Context features: the first eleven blocks of EfficientNet-Lite0 as the mapping model's second look.

The weights were trained on ImageNet by their authors (Apache-2.0, see `assets/context-trunk.NOTICE`); BatchNorm is
folded into the convolutions by `recipes/context_trunk.py`, which also says where they come from.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

STEM_CHANNELS = 32
CONTEXT_CHANNELS = 256
"""Channels of the features: 24 at H/4, 40 at H/8, 80 and 112 at H/16, all brought to H/8."""
_RELU6_END = 6.0


class Block(NamedTuple):
    """One inverted residual block: kernel side, stride, factor of its widening, output channels."""

    kernel: int
    stride: int
    expand: int
    channels: int


BLOCKS = (
    Block(3, 1, 1, 16),
    *(Block(3, 2, 6, 24), Block(3, 1, 6, 24)),
    *(Block(5, 2, 6, 40), Block(5, 1, 6, 40)),
    *(Block(3, 2, 6, 80), Block(3, 1, 6, 80), Block(3, 1, 6, 80)),
    *(Block(5, 1, 6, 112), Block(5, 1, 6, 112), Block(5, 1, 6, 112)),
)
TAPS = (2, 4, 7, 10)
"""Blocks whose outputs are the features."""


class ContextTrunk(nn.Module):
    """EfficientNet-Lite0's stem and blocks 0 to 10 without BatchNorm; about 0.7 M values.

    The weights of a frozen trunk are buffers that no checkpoint holds: they move with the network, but are neither
    learned nor counted among its parameters. Those of a trunk that `learns` are parameters like all others.
    """

    def __init__(self, weights: Mapping[str, Tensor], learns: bool = False) -> None:
        super().__init__()
        self.learns = learns
        for name, shape in expected_shapes().items():
            tensor = weights[name].float()
            if tuple(tensor.shape) != shape:
                raise ValueError(f"{name} has shape {tuple(tensor.shape)}; {shape} fits.")
            if learns:
                self.register_parameter(_flat(name), nn.Parameter(tensor))
            else:
                self.register_buffer(_flat(name), tensor, persistent=False)

    @classmethod
    def from_file(cls, path: str | os.PathLike[str] | None = None, learns: bool = False) -> ContextTrunk:
        """Load the shipped weights, or those of `path`."""
        with resources.as_file(resources.files("napari_wavegms.assets")) as assets:
            return cls(load_file(Path(path) if path else assets / "context-trunk.safetensors"), learns)

    @property
    def fingerprint(self) -> str:
        """Identity of the weights: a name and a hash of the float16 values that are shipped."""
        digest = hashlib.sha256()
        for name in expected_shapes():
            digest.update(name.encode())
            digest.update(self._weights(name).detach().cpu().half().numpy().tobytes())
        return f"efficientnet-lite0-{digest.hexdigest()[:12]}"

    def forward(self, image: Tensor) -> Tensor:
        """Features (B, 256, H/8, W/8) of images (B, 3, H, W) in [0, 1], H and W multiples of 8."""
        side = (image.shape[-2] // 8, image.shape[-1] // 8)
        with torch.set_grad_enabled(self.learns and torch.is_grad_enabled()):
            return torch.cat([_brought_to(features, side) for features in self.stages(image)], dim=1)

    def stages(self, image: Tensor) -> list[Tensor]:
        """The same features where they arise: 24 channels at H/4, 40 at H/8, 80 and 112 at H/16."""
        # ImageNet's normalisation as this network was trained with it.
        x = ((image * 255 - 127) / 128).to(self._weights("stem.weight").dtype)
        x = x.contiguous(memory_format=torch.channels_last)
        x = _clipped(self._convolve(x, "stem", stride=2))
        features = []
        for number, block in enumerate(BLOCKS):
            x = self._block(x, number, block)
            if number in TAPS:
                features.append(x)
        return features

    def _weights(self, name: str) -> Tensor:
        weights: Tensor = getattr(self, _flat(name))
        return weights

    def _block(self, x: Tensor, number: int, block: Block) -> Tensor:
        name = f"blocks.{number}"
        h = _clipped(self._convolve(x, f"{name}.expand")) if block.expand > 1 else x
        h = _clipped(self._convolve(h, f"{name}.depthwise", block.stride, depthwise=True))
        h = self._convolve(h, f"{name}.project")
        return x + h if block.stride == 1 and x.shape[1] == block.channels else h

    def _convolve(self, x: Tensor, name: str, stride: int = 1, depthwise: bool = False) -> Tensor:
        weight, bias = (self._weights(f"{name}.{part}") for part in ("weight", "bias"))
        # TensorFlow's "same": what is missing for ceil(side / stride) outputs, the odd one behind.
        missing = [
            max((-(-side // stride) - 1) * stride + kernel - side, 0)
            for side, kernel in zip(x.shape[-2:], weight.shape[-2:], strict=True)
        ]
        if all(m % 2 == 0 for m in missing):
            padding = [m // 2 for m in missing]
        else:
            (top, left), padding = (m // 2 for m in missing), [0, 0]
            x = F.pad(x, (left, missing[1] - left, top, missing[0] - top))
        return F.conv2d(x, weight, bias, stride, padding, groups=x.shape[1] if depthwise else 1)


def expected_shapes() -> dict[str, tuple[int, ...]]:
    """Names and shapes of the weights, in order."""
    convolutions: dict[str, tuple[int, ...]] = {"stem": (STEM_CHANNELS, 3, 3, 3)}
    channels = STEM_CHANNELS
    for number, block in enumerate(BLOCKS):
        wide = channels * block.expand
        if block.expand > 1:
            convolutions[f"blocks.{number}.expand"] = (wide, channels, 1, 1)
        convolutions[f"blocks.{number}.depthwise"] = (wide, 1, block.kernel, block.kernel)
        convolutions[f"blocks.{number}.project"] = (block.channels, wide, 1, 1)
        channels = block.channels
    shapes: dict[str, tuple[int, ...]] = {}
    for name, shape in convolutions.items():
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    return shapes


def _flat(name: str) -> str:
    return name.replace(".", "_")  # torch allows no dot in such a name


def _clipped(x: Tensor) -> Tensor:
    return x.clamp_(0.0, _RELU6_END)


def _brought_to(x: Tensor, side: tuple[int, int]) -> Tensor:
    if x.shape[-2] > side[0]:
        return F.avg_pool2d(x, 2)
    return x if x.shape[-2:] == side else F.interpolate(x, size=side, mode="bilinear", align_corners=False)
