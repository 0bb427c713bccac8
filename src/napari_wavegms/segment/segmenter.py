"""Image in, mask out: the model, its codec and its device together."""

from __future__ import annotations

import copy
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property, partial
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from napari_wavegms.errors import CheckpointError, InputError
from napari_wavegms.model.card import ModelCard
from napari_wavegms.model.checkpoint import load_checkpoint, load_keeper
from napari_wavegms.model.codec import TinyVAE, load_codec
from napari_wavegms.model.device import Device, choose_device, multiplies_bfloat16
from napari_wavegms.model.network import LATENT_CHANNELS, WaveGMS
from napari_wavegms.model.registry import resolve
from napari_wavegms.segment.ood import FRAME, ImageKinds, describe_frames, points_of
from napari_wavegms.segment.planes import SliceDone, plan_stack, segment_planes
from napari_wavegms.segment.postprocess import strongest, threshold_probability
from napari_wavegms.segment.preprocessing import (
    FloatArray,
    Planes,
    Prepared,
    Preprocessing,
    Window,
    in_frame,
    in_whole_frame,
    prepare,
    restore,
)
from napari_wavegms.segment.refine import Detail, Levels, OnWindow, refine

_DECODED_TOGETHER = 8  # classes, so that memory does not grow with their number


@dataclass(frozen=True, slots=True)
class Segmentation:
    """The result for an image of (H, W) pixels, or for a stack of such planes.

    Attributes
    ----------
    mask : ndarray of shape (H, W) or (..., H, W), uint8
        1 where the confidence reaches the threshold; with several classes the most probable one, from 1 up.
    confidence : ndarray of the same shape, float32
        Probability of the most probable class, in [0, 1].
    threshold : float
        In (0, 1).
    intensity : tuple of float or None
        The pixel values that became black and white; None for bool and uint8, which are not rescaled, and for stacks.
    seconds : float
        Time taken.
    model, device : str
        Name of the model and of the torch device.
    is_uniform : bool
        All pixels are alike, in each plane of a stack: there is nothing to segment, and the mask is empty.
    classes : ndarray of the mask's shape, uint8, or None
        The most probable class of each pixel, also where no one reaches the threshold; None for a model of one class.
    """

    mask: npt.NDArray[np.uint8]
    confidence: FloatArray
    threshold: float
    intensity: tuple[float, float] | None
    seconds: float
    model: str
    device: str
    is_uniform: bool = False
    classes: npt.NDArray[np.uint8] | None = None
    of_classes: Callable[[], FloatArray] | None = field(default=None, repr=False, compare=False)

    @property
    def probability(self) -> FloatArray:
        """Probability, float32 in [0, 1]: of the mask's shape, or (K, H, W) or (K, ..., H, W) of K classes.

        That of several classes is computed when it is asked for, since it takes K times the memory of all else.
        """
        return self.confidence if self.of_classes is None else self.of_classes()

    def at(self, threshold: float) -> Segmentation:
        """The same result with another threshold; the network does not run again.

        Examples
        --------
        >>> probability = np.array([[0.2, 0.6]], np.float32)
        >>> result = Segmentation(probability >= 0.5, probability, 0.5, None, 0.1, "generalist", "cpu")
        >>> result.at(0.1).mask.tolist()
        [[1, 1]]
        """
        mask = threshold_probability(self.confidence, threshold, self.classes)
        return replace(self, mask=mask, threshold=threshold)


class Inference:
    """A copy of a network in bfloat16 where the processor has matrix units for it, otherwise the network itself.

    The codec stays in float32: it costs a thirtieth, and probabilities keep all their steps. Later changes of the
    weights of `model`, which is in evaluation mode, take effect after `reload`. Model and codec are on `device`.
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
        """Probabilities (B, K, H, W), float32, for images (B, 3, H, W) in [0, 1], H and W multiples of 8.

        `context` is what `context(images)` gives, where somebody has it already.
        """
        latents = self.mask_latents(images, context).split(LATENT_CHANNELS * _DECODED_TOGETHER, dim=1)
        decoded = [self._codec.decode_masks(part) for part in latents]
        return decoded[0] if len(decoded) == 1 else torch.cat(decoded, dim=1)

    @torch.inference_mode()
    def mask_latents(self, images: Tensor, context: Tensor | None = None) -> Tensor:
        """The masks' latents (B, 4·K, H/8, W/8), float32."""
        return self._model(images.to(self._device), context).mask.out.float()  # type: ignore[no-any-return]


