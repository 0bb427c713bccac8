"""The gate: a new model is put in use only if it is not worse on the images that neither has learned from."""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_wavegms.errors import InputError
from napari_wavegms.finetune.split import FEW, TOO_FEW, worth
from napari_wavegms.wording import counted

if TYPE_CHECKING:
    from napari_wavegms.learn.evaluate import ImageScored
    from napari_wavegms.learn.pairs import Pair
    from napari_wavegms.segment.segmenter import Segmenter

MAX_FALL = 0.10
_ROUNDING = 1e-9  # 0.81 - 0.71 is a little more than 0.10 in binary


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a new model takes the place of the current one.

    Attributes
    ----------
    promote : bool
        Whether it does.
    reason : str
        Why, or why not, to be read after "v1 was": ``worse on polyp_07 (Dice 0.66, before 0.80)``.
    mean_before, mean_after : float or None
        Mean DSC, 0 to 1; None where it cannot be measured.
    images : int
        On how many held-out images this was measured.
    """

    promote: bool
    reason: str
    mean_before: float | None = None
    mean_after: float | None = None
    images: int = 0


def judge(before: Mapping[str, float], after: Mapping[str, float], max_fall: float = MAX_FALL) -> Verdict:
    """Compare a new model with the current one, image by image.

    It is promoted if its mean DSC is not lower and no single image falls by more than `max_fall`; never where nothing
    is held out, so that nothing can be measured.

    Parameters
    ----------
    before, after : mapping of str to float
        DSC of the current and of the new model, 0 to 1, on the same held-out images.
    max_fall : float
        What a single image may lose; 1 lets every image fall.

    Raises
    ------
    InputError
        If the two were scored on different images.

    Examples
    --------
    >>> judge({"a": 0.5, "b": 0.9}, {"a": 0.9, "b": 0.7}).reason
    'worse on b (Dice 0.70, before 0.90)'
    >>> judge({"a": 0.40}, {"a": 0.37}).reason
    'not clearly better on 1 test image (Dice 0.37, before 0.40), too few to judge'
    >>> judge({"a": 0.5, "b": 0.9}, {"a": 0.7, "b": 0.9}).promote
    True
    """
    if set(before) != set(after):
        odd = sorted(set(before) ^ set(after))
        raise InputError(
            f"The two models were scored on different images ({', '.join(odd[:3])}); both need a score on each. "
            "Score both on the same held-out images."
        )
    count = len(before)
    if not count:
        return Verdict(False, f"not compared, {worth(0)}")
    if unscored := [name for name in before if not (0 <= before[name] <= 1 and 0 <= after[name] <= 1)]:  # NaN is not
        return Verdict(False, f"not compared, because {unscored[0]} could not be scored", images=count)
    was, now = (math.fsum(scores.values()) / count for scores in (before, after))
    fallen = [name for name in before if before[name] - after[name] > max_fall + _ROUNDING]
    if fallen:
        worst = max(fallen, key=lambda name: before[name] - after[name])
        more = f" and {len(fallen) - 1} more" if len(fallen) > 1 else ""
        return Verdict(False, f"worse on {worst} ({compared(before[worst], after[worst])}){more}", was, now, count)
    promote = now >= was - _ROUNDING
    how = "better" if now > was + _ROUNDING else "as good" if promote else "not clearly better"
    few = f", {TOO_FEW}" if count < FEW else ""
    reason = f"{how} on {counted(count, 'test image')} ({compared(was, now)}){few}"
    return Verdict(promote, reason, was, now, count)


def compared(before: float, after: float) -> str:
    """Two scores, with as many digits as it takes to see a difference.

    Examples
    --------
    >>> compared(0.61, 0.74), compared(0.9391, 0.9399), compared(0.5, 0.5)
    ('Dice 0.74, before 0.61', 'Dice 0.940, before 0.939', 'Dice 0.50')
    """
    digits = next((n for n in range(2, 10) if f"{before:.{n}f}" != f"{after:.{n}f}"), 0)
    return f"Dice {after:.{digits}f}, before {before:.{digits}f}" if digits else f"Dice {after:.2f}"


def measure(segmenter: Segmenter, pairs: Sequence[Pair]) -> Generator[ImageScored, None, dict[str, float]]:
    """Score a model on held-out pairs for `judge`: the DSC by the name of the pair.

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
