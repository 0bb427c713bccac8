"""Which network of a model file learns from corrections, and which one keeps what is not to be forgotten."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_wavegms.segment.ood import FRAME, MOST_CORRECTIONS, ImageKinds, describe
from napari_wavegms.segment.preprocessing import Preprocessing

if TYPE_CHECKING:
    from napari_wavegms.learn.pairs import Pair
    from napari_wavegms.model.network import WaveGMS


@dataclass(frozen=True, slots=True, eq=False)
class Networks:
    """The networks of a fine-tuning."""

    # The one of a shipped file's two networks that answers most of the corrections, or the file's first.
    learner: WaveGMS
    # What answers the kinds of image that are not corrected: the file's other network, or its only one as it is. None
    # where kinds cannot be told apart, because nothing is known of them or the model has no context.
    keeper: WaveGMS | None
    familiarity: dict[str, Any]  # for the card: the kinds of image, with the corrections among them

    @classmethod
    def of(cls, file: Path, pairs: Sequence[Pair], classes: int = 1) -> Networks:
        """The networks of a file for learning from these pairs; the learner has at least so many classes."""
        found = cls._of(file, pairs)
        return replace(found, learner=found.learner.with_at_least(classes).eval())

    @classmethod
    def _of(cls, file: Path, pairs: Sequence[Pair]) -> Networks:
        from napari_wavegms.model.checkpoint import load_checkpoint, load_keeper

        learner, card = load_checkpoint(file)
        kinds = ImageKinds.from_dict(card.familiarity)
        if kinds is None:
            return cls(learner, None, {})
        points = [describe(pair.image) for pair in pairs[-MOST_CORRECTIONS:]]
        keeper = load_keeper(file)
        if keeper is None and card.context and Preprocessing.from_dict(card.preprocessing) == FRAME:
            keeper = load_checkpoint(file)[0]
        elif keeper is not None and (exchanged := kinds.exchanged(points)):
            learner, keeper, kinds = keeper, learner, exchanged
        return cls(learner, keeper, kinds.with_corrections(points).as_dict())
