"""The network: encoder and latent mapper, 2,600,668 trainable parameters. The Tiny-VAE around it is in `codec`."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from napari_wavegms.model.encoder import Latent, WaveEncoder
from napari_wavegms.model.mapper import LatentMapper, MaskLatents


class Prediction(NamedTuple):
    """What one forward pass gives."""

    image: Latent
    mask: MaskLatents


class WaveGMS(nn.Module):
    """Wave-GMS without its frozen Tiny-VAE: image in, mask latents out (arXiv 2510.03216, figure 1)."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = WaveEncoder()
        self.mapper = LatentMapper()

    def forward(self, image: Tensor) -> Prediction:
        """Predict mask latents, sampling the image's latent in training mode and taking its mean otherwise.

        Parameters
        ----------
        image : torch.Tensor of shape (B, 3, H, W)
            Values in [0, 1]; H and W multiples of 8.
        """
        latent = self.encoder(image)
        return Prediction(latent, self.mapper(latent.sample() if self.training else latent.mean))
