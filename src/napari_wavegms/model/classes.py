"""Which labels masks hold, and what a model makes of them: all as one class, one of them, or each as its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from napari_wavegms.errors import InputError
from napari_wavegms.model.card import BINARY, MOST_CLASSES

Learned = Literal["all", "each", "known"] | int
"""What to learn: all labels as one class, each as a class of its own, those that the model knows, or one of them."""

_NOT_ANNOTATED = 255
OBJECTS = 16
"""Labels; from so many on they are rather objects than classes."""


class LabelsNeeded(InputError):
    """Masks hold several labels, and nobody has said what a model is to make of them.

    Attributes
    ----------
    values : tuple of int
        The labels, without the background.
    classes : int
        How many classes the model has.
    """

    def __init__(self, values: Iterable[int], classes: int = 1, name: str = "") -> None:
        self.values, self.classes = tuple(sorted(values)), classes
        super().__init__(f"{labels_sentence(self.values, classes, name)} {_ADVICE}")


_ADVICE = (
    "Say what becomes of them (labels=, --labels): all are one class (all), each is a class of its own (each), or one "
    "is learned (its number)."
)


def labels_sentence(values: Iterable[int], classes: int = 1, name: str = "") -> str:
    """What masks hold, and what is odd about it, for a model of so many classes.

    Examples
    --------
    >>> labels_sentence([1, 2])
    'The masks hold the labels 1 and 2, and the model has one class.'
    >>> labels_sentence(range(1, 200))
    'The masks hold 199 labels, as where each object has a number of its own, and the model has one class.'
    """
    drawn = sorted(values)
    has = "one class" if classes == 1 else f"{classes} classes"
    if len(drawn) >= OBJECTS:
        held = f"{len(drawn)} labels, as where each object has a number of its own,"
    else:
        held = f"the label{'s' if len(drawn) > 1 else ''} {_and(drawn)},"
    odd = " 255 often marks pixels that nobody has annotated." if _NOT_ANNOTATED in drawn and len(drawn) > 1 else ""
    what = f"The mask of {name} holds" if name else "The masks hold"
    return f"{what} {held} and the model has {has}.{odd}"


def _and(values: list[int]) -> str:
    *most, last = map(str, values)
    return f"{', '.join(most)} and {last}" if most else last


def values_in(mask: npt.ArrayLike) -> frozenset[int]:
    """The labels of a mask of whole numbers, without the background."""
    return frozenset(int(value) for value in np.unique(np.asarray(mask)) if value)


def classes_for(values: Iterable[int], learned: Learned | None, classes: int = 1, name: str = "") -> dict[int, int]:
    """Which class, from 1 up, each label becomes in a model of so many classes; those not named are background.

    Each label becomes a class of its own by keeping its number where the model has such a class, and otherwise by
    getting the next number. Raises `LabelsNeeded` where nothing is said and there is more than one answer, `InputError`
    where the label to learn is in no mask, or where there are more than `MOST_CLASSES`. `name` is of the only image.

    Examples
    --------
    >>> classes_for([1, 2], "all"), classes_for([10, 20], "each"), classes_for([1, 2], 2)
    ({1: 1, 2: 1}, {10: 1, 20: 2}, {2: 1})
    >>> classes_for([255], None), classes_for([1, 2, 5], "each", classes=2)
    ({255: 1}, {1: 1, 2: 2, 5: 3})
    """
    drawn = sorted(values)
    if learned == "known":
        return {value: value for value in drawn if value <= classes}
    fits = len(drawn) < 2 if classes == 1 else all(value <= classes for value in drawn)
    if learned is None and not fits:
        raise LabelsNeeded(drawn, classes, name)
    if learned == "all" or (learned is None and classes == 1):
        return dict.fromkeys(drawn, 1)
    if learned is None or learned == "each":
        known = [value for value in drawn if value <= classes] if classes > 1 else []
        named = {value: value for value in known}
        for value in drawn:
            named.setdefault(value, max(classes if classes > 1 else 0, *named.values(), 0) + 1)
        if max(named.values(), default=1) > MOST_CLASSES:
            raise InputError(f"{labels_sentence(drawn, classes)} A model has at most {MOST_CLASSES}. Learn all as one.")
        return named
    if learned not in drawn:
        raise InputError(f"No mask holds the label {learned}; they hold {_and(drawn[:OBJECTS])}.")
    return {learned: 1}


def named_classes(
    names: Sequence[str], meaning: Mapping[int, int], label_names: Mapping[int, str] = MappingProxyType({})
) -> tuple[str, ...]:
    """Names of all classes, background first, where `classes_for` has given labels to a model of these names.

    Examples
    --------
    >>> named_classes(("background", "lesion"), {1: 1, 2: 2, 7: 3}, {2: "cyst"})
    ('background', 'lesion', 'cyst', 'label 7')
    """
    all_names = [*names, *[""] * (max(meaning.values(), default=0) + 1 - len(names))]
    for label, number in meaning.items():
        if number >= len(names) or label in label_names or (label != number and len(names) == len(BINARY)):
            all_names[number] = label_names.get(label, f"label {label}")
    return tuple(all_names)


def as_classes(mask: npt.NDArray[Any], classes: Mapping[int, int]) -> npt.NDArray[Any]:
    """A mask in which each label is its class, see `classes_for`; uint8, the same array where nothing changes.

    Examples
    --------
    >>> as_classes(np.array([[0, 10, 20, 30]]), {10: 1, 20: 2}).tolist()
    [[0, 1, 2, 0]]
    """
    if all(label == number for label, number in classes.items()) and values_in(mask) <= classes.keys():
        return mask
    named = np.zeros(mask.shape, np.uint8)
    for label, number in classes.items():
        named[mask == label] = number
    return named
