"""Latents that the network learns towards, computed once where the view allows."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_wavegms.learn.augmentation import Views
    from napari_wavegms.model.network import WaveGMS


class ImageTeacher(Protocol):
    """Whoever knows image latents: TAESD, or a frozen encoder."""

    def encode(self, image: Tensor) -> Tensor:
        """Images (B, 3, H, W) in [0, 1] to latents (B, 4, H/8, W/8)."""

    def to(self, device: str) -> object:
        """Move to a device."""


class FrozenEncoder:
    """The teacher where TAESD is absent: a frozen copy of a checkpoint's own E_wave, which was aligned with TAESD."""

    def __init__(self, model: WaveGMS) -> None:
        self.encoder = copy.deepcopy(model.encoder).eval().requires_grad_(False)

    def to(self, device: str) -> FrozenEncoder:
        """Move to a device."""
        self.encoder.to(device)
        return self

    def encode(self, image: Tensor) -> Tensor:
        """The mean latent."""
        return self.encoder(image).mean  # type: ignore[no-any-return]


class LatentCache:
    """Latents of flips and turns, remembered per pair in half precision; other views are computed each time."""

    def __init__(self, encode: Callable[[Tensor], Tensor]) -> None:
        self._encode = encode
        self._known: dict[tuple[int, int], Tensor] = {}

    def latents(self, planes: Tensor, views: Views, indices: list[int], chosen: Tensor | None = None) -> Tensor:
        """Latents (A, C, H/8, W/8), float32, of the A samples that `chosen` (B,) marks, or of all."""
        wanted = list(range(len(indices))) if chosen is None else torch.nonzero(chosen).flatten().tolist()
        keys = {i: (indices[i], views.turns[i]) for i in wanted}
        plain = views.plain.tolist()
        missing = [i for i in wanted if not plain[i] or keys[i] not in self._known]
        fresh = dict(zip(missing, self._compute(planes[missing]), strict=True)) if missing else {}
        self._known |= {keys[i]: latent.half() for i, latent in fresh.items() if plain[i]}
        # Rounded the first time too, so that a resumed run, whose memory is empty, sees the same.
        found = [self._known[keys[i]].float() if plain[i] else fresh[i] for i in wanted]
        return torch.stack(found) if found else planes.new_zeros((0, 4, planes.shape[-2] // 8, planes.shape[-1] // 8))

    def forget(self) -> None:
        """Drop what is remembered, as when the device changes."""
        self._known.clear()

    @torch.no_grad()
    def _compute(self, planes: Tensor) -> Tensor:
        return self._encode(planes).float()
