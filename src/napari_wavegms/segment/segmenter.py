"""Image in, mask out."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_wavegms.errors import CheckpointError
from napari_wavegms.model.card import ModelCard
from napari_wavegms.model.checkpoint import load_checkpoint
from napari_wavegms.model.codec import TinyVAE, load_codec
from napari_wavegms.model.device import Device, choose_device
from napari_wavegms.model.inference import Inference
from napari_wavegms.model.network import WaveGMS
from napari_wavegms.model.registry import resolve
from napari_wavegms.segment.postprocess import threshold_probability
from napari_wavegms.segment.preprocessing import FloatArray, Prepared, Preprocessing, in_whole_frame, prepare, restore


@dataclass(frozen=True, slots=True)
class Segmentation:
    """What `Segmenter.segment` finds in an image of (H, W) pixels.

    Attributes
    ----------
    mask : ndarray of shape (H, W), uint8
        1 where the probability reaches the threshold.
    probability : ndarray of shape (H, W), float32
        In [0, 1].
    threshold : float
        In (0, 1).
    intensity : tuple of float or None
        The pixel values that were shown to the network as black and white; None for bool and uint8, taken as they are.
    seconds : float
        Time it took.
    model, device : str
        Name of the model and of the torch device.
    latents : ndarray of shape (4, S/8, S/8), float32, or None
        What the encoder made of the image, in the working frame; see `napari_wavegms.segment.ood`.
    """

    mask: npt.NDArray[np.uint8]
    probability: FloatArray
    threshold: float
    intensity: tuple[float, float] | None
    seconds: float
    model: str
    device: str
    latents: FloatArray | None = None

    def at(self, threshold: float) -> Segmentation:
        """The same probability with another threshold; the network does not run."""
        return replace(self, mask=threshold_probability(self.probability, threshold), threshold=threshold)


class Segmenter:
    """A model, its codec and its device, ready to segment.

    Parameters
    ----------
    model : WaveGMS
        The network.
    card : ModelCard
        Its card: preprocessing and threshold are followed.
    codec : TinyVAE
        Decodes the mask latents.
    device : Device
        Where to compute.

    Examples
    --------
    >>> segmenter = Segmenter.from_checkpoint("default", device="cpu")
    >>> segmenter.segment(np.zeros((40, 60), np.uint8)).mask.shape
    (40, 60)
    """

    def __init__(self, model: WaveGMS, card: ModelCard, codec: TinyVAE, device: Device) -> None:
        self.model = model.to(device.name).eval()
        self.card = card
        self.codec = codec.to(device.name)
        self.device = device
        self.preprocessing = Preprocessing.from_dict(card.preprocessing)
        self.threshold = card.threshold
        self._inference = Inference(self.model, self.codec, device.name)

    @classmethod
    def from_checkpoint(
        cls,
        model: str | os.PathLike[str] = "default",
        device: str = "auto",
        codec: str | TinyVAE = "mask-codec",
    ) -> Segmenter:
        """Load a model by name or file.

        Raises
        ------
        CheckpointError
            If there is no such model, or its file does not fit.
        InputError
            If the device or codec is unknown or not to be had here.
        WeightsNotFoundError
            If the codec is TAESD and its weights are not here.
        """
        chosen = choose_device(device)
        network, card = load_checkpoint(resolve(model))
        return cls(network, card, load_codec(codec) if isinstance(codec, str) else codec, chosen)

    def segment(self, image: npt.ArrayLike, threshold: float | None = None) -> Segmentation:
        """Segment one image; the same image always gives the same mask.

        Parameters
        ----------
        image : array-like of shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4)
            Any real numeric dtype; see `napari_wavegms.segment.preprocessing.prepare` for what happens to its values.
        threshold : float, optional
            In (0, 1); the card's by default.

        Raises
        ------
        InputError
            If the array is no such image, or the threshold no such number.
        """
        started = time.perf_counter()
        threshold = self.threshold if threshold is None else threshold
        # Checked before the network runs, so that a typing error costs no time.
        threshold_probability(np.zeros((1, 1), np.float32), threshold)
        prepared = prepare(image, self.preprocessing)
        latents, found = self._look(prepared)
        probability = restore(found, prepared)
        return Segmentation(
            mask=threshold_probability(probability, threshold),
            probability=probability,
            threshold=threshold,
            intensity=prepared.intensity,
            seconds=time.perf_counter() - started,
            model=self.card.name,
            device=self.device.name,
            latents=latents,
        )

    def mask_latents(self, image: npt.ArrayLike) -> Tensor:
        """Predicted mask latents (4, S/8, S/8), float32 on the CPU."""
        return self._inference.mask_latents(_pixels(prepare(image, self.preprocessing)))[0].cpu()

    def image_latents(self, image: npt.ArrayLike) -> FloatArray:
        """Mean of the image's latents (4, S/8, S/8), float32; the mapping model does not run."""
        return self._inference.image_latents(_pixels(prepare(image, self.preprocessing)))[0].cpu().numpy()

    def frame_probability(self, image: npt.ArrayLike) -> FloatArray:
        """Probability (S, S) of the whole image in the working frame, where the paper measures its scores."""
        prepared = prepare(image, self.preprocessing)
        return in_whole_frame(self._look(prepared)[1], prepared, self.preprocessing)

    def _look(self, prepared: Prepared) -> tuple[FloatArray, FloatArray]:
        """The image's latents (4, S/8, S/8) and the mask's probability (S, S)."""
        latents, decoded = self._inference.look(_pixels(prepared))
        probability: npt.NDArray[Any] = decoded[0, 0].cpu().numpy()
        if not np.isfinite(probability).all():
            raise CheckpointError(
                f"The model {self.card.name} gave values that are not numbers; its weights are damaged. "
                "Choose another model."
            )
        return latents[0].cpu().numpy(), probability


def _pixels(prepared: Prepared) -> Tensor:
    return torch.from_numpy(prepared.pixels)[None]
