"""Can the model draw this? What is left of a mask that goes through the codec and back.

Everything the model draws comes out of the codec, in a working frame that may be coarser than the image. A mask that
does not survive that way on its own will not be learned either, however many corrections are made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_wavegms.errors import InputError
from napari_wavegms.segment.postprocess import threshold_probability
from napari_wavegms.segment.preprocessing import Prepared, Preprocessing, fit_frame, prepare_mask, restore

if TYPE_CHECKING:
    from napari_wavegms.model.codec import TinyVAE

CANNOT_DRAW = 0.95
"""A mask of which less than this survives is one that the model cannot draw."""


def survives(mask: npt.ArrayLike, codec: TinyVAE, rules: Preprocessing, device: str = "cpu") -> float:
    """How much of a mask is left after the codec and the working frame, at the mask's own size.

    Parameters
    ----------
    mask : array_like of shape (H, W) or (..., H, W)
        Zero is background; of a stack each plane is drawn on its own and all count together.
    codec : TinyVAE
        The codec that decodes the model's masks.
    rules : Preprocessing
        The model's working frame.
    device : str
        Where the codec is.

    Returns
    -------
    float
        Dice similarity of what was drawn and what came back, in [0, 1]; 1 for an empty mask that stays empty.

    Raises
    ------
    InputError
        If there are fewer than two axes, or no pixels.
    """
    drawn = np.asarray(mask) != 0
    if drawn.ndim < 2 or not drawn.size:
        raise InputError(f"The mask has shape {drawn.shape}; a mask has rows and columns. Pick one with both.")
    shared = total = 0
    for plane in drawn.reshape(-1, *drawn.shape[-2:]):
        back = _there_and_back(plane, codec, rules, device)
        shared += int(np.count_nonzero(plane & back))
        total += int(np.count_nonzero(plane) + np.count_nonzero(back))
    return 2 * shared / total if total else 1.0


def fidelity_sentence(survived: float) -> str:
    """What to tell a user about `survives`: empty if there is nothing to tell."""
    if survived >= CANNOT_DRAW:
        return ""
    return (
        f"This mask is finer than what the model can draw: only {survived:.0%} of it would be left. "
        "Draw a box around the structure, and the model looks at it enlarged."
    )


def _there_and_back(
    plane: npt.NDArray[np.bool_], codec: TinyVAE, rules: Preprocessing, device: str
) -> npt.NDArray[np.bool_]:
    import torch

    framed = prepare_mask(plane, rules).astype(np.float32)
    with torch.inference_mode():
        mask = torch.from_numpy(framed)[None, None].to(device)
        probability: npt.NDArray[Any] = codec.decode(codec.encode(mask))[0, 0].float().cpu().numpy()
    shape = (plane.shape[0], plane.shape[1])
    frame = Prepared(np.repeat(framed[None], 3, axis=0), shape, fit_frame(shape, rules), None)
    return threshold_probability(restore(probability, frame), 0.5).astype(bool)
