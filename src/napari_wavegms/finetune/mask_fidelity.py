"""Can the model draw this? What is left of a mask after a round trip through the codec.

Every predicted mask is decoded by the codec, in a working frame that may be coarser than the image. A mask that is lost
in that round trip will not be learned either, however many corrections are made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_wavegms.errors import InputError
from napari_wavegms.model.classes import OBJECTS, values_in
from napari_wavegms.segment.preprocessing import Prepared, Preprocessing, fit_frame, prepare_mask, restore

if TYPE_CHECKING:
    from napari_wavegms.model.codec import TinyVAE

CANNOT_DRAW = 0.95  # Dice below which the model is said not to be able to draw a mask


def roundtrip_dice(mask: npt.ArrayLike, codec: TinyVAE, rules: Preprocessing, device: str = "cpu") -> float:
    """Dice similarity, in [0, 1], of a mask (H, W) or stack (..., H, W) with its reconstruction by codec and frame.

    Planes and classes are decoded one by one and count together; 1 for an empty mask that stays empty. The codec is
    on `device`. Raises `InputError` if there are fewer than two axes, or no pixels.
    """
    drawn = np.asarray(mask)
    if drawn.ndim < 2 or not drawn.size:
        raise InputError(f"The mask has shape {drawn.shape}, but a mask has rows and columns. Choose another mask.")
    shared = total = 0
    values = values_in(drawn)
    several = len(values) < OBJECTS  # objects are no classes, and are drawn as one
    planes = drawn.reshape(-1, *drawn.shape[-2:])
    masks = (plane == value for plane in planes for value in values) if several else (plane != 0 for plane in planes)
    for plane in masks:
        back = _round_trip(plane, codec, rules, device)
        shared += int(np.count_nonzero(plane & back))
        total += int(np.count_nonzero(plane) + np.count_nonzero(back))
    return 2 * shared / total if total else 1.0


def fidelity_sentence(dice: float) -> str:
    """What a user is told about `roundtrip_dice`; empty if that is high enough."""
    if dice >= CANNOT_DRAW:
        return ""
    return (
        f"This mask is finer than the model can draw: only {dice:.0%} of it would be left. "
        "Draw a box around the structure, and the model segments it enlarged."
    )


def _round_trip(
    plane: npt.NDArray[np.bool_], codec: TinyVAE, rules: Preprocessing, device: str
) -> npt.NDArray[np.bool_]:
    import torch

    framed = prepare_mask(plane, rules).astype(np.float32)
    with torch.inference_mode():
        mask = torch.from_numpy(framed)[None, None].to(device)
        probability: npt.NDArray[Any] = codec.decode(codec.encode(mask))[0, 0].float().cpu().numpy()
    shape = (plane.shape[0], plane.shape[1])
    frame = Prepared(np.repeat(framed[None], 3, axis=0), shape, fit_frame(shape, rules), None)
    return restore(probability, frame) >= 0.5
