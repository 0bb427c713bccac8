"""The official pipeline, run with the same weights: what our own is measured against.

float32, contiguous maps, attention with an explicit softmax, TAESD as decoder; in training TAESD encodes the masks and
the images anew in each step, and decodes each supervised level on its own (the paper's four).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from napari_wavegms.learn.config import TrainConfig
from napari_wavegms.learn.frames import framed
from napari_wavegms.learn.learner import Learner
from napari_wavegms.learn.pairs import Pair
from napari_wavegms.model.checkpoint import load_checkpoint
from napari_wavegms.model.codec import Taesd, load_codec
from napari_wavegms.model.registry import resolve
from napari_wavegms.segment.preprocessing import Preprocessing, prepare, restore
from napari_wavegms.segment.segmenter import Segmenter

TAESD = Path("../shared/weights/taesd")


@contextmanager
def explicit_attention() -> Iterator[None]:
    """Have attention write its weights down, as the official code does."""

    def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return torch.softmax(q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5, dim=-1) @ v

    with mock.patch.object(F, "scaled_dot_product_attention", attention):
        yield


class ReferenceSegmenter:
    """The official way from image to mask."""

    def __init__(self, model: str, taesd: Path = TAESD) -> None:
        self.network, self.card = load_checkpoint(resolve(model))
        self.codec = load_codec("taesd", taesd)
        self.preprocessing = Segmenter.from_checkpoint(model, "cpu").preprocessing

    def probability(self, image: np.ndarray) -> np.ndarray:
        """Probability (H, W) of an image."""
        prepared = prepare(image, self.preprocessing)
        return restore(self.frame_probability(image), prepared)

    def frame_probability(self, image: np.ndarray) -> np.ndarray:
        """Probability (S, S) in the working frame."""
        pixels = torch.from_numpy(prepare(image, self.preprocessing).pixels)[None]
        with torch.no_grad(), explicit_attention():
            return self.codec.decode(self.network(pixels).mask.out)[0, 0].numpy()


class _LevelByLevel:
    """TAESD that decodes the supervised levels one after the other."""

    def __init__(self, taesd: Taesd, levels: int) -> None:
        self._taesd, self._levels = taesd, levels
        self.encode, self.fingerprint = taesd.encode, taesd.fingerprint

    def to(self, device: str) -> _LevelByLevel:
        return self

    def decode(self, latents: Tensor) -> Tensor:
        return torch.cat([self._taesd.decode(part) for part in latents.chunk(self._levels)])


class TrainingStep:
    """One step at a time of a training run, ours or the official way."""

    def __init__(self, pairs: list[Pair], model: str, reference: bool, taesd: Path = TAESD, **settings: object) -> None:
        network, card = load_checkpoint(resolve(model))
        self.batch, self.reference = len(pairs), reference
        config = TrainConfig(batch=self.batch, precision="float32" if reference else "auto", **settings)
        codec, teacher = load_codec(), None
        if reference:
            plain = load_codec("taesd", taesd)
            codec, teacher = _LevelByLevel(plain, len(config.decoded_levels)), plain
        rules = Preprocessing.from_dict(card.preprocessing | {"size": config.size})
        frames = framed(pairs, rules)
        self.learner = Learner(frames, network, codec, config, teacher, "cpu")
        self.rng, self.generator = np.random.default_rng(0), torch.Generator().manual_seed(0)

    def __call__(self) -> None:
        """Take the next step."""
        indices = list(range(self.batch))
        if not self.reference:
            self.learner.step(self.learner.prepare(indices, self.rng), self.generator)
            return
        self.learner.forget_latents()
        with explicit_attention():
            self.learner.step(self.learner.prepare(indices, self.rng), self.generator)
