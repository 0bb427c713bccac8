"""What a training step needs and changes."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from napari_wavegms.learn.augmentation import Views, draw_views, joined, misplacing_turns
from napari_wavegms.learn.config import TrainConfig
from napari_wavegms.learn.losses import Losses, Targets, wave_gms_losses
from napari_wavegms.learn.teacher import FrozenEncoder, ImageTeacher, LatentCache
from napari_wavegms.model.device import computes_bfloat16
from napari_wavegms.model.network import LATENT_CHANNELS, Latent, MaskLatents, Prediction, WaveGMS

if TYPE_CHECKING:
    from napari_wavegms.learn.frames import Frames
    from napari_wavegms.model.codec import TinyVAE


def pack_state(optimiser: torch.optim.Optimizer, averaged: nn.Module | None) -> dict[str, Tensor]:
    """Moments of the optimiser and averaged weights, under flat names."""
    state = {
        f"optimiser.{index}.{name}": value
        for index, entry in optimiser.state_dict()["state"].items()
        for name, value in entry.items()
    }
    if averaged is not None:
        state |= {f"averaged.{name}": value for name, value in averaged.state_dict().items()}
    return state


def unpack_state(state: Mapping[str, Tensor], optimiser: torch.optim.Optimizer, averaged: nn.Module | None) -> None:
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


COPIES_STEPS, COPIES_RATE = 40, 1e-2
"""How classes that were added are taught first, see `Learner.teach_copies` (docs/lab/classes.md)."""


class Batch(NamedTuple):
    """Views of the pairs of one step, and what the network's learning does not change about them."""

    views: Views
    targets: Targets
    latent: Tensor | None  # (B, 4, H/8, W/8) of an encoder that does not learn
    context: Tensor | None  # (B, 256, H/8, W/8), where the network has context