class Segmenter:
    """A model, its codec and its device, ready to segment.

    Parameters
    ----------
    model : WaveGMS
    card : ModelCard
        Decides preprocessing and threshold.
    codec : TinyVAE
        Decodes the mask latents.
    device : Device
    keeper : callable, optional
        Loads the network, if there is one, that answers images of the kinds that `model` did not learn last; called
        when the first such image comes.

    Examples
    --------
    >>> segmenter = Segmenter.from_checkpoint("default", device="cpu")
    >>> segmenter.segment(np.zeros((40, 60), np.uint8)).mask.shape
    (40, 60)
    """

    def __init__(
        self,
        model: WaveGMS,
        card: ModelCard,
        codec: TinyVAE,
        device: Device,
        keeper: Callable[[], WaveGMS | None] = lambda: None,
    ) -> None:
        self.model = model.to(device.name).eval()
        self.card = card
        self.codec = codec.to(device.name)
        self.device = device
        self.preprocessing = Preprocessing.from_dict(card.preprocessing)
        self.threshold = card.threshold
        self.detail: Detail = "whole"
        self._on_window: OnWindow | None = None
        self._inference = Inference(self.model, self.codec, device.name)
        self._keeper = cache(partial(_load_inference, keeper, self.codec, device.name))  # one for all copies of this

    @classmethod
    def from_checkpoint(
        cls,
        model: str | os.PathLike[str] = "default",
        device: str = "auto",
        codec: str | TinyVAE = "mask-codec",
    ) -> Segmenter:
        """Load a model.

        Parameters
        ----------
        model : str or path-like
            A name of `list_models`, or a ``.safetensors`` file.
        device : {"auto", "cpu", "cuda", "mps"}
        codec : {"mask-codec", "taesd"} or TinyVAE

        Raises
        ------
        CheckpointError
            If there is no such model, or its file does not fit.
        InputError
            If the device or codec is unknown or not available.
        WeightsNotFoundError
            If the codec is TAESD and its weights are not found.
        """
        chosen = choose_device(device)
        network, card = load_checkpoint(resolve(model))
        codec = load_codec(codec) if isinstance(codec, str) else codec
        return cls(network, card, codec, chosen, partial(load_keeper, resolve(model)))

    @property
    def classes(self) -> int:
        """How many classes the model draws, the background not counted."""
        return self.model.classes

    def segment(self, image: npt.ArrayLike | Levels, threshold: float | None = None) -> Segmentation:
        """Segment one image; the same image always gives the same mask.

        Parameters
        ----------
        image : array-like of shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), or Levels
            Any real numeric dtype; see `napari_wavegms.segment.preprocessing.prepare` for what happens to its values.
        threshold : float, optional
            In (0, 1); the card's by default.

        Raises
        ------
        InputError
            If the array is not such an image, or the threshold not in (0, 1).
        """
        started = time.perf_counter()
        threshold = self.threshold if threshold is None else threshold
        # Checked before the network runs.
        threshold_probability(np.zeros((1, 1), np.float32), threshold)
        if isinstance(image, Levels) or self.detail == "native":
            found = refine(self, image if isinstance(image, Levels) else [np.asarray(image)], self._on_window)
            (confidence, classes), of_classes = found.strongest(), found.full
            intensity, is_uniform = found.intensity, found.is_uniform
        else:
            prepared = prepare(image, self.preprocessing)
            answer = self.predict(prepared)[0]
            intensity, is_uniform = prepared.intensity, prepared.is_uniform
            if is_uniform:  # of which the network would make a mask all the same
                answer = np.zeros_like(answer)
            of_classes = partial(restore, answer, prepared)
            confidence, classes = _strongest(answer, prepared)
        return Segmentation(
            mask=threshold_probability(confidence, threshold, classes),
            confidence=confidence,
            threshold=threshold,
            intensity=intensity,
            seconds=time.perf_counter() - started,
            model=self.card.name,
            device=self.device.name,
            is_uniform=is_uniform,
            classes=classes,
            of_classes=None if classes is None else of_classes,
        )

    def for_volume(self, planes: Planes | None) -> Segmenter:
        """The segmenter for the planes of one volume, see `Preprocessing.for_volume`."""
        return self._with(self.preprocessing.for_volume(planes))

    @property
    def window(self) -> tuple[float, float] | None:
        """The values that become black and white, where neither the plane nor the card says them."""
        own = Preprocessing.from_dict(self.card.preprocessing).window
        return None if self.preprocessing.window == own else self.preprocessing.window

    def with_window(self, window: Window | None) -> Segmenter:
        """The segmenter with another range of grey values, see `Preprocessing.with_window`; None for the card's."""
        return self if window is None else self._with(self.preprocessing.with_window(window))

    def _with(self, rules: Preprocessing) -> Segmenter:
        if rules is self.preprocessing:
            return self
        other = copy.copy(self)
        other.preprocessing = rules
        return other

    def with_detail(self, detail: Detail, on_window: OnWindow | None = None) -> Segmenter:
        """The segmenter in another detail, which shares this one's network.

        Parameters
        ----------
        detail : {"whole", "native"}
            The image as a whole, in the model's working frame; or again at its own pixels around each piece that is
            found, and in large images in search of what is too small for the frame: see `refine`.
        on_window : callable, optional
            Told how often the network has run at native detail, of how many times known so far; what it raises stops
            the work.

        Raises
        ------
        InputError
            If there is no such detail.

        Examples
        --------
        >>> segmenter = Segmenter.from_checkpoint("default", device="cpu").with_detail("native")
        >>> segmenter.segment(np.zeros((400, 600), np.uint8)).mask.shape
        (400, 600)
        """
        if detail not in get_args(Detail):
            raise InputError(f"The detail is {detail!r}; it must be 'whole' or 'native'.")
        other = copy.copy(self)
        other.detail, other._on_window = detail, on_window
        return other

    def mask_latents(self, image: npt.ArrayLike) -> Tensor:
        """Predicted mask latents (4·K, S/8, S/8), float32 on the CPU."""
        inference, pixels, context = self._answering(prepare(image, self.preprocessing))
        return inference.mask_latents(pixels, context)[0].cpu()

    def frame_probability(self, image: npt.ArrayLike) -> FloatArray:
        """Probability (S, S) of the whole image in the working frame, where the paper measures its scores.

        (K, S, S) of a model of several classes.
        """
        if self.detail == "native":
            return in_frame(self.segment(image).probability, self.preprocessing)
        prepared = prepare(image, self.preprocessing)
        return in_whole_frame(self.predict(prepared)[0], prepared, self.preprocessing)

    def predict(self, prepared: Prepared) -> tuple[FloatArray, Callable[[FloatArray], FloatArray]]:
        """The probability (S, S) of a prepared image, and what does the same with frames (B, 3, S, S) of its parts.

        Of several classes it is (K, S, S). It is the same network for all, where there are two.
        """
        inference, pixels, context = self._answering(prepared)
        count = self.classes

        def predict(pixels: Tensor, context: Tensor | None) -> FloatArray:
            found = inference.predict(pixels, context)
            if found.shape[1] < count:  # a network that keeps what was known before a class was added
                found = F.pad(found, (0, 0, 0, 0, 0, count - found.shape[1]))
            probability: FloatArray = (found[:, 0] if count == 1 else found[:, :count]).cpu().numpy()
            if not np.isfinite(probability).all():
                raise CheckpointError(
                    f"The model {self.card.name} returned values that are not numbers; its weights are damaged. "
                    "Choose another model."
                )
            return probability

        return predict(pixels, context)[0], lambda frames: predict(torch.from_numpy(frames), None)

    def _answering(self, prepared: Prepared) -> tuple[Inference, Tensor, Tensor | None]:
        """Which network answers, the image as it takes it, and the image's context."""
        pixels = torch.from_numpy(prepared.pixels)[None]
        trunk = self.model.trunk
        if trunk is None or self._kinds is None:
            return self._inference, pixels, None
        # Kinds are told apart by the trunk that never learns, which most networks use themselves.
        context = None if trunk.learns else self._inference.context(pixels)
        point = describe_frames(pixels)[0] if context is None else points_of(context)[0]
        if not self._kinds.is_kept(point):
            return self._inference, pixels, context
        return self._keeper() or self._inference, pixels, context

    @cached_property
    def _kinds(self) -> ImageKinds | None:
        is_frame = replace(self.preprocessing, window=None, of_volume=False) == FRAME
        return ImageKinds.from_dict(self.card.familiarity) if is_frame else None


