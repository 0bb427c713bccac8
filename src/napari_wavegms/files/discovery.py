"""Which files of a folder are images, and which image belongs to which mask."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from napari_wavegms.errors import InputError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".nii", ".nii.gz")

_KINDS = "PNG, JPEG, BMP, TIFF or NIfTI"
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Unpaired:
    """Stems found on one side only, in natural order."""

    images: tuple[str, ...]
    masks: tuple[str, ...]


def find_images(inputs: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> list[Path]:
    """The image files among files and folders, each once.

    Parameters
    ----------
    inputs : path-like or iterable of path-like
        Files are used whatever their ending. Of folders their own images are used (PNG, JPEG, BMP, TIFF, NIfTI), not
        those of subfolders or hidden ones, in natural order (``scan2`` before ``scan10``).

    Returns
    -------
    list of pathlib.Path
        At least one.

    Raises
    ------
    InputError
        A path that does not exist, or no image in any of them.
    """
    paths = [Path(inputs)] if isinstance(inputs, (str, os.PathLike)) else [Path(path) for path in inputs]
    found: dict[Path, None] = {}
    for path in paths:
        try:
            if not path.exists():
                raise InputError(f"There is no file or folder {path}. Check the spelling.")
            found.update(dict.fromkeys(_images_in(path) if path.is_dir() else [path]))
        except OSError as cause:
            raise InputError(f"Cannot open {path} ({cause.strerror}). Check its name and permissions.") from cause
    if not found:
        places = ", ".join(str(path) for path in paths[:_SHOWN]) or "nothing"
        raise InputError(f"There is no image in {places}. Choose {_KINDS} files, or a folder with them.")
    return list(found)


def pair_by_stem(images_dir: str | os.PathLike[str], masks_dir: str | os.PathLike[str]) -> list[tuple[str, Path, Path]]:
    """Stem, image and mask of each pair of files of the same stem, in natural order; see also `unpaired`.

    Raises
    ------
    InputError
        A folder that does not exist, two files of one stem in a folder, or no pair at all.
    """
    images, masks = _by_stem(images_dir), _by_stem(masks_dir)
    pairs = [(stem, path, masks[stem]) for stem, path in images.items() if stem in masks]
    if not pairs:
        raise InputError(
            f"No image in {images_dir} has a mask of the same name in {masks_dir}: the images are {_some(images)}, "
            f"the masks are {_some(masks)}. Name each mask like its image; the endings may differ."
        )
    return pairs


def unpaired(images_dir: str | os.PathLike[str], masks_dir: str | os.PathLike[str]) -> Unpaired:
    """The stems that have only an image or only a mask; raises `InputError` for what `pair_by_stem` refuses."""
    images, masks = _by_stem(images_dir), _by_stem(masks_dir)
    return Unpaired(
        images=tuple(stem for stem in images if stem not in masks),
        masks=tuple(stem for stem in masks if stem not in images),
    )


def stem_of(path: str | os.PathLike[str]) -> str:
    """The file's name without its ending; ``scan.nii.gz`` is ``scan``."""
    path = Path(path)
    return path.name[: -len(".nii.gz")] if path.name.lower().endswith(".nii.gz") else path.stem


def natural(name: str) -> tuple[list[tuple[str, int]], str]:
    """Sort key, text and numbers in turn: ``scan2`` before ``scan10``; the name itself settles ``a1`` and ``a01``."""
    parts = re.split(r"(\d+)", name.casefold())
    pairs = zip(parts[::2], [*parts[1::2], "-1"], strict=True)
    return [(text, int(number)) for text, number in pairs], name


def _by_stem(folder: str | os.PathLike[str]) -> dict[str, Path]:
    place = Path(folder)
    try:
        files = _images_in(place)
    except OSError as cause:
        raise InputError(
            f"Cannot list the folder {place} ({cause.strerror}). Choose the folder with the {_KINDS} files."
        ) from cause
    stems: dict[str, Path] = {}
    for path in files:
        other = stems.setdefault(stem_of(path), path)
        if other != path:
            raise InputError(f"{place} contains both {other.name} and {path.name}. Keep one file of each name.")
    return stems


def _images_in(folder: Path) -> list[Path]:
    return sorted((path for path in folder.iterdir() if _is_image(path)), key=lambda path: natural(path.name))


def _is_image(path: Path) -> bool:
    return not path.name.startswith(".") and path.name.lower().endswith(SUFFIXES) and path.is_file()


def _some(stems: dict[str, Path]) -> str:
    names = [repr(stem) for stem in list(stems)[:_SHOWN]]
    return ", ".join(names) + (", …" if len(stems) > _SHOWN else "") if names else "none"
