"""The Tiny-VAE around the network: masks and images to latents, latents to probabilities.

Pixels are in [0, 1] on every side of this module; the [-1, 1] of diffusers' autoencoders exists only in here.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from functools import cached_property
from importlib import resources
from pathlib import Path

import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from napari_wavegms.errors import CheckpointError, InputError, WeightsNotFoundError
from napari_wavegms.model.registry import CODECS

TAESD_VARIABLE = "WAVEGMS_TAESD"
_REPOSITORY = "madebyollin/taesd"
_LATENT_CHANNELS = 4
_WIDTHS = (48, 24, 12)  # of the mask codec, at H/8, H/4 and H/2


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
    """Mask (B, 1, H, W) in [0, 1] to latents (B, 4, H/8, W/8).

    TAESD paints photographs; a binary mask needs far less. This encoder and `MaskDecoder`, 0.19 M parameters each,
    are distilled from TAESD by `recipes/distil_mask_codec.py`, so that their latents and TAESD's are interchangeable.
    """

    def __init__(self) -> None:
        wide, middle, narrow = _WIDTHS
        super().__init__(
            *(_down(1, narrow), _Block(narrow)),
            *(_down(narrow, middle), _Block(middle)),
            *(_down(middle, wide), _Block(wide), _Block(wide), _Block(wide)),
            nn.Conv2d(wide, _LATENT_CHANNELS, 3, padding=1),
        )


class MaskDecoder(nn.Sequential):
    """Latents (B, 4, H/8, W/8) to the mask before its clamp to [0, 1], (B, 1, H, W)."""

    def __init__(self) -> None:
        wide, middle, narrow = _WIDTHS
        super().__init__(
            nn.Conv2d(_LATENT_CHANNELS, wide, 3, padding=1),
            *(_Block(wide), _Block(wide), _Block(wide), _up(wide, middle)),
            *(_Block(middle), _up(middle, narrow)),
            *(_Block(narrow), _up(narrow, 1)),
        )


class TinyVAE(nn.Module):
    """A frozen autoencoder whose latents the network maps between."""

    name = ""

    def encode(self, image: Tensor) -> Tensor:
        """Pixels (B, 1 | 3, H, W) in [0, 1] to latents (B, 4, H/8, W/8)."""
        raise NotImplementedError

    def decode(self, latents: Tensor) -> Tensor:
        """Latents (B, 4, H/8, W/8) to the mask's probability (B, 1, H, W) in [0, 1]."""
        raise NotImplementedError

    def encode_masks(self, masks: Tensor) -> Tensor:
        """Masks of K classes (B, K, H, W) in [0, 1] to their latents (B, 4·K, H/8, W/8), each class by itself."""
        if masks.shape[1] == 1:
            return self.encode(masks)
        return self.encode(masks.flatten(0, 1)[:, None]).unflatten(0, masks.shape[:2]).flatten(1, 2)  # type: ignore[no-any-return]

    def decode_masks(self, latents: Tensor) -> Tensor:
        """Latents of K classes (B, 4·K, H/8, W/8) to their probabilities (B, K, H, W), each class by itself."""
        if latents.shape[1] == _LATENT_CHANNELS:
            return self.decode(latents)
        each = latents.unflatten(1, (-1, _LATENT_CHANNELS))
        return self.decode(each.flatten(0, 1)).unflatten(0, each.shape[:2])[:, :, 0]  # type: ignore[no-any-return]

    @cached_property
    def fingerprint(self) -> str:
        """The codec's name and a hash of its weights."""
        digest = hashlib.sha256()
        for key, tensor in sorted(self.state_dict().items()):
            digest.update(key.encode())
            digest.update(tensor.detach().cpu().float().numpy().tobytes())
        return f"{self.name}-{digest.hexdigest()[:12]}"


class MaskCodec(TinyVAE):
    """The distilled pair for masks; shipped, so that nothing has to be downloaded. It cannot encode images."""

    name = "mask-codec"

    def __init__(self) -> None:
        super().__init__()
        self.encoder = MaskEncoder()
        self.decoder = MaskDecoder()
        self.eval().requires_grad_(False)

    @classmethod
    def from_file(cls, path: str | os.PathLike[str] | None = None) -> MaskCodec:
        """Load the shipped weights, or those of `path`."""
        with resources.as_file(resources.files("napari_wavegms.assets")) as assets:
            weights = _read_safetensors(Path(path) if path else assets / "mask-codec.safetensors")
        codec = cls()
        _load_strictly(codec, weights, "mask codec")
        return codec

    def encode(self, image: Tensor) -> Tensor:
        """Encode masks (B, 1, H, W), or (B, 3, H, W) of three equal channels."""
        return self.encoder(image.mean(dim=1, keepdim=True))  # type: ignore[no-any-return]

    def decode(self, latents: Tensor) -> Tensor:
        """Decode to the mask's probability (B, 1, H, W)."""
        return self.decoder(latents).clamp(0, 1)  # type: ignore[no-any-return]


