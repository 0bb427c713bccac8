"""How a new prediction is combined with a mask that a person has edited."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from napari_wavegms.errors import InputError

Overwrite = Literal["keep mine", "fill empty", "replace"]
"""The three modes; `EXPLAINED` has a sentence for each."""

DEFAULT: Overwrite = "keep mine"
EXPLAINED: dict[Overwrite, str] = {
    "keep mine": "The model replaces its own earlier pixels; every pixel that you changed stays.",
    "fill empty": "The model draws only where nothing is labelled; it removes nothing.",
    "replace": "The model replaces everything, including your edits; Ctrl+Z restores them.",
}


def merged(
    mine: npt.NDArray[Any],
    predicted: npt.NDArray[Any],
    ours_before: npt.NDArray[Any] | None,
    how: Overwrite = DEFAULT,
) -> npt.NDArray[Any]:
    """Combine a mask with a new prediction, both of one shape, in a new array of the mask's dtype.

    `ours_before` is the prediction that the mask began from: where `mine` differs from it, a person has drawn. None if
    everything labelled is drawn by a person. Raises `InputError` if shapes, labels or mode do not fit.

    Examples
    --------
    >>> merged(np.array([0, 2, 1, 0]), np.array([1, 1, 0, 0]), np.array([0, 0, 1, 1])).tolist()
    [1, 2, 0, 0]
    """
    if how not in get_args(Overwrite):
        raise InputError(f"There is no mode '{how}'. Choose one of {', '.join(get_args(Overwrite))}.")
    for what, other in (("prediction", predicted), ("earlier prediction", ours_before)):
        if other is not None and other.shape != mine.shape:
            raise InputError(f"The mask has shape {mine.shape}, but the {what} {other.shape}. Segment the image again.")
    drawn = predicted.astype(mine.dtype)
    if not np.array_equal(drawn, predicted):
        raise InputError(
            f"The prediction has the label {predicted.max()}, which a mask of {mine.dtype} cannot hold. "
            "Convert the layer with Convert Data Type first."
        )
    if how == "replace":
        return drawn
    stays = mine != 0 if how == "fill empty" or ours_before is None else mine != ours_before
    return np.where(stays, mine, drawn)
