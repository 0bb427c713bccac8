"""A network and its codec, as fast as they are without gradients."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from napari_wavegms.model.codec import TinyVAE
from napari_wavegms.model.device import multiplies_bfloat16
from napari_wavegms.model.network import WaveGMS


class Inference:
    """A copy of a network in bfloat16 where the processor has matrix units for it, otherwise the network itself.

    The codec stays in float32: it costs a thirtieth, and probabilities keep all their steps. `model` is in evaluation
    mode; later changes of its weights take effect after `reload`. Model and codec are on `device`.
    """

    def __init__(self, model: WaveGMS, codec: TinyVAE, device: str, bfloat16: bool | None = None) -> None:
        self.bfloat16 = multiplies_bfloat16(device) if bfloat16 is None else bfloat16
        self._device, self._codec, self._source, self._model = device, codec, model, model
        if self.bfloat16:
            half = copy.deepcopy(model).bfloat16()
            self._model = half.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def reload(self) -> None:
        """Take up the network's weights as they are now, which costs a fraction of another copy."""
        if self._model is not self._source:
            self._model.load_state_dict(self._source.state_dict())

    @torch.inference_mode()
    def context(self, images: Tensor) -> Tensor | None:
        """Context features (B, 256, H/8, W/8) of images as `predict` takes them; None in a network without context."""
        return self._model.context(images.to(self._device))

    @torch.inference_mode()
    def predict(self, images: Tensor, context: Tensor | None = None) -> Tensor:
        """Probabilities (B, 1, H, W), float32, for images (B, 3, H, W) in [0, 1], H and W multiples of 8.

        `context` is what `context(images)` gives, where somebody has it already.
        """
        return self._codec.decode(self.mask_latents(images, context))

    @torch.inference_mode()
    def mask_latents(self, images: Tensor, context: Tensor | None = None) -> Tensor:
        """The masks' latents (B, 4, H/8, W/8), float32."""
        return self._model(images.to(self._device), context).mask.out.float()  # type: ignore[no-any-return]
