"""Which pairs are new to a model, which it has learned from, and which it may be scored on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

from napari_wavegms.learn.pairs import Pair
from napari_wavegms.model.card import ModelCard
from napari_wavegms.storage.content_hash import content_hash
from napari_wavegms.storage.user_data import secret

LEARNED = "learned"
"""Key of a card's lineage entry under which the marks of the images stand that were learned from."""


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
        known = {mark for card in lineages for mark in learned(card)}
        # Cards of earlier versions have the content hashes themselves.
        seen = {
            id(pair)
            for pair in (*train, *held_out)
            if known and not known.isdisjoint((learned_mark(pair), content_hash(pair.image)))
        }
        clean = tuple(pair for pair in held_out if id(pair) not in seen)
        if not train:
            train, clean = held_out, ()
        new = tuple(pair for pair in train if id(pair) not in seen)
        replay = tuple(pair for pair in train if id(pair) in seen)
        return cls(new or replay, replay if new else (), clean)


def learned_mark(pair: Pair) -> str:
    """What a card says of an image that was learned from: a hash that only this account can check."""
    return blake2b(content_hash(pair.image).encode(), key=secret(), digest_size=16).hexdigest()


def learned(card: ModelCard) -> set[str]:
    """Marks of all images that a model and its forebears were fine-tuned on, see `learned_mark`."""
    lists = (step.get(LEARNED) for step in card.lineage)
    return {str(mark) for marks in lists if isinstance(marks, list) for mark in marks}
