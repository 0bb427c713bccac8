"""What is said and kept about one approved correction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from napari_wavegms.errors import InputError
from napari_wavegms.files.spacing import Spacing
from napari_wavegms.storage.database import now


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Approval:
    """A mask that a person has approved, as it is handed to the store."""

    name: str  # what the user calls the image
    image: npt.NDArray[Any]  # (H, W) or (H, W, 1, 3 or 4), any real dtype of at most 64 bits; kept bit by bit
    mask: npt.NDArray[Any]  # (H, W), labels from 0 up, or bool; kept in the smallest unsigned dtype
    prediction: npt.NDArray[Any] | None = None  # (H, W), the model's; None where a person began from nothing
    source: str = ""  # the file that the image came from, if any
    plane: tuple[int, ...] = ()  # which plane of the source, along its leading axes; empty for a plain image
    group: str = ""  # what a split keeps together, such as a patient; by default a stack, or the image
    spacing: Spacing | None = None  # size of a pixel
    model: str = ""  # the one that predicted, if any
    threshold: float | None = None  # of the prediction
    editor: str = ""  # who approved
    window: tuple[float, float] | None = None  # black and white, where neither the plane nor the model said it

    def __post_init__(self) -> None:
        rows_and_columns, colours = self.image.shape[:2], self.image.shape[2:]
        if self.image.ndim < 2 or colours not in ((), (1,), (3,), (4,)) or self.image.size == 0:
            raise InputError(
                f"The image {self.name} has shape {self.image.shape}; corrections are kept plane by plane, as "
                "(rows, columns) or (rows, columns, 3). Approve one plane at a time."
            )
        for what, labels in (("mask", self.mask), ("prediction", self.prediction)):
            if labels is not None and labels.shape != rows_and_columns:
                raise InputError(
                    f"The image {self.name} is {rows_and_columns[0]} x {rows_and_columns[1]} pixels and its {what} has "
                    f"shape {labels.shape}; they must cover the same pixels."
                )
        if self.threshold is not None and not 0 < self.threshold < 1:
            raise InputError(f"The threshold of {self.name} is {self.threshold}; it lies between 0 and 1.")


_Length = Annotated[int, Field(gt=0)]
_Hash = Annotated[str, Field(pattern="^[0-9a-f]{32}$")]


@dataclass(frozen=True, slots=True)
class Correction:
    """One approval in the store, without its pixels; what it shares with `Approval` means the same."""

    number: int  # from 1 up in the order of approval, over the whole history
    name: str  # made unique in the store: ``polyp``, ``polyp (2)``
    image: _Hash  # content hash; identifies the correction
    mask: _Hash  # content hash
    prediction: _Hash | None  # content hash of the mask that the model had drawn
    group: str
    shape: tuple[_Length, _Length]  # rows and columns
    labelled: int  # pixels of the mask that are not background
    changed: int | None  # pixels that differ from the prediction, if there was one
    source: str
    plane: tuple[int, ...]
    spacing: Spacing | None
    model: str
    threshold: float | None
    editor: str
    time: str  # ISO 8601, UTC
    window: tuple[float, float] | None = None

    @property
    def changed_share(self) -> float | None:
        """Share of the pixels that a person changed, 0 to 1; None where nothing was predicted."""
        return None if self.changed is None else self.changed / (self.shape[0] * self.shape[1])


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """The pixels of a correction, bit by bit as they were approved."""

    image: npt.NDArray[Any]  # (H, W) or (H, W, 1, 3 or 4)
    mask: npt.NDArray[Any]  # (H, W), uint8, uint16 or uint32
    prediction: npt.NDArray[Any] | None


def described(approval: Approval, number: int, name: str, image: str, mask: str, prediction: str | None) -> Correction:
    """The correction of an approval whose arrays are kept under these hashes."""
    labels, predicted = approval.mask, approval.prediction
    group = approval.group or (approval.source if approval.plane else "") or image
    return Correction(
        number=number,
        name=name,
        image=image,
        mask=mask,
        prediction=prediction,
        group=group,
        shape=(labels.shape[0], labels.shape[1]),
        labelled=int(np.count_nonzero(labels)),
        changed=None if predicted is None else int(np.count_nonzero(labels != predicted)),
        source=approval.source,
        plane=approval.plane,
        spacing=approval.spacing,
        model=approval.model,
        threshold=approval.threshold,
        editor=approval.editor,
        time=now(),
        window=approval.window,
    )
