"""What a training step needs and changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from napari_wavegms.learn.augmentation import Views, draw_views, joined
from napari_wavegms.learn.config import TrainConfig
from napari_wavegms.learn.losses import Losses, Targets, wave_gms_losses
from napari_wavegms.learn.teacher import FrozenEncoder, ImageTeacher, LatentCache
from napari_wavegms.model.device import computes_bfloat16
from napari_wavegms.model.network import Latent, Prediction, WaveGMS

if TYPE_CHECKING:
    from napari_wavegms.learn.frames import Frames
    from napari_wavegms.model.codec import TinyVAE


def pack_state(optimiser: torch.optim.Optimizer, averaged: AveragedModel | None) -> dict[str, Tensor]:
    """Moments of the optimiser and averaged weights, under flat names."""
    state = {
        f"optimiser.{index}.{name}": value
        for index, entry in optimiser.state_dict()["state"].items()
        for name, value in entry.items()
    }
    if averaged is not None:
        state |= {f"averaged.{name}": value for name, value in averaged.state_dict().items()}
    return state


def unpack_state(state: Mapping[str, Tensor], optimiser: torch.optim.Optimizer, averaged: AveragedModel | None) -> None:
    """Undo `pack_state`."""
    entries: dict[int, dict[str, Tensor]] = {}
    weights: dict[str, Tensor] = {}
    for key, tensor in state.items():
        part, _, rest = key.partition(".")
        if part == "averaged":
            weights[rest] = tensor
        elif part == "optimiser":
            index, _, name = rest.partition(".")
            entries.setdefault(int(index), {})[name] = tensor
    whole: dict[str, Any] = optimiser.state_dict()
    optimiser.load_state_dict(whole | {"state": entries})
    if averaged is not None:
        averaged.load_state_dict(weights)


class Learner:
    """What a step needs and changes.

    `start` is trained in place; without a teacher, a frozen copy of its encoder gives the latents to align with.
    """

    def __init__(
        self,
        frames: Frames,
        start: WaveGMS,
        codec: TinyVAE,
        config: TrainConfig,
        teacher: ImageTeacher | None,
        device: str,
    ) -> None:
        self.frames, self.config, self.device = frames, config, device
        self.model, self.codec = start.to(device), codec.to(device)
        self.trained = start.mapper if config.trained == "mapper" else start
        self.mask_cache = LatentCache(codec.encode)
        # With a frozen encoder its own latents are remembered, and there is nothing to align.
        frozen = config.trained == "mapper"
        self.teacher = FrozenEncoder(start) if frozen or teacher is None else teacher
        self.encoder_cache = LatentCache(self.teacher.encode) if frozen else None
        self.context_cache = LatentCache(start.trunk) if frozen and start.trunk is not None else None
        self.image_cache = LatentCache(self.teacher.encode) if config.alignment_weight and not frozen else None
        decay = config.average_decay
        self.averaged = AveragedModel(start, multi_avg_fn=get_ema_multi_avg_fn(decay)) if decay else None
        self.optimiser = torch.optim.AdamW(
            self.trained.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
        )
        self.bfloat16 = config.precision == "bfloat16" or (config.precision == "auto" and computes_bfloat16(device))

    @property
    def rate(self) -> float:
        """The learning rate."""
        return float(self.optimiser.param_groups[0]["lr"])

    @rate.setter
    def rate(self, rate: float) -> None:
        for group in self.optimiser.param_groups:
            group["lr"] = rate

    @property
    def kept_model(self) -> WaveGMS:
        """The network that is validated and kept: the averaged one, where there is one."""
        kept = self.model if self.averaged is None else self.averaged.module
        assert isinstance(kept, WaveGMS)
        return kept

    def step(self, indices: Sequence[int], rng: np.random.Generator, generator: torch.Generator) -> Losses:
        """Learn from the frames of these indices; `rng` draws the views, `generator` the sampled latents."""
        self.model.train()
        indices = sorted(indices, key=self._is_replayed)
        views = self._views(indices, rng)
        with torch.autocast(self.device.partition(":")[0], torch.bfloat16, enabled=self.bfloat16):
            losses = self._losses(views, indices, generator)
        self.optimiser.zero_grad(set_to_none=True)
        losses.total.backward()
        if self.config.clip:
            torch.nn.utils.clip_grad_norm_(self.trained.parameters(), self.config.clip)
        self.optimiser.step()
        if self.averaged is not None:
            self.averaged.update_parameters(self.model)
        return losses

    def _losses(self, views: Views, indices: list[int], generator: torch.Generator) -> Losses:
        everything = torch.ones(len(indices), dtype=torch.bool)
        mask_latents = self.mask_cache.latents(views.masks, views, indices, everything)
        aligned = everything if self.config.align_warped else views.plain
        teacher = self.image_cache
        image_latents = teacher.latents(views.images, views, indices, aligned) if teacher is not None else None
        latent, fed = self._encode(views, indices, generator)
        prediction = Prediction(latent, self.model.mapper(fed, self._context(views, indices)))
        targets = Targets(views.masks, mask_latents, image_latents, aligned)
        return wave_gms_losses(prediction, fed, targets, self.codec, self.config)

    def _is_replayed(self, index: int) -> bool:
        return index >= self.frames.new

    def _views(self, indices: list[int], rng: np.random.Generator) -> Views:
        """Random views of new pairs, then of replayed ones, each group by its own rules."""
        frames, new, replayed = self.frames, self.config.augmentation, self.config.replay_augmentation
        parts = []
        for again, group in groupby(indices, self._is_replayed):
            chosen = list(group)
            images = (frames.images[chosen].float() / 255).to(self.device)
            masks = frames.masks[chosen].float().to(self.device)
            rules = replayed if again and replayed is not None else new
            parts.append(draw_views(images, masks, rules, rng, [frames.upright[i] for i in chosen]))
        return joined(parts)

    def _encode(self, views: Views, indices: list[int], generator: torch.Generator) -> tuple[Latent, Tensor]:
        """The image's latent and what of it the mapper is fed."""
        if self.encoder_cache is not None:
            mean = self.encoder_cache.latents(views.images, views, indices, torch.ones(len(indices), dtype=torch.bool))
            return Latent(mean, mean), mean
        latent = self.model.encoder(views.images)
        return latent, latent.sample(generator) if self.config.sample_latent else latent.mean

    def _context(self, views: Views, indices: list[int]) -> Tensor | None:
        """The context features of a network that takes them."""
        if self.context_cache is None:
            return self.model.context(views.images)
        return self.context_cache.latents(views.images, views, indices, torch.ones(len(indices), dtype=torch.bool))

    def forget_latents(self) -> None:
        """Drop all remembered latents."""
        for cache in (self.mask_cache, self.encoder_cache, self.image_cache, self.context_cache):
            if cache is not None:
                cache.forget()

    def move(self, device: str) -> None:
        """Go on on another device."""
        self.device = device
        self.model.to(device)
        self.codec.to(device)
        self.teacher.to(device)
        if self.averaged is not None:
            self.averaged.to(device)
        moments = self.optimiser.state_dict()
        self.optimiser.load_state_dict(moments)  # casts the moments to where the weights are now
        self.forget_latents()
        self.bfloat16 = self.config.precision != "float32" and computes_bfloat16(device)

    def state(self) -> dict[str, Tensor]:
        """What a stopped run needs beside the weights."""
        return pack_state(self.optimiser, self.averaged)

    def restore(self, weights: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> None:
        """Take up the weights of a stopped run, and what `state` gave."""
        self.model.load_state_dict(weights)
        unpack_state(state, self.optimiser, self.averaged)
