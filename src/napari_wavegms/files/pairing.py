"""Which mask belongs to which image, by their names."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_wavegms.errors import InputError
from napari_wavegms.files.discovery import (
    IMAGE_FOLDERS,
    MASK_FOLDERS,
    expanded_input,
    is_image_folder,
    is_map,
    is_mask_name,
    left_out,
    listed_files,
    looks_like_mask,
    mask_name,
    name_of,
    stem_of,
)
from napari_wavegms.files.reading import KINDS
from napari_wavegms.wording import listed

_SHOWN = 3


@dataclass(frozen=True, slots=True)
class PairPaths:
    """An image and the files of its mask, several where each has one structure; named by their common stem."""

    name: str
    image: Path
    masks: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Unpaired:
    """Stems found on one side only, in natural order, and sentences on what else the two folders hold."""

    images: tuple[str, ...]
    masks: tuple[str, ...]
    others: tuple[str, ...] = ()


def pair_by_stem(images_dir: str | os.PathLike[str], masks_dir: str | os.PathLike[str]) -> list[PairPaths]:
    """The images and masks of two folders, or of one, that belong together by name; see also `unpaired`.

    A mask has the name of its image, or that with a word such as ``_mask`` or ``_segmentation`` and a number behind it.
    The two ways in which Unicode spells an accent are the same name. Raises `InputError` for a folder that does not
    exist, two images of one stem in a folder, or no pair at all.
    """
    images, masks = _two_sides(images_dir, masks_dir)
    pairs = [PairPaths(stem_of(path), path, tuple(masks[key])) for key, path in images.items() if key in masks]
    if not pairs:
        if not images:
            raise InputError(f"There is no image in {images_dir}. Choose a folder with {KINDS} files.")
        raise InputError(
            f"No image in {images_dir} has a mask of the same name in {masks_dir}: the images are {_some(images)}, "
            f"the masks are {_some(masks)}. Name each mask like its image; the endings may differ."
        )
    return pairs


def unpaired(images_dir: str | os.PathLike[str], masks_dir: str | os.PathLike[str]) -> Unpaired:
    """What has only an image or only a mask, or is neither; raises `InputError` for what `pair_by_stem` refuses."""
    images, masks = _two_sides(images_dir, masks_dir)
    return Unpaired(
        images=tuple(key for key in images if key not in masks),
        masks=tuple(key for key in masks if key not in images),
        others=tuple(sentence for folder in dict.fromkeys((images_dir, masks_dir)) for sentence in left_out(folder)),
    )


def masks_of(images: Iterable[Path]) -> dict[Path, tuple[Path, ...]]:
    """The masks by name of those images that have some: several where each has one structure.

    They lie beside the image, in a folder ``masks`` there, or beside a folder ``images`` in ``masks``. Of two files
    that could be the same mask, ``scan_mask.tif`` and ``scan_mask.png``, it is the one that was saved last.
    """
    folders: dict[Path, dict[str, list[Path]]] = {}
    for image in images:
        folders.setdefault(image.parent, {}).setdefault(name_of(image), []).append(image)
    found: dict[Path, tuple[Path, ...]] = {}
    for folder, by_stem in folders.items():
        for place in _places_of_masks(folder):
            taken = {image for paths in by_stem.values() for image in paths} if place == folder else set()
            others = [path for path in listed_files(place) if path not in taken]
            plain, named = _by_name(others, by_stem)
            for stem, paths in by_stem.items():
                masks = named.get(stem, []) or ([] if place == folder else plain.get(stem, []))
                for image in paths if masks else ():
                    found.setdefault(image, _newest(masks))
    return found


def find_masks(inputs: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """The masks among files and folders: of a folder those named like masks, or all of its images where none is.

    Raises `InputError` for a path that does not exist, or if there is no mask in any of them.
    """
    masks: list[Path] = []
    for path in (path for text in inputs for path in expanded_input(os.fspath(text))):
        is_folder = path.is_dir() and not is_image_folder(path)
        inside = [one for one in listed_files(path) if not is_map(one)] if is_folder else [path]
        masks += [one for one in inside if looks_like_mask(one)] or inside
    if not masks:
        raise InputError(
            f"There is no mask in {listed(map(str, inputs))}. Choose {KINDS} files, or a folder with them."
        )
    return masks


def image_for(mask: Path, images: Sequence[Path]) -> Path:
    """The one of a folder's images that a mask is called after; raises `InputError` where there is none."""
    stem = name_of(mask)
    named = mask_name(stem)
    by_stem = {name_of(path): path for path in images if path != mask}
    found = by_stem.get(named["stem"] if named else stem) or by_stem.get(stem)
    if found is None:
        raise InputError(f"{images[0].parent} has no image for {mask.name}. Name each mask like its image.")
    return found


def _two_sides(
    images_dir: str | os.PathLike[str], masks_dir: str | os.PathLike[str]
) -> tuple[dict[str, Path], dict[str, list[Path]]]:
    """Images and masks by name: of a mask the name of its image, where there is one."""
    images: dict[str, Path] = {}
    here = listed_files(images_dir)
    stems = {name_of(path) for path in here}
    for path in here:
        stem = name_of(path)
        named = mask_name(stem)
        if is_mask_name(path) or (named and named["stem"] in stems):
            continue
        if (other := images.setdefault(stem, path)) != path:
            raise _ambiguous(images_dir, other, path)
    taken = set(images.values())
    return images, _masks_by_name([path for path in listed_files(masks_dir) if path not in taken], images, masks_dir)


def _places_of_masks(folder: Path) -> list[Path]:
    above = folder.parent if folder.name.lower() in IMAGE_FOLDERS else folder
    return [folder, *(place for name in MASK_FOLDERS if (place := above / name).is_dir())]


def _newest(masks: Iterable[Path]) -> tuple[Path, ...]:
    """Of the files with the same number, the one that was saved last."""
    newest: dict[str, Path] = {}
    for path in sorted(masks, key=lambda path: path.stat().st_mtime):
        found = mask_name(name_of(path))
        newest[(found["number"] or "") if found else ""] = path
    return tuple(sorted(newest.values()))


def _masks_by_name(files: Iterable[Path], images: Collection[str], folder: object) -> dict[str, list[Path]]:
    plain, named = _by_name(files, images)
    for paths in (*plain.values(), *named.values()):
        words = {found["word"].lower() for path in paths if (found := mask_name(stem_of(path)))}
        if len({stem_of(path) for path in paths}) < len(paths) or len(words) > 1:
            raise _ambiguous(folder, *paths[:2])
    return plain | named  # a file called like the image, beside one called like its mask, is the image once more


def _by_name(files: Iterable[Path], images: Collection[str]) -> tuple[dict[str, list[Path]], dict[str, list[Path]]]:
    """Files by their own name, and those called as masks of one of the images by the name of that."""
    plain: dict[str, list[Path]] = {}
    named: dict[str, list[Path]] = {}
    for path in files:
        stem = name_of(path)
        if is_map(path):
            continue
        found = mask_name(stem)
        if stem in images or not found or found["stem"] not in images:
            plain.setdefault(stem, []).append(path)
        else:
            named.setdefault(found["stem"], []).append(path)
    return plain, named


def _ambiguous(folder: object, one: Path, other: Path) -> InputError:
    return InputError(f"{folder} contains both {one.name} and {other.name}. Keep one file of each name.")


def _some(stems: Iterable[str]) -> str:
    names = [repr(stem) for stem in stems]
    return ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "") if names else "none"
