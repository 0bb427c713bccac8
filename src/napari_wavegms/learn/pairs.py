"""Images with their masks, from folders or from memory."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_wavegms.errors import InputError
from napari_wavegms.files.discovery import same_name
from napari_wavegms.files.pairing import PairPaths, pair_by_stem
from napari_wavegms.files.reading import LoadedImage, MaskDetails, read_image, read_mask_details
from napari_wavegms.files.spacing import Spacing
from napari_wavegms.model.classes import Learned, as_classes, classes_for, values_in
from napari_wavegms.storage.plain import read_json
from napari_wavegms.wording import listed, sides


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
        Zero is background; for a model of several classes each of them has its number, from 1 up.
    group : str
        What may not be torn apart by a split: a patient, a volume. The name by default.
    volume : ndarray of shape (N, H, W) or (N, H, W, 3), optional
        The image's planes and those around it, for models whose percentiles are those of the volume.
    window : tuple of float, optional
        The values that become black and white, instead of what the model's card says.
    known : frozenset of int, optional
        The classes that the mask tells about; of others it teaches nothing. All by default.
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
    volume: npt.NDArray[Any] | None = None
    window: tuple[float, float] | None = None
    known: frozenset[int] | None = None

    def __post_init__(self) -> None:
        if self.mask.ndim != 2 or self.image.ndim > 3:
            raise InputError(
                f"The image {self.name} has shape {self.image.shape} and its mask {self.mask.shape}; a pair is one "
                "plane. Take the planes of a stack one by one."
            )
        if self.image.shape[:2] != self.mask.shape:
            rows, columns = self.image.shape[:2]
            raise InputError(
                f"The image {self.name} is {rows} x {columns} pixels and its mask has shape {self.mask.shape}; "
                "they must cover the same pixels. Export the mask again at the image's size."
            )


@dataclass(frozen=True, slots=True, eq=False)
class PairArrays:
    """An image (H, W) or (H, W, 3 or 4) and its mask (H, W) as they are in their files, of any two sizes.

    Or a stack of planes, (N, H, W) and (N, H, W, 3 or 4), and a mask of the same planes. `note` says what was left out
    of the files, or cut at half.
    """

    name: str
    image: npt.NDArray[Any]
    mask: npt.NDArray[Any]
    note: str = ""
    spacing: Spacing | None = None  # of the image
    group: str = ""  # see `Pair`
    known: frozenset[int] | None = None  # see `Pair`
    is_volume: bool = False  # whether the planes are slices; otherwise they are frames of a time series, or one
    volume: npt.NDArray[Any] | None = None  # of a plane

    @property
    def planes(self) -> list[PairArrays]:
        """The planes of a stack, named by their numbers from 1, which a split keeps together; or the one plane."""
        if self.mask.ndim == 2:
            return [self]
        return [
            PairArrays(
                f"{self.name} {number}",
                image,
                mask,
                self.note,
                group=self.name,
                known=self.known,
                volume=self.image,
            )
            for number, (image, mask) in enumerate(zip(self.image, self.mask, strict=True), start=1)
        ]

    @property
    def pair(self) -> Pair:
        """The pair of a plane; raises `InputError` if they do not cover the same pixels."""
        return Pair(self.name, self.image, self.mask, self.group, volume=self.volume, known=self.known)


def read_pair(files: PairPaths) -> PairArrays:
    """Read an image, or a stack, and its mask; where several files have a structure each, they are one mask.

    Raises `InputError` for a file that cannot be read, a series of volumes, masks of several sizes, and a stack and its
    mask that have other planes or lie elsewhere; the sentence names the file.
    """
    image = read_image(files.image)
    masks = [read_mask_details(path) for path in files.masks]
    planes = [_planes(mask.labels, mask.axes, mask) for mask in masks]
    for mask, plane in zip(masks, planes, strict=True):
        if plane.shape != planes[0].shape:
            raise InputError(f"{mask.source} has another size than {masks[0].source}. Export the masks at one size.")
    merged = planes[0] if len(planes) == 1 else np.maximum.reduce(planes)
    notes = " ".join(dict.fromkeys(note for note in (image.note, *(mask.note for mask in masks)) if note))
    pixels = _planes(image.pixels, image.axes, image)
    shape = pixels.shape[: pixels.ndim - image.axes.endswith("S")]
    if max(len(shape), merged.ndim) > 2:
        if shape != merged.shape:
            raise InputError(
                f"{image.source} is {sides(shape)}, but its mask {masks[0].source.name} is {sides(merged.shape)}. "
                "Export the mask again on the image."
            )
        for mask in masks:
            _check_place(image, mask)
    is_volume = merged.ndim == 3 and not any(
        letter == "T" and length > 1 for letter, length in zip(image.axes, image.pixels.shape, strict=True)
    )
    # A file that names its labels tells which ones were looked for.
    named = [{label for label, name in enumerate(mask.class_names) if label and name} for mask in masks]
    known = frozenset().union(*named) | values_in(merged) if all(named) else None
    return PairArrays(files.name, pixels, merged, notes, image.spacing, known=known, is_volume=is_volume)


def _planes(values: npt.NDArray[Any], axes: str, file: LoadedImage | MaskDetails) -> npt.NDArray[Any]:
    """The one plane of a file, or its stack, without axes of length one."""
    leading = len(axes.removesuffix("S")) - 2
    lengths = tuple(length for length in values.shape[:leading] if length > 1)
    if len(lengths) > 1:
        raise InputError(
            f"{file.source} is a series of {sides(lengths)} planes, and pairs are planes, stacks or volumes. Save its "
            "stacks as files of their own, image and mask alike."
        )
    return values.reshape(lengths + values.shape[leading:])


def _check_place(image: LoadedImage, mask: MaskDetails) -> None:
    """Refuse a mask that lies more than half a voxel beside its volume."""
    if image.geometry is None or mask.geometry is None:
        return
    ends = product(*((0, side - 1) for side in image.geometry.slices_shape[:-4:-1]))
    corners = np.transpose([(*corner, 1) for corner in ends])
    difference = image.geometry.slice_affine - mask.geometry.slice_affine
    apart = float(np.linalg.norm((difference @ corners)[:3], axis=0).max())
    if apart > min(image.geometry.spacing.size) / 2:
        raise InputError(
            f"{mask.source} lies {apart:.3g} {image.geometry.unit} beside {image.source.name}. Export the mask again "
            "on the image."
        )


def load_pairs(
    images: str | os.PathLike[str],
    masks: str | os.PathLike[str],
    split: str | os.PathLike[str] | None = None,
    subset: str | None = None,
    *,
    labels: Learned | None = None,
) -> list[Pair]:
    """Read images and masks that share a file stem; of stacks and volumes each plane is a pair.

    Parameters
    ----------
    images, masks : path-like
        Two folders, or the same one twice. A mask has its image's name, or that with ``_mask`` behind it.
    split : path-like, optional
        A JSON file of named lists of stems, ``{"train": [...], "val": [...]}``.
    subset : str, optional
        The list of the split file to read.
    labels : "all", "each", "known" or int, optional
        What becomes of masks with several labels: ``"all"`` makes them one class, ``"each"`` gives each a class of its
        own in the order of the labels, and a number leaves that label only (``"known"``: label 1). By default masks
        are as they are.

    Raises
    ------
    InputError
        If a folder, file, split or subset does not fit, or no mask has the label.

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
        by_stem = {same_name(files.name): files for files in found}
        if missing := [stem for stem in wanted if stem not in by_stem]:
            raise InputError(
                f"The split {Path(split).name} names {listed(missing, 1)}, of which {images} and {masks} have no pair. "
                "Check the folders."
            )
        found = [by_stem[stem] for stem in wanted]
    return with_classes([plane.pair for files in found for plane in read_pair(files).planes], labels)


