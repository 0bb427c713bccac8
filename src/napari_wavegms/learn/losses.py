"""The three losses of Wave-GMS (arXiv 2510.03216, equations 1 to 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    from napari_wavegms.learn.config import TrainConfig
    from napari_wavegms.model.codec import TinyVAE
    from napari_wavegms.model.network import Prediction

DICE_SMOOTHING = 1e-5
COSINE_SHARE = 0.9
LEAST_PROBABILITY = 1e-3  # the codecs decode to 0 and 1 exactly, whose logarithm would be endless


class Targets(NamedTuple):
    """What a batch is compared with; `image_latents` covers the samples that `aligned` marks."""

    masks: Tensor  # (B, K, H, W) in {0, 1}
    mask_latents: Tensor  # (B, 4·K, H/8, W/8)
    image_latents: Tensor | None  # (A, 4, H/8, W/8), A <= B
    aligned: Tensor | None  # (B,) bool, A of them true
    known: Tensor | None = None  # (B, K) bool, of which classes a mask tells; None where it is one and known

    def only(self, classes: list[int]) -> Targets:
        """Those of some classes, without the image's."""
        latents = self.mask_latents.unflatten(1, (self.masks.shape[1], -1))[:, classes].flatten(1, 2)
        known = None if self.known is None else self.known[:, classes]
        return Targets(self.masks[:, classes], latents, None, None, known)


class Losses(NamedTuple):
    """The terms before weighting, and their weighted sum."""

    segmentation: Tensor
    latent: Tensor
    alignment: Tensor
    total: Tensor


def soft_dice_loss(probability: Tensor, target: Tensor, counted: Tensor | None = None) -> Tensor:
    """One minus the soft Dice of each sample and class, averaged; (B, K, H, W) in [0, 1].

    ``1 - (2 Σpt + ε) / (Σp + Σt + ε)`` with ε = 1e-5, so that two empty masks lose nothing. With `counted` (B, K)
    only those count that are true; of none, it is 0.
    """
    overlap = (probability * target).sum(dim=(2, 3))
    total = probability.sum(dim=(2, 3)) + target.sum(dim=(2, 3))
    return _mean(1 - (2 * overlap + DICE_SMOOTHING) / (total + DICE_SMOOTHING), counted)


def cross_entropy(probability: Tensor, target: Tensor, counted: Tensor | None = None) -> Tensor:
    """Mean binary cross-entropy of decoded masks (B, K, H, W), probabilities kept 1e-3 away from 0 and 1."""
    # Written out because torch's refuses autocast on a GPU.
    probability = probability.clamp(LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
    return _mean(-(target * probability.log() + (1 - target) * (1 - probability).log()), counted)


def segmentation_loss(
    probability: Tensor,
    masks: Tensor,
    kind: Literal["dice", "dice_entropy"] = "dice",
    known: Tensor | None = None,
) -> Tensor:
    """Loss of decoded masks, by the kind that `TrainConfig.segmentation_loss` names.

    Where several classes are `known`, Dice is taken of those that are there: of an absent one it says nothing, as long
    as a single pixel is drawn.
    """
    dice = soft_dice_loss(probability, masks, None if known is None else known & masks.flatten(2).any(dim=2))
    return dice if kind == "dice" else dice + cross_entropy(probability, masks, known)


def _mean(losses: Tensor, counted: Tensor | None) -> Tensor:
    """The mean of losses (B, K, ...), or of those that count."""
    if counted is None:
        return losses.mean()
    weights = counted.to(losses).reshape(*counted.shape, *[1] * (losses.ndim - 2)).expand_as(losses)
    return (losses * weights).sum() / weights.sum().clamp_min(1)


def latent_loss(latents: Tensor, target: Tensor, known: Tensor | None = None) -> Tensor:
    """Mean squared error of mask latents (B, 4·K, H/8, W/8), of the `known` classes (B, K) where not all are."""
    if known is None:
        return F.mse_loss(latents, target)
    return _mean((latents - target).square(), known.repeat_interleave(latents.shape[1] // known.shape[1], dim=1))


def alignment_loss(latent: Tensor, teacher: Tensor, distance: Literal["l1", "smooth_l1"] = "l1") -> Tensor:
    """Pull `z_MR` towards the teacher's latent of the same *image*, both (B, 4, H/8, W/8).

    ``0.9 · (1 - cosine similarity over channels, averaged over positions) + 0.1 · distance``.
    """
    cosine = 1 - F.cosine_similarity(latent, teacher, dim=1).mean()
    between = F.l1_loss(latent, teacher) if distance == "l1" else F.smooth_l1_loss(latent, teacher)
    return torch.add(COSINE_SHARE * cosine, (1 - COSINE_SHARE) * between)


def wave_gms_losses(
    prediction: Prediction, image_latent: Tensor, targets: Targets, codec: TinyVAE, config: TrainConfig
) -> Losses:
    """All terms of one batch, summed over the supervised levels.

    `image_latent` (B, 4, H/8, W/8) is what the mapper was fed: the sampled or the mean `z_MR`.
    """
    zero = image_latent.new_zeros(())
    heads = prediction.mask._asdict()
    segmentation = latent = alignment = zero
    if config.segmentation_weight:
        chosen = [heads[level] for level in config.decoded_levels]
        # One decoding of all levels together costs less than one each.
        decoded = codec.decode_masks(torch.cat(chosen)).float().chunk(len(chosen))
        about = targets.masks, config.segmentation_loss, targets.known
        segmentation = sum((segmentation_loss(probability, *about) for probability in decoded), zero)
    if config.latent_weight:
        errors = (
            latent_loss(heads[level].float(), targets.mask_latents, targets.known) for level in config.latent_levels
        )
        latent = sum(errors, zero)
    if config.alignment_weight and targets.image_latents is not None and len(targets.image_latents):
        ours = image_latent if targets.aligned is None else image_latent[targets.aligned]
        alignment = alignment_loss(ours.float(), targets.image_latents, config.alignment_l1)
    total = (
        config.segmentation_weight * segmentation + config.latent_weight * latent + config.alignment_weight * alignment
    )
    return Losses(segmentation, latent, alignment, total)
