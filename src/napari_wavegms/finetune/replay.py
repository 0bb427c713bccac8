"""Which pairs are new to a model, which it has learned from, and which it may be scored on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from napari_wavegms.learn.pairs import Pair
from napari_wavegms.model.card import ModelCard
from napari_wavegms.storage.content_hash import content_hash

LEARNED = "learned"
"""Key of a card's lineage entry under which the content hashes of the images stand that were learned from."""


@dataclass(frozen=True, slots=True, eq=False)
class ReplaySet:
    """Pairs on their sides, as a start with its lineage may use them."""

    new: tuple[Pair, ...]  # not learned from before, or all where none is new
    replay: tuple[Pair, ...]  # learned from before
    held_out: tuple[Pair, ...]  # never learned from

    @classmethod
    def of(cls, train: Sequence[Pair], held_out: Sequence[Pair], *lineages: ModelCard) -> ReplaySet:
        """Sort pairs by what was learned from according to the cards of the start and of the model in use.

        Where all are held out, they are learned from after all, because one pair is enough to start.
        """
        known = {content for card in lineages for content in learned(card)}
        seen = {id(pair) for pair in (*train, *held_out) if content_hash(pair.image) in known}
        clean = tuple(pair for pair in held_out if id(pair) not in seen)
        if not train:
            train, clean = held_out, ()
        new = tuple(pair for pair in train if id(pair) not in seen)
        replay = tuple(pair for pair in train if id(pair) in seen)
        return cls(new or replay, replay if new else (), clean)


def learned(card: ModelCard) -> set[str]:
    """Content hashes of all images that a model and its forebears were fine-tuned on."""
    return {str(content) for step in card.lineage for content in step.get(LEARNED, ())}