def _strongest(answer: FloatArray, prepared: Prepared) -> tuple[FloatArray, npt.NDArray[np.uint8] | None]:
    """What `strongest` makes of an answer (K, S, S) at the image's own pixels; (S, S) has one class only."""
    if answer.ndim == 2:
        return restore(answer, prepared), None
    return strongest(restore(one, prepared) for one in answer)


def _load_inference(load: Callable[[], WaveGMS | None], codec: TinyVAE, device: str) -> Inference | None:
    network = load()
    return None if network is None else Inference(network.to(device).eval(), codec, device)


def segment_stack(
    model: Segmenter | str | os.PathLike[str],
    image: Any,
    *,
    rgb: bool = False,
    axis_labels: Sequence[str] | None = None,
    channel: int | None = None,
    threshold: float | None = None,
    on_event: Callable[[SliceDone], object] | None = None,
) -> Segmentation:
    """Segment every plane of an image with more than two axes.

    Parameters
    ----------
    model : Segmenter, str or path-like
        A segmenter, a name of `list_models`, or a model file.
    image : array-like with a shape and dtype
        numpy, dask, zarr or h5py; a lazy array computes each plane when its turn comes. A plane is made of the axes
        labelled y and x, or of the last two that are longer than one.
    rgb : bool
        Whether the last axis holds 3 or 4 colours.
    axis_labels : sequence of str, optional
        One letter or name for each axis, such as ``"tyx"``: t, z, c, y, x are known.
    channel : int, optional
        Index along the channel axis; needed where there is one.
    threshold : float, optional
        In (0, 1); the model's by default.
    on_event : callable, optional
        Called with each plane's result: its index, number, total and segmentation.

    Returns
    -------
    Segmentation
        Mask and confidence have all axes of the image but those of channels and colours.

    Raises
    ------
    InputError
        If there is no plane in the array, a channel has to be chosen, or a plane cannot be segmented.

    Examples
    --------
    >>> from napari_wavegms.samples import ultrasound_stack
    >>> segment_stack("default", ultrasound_stack(frames=2, shape=(64, 80)).image).mask.shape
    (2, 64, 80)
    """
    segmenter = model if isinstance(model, Segmenter) else Segmenter.from_checkpoint(model)
    plan = plan_stack(image.shape, image.dtype, rgb, axis_labels, every=True, channel=channel)
    started = time.perf_counter()
    confidence, is_uniform = np.zeros(plan.labels_shape, np.float32), True
    classes = np.ones(plan.labels_shape, np.uint8) if segmenter.classes > 1 else None
    planes: list[SliceDone] = []
    for plane in segment_planes(segmenter, image, plan):
        confidence[plane.index] = plane.segmentation.confidence
        if classes is not None and plane.segmentation.classes is not None:
            classes[plane.index] = plane.segmentation.classes
            planes.append(plane)
        is_uniform = is_uniform and plane.segmentation.is_uniform
        if on_event is not None:
            on_event(plane)
    level = segmenter.threshold if threshold is None else threshold
    return Segmentation(
        mask=threshold_probability(confidence, level, classes),
        confidence=confidence,
        threshold=level,
        intensity=None,
        seconds=time.perf_counter() - started,
        model=segmenter.card.name,
        device=segmenter.device.name,
        is_uniform=is_uniform,
        classes=classes,
        of_classes=None if classes is None else partial(_of_planes, planes, (segmenter.classes, *classes.shape)),
    )


def _of_planes(planes: Sequence[SliceDone], shape: tuple[int, ...]) -> FloatArray:
    """The classes' probabilities of a stack, from those of its planes."""
    whole = np.zeros(shape, np.float32)
    for plane in planes:
        whole[:, *plane.index] = plane.segmentation.probability
    return whole
