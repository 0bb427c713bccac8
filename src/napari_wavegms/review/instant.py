"""Instant: the mapper's last head fitted anew in closed form, on its own features at every position of every image."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from napari_wavegms.learn.pairs import Pair
    from napari_wavegms.model.codec import TinyVAE

RIDGE = 1e-2
"""Pull towards the head as it was, as a share of the features' mean square; benchmarks decide."""

Matrix = npt.NDArray[np.float64]


def ridge_towards(features: Matrix, targets: Matrix, start: Matrix, ridge: float = RIDGE) -> Matrix:
    """Least squares with a pull towards known weights.

    Minimises ``|features @ w - targets|² + ridge · scale · |w - start|²``, where ``scale`` is the mean over the columns
    of their sums of squares, so that the pull does not depend on units or on the number of rows.

    Parameters
    ----------
    features : ndarray of shape (N, F)
    targets : ndarray of shape (N, T)
    start : ndarray of shape (F, T)
    ridge : float
        0 is plain least squares.

    Returns
    -------
    ndarray of shape (F, T)

    Examples
    --------
    >>> ridge_towards(np.eye(2), np.array([[1.0], [3.0]]), np.zeros((2, 1)), ridge=1.0).ravel().tolist()
    [0.5, 1.5]
    """
    gram = features.T @ features
    pull = ridge * np.trace(gram) / len(gram)
    solved: Matrix = np.linalg.solve(gram + pull * np.eye(len(gram)), features.T @ (targets - features @ start))
    return start + solved


def refit_file(
    start: str | os.PathLike[str],
    pairs: Sequence[Pair],
    codec: TinyVAE,
    output: str | os.PathLike[str],
    device: str = "cpu",
    ridge: float = RIDGE,
) -> Path:
    """Refit the last head of a model on pairs, and write it as another model.

    Parameters
    ----------
    start : path-like
        The model file to start from.
    pairs : sequence of Pair
    codec : TinyVAE
        Encodes the masks.
    output : path-like
    device : str
    ridge : float

    Raises
    ------
    CheckpointError
        If the start does not load.
    """
    import torch

    from napari_wavegms.model.checkpoint import load_checkpoint, save_checkpoint

    network, card = load_checkpoint(start, device)
    head: Any = network.mapper.heads["out"]
    weight = head[-1].weight
    features, targets = _features_and_targets(network, pairs, codec.to(device), card.preprocessing, device)
    flat = weight.detach().double().cpu().flatten(1).T.numpy()  # (32·9, 4), in the order of unfold
    fitted = ridge_towards(features, targets, flat, ridge)
    with torch.no_grad():
        weight.copy_(torch.from_numpy(np.ascontiguousarray(fitted.T)).reshape(weight.shape))
    step = {"from": card.name, "pairs": len(pairs), "date": date.today().isoformat(), "config": {"refit": ridge}}
    return save_checkpoint(output, network, replace(card, lineage=(*card.lineage, step), created=""))


def _features_and_targets(
    network: Any, pairs: Sequence[Pair], codec: TinyVAE, preprocessing: dict[str, Any], device: str
) -> tuple[Matrix, Matrix]:
    """What the last convolution sees (N, 288), and the latents of the masks that it should give (N, 4)."""
    import torch
    import torch.nn.functional as F

    from napari_wavegms.learn.frames import framed
    from napari_wavegms.segment.images import Preprocessing

    images, masks = framed(pairs, Preprocessing.from_dict(preprocessing))
    features, targets = [], []
    with torch.inference_mode():
        for image, mask in zip(images, masks, strict=True):
            latent = network.encoder((image[None].float() / 255).to(device)).mean
            activated = network.mapper.heads["out"][:-1](network.mapper.features(latent)[-1])
            features.append(F.unfold(activated, 3, padding=1)[0].T.double().cpu().numpy())
            targets.append(codec.encode(mask[None].float().to(device))[0].flatten(1).T.double().cpu().numpy())
    return np.concatenate(features), np.concatenate(targets)
