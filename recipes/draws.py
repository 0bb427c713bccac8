"""Random samples of the sets in `atlas`: which set, which image, which view, and what is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from atlas import ONLY_TASK, TASKS, Framed, Source
from strong_views import Strength, view, with_columns_of
from torch import Tensor

WITHOUT_MARGINS = 0.7
"""Share of the draws that take an image with margins without them, as it is looked at later."""
UNION = 0.5
"""Share of the draws that ask for the union of a set's classes, where it is a truth."""


@dataclass(frozen=True)
class Sample:
    """One view to learn from."""

    source: Source
    image: Tensor  # (3, S, S)
    mask: Tensor  # (S, S), bool
    task: int  # of TASKS, or -1


class Data:
    """All training images in memory, drawn set by set.

    Parameters
    ----------
    sets : mapping of Source to sequence of Framed
    """

    def __init__(self, sets: Mapping[Source, Sequence[Framed]]) -> None:
        self._sets = sets
        self._sources = list(sets)
        weights = np.array([source.weight * len(frames) ** 0.5 for source, frames in sets.items()])
        self._shares = weights / weights.sum()

    def draw(self, rng: np.random.Generator, strength: Strength, size: int) -> Sample:
        """A view of a random image of a random set."""
        source = self._sources[rng.choice(len(self._sources), p=self._shares)]
        frame, image, labels = self._viewed(source, rng, strength, size)
        if source.ultrasound and rng.random() < strength.columns:
            _, other, other_labels = self._viewed(source, rng, strength, size)
            image, labels = with_columns_of(image, labels, other, other_labels, rng)
        task, asked = chosen_task(source, frame.labels, rng)
        mask = labels > 0 if asked is None else labels == asked
        return Sample(source, image, mask, task)

    def _viewed(
        self, source: Source, rng: np.random.Generator, strength: Strength, size: int
    ) -> tuple[Framed, Tensor, Tensor]:
        frames = self._sets[source]
        frame = frames[rng.integers(len(frames))]
        image, labels = frame.views[-1 if rng.random() < WITHOUT_MARGINS else 0]
        pixels, marks = torch.from_numpy(image).float() / 255, torch.from_numpy(labels)
        kinds = {"upright": source.upright, "ultrasound": source.ultrasound}
        return frame, *view(pixels, marks, rng, strength, size=size, **kinds)


def chosen_task(source: Source, labels: Sequence[int], rng: np.random.Generator) -> tuple[int, int | None]:
    """The task to ask for and its label value; -1 and None for everything that is labelled."""
    names = dict(source.tasks)
    alone = ONLY_TASK.get(source.name)
    if alone in labels:
        return TASKS.index(names[alone]), alone
    asked = [label for label in labels if label in names]
    if not asked or rng.random() < UNION:
        return -1, None
    label = int(rng.choice(asked))
    return TASKS.index(names[label]), label


def few(frames: Sequence[Framed], count: int) -> list[Framed]:
    """So many of them, spread over all."""
    return [frames[i * len(frames) // count] for i in range(count)] if len(frames) > count else list(frames)
