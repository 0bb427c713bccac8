"""Images with their masks, from folders or from memory."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt

from napari_wavegms.errors import InputError
from napari_wavegms.files.discovery import pair_by_stem
from napari_wavegms.files.reading import read_image, read_mask


@dataclass(frozen=True, slots=True)
class Pair:
    """One image and its mask.

    Attributes
    ----------
    name : str
        The file stem, or what the user calls it.
    image : ndarray of shape (H, W) or (H, W, 3)
        Any real dtype.
    mask : ndarray of shape (H, W)
        Zero is background.
    group : str
        What may not be torn apart by a split: a patient, a volume. The name by default.
    upright : bool
        Whether up and down mean something in it, as in ultrasound; training then mirrors it at most, never turns it.

    Raises
    ------
    InputError
        If image and mask do not cover the same pixels.

    Examples
    --------
    >>> import numpy as np
    >>> Pair("scan", np.zeros((40, 60)), np.zeros((40, 60), bool)).name
    'scan'
    """

    name: str
    image: npt.NDArray[Any]
    mask: npt.NDArray[Any]
    group: str = ""
    upright: bool = False

    def __post_init__(self) -> None:
        if self.image.shape[:2] != self.mask.shape:
            rows, columns = self.image.shape[:2]
            raise InputError(
                f"The image {self.name} is {rows} x {columns} pixels and its mask has shape {self.mask.shape}; "
                "they must cover the same pixels. Export the mask again at the image's size."
            )


def load_pairs(
    images: str | os.PathLike[str],
    masks: str | os.PathLike[str],
    split: str | os.PathLike[str] | None = None,
    subset: str | None = None,
) -> list[Pair]:
    """Read images and masks that share a file stem.

    Parameters
    ----------
    images, masks : path-like
        Two folders.
    split : path-like, optional
        A JSON file of named lists of stems, ``{"train": [...], "val": [...]}``.
    subset : str, optional
        The list of the split file to read.

    Raises
    ------
    InputError
        If a folder, file, split or subset does not fit.

    Examples
    --------
    >>> import tempfile
    >>> from napari_wavegms import write_mask
    >>> folder = Path(tempfile.mkdtemp())
    >>> for part in ("images", "masks"):
    ...     written = write_mask(folder / part / "scan1.png", [[0, 1], [0, 0]])
    >>> [pair.name for pair in load_pairs(folder / "images", folder / "masks")]
    ['scan1']
    """
    found = pair_by_stem(Path(images), Path(masks))
    if split is not None:
        wanted = read_split(split, subset)
        by_stem = {stem: (stem, image, mask) for stem, image, mask in found}
        if missing := [stem for stem in wanted if stem not in by_stem]:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise InputError(
                f"The split {Path(split).name} names {missing[0]}{more}, of which {images} and {masks} have no pair. "
                "Check the folders."
            )
        found = [by_stem[stem] for stem in wanted]
    return [Pair(stem, read_image(image).pixels, read_mask(mask)) for stem, image, mask in found]


def read_split(split: str | os.PathLike[str], subset: str | None) -> Sequence[str]:
    """Stems of one subset of a split file."""
    path = Path(split)
    try:
        lists = json.loads(path.read_text(encoding="utf-8"))
        names = {str(name): [str(stem) for stem in stems] for name, stems in lists.items() if isinstance(stems, list)}
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(
            f'{path} cannot be read as a split; it holds JSON such as {{"train": [stems], "val": [stems]}}.'
        ) from error
    if subset not in names:
        raise InputError(f"The split {path.name} has no subset '{subset}'; it has {', '.join(names) or 'none'}.")
    return names[subset]