class Learner:
    """What a step needs and changes; `kept_model` is the network to validate and keep: the averaged one, if there is.

    `start` is trained in place; without a teacher, a frozen copy of its encoder gives the latents to align with. Where
    the mapper alone learns, the encoder's latents and the context features are remembered, and nothing is aligned.
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
        self.kept_model = copy.deepcopy(start) if config.average_decay else start
        each = [misplacing_turns(frames.masks[:, number, None]) for number in range(frames.masks.shape[1])]
        self._misplacing = [frozenset().union(*turns) for turns in zip(*each, strict=True)]
        self._masked = frames.masks.shape[1] > 1 or not bool(frames.known.all())
        frozen = config.trained == "mapper"
        self._learned, self._kept = (
            # Not a trunk of the network's own: its features are computed beforehand, without gradients.
            [*([] if frozen else model.encoder.parameters()), *model.mapper.parameters()]
            for model in (start, self.kept_model)
        )
        self.teacher = FrozenEncoder(start) if frozen or teacher is None else teacher
        self.mask_cache, image_cache = LatentCache(codec.encode_masks), LatentCache(self.teacher.encode)
        self.encoder_cache = image_cache if frozen else None
        self.image_cache = image_cache if config.alignment_weight and not frozen else None
        self.context_cache = LatentCache(start.trunk) if frozen and start.trunk is not None else None
        self.optimiser = torch.optim.AdamW(
            self._learned, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
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

    def warm_up(self) -> None:
        """Compile and allocate what the first step needs, and change nothing."""
        first = range(min(self.config.batch, len(self.frames.images)))
        with suppress(RuntimeError):  # which the first step meets, too, and tells
            batch = self.prepare(first, np.random.default_rng(0))
            self._gradients(batch, torch.Generator(self.device).manual_seed(0))
        self.optimiser.zero_grad(set_to_none=True)

    def teach_copies(self) -> Iterator[None]:
        """Teach classes that are still copies of others, by their own rows of the heads alone; yields after each step.

        Whatever else learned with them would first unlearn what it knows, because two equal classes contradict each
        other in all that they draw. Nothing else changes, so that the steps need no gradients of the network.
        """
        copies = self.model.copies
        about = self.frames.known[: self.frames.new, copies].any(dim=1).nonzero()[:, 0].tolist()
        if not copies or not about:
            return
        mapper, names = self.model.mapper.eval(), list(self.model.mapper.heads)
        rows = [LATENT_CHANNELS * k + channel for k in copies for channel in range(LATENT_CHANNELS)]
        fresh = [nn.Parameter(mapper.last(name).weight.detach()[rows].clone()) for name in names]
        optimiser = torch.optim.AdamW(fresh, lr=COPIES_RATE, weight_decay=0.0)
        rng = np.random.default_rng((self.config.seed, len(copies)))
        for step in range(COPIES_STEPS):
            batch = self.prepare(rng.choice(about, min(self.config.batch, len(about)), replace=False).tolist(), rng)
            with self._autocast():
                with torch.no_grad():
                    latent = self.model.encoder(batch.views.images).mean if batch.latent is None else batch.latent
                    levels = mapper.features(latent, batch.context)
                    inputs = [mapper.before_last(name, x) for name, x in zip(names, levels, strict=True)]
                drawn = MaskLatents(*(F.conv2d(x, w, padding=1) for x, w in zip(inputs, fresh, strict=True)))
                prediction = Prediction(Latent(latent, latent), drawn)
                losses = wave_gms_losses(prediction, latent, batch.targets.only(copies), self.codec, self.config)
            optimiser.zero_grad(set_to_none=True)
            losses.total.backward()
            for group in optimiser.param_groups:
                group["lr"] = COPIES_RATE * min(1.0, (step + 1) / 5)
            optimiser.step()
            yield
        for network in (self.model, self.kept_model):
            for name, learned in zip(names, fresh, strict=True):
                with torch.no_grad():
                    network.mapper.last(name).weight[rows] = learned

    @torch.no_grad()
    def prepare(self, indices: Sequence[int], rng: np.random.Generator) -> Batch:
        """Draw views of the frames of these indices; any thread may, one at a time."""
        indices = sorted(indices, key=self._is_replayed)
        views = self._views(indices, rng)
        with self._autocast():
            aligned = views.plain | self.config.align_warped
            teacher, encoder, known = self.image_cache, self.encoder_cache, self.context_cache
            targets = Targets(
                views.masks,
                self.mask_cache.latents(views.masks, views, indices),
                teacher.latents(views.images, views, indices, aligned) if teacher is not None else None,
                aligned,
                self.frames.known[indices].to(self.device) if self._masked else None,
            )
            latent = encoder.latents(views.images, views, indices) if encoder is not None else None
            context = known.latents(views.images, views, indices) if known else self.model.context(views.images)
        return Batch(views, targets, latent, context)

    def step(self, batch: Batch, generator: torch.Generator) -> Losses:
        """Learn from a batch; `generator` draws the sampled latents."""
        losses = self._gradients(batch, generator)
        if self.config.clip:
            torch.nn.utils.clip_grad_norm_(self._learned, self.config.clip)
        decay = self.config.average_decay if self.optimiser.state else 0.0  # the first step's weights as they are
        self.optimiser.step()
        if self.kept_model is not self.model:
            get_ema_multi_avg_fn(decay)(self._kept, self._learned, 0)
        return losses

    def _gradients(self, batch: Batch, generator: torch.Generator) -> Losses:
        if not self.model.training:
            self.model.train()
        with self._autocast():
            losses = self._losses(batch, generator)
        self.optimiser.zero_grad(set_to_none=True)
        losses.total.backward()
        return losses

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.partition(":")[0], torch.bfloat16, enabled=self.bfloat16)

    def _losses(self, batch: Batch, generator: torch.Generator) -> Losses:
        if batch.latent is None:
            latent = self.model.encoder(batch.views.images)
            fed = latent.sample(generator) if self.config.sample_latent else latent.mean
        else:
            fed = batch.latent
            latent = Latent(fed, fed)
        prediction = Prediction(latent, self.model.mapper(fed, batch.context))
        return wave_gms_losses(prediction, fed, batch.targets, self.codec, self.config)

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
            upright, misplacing = [frames.upright[i] for i in chosen], [self._misplacing[i] for i in chosen]
            parts.append(draw_views(images, masks, rules, rng, upright, misplacing))
        return joined(parts)

    def forget_latents(self) -> None:
        """Drop all remembered latents."""
        for cache in (self.mask_cache, self.encoder_cache, self.image_cache, self.context_cache):
            if cache is not None:
                cache.forget()

    def move(self, device: str) -> None:
        """Go on on another device."""
        self.device = device
        for part in (self.model, self.kept_model, self.codec, self.teacher):
            part.to(device)
        self.optimiser.load_state_dict(self.optimiser.state_dict())  # casts the moments to where the weights are now
        self.forget_latents()
        self.bfloat16 = self.config.precision != "float32" and computes_bfloat16(device)

    def state(self) -> dict[str, Tensor]:
        """What a stopped run needs beside the weights."""
        return pack_state(self.optimiser, self._averaged)

    def restore(self, weights: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> None:
        """Take up the weights of a stopped run, and what `state` gave."""
        self.model.load_state_dict(weights)
        unpack_state(state, self.optimiser, self._averaged)

    @property
    def _averaged(self) -> WaveGMS | None:
        return None if self.kept_model is self.model else self.kept_model
