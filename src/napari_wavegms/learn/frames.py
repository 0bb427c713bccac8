"""Whole data sets in the working frame, small enough to stay in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_wavegms.model.classes import classes_for, values_in
from napari_wavegms.segment.preprocessing import Preprocessing, prepare, prepare_labels

if TYPE_CHECKING:
    from napari_wavegms.learn.pairs import Pair


@dataclass(frozen=True, slots=True, eq=False)
class Frames:
    """What a run learns from, in the working frame."""

    images: Tensor  # (N, 3, S, S), uint8
    masks: Tensor  # (N, K, S, S) of K classes, uint8, 0 or 1
    upright: list[bool]  # which pairs have an up and a down
    new: int  # so many of them are new; the others, after them, are replayed
    known: Tensor  # (N, K), bool: of which classes a mask tells

    def with_replayed(self, old: Frames) -> Frames:
        """The same with replayed pairs behind the new ones."""
        images, masks = torch.cat([self.images, old.images]), torch.cat([self.masks, old.masks])
        return Frames(images, masks, self.upright + old.upright, self.new, torch.cat([self.known, old.known]))


def framed(pairs: Sequence[Pair], rules: Preprocessing, classes: int = 1) -> Frames:
    """Bring pairs into the working frame; each is read once, as some are read from disk when asked for.

    Raises `LabelsNeeded` where a mask has labels that are no classes of a model of so many.
    """
    side = rules.size
    images = np.empty((len(pairs), 3, side, side), np.uint8)
    masks = np.zeros((len(pairs), classes, side, side), np.uint8)
    known = np.ones((len(pairs), classes), bool)
    upright = []
    volume, its_rules = None, rules
    for i, pair in enumerate(pairs):
        if pair.volume is not volume:  # whose planes follow each other
            volume, its_rules = pair.volume, rules.for_volume(pair.volume)
        prepared = prepare(pair.image, its_rules if pair.window is None else rules.with_window(pair.window))
        images[i] = np.rint(prepared.pixels * 255)
        masks[i] = planes_of(prepare_labels(pair.mask, rules, prepared.box), classes, pair.name)
        if pair.known is not None:
            known[i] = [number in pair.known for number in range(1, classes + 1)]
        upright.append(pair.upright)
    return Frames(torch.from_numpy(images), torch.from_numpy(masks), upright, len(pairs), torch.from_numpy(known))


def planes_of(labels: npt.NDArray[Any], classes: int, name: str) -> npt.NDArray[np.bool_]:
    """Labels (H, W) as a mask for each class, (K, H, W); one class takes whatever is the only label.

    Raises `LabelsNeeded` where a label is no class.

    Examples
    --------
    >>> planes_of(np.array([[0, 2, 1]]), 2, "scan").astype(int).tolist()
    [[[0, 0, 1]], [[0, 1, 0]]]
    """
    classes_for(values_in(labels), None, classes, name)
    if classes == 1:
        return labels[None] != 0  # type: ignore[no-any-return]
    return labels[None] == np.arange(1, classes + 1)[:, None, None]  # type: ignore[no-any-return]


def epoch_order(new: int, replayed: int, share: float, rng: np.random.Generator) -> list[int]:
    """Indices of one epoch: every new pair once, and replayed ones (numbered after them) until they are `share` of all.

    With more replayed pairs than fit, an epoch draws some of them at random; with fewer, some come twice.
    """
    order = np.arange(new)
    if replayed and share:
        wanted = max(1, round(new * share / (1 - share)))
        rounds = [rng.permutation(replayed) for _ in range(-(-wanted // replayed))]
        order = np.concatenate([order, new + np.concatenate(rounds)[:wanted]])
    return [int(i) for i in rng.permutation(order)]