def with_classes(pairs: Sequence[Pair], learned: Learned | None) -> list[Pair]:
    """Pairs whose masks hold classes, see `classes_for`; None leaves them as they are."""
    if learned is None:
        return list(pairs)
    meaning = classes_for(frozenset().union(*(values_in(pair.mask) for pair in pairs)), learned)
    return [meant(pair, meaning) for pair in pairs]


def meant(pair: Pair, meaning: Mapping[int, int]) -> Pair:
    """A pair whose mask holds classes, see `classes_for`."""
    known = None if pair.known is None else frozenset(meaning[label] for label in pair.known if label in meaning)
    return replace(pair, mask=as_classes(pair.mask, meaning), known=known)


def read_split(split: str | os.PathLike[str], subset: str | None) -> Sequence[str]:
    """Stems of one subset of a split file."""
    path = Path(split)
    try:
        lists = read_json(path)
        names = {
            str(name): [same_name(str(stem)) for stem in stems]
            for name, stems in lists.items()
            if isinstance(stems, list)
        }
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(
            f'{path} cannot be read as a split; it holds JSON such as {{"train": [stems], "val": [stems]}}.'
        ) from error
    if subset not in names:
        raise InputError(f"The split {path.name} has no subset '{subset}'; it has {', '.join(names) or 'none'}.")
    return names[subset]
