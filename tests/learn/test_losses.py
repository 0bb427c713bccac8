"""The loss terms: numbers worked out by hand, MONAI's and torch's definitions, and which terms reach which weights."""

from __future__ import annotations

import pytest
import torch

from napari_wavegms.learn.config import TrainConfig
from napari_wavegms.learn.losses import (
    Targets,
    alignment_loss,
    cross_entropy,
    segmentation_loss,
    soft_dice_loss,
    wave_gms_losses,
)
from napari_wavegms.model.codec import MaskCodec
from napari_wavegms.model.network import Latent, MaskLatents, Prediction


def test_soft_dice_by_hand() -> None:
    probability = torch.tensor([[[[0.5, 0.5, 0.0, 0.0]]]])
    target = torch.tensor([[[[1.0, 0.0, 0.0, 0.0]]]])
    assert soft_dice_loss(probability, target).item() == pytest.approx(1 - 2 * 0.5 / 2, abs=1e-5)


def test_soft_dice_is_per_image_then_averaged() -> None:
    target = torch.zeros(2, 1, 4, 4)
    target[0, 0, 0, 0] = 1
    target[1, 0] = 1
    half = target.clone()
    half[1, 0, 2:] = 0  # 2·8 / (8 + 16) = 2/3
    assert soft_dice_loss(half, target).item() == pytest.approx((0 + 1 / 3) / 2, abs=1e-5)


def test_two_empty_masks_lose_nothing() -> None:
    assert soft_dice_loss(torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 4)).item() == 0


def test_cross_entropy_is_torch_s() -> None:
    torch.manual_seed(0)
    probability, target = torch.rand(2, 1, 5, 5) * 0.9 + 0.05, (torch.rand(2, 1, 5, 5) > 0.5).float()
    theirs = torch.nn.functional.binary_cross_entropy(probability, target)
    assert cross_entropy(probability, target).item() == pytest.approx(theirs.item())


def test_a_certain_error_costs_no_more_than_ln_1000() -> None:
    assert cross_entropy(torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2)).item() == pytest.approx(6.9078, abs=1e-3)


def test_the_other_loss_is_dice_and_cross_entropy() -> None:
    torch.manual_seed(0)
    probability, masks = torch.rand(2, 1, 20, 20), torch.zeros(2, 1, 20, 20)
    masks[..., :10] = 1
    dice = soft_dice_loss(probability, masks)
    assert segmentation_loss(probability, masks) == dice
    assert segmentation_loss(probability, masks, "dice_entropy") == dice + cross_entropy(probability, masks)


def test_alignment_by_hand() -> None:
    ours = torch.tensor([3.0, 4.0]).reshape(1, 2, 1, 1)
    teacher = torch.tensor([4.0, 3.0]).reshape(1, 2, 1, 1)  # cosine 24/25, distance 1 and 1
    assert alignment_loss(ours, teacher).item() == pytest.approx(0.9 * (1 - 0.96) + 0.1 * 1.0)
    assert alignment_loss(ours, teacher, "smooth_l1").item() == pytest.approx(0.9 * (1 - 0.96) + 0.1 * 0.5)
    assert alignment_loss(ours, ours).item() == pytest.approx(0, abs=1e-6)


@pytest.fixture
def batch() -> tuple[Prediction, torch.Tensor, Targets]:
    torch.manual_seed(0)
    heads = MaskLatents(*(torch.randn(2, 4, 2, 2, requires_grad=True) for _ in range(4)))
    latent = torch.randn(2, 4, 2, 2, requires_grad=True)
    targets = Targets((torch.rand(2, 1, 16, 16) > 0.5).float(), torch.randn(2, 4, 2, 2), torch.randn(2, 4, 2, 2), None)
    return Prediction(Latent(latent, latent), heads), latent, targets


def test_terms_are_summed_over_their_levels_and_weighted(batch: tuple[Prediction, torch.Tensor, Targets]) -> None:
    torch.manual_seed(1)
    codec = MaskCodec()
    config = TrainConfig(latent_levels=("level2", "out"), decoded_levels=("out",), segmentation_weight=2.0)
    losses = wave_gms_losses(*batch, codec, config)
    prediction, latent, targets = batch
    by_hand = sum(
        (getattr(prediction.mask, level) - targets.mask_latents).square().mean() for level in ("level2", "out")
    )
    assert losses.latent.item() == pytest.approx(by_hand.item())
    assert losses.segmentation.item() == pytest.approx(
        soft_dice_loss(codec.decode(prediction.mask.out), targets.masks).item()
    )
    assert losses.alignment.item() == pytest.approx(alignment_loss(latent, targets.image_latents).item())
    assert losses.total.item() == pytest.approx((2 * losses.segmentation + losses.latent + losses.alignment).item())


def test_unsupervised_levels_get_no_gradient(batch: tuple[Prediction, torch.Tensor, Targets]) -> None:
    config = TrainConfig(latent_levels=("out",), decoded_levels=("level1",))
    wave_gms_losses(*batch, MaskCodec(), config).total.backward()
    heads = batch[0].mask
    assert heads.level3.grad is None
    assert heads.level2.grad is None
    assert heads.level1.grad is not None
    assert heads.out.grad is not None


def test_only_aligned_samples_are_aligned(batch: tuple[Prediction, torch.Tensor, Targets]) -> None:
    prediction, latent, targets = batch
    second = targets._replace(image_latents=targets.image_latents[1:], aligned=torch.tensor([False, True]))
    losses = wave_gms_losses(prediction, latent, second, MaskCodec(), TrainConfig())
    assert losses.alignment.item() == pytest.approx(alignment_loss(latent[1:], targets.image_latents[1:]).item())


def test_a_batch_without_aligned_samples_is_no_error(batch: tuple[Prediction, torch.Tensor, Targets]) -> None:
    prediction, latent, targets = batch
    none = targets._replace(image_latents=targets.image_latents[:0], aligned=torch.tensor([False, False]))
    assert wave_gms_losses(prediction, latent, none, MaskCodec(), TrainConfig()).alignment.item() == 0
