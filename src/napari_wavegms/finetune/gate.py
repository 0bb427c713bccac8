"""The gate: a new model is put in use by itself only if it is clearly better on images that neither learned from.

Clearly is what a paired interval says: the mean difference of the DSC on the test images, and how far it may be off by
chance, one time in ten. A few images say little about how much differences scatter, so that their variance is pooled
with what other fine-tunings showed, as in the moderated t of Smyth (2004): `SPREAD`, with the weight of `PRIOR_IMAGES`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_wavegms.errors import InputError
from napari_wavegms.wording import counted

if TYPE_CHECKING:
    from napari_wavegms.learn.evaluate import ImageScored
    from napari_wavegms.learn.pairs import Pair
    from napari_wavegms.segment.segmenter import Segmenter

BETTER, WORSE, UNSURE = "clearly better", "clearly worse", "cannot tell yet"
SPREAD = 0.28
"""Standard deviation of an image's change in DSC over fine-tunings (docs/fine-tuning.md)."""
PRIOR_IMAGES = 4
"""As how many images that measurement counts."""
MARGIN = 0.02
"""DSC that a class may lose in the mean, while all classes together gain."""
CONFIDENCE = 0.95
"""Chance that a model which is no better is not called better; the same for worse."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a new model is better than the one in use."""

    word: str  # one of the three, or why it was not scored
    mean_before: float | None = None  # mean DSC, 0 to 1; None where it cannot be measured
    mean_after: float | None = None
    images: int = 0  # on how many images this was measured
    left_out: int = 0  # how many of them were learned from, and scored by a shorter training without them

    @property
    def promote(self) -> bool:
        """Whether the new model is put in use."""
        return self.word == BETTER

    @property
    def unsure(self) -> bool:
        """Whether somebody has to choose."""
        return self.word == UNSURE

    @property
    def measured(self) -> str:
        """The scores and what they were measured on: ``on 2 test images (DSC 0.68, before 0.21)``.

        Examples
        --------
        >>> judge({"a": 0.2, "b": 0.3}, {"a": 0.6, "b": 0.8}).measured
        'on 2 test images (DSC 0.70, before 0.25)'
        >>> judge({"a": 0.2, "b": 0.3}, {"a": 0.6, "b": 0.8}, left_out=1).measured
        'on 1 test image and 1 left out in turn (DSC 0.70, before 0.25)'
        """
        if self.mean_before is None or self.mean_after is None:
            return "because there is no test image" if self.unsure else ""
        more = f" and {self.left_out} left out in turn" if self.left_out else ""
        scores = compared(self.mean_before, self.mean_after)
        return f"on {counted(self.images - self.left_out, 'test image')}{more} ({scores})"


def judge(before: Mapping[str, float], after: Mapping[str, float], left_out: int = 0) -> Verdict:
    """Compare a new model with the current one, image by image.

    Parameters
    ----------
    before, after : mapping of str to float
        DSC of the current and of the new model, 0 to 1, on the same images.
    left_out : int
        For the verdict to tell, see there.

    Raises
    ------
    InputError
        If the two were scored on different images.

    Examples
    --------
    >>> judge({"a": 0.2, "b": 0.3}, {"a": 0.6, "b": 0.8}).word
    'clearly better'
    >>> judge({"a": 0.40}, {"a": 0.37}).word
    'cannot tell yet'
    """
    if set(before) != set(after):
        odd = sorted(set(before) ^ set(after))
        raise InputError(
            f"The two models were scored on different images ({', '.join(odd[:3])}); both need a score on each. "
            "Score both on the same test images."
        )
    count = len(before)
    if not count:
        return Verdict(UNSURE)
    if unscored := [name for name in before if not (0 <= before[name] <= 1 and 0 <= after[name] <= 1)]:  # NaN is not
        return Verdict(f"not compared, because {unscored[0]} could not be scored", images=count)
    was, now = (math.fsum(scores.values()) / count for scores in (before, after))
    low, high = interval([after[name] - before[name] for name in before])
    return Verdict(BETTER if low > 0 else WORSE if high < 0 else UNSURE, was, now, count, left_out)


def held_back(verdict: Verdict, before: Mapping[str, float], after: Mapping[str, float]) -> Verdict:
    """The verdict, where no class fell by more than `MARGIN`; otherwise the new model is not put in use by itself.

    `before` and `after` have the mean DSC of each class by its name, of those that were scored.

    Examples
    --------
    >>> better = judge({"a": 0.2, "b": 0.3}, {"a": 0.6, "b": 0.8})
    >>> held_back(better, {"liver": 0.9, "spleen": 0.1}, {"liver": 0.89, "spleen": 0.8}).word
    'clearly better'
    >>> held_back(better, {"liver": 0.9, "spleen": 0.1}, {"liver": 0.7, "spleen": 0.8}).word
    'better in the mean, but liver fell from 0.90 to 0.70'
    """
    fallen = [name for name in before.keys() & after.keys() if after[name] < before[name] - MARGIN]
    if not verdict.promote or not fallen:
        return verdict
    worst = min(sorted(fallen), key=lambda name: after[name] - before[name])
    word = f"better in the mean, but {worst} fell from {before[worst]:.2f} to {after[worst]:.2f}"
    return replace(verdict, word=word)


def interval(differences: Sequence[float]) -> tuple[float, float]:
    """What the mean difference over all such images may be, at `CONFIDENCE` on either side.

    Examples
    --------
    >>> [round(end, 2) for end in interval([0.3, 0.6])]
    [0.07, 0.83]
    """
    from scipy.special import stdtrit

    count, freedom = len(differences), PRIOR_IMAGES + len(differences) - 1
    mean = math.fsum(differences) / count
    squares = math.fsum((difference - mean) ** 2 for difference in differences)
    spread = math.sqrt((PRIOR_IMAGES * SPREAD**2 + squares) / freedom)
    reach = float(stdtrit(freedom, CONFIDENCE)) * spread / math.sqrt(count)
    return mean - reach, mean + reach


def compared(before: float, after: float) -> str:
    """Two scores, with as many digits as it takes to see a difference.

    Examples
    --------
    >>> compared(0.61, 0.74), compared(0.9391, 0.9399), compared(0.5, 0.5)
    ('DSC 0.74, before 0.61', 'DSC 0.940, before 0.939', 'DSC 0.50')
    """
    digits = next((n for n in range(2, 10) if f"{before:.{n}f}" != f"{after:.{n}f}"), 0)
    return f"DSC {after:.{digits}f}, before {before:.{digits}f}" if digits else f"DSC {after:.2f}"


def measure(segmenter: Segmenter, pairs: Sequence[Pair], classes: int | None = None) -> Iterator[ImageScored]:
    """Score a model on test images, whose DSC by name is what `judge` takes; `classes` as in `iter_evaluate`.

    Raises
    ------
    InputError
        If two pairs have the same name.
    """
    from napari_wavegms.learn.evaluate import iter_evaluate

    names = [pair.name for pair in pairs]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"Two test images are called {twice[0]}; give each its own name.")
    yield from iter_evaluate(segmenter, pairs, classes)
