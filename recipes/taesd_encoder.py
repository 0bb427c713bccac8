"""TAESD's encoder in the place of E_wave, for the ablation that asks what E_wave is worth."""

from __future__ import annotations

import torch
from torch import Tensor

from napari_wavegms.model.codec import Taesd
from napari_wavegms.model.network import LOGVAR_RANGE, Latent, WaveEncoder


class TaesdEncoder(WaveEncoder):
    """Frozen TAESD that answers as E_wave does.

    The weights of E_wave are still there, unused, so that such a network is saved, loaded and resumed as any other;
    TAESD's own stay out of its files.
    """

    def __init__(self, taesd: Taesd) -> None:
        super().__init__()
        self._hidden = (taesd,)  # in a tuple, where torch does not look for weights

    def forward(self, image: Tensor) -> Latent:
        """Encode images (B, 3, H, W) in [0, 1]; the latent is certain."""
        (taesd,) = self._hidden
        with torch.no_grad():
            mean = taesd.to(str(image.device)).encode(image)
        # TAESD stays in float32, and the mapping model behind it may have been brought to bfloat16.
        mean = mean.to(self.aggregate.head.weight.dtype)
        return Latent(mean, torch.full_like(mean, LOGVAR_RANGE[0]))