class Taesd(TinyVAE):
    """TAESD through `diffusers.AutoencoderTiny` (MIT, madebyollin/taesd)."""

    name = "taesd"

    def __init__(self) -> None:
        super().__init__()
        from diffusers import AutoencoderTiny  # seconds to import, so only where TAESD is asked for

        # Its gradient checkpointing and tiling stay off: the one skips the rescaling, the other assumes 4 channels.
        self.vae = AutoencoderTiny()
        self.eval().requires_grad_(False)

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> Taesd:
        """Load weights in diffusers' or the original key layout, from a file or a folder of files."""
        weights: dict[str, Tensor] = {}
        for file in _taesd_files(Path(path)):
            weights |= _diffusers_names(_read_safetensors(file), file)
        codec = cls()
        _load_strictly(codec.vae, {name: tensor.float() for name, tensor in weights.items()}, "TAESD")
        return codec

    def encode(self, image: Tensor) -> Tensor:
        """Encode images (B, 3, H, W) or masks (B, 1, H, W), which count as three equal channels."""
        return self.vae.encode(image.expand(-1, 3, -1, -1) * 2 - 1, return_dict=False)[0]  # type: ignore[no-any-return]

    def decode(self, latents: Tensor) -> Tensor:
        """Decode to the mean of the three colours, clamped to [0, 1]."""
        pixels = self.vae.decode(latents, return_dict=False)[0]
        return ((pixels.mean(dim=1, keepdim=True) + 1) / 2).clamp(0, 1)  # type: ignore[no-any-return]


def load_codec(
    name: str = "mask-codec", weights: str | os.PathLike[str] | None = None, *, allow_download: bool = False
) -> TinyVAE:
    """Load the shipped codec, or TAESD, whose weights are those of ``WAVEGMS_TAESD`` unless a file or folder is given.

    Raises `InputError` if the name is unknown, `WeightsNotFoundError` if TAESD's weights are not found and may not be
    downloaded from Hugging Face, `CheckpointError` if they do not fit.
    """
    if name == "mask-codec":
        return MaskCodec.from_file(weights)
    if name == "taesd":
        return Taesd.from_file(weights or os.environ.get(TAESD_VARIABLE) or _downloaded_taesd(allow_download))
    raise InputError(f"There is no codec '{name}'. Choose {' or '.join(CODECS)}.")


def _downloaded_taesd(allowed: bool) -> Path:
    if not allowed:
        raise WeightsNotFoundError(
            f"TAESD's weights were not found. Set {TAESD_VARIABLE} to their file or folder, or allow their download "
            f"from Hugging Face ({_REPOSITORY}) with --allow-download."
        )
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(_REPOSITORY, allow_patterns=["diffusion_pytorch_model.safetensors"]))
    except Exception as error:  # the hub raises many kinds
        raise WeightsNotFoundError(
            f"TAESD could not be downloaded from {_REPOSITORY} ({type(error).__name__}). Check the connection, "
            f"or set {TAESD_VARIABLE} to a file or folder with its weights."
        ) from error


def _taesd_files(path: Path) -> list[Path]:
    if path.is_file():
        # The original layout keeps encoder and decoder in two files side by side.
        other = {"encoder": "decoder", "decoder": "encoder"}
        twins = [path.with_name(path.name.replace(a, b)) for a, b in other.items() if a in path.name]
        return [path, *(twin for twin in twins if twin.is_file())]
    for names in (("diffusion_pytorch_model.safetensors",), ("taesd_encoder.safetensors", "taesd_decoder.safetensors")):
        if all((path / name).is_file() for name in names):
            return [path / name for name in names]
    raise WeightsNotFoundError(
        f"{path} contains no TAESD weights. Choose a folder with diffusion_pytorch_model.safetensors, or with "
        "taesd_encoder.safetensors and taesd_decoder.safetensors."
    )


def _diffusers_names(weights: Mapping[str, Tensor], file: Path) -> dict[str, Tensor]:
    """Original keys ("0.weight") to those of `AutoencoderTiny`, whose decoder keeps its clamp outside the layers."""
    if any(name.startswith(("encoder.", "decoder.")) for name in weights):
        return dict(weights)
    part, shift = ("decoder", 1) if "decoder" in file.name else ("encoder", 0)
    renamed = {}
    for name, tensor in weights.items():
        index, _, rest = name.partition(".")
        if not index.isdigit():
            raise CheckpointError(f"{file.name} is not TAESD: it contains {name!r}. Choose TAESD's own file.")
        renamed[f"{part}.layers.{int(index) - shift}.{rest}"] = tensor
    return renamed


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise WeightsNotFoundError(f"There is no weight file {path}. Choose an existing .safetensors file.")
    try:
        return {name: tensor.float() for name, tensor in load_file(path).items()}
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{path.name} cannot be read as .safetensors ({error}). Get a fresh copy.") from error


def _load_strictly(module: nn.Module, weights: Mapping[str, Tensor], what: str) -> None:
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        said = " ".join(line.strip() for line in str(error).splitlines()[:2])[:240]
        raise CheckpointError(f"These are not the weights of the {what}: {said}") from error
