"""The gate: a new model is taken only if it is not worse on the images that neither has learned from."""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_wavegms.errors import InputError
from napari_wavegms.finetune.split import worth

if TYPE_CHECKING:
    from napari_wavegms.learn.evaluate import ImageScored
    from napari_wavegms.learn.pairs import Pair
    from napari_wavegms.segment.segmenter import Segmenter

MAX_FALL = 0.10
_ROUNDING = 1e-9  # 0.81 - 0.71 is a little more than 0.10 in binary


@dataclass(frozen=True, slots=True)
class Fall:
    """An image that the new model segments worse: its name, and by how much its DSC fell."""

    name: str
    by: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a new model takes the place of the current one.

    Attributes
    ----------
    promote : bool
        Whether it does.
    reason : str
        Why, or why not, in words: ``not promoted: polyp_07 fell by 0.14``.
    mean_before, mean_after : float or None
        Mean DSC, 0 to 1; None where it cannot be measured.
    worst : Fall or None
        The image that fell most; None where none did.
    images : int
        On how many held-out images this was measured.
    """

    promote: bool
    reason: str
    mean_before: float | None
    mean_after: float | None
    worst: Fall | None
    images: int

    @property
    def measured(self) -> bool:
        """Whether the verdict rests on scores."""
        return self.mean_before is not None and self.mean_after is not None


def judge(
    before: Mapping[str, float],
    after: Mapping[str, float],
    max_fall: float = MAX_FALL,
    promote_unmeasured: bool = False,
) -> Verdict:
    """Compare a new model with the current one, image by image.

    It is promoted if its mean DSC is not lower and no single image falls by more than `max_fall`.

    Parameters
    ----------
    before, after : mapping of str to float
        DSC of the current and of the new model, 0 to 1, on the same held-out images.
    max_fall : float
        What a single image may lose; 1 lets every image fall.
    promote_unmeasured : bool
        What to do where no image is held out, so that nothing can be measured: by default the current model stays.

    Returns
    -------
    Verdict

    Raises
    ------
    InputError
        If the two were scored on different images.

    Examples
    --------
    >>> judge({"a": 0.5, "b": 0.9}, {"a": 0.9, "b": 0.7}).reason
    'not promoted: b fell by 0.20'
    >>> judge({"a": 0.5, "b": 0.9}, {"a": 0.7, "b": 0.9}).promote
    True
    """
    if set(before) != set(after):
        odd = sorted(set(before) ^ set(after))
        raise InputError(
            f"The two models were scored on different images ({', '.join(odd[:3])}); both need a score on each. "
            "Score both on the same held-out images."
        )
    if not before:
        return _unmeasured(promote_unmeasured)
    if unscored := [name for name in before if not (_is_score(before[name]) and _is_score(after[name]))]:
        return Verdict(False, f"not promoted: {unscored[0]} could not be scored", None, None, None, len(before))
    falls = sorted((Fall(name, before[name] - after[name]) for name in before), key=lambda fall: -fall.by)
    means = tuple(math.fsum(scores.values()) / len(before) for scores in (before, after))
    refusal = _refusal(falls, means[0], means[1], max_fall)
    return Verdict(
        promote=not refusal,
        reason=refusal or f"promoted: {_change(*means)} {worth(len(before))}",
        mean_before=means[0],
        mean_after=means[1],
        worst=falls[0] if falls[0].by > 0 else None,
        images=len(before),
    )


def measure(segmenter: Segmenter, pairs: Sequence[Pair]) -> Generator[ImageScored, None, dict[str, float]]:
    """Score a model on held-out pairs for `judge`.

    Yields
    ------
    ImageScored

    Returns
    -------
    dict of str to float
        DSC by the name of the pair.

    Raises
    ------
    InputError
        If two pairs have the same name.
    """
    from napari_wavegms.learn.evaluate import iter_evaluate

    names = [pair.name for pair in pairs]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"Two held-out images are called {twice[0]}; give each its own name.")
    if not pairs:
        return {}
    report = yield from iter_evaluate(segmenter, pairs)
    return {scored.name: scored.dsc for scored in report.images}


def _unmeasured(promote: bool) -> Verdict:
    what = "promoted unmeasured" if promote else "not promoted"
    return Verdict(promote, f"{what}: {worth(0)}", None, None, None, 0)


def _is_score(value: float) -> bool:
    return 0 <= value <= 1  # NaN is not


def _refusal(falls: Sequence[Fall], before: float, after: float, max_fall: float) -> str:
    too_far = [fall for fall in falls if fall.by > max_fall + _ROUNDING]
    if too_far:
        others = len(too_far) - 1
        rest = f", and {others} more by over {max_fall:.2f}" if others else ""
        return f"not promoted: {too_far[0].name} fell by {too_far[0].by:.2f}{rest}"
    if after < before - _ROUNDING:
        return f"not promoted: {_change(before, after)} {worth(len(falls))}"
    return ""


def _change(before: float, after: float) -> str:
    verb = "rose" if after > before + _ROUNDING else "fell" if after < before - _ROUNDING else "stayed"
    if verb == "stayed":
        return f"the mean DSC stayed at {after:.2f}"
    # As many digits as it takes to see a difference.
    digits = next(digits for digits in range(2, 10) if f"{before:.{digits}f}" != f"{after:.{digits}f}")
    return f"the mean DSC {verb} from {before:.{digits}f} to {after:.{digits}f}"
