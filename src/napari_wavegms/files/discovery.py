"""Which files of a folder are images, which are masks by their names, and what the results of each are called."""

from __future__ import annotations

import glob
import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import count, islice
from pathlib import Path
from typing import NamedTuple

from napari_wavegms.errors import InputError
from napari_wavegms.files.formats import dicom, itk, nifti, ome_zarr
from napari_wavegms.files.reading import KINDS, no_such_file
from napari_wavegms.storage.user_data import expanded
from napari_wavegms.wording import listed

VOLUMES: tuple[str, ...] = (*nifti.SUFFIXES, *itk.SUFFIXES)
"""Endings of volumes, whose masks are NIfTI unless another format is asked for."""
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", *VOLUMES, *dicom.SUFFIXES)

_SHOWN = 3
# What `segment` and the panels write beside an image, and what data sets call its masks (BUSI: "x_mask_1").
_OURS = re.compile(r"(?P<stem>.+)[_.-](mask|probability|uncertainty)([ _-]?\(?\d+\)?)?", re.IGNORECASE)
_MASK = re.compile(
    r"(?P<stem>.+)[ _.-](?P<word>masks?|seg|segmentations?|labels?|gt|ground[ _-]?truth|annotations?)"
    r"(?P<number>[ _-]?\(?\d+\)?)?",
    re.IGNORECASE,
)
_MASK_FIRST = re.compile(r"(?P<word>masks?|seg|labels?|gt)[ _.-](?P<stem>.+)(?P<number>)", re.IGNORECASE)
_MAP = re.compile(r".+[_-](probability|uncertainty)", re.IGNORECASE)
IMAGE_FOLDERS, MASK_FOLDERS = ("images", "image"), ("masks", "mask", "labels")
_LOOKED_AT = 10_000  # entries of the folders within a folder
_NO_PICTURE = re.compile(r"\.(txt|csv|tsv|jsonl?|md|xml|ya?ml|log|ini|db|html|pdf|py)", re.IGNORECASE)


def find_images(
    inputs: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    *,
    recursive: bool = False,
    on_note: Callable[[str], object] | None = None,
) -> list[Path]:
    """The image files among files and folders, each once and at least one; `on_note` is told what is left out.

    Files are used whatever their ending; wildcards that no shell has expanded are expanded. Of folders their own images
    are used, by their endings in `SUFFIXES`, without hidden ones, in natural order (``scan2`` before ``scan10``);
    `recursive` goes into folders within folders, but not into ``masks`` beside images. Masks named as we name them
    (``scan_mask.tif``) are no images, nor is ``scan_gt.png`` beside ``scan.png``, as other programs name them.

    Raises `InputError` for a path that does not exist, or if there is no image in any of them.
    """
    given = [inputs] if isinstance(inputs, (str, os.PathLike)) else list(inputs)
    note = on_note or (lambda _sentence: None)
    paths = [path for text in given for path in expanded_input(os.fspath(text))]
    images: list[Path] = []
    masks: list[Path] = []
    for path in paths:
        with _opening(path):
            if path.is_dir() and not is_image_folder(path):
                inside = list(_images_of(path, recursive, note))
                named = {one for one in inside if is_mask_name(one) or _image_of(one)}
                masks += sorted(named)
                images += [one for one in inside if one not in named]
            elif _image_of(path):
                masks.append(path)
            else:
                images.append(path)
    if masks:
        note(f"Left out {_listed(masks)}, because {'they are masks' if len(masks) > 1 else 'it is a mask'} by name.")
    if not images:
        places = ", ".join(str(path) for path in paths[:_SHOWN]) or "nothing"
        only = f", only the mask {masks[0].name}" if masks else ""
        raise InputError(f"There is no image in {places}{only}. Choose {KINDS} files, or a folder with them.")
    once: dict[str, Path] = {}
    for image in images:  # which may have been named in two ways
        once.setdefault(os.path.normcase(os.path.abspath(image)), image)  # noqa: PTH100 - links stay what they are
    return list(once.values())


def left_out(folder: str | os.PathLike[str]) -> list[str]:
    """Sentences on what a folder holds beside its own images and their masks, and why it is not used."""
    place = expanded(str(folder))
    inside = _inside(place)
    inner = [path for path in _image_folders(inside) if _has_images(path)]
    within = [f"the images in {_listed(inner)}. Choose that folder to use them."] if inner else []
    return [f"Left out of {place.name}: {sentence}" for sentence in (*_others(inside), *within)]


def stem_of(path: str | os.PathLike[str]) -> str:
    """The file's name without its ending; ``scan.nii.gz`` is ``scan``."""
    path = Path(path)
    if path.suffix[1:].isdigit():  # of a DICOM file that is called by a number
        return path.name
    return path.name[: -len(".nii.gz")] if path.name.lower().endswith(".nii.gz") else path.stem


def mask_ending(image: str | os.PathLike[str], chosen: str | None = None) -> str:
    """The ending of an image's masks: the chosen one, or else NIfTI for a volume, and TIFF for everything else.

    Examples
    --------
    >>> mask_ending("brain.mha"), mask_ending("cells.png"), mask_ending("brain.nii.gz", "png")
    ('nii.gz', 'tiff', 'png')
    """
    if chosen:
        return chosen
    is_volume = Path(image).name.lower().endswith(VOLUMES) or (image != "" and Path(image).is_dir())
    return "nii.gz" if is_volume else "tiff"


def same_name(stem: str) -> str:
    """A name in one of the two forms in which Unicode spells accents, so that a Mac's and a PC's are equal."""
    return unicodedata.normalize("NFC", stem)


def is_mask_name(path: Path) -> bool:
    """Whether a file is called as we call masks, ``scan_mask.tif``, or the maps beside them."""
    return _OURS.fullmatch(stem_of(path)) is not None


def is_map(path: Path) -> bool:
    """Whether a file is called as we call the maps beside masks, ``scan_probability.tif``."""
    return _MAP.fullmatch(stem_of(path)) is not None


def looks_like_mask(path: Path) -> bool:
    """Whether a file is called as anybody calls masks: ``scan_mask.png``, ``scan_segmentation.nii.gz``."""
    stem = stem_of(path)
    return mask_name(stem) is not None and not is_map(path)


def result_names(files: Sequence[Path]) -> list[str]:
    """One name for the results of each file: its stem, with what tells it apart where stems are equal.

    Files of one stem get the name of their folder before it, or their ending behind it, whichever tells them apart.
    Capitals do not: some file systems ignore them.

    Examples
    --------
    >>> result_names([Path("monday/scan.png"), Path("tuesday/scan.png"), Path("tuesday/other.png")])
    ['monday_scan', 'tuesday_scan', 'other']
    >>> result_names([Path("scan.png"), Path("scan.tif")])
    ['scan_png', 'scan_tif']
    """
    groups: dict[str, list[Path]] = {}
    for file in files:
        groups.setdefault(stem_of(file).casefold(), []).append(file)
    names = {group[0]: stem_of(group[0]) for group in groups.values() if len(group) == 1}
    for group in groups.values():
        if len(group) > 1:
            names |= _distinguished(group, taken={name.casefold() for name in names.values()})
    return [names[file] for file in files]


def natural(name: str) -> tuple[list[tuple[str, int]], str]:
    """Sort key, text and numbers in turn: ``scan2`` before ``scan10``; the name itself settles ``a1`` and ``a01``."""
    parts = re.split(r"(\d+)", name.casefold())
    pairs = zip(parts[::2], [*parts[1::2], "-1"], strict=True)
    return [(text, int(number)) for text, number in pairs], name


def expanded_input(text: str) -> list[Path]:
    """The path, or what its wildcards match: Windows' shells hand them over as they are."""
    if not text.strip():
        raise InputError("One of the inputs is empty. Give a file or a folder; '.' is the current one.")
    path = expanded(text)
    with _opening(path):
        if path.exists():
            return [path]
    if glob.has_magic(text) and (found := sorted(glob.glob(str(path)), key=natural)):  # noqa: PTH207
        return [Path(one) for one in found]
    raise InputError(no_such_file(path, "file or folder"))


@contextmanager
def _opening(path: Path) -> Iterator[None]:
    """Turn what the system says about a path into a sentence."""
    try:
        yield
    except InputError:
        raise
    except (OSError, ValueError) as cause:
        why = getattr(cause, "strerror", None) or cause
        raise InputError(f"Cannot open {path} ({why}). Check its name and permissions.") from cause


class _Inside(NamedTuple):
    """What a folder holds, each in natural order."""

    images: list[Path]
    others: list[Path]  # pictures perhaps, of a format that is not read
    odd: list[Path]  # called like images, and no files
    hidden: list[Path]
    folders: list[Path]


def _inside(folder: Path) -> _Inside:
    every = sorted(folder.iterdir(), key=lambda path: natural(path.name))
    visible = [path for path in every if path.name[0] != "."]
    images = [path for path in visible if _is_image(path)]
    known = set(images)
    rest = [path for path in visible if path not in known]
    return _Inside(
        images,
        [path for path in rest if not path.name.lower().endswith(SUFFIXES) and _is_foreign(path)],
        [path for path in rest if path.name.lower().endswith(SUFFIXES) and not path.is_dir()],
        # What a Mac keeps beside each file on foreign disks, "._scan.png", is no picture.
        [path for path in every if path.name[0] == "." and path.name[:2] != "._" and _is_named_image(path)],
        [path for path in rest if path.is_dir() and not path.is_symlink()],
    )


def _others(inside: _Inside) -> Iterator[str]:
    """What is left out of a folder whatever is asked for, and why."""
    if inside.others:
        yield f"{_listed(inside.others)}. Wave-GMS reads {KINDS}."
    if inside.odd:
        yield f"{_listed(inside.odd)}, because {'they are no files' if len(inside.odd) > 1 else 'it is no file'}."
    if inside.hidden:
        yield f"{_listed(inside.hidden)}, because {'they are' if len(inside.hidden) > 1 else 'it is'} hidden."


def _image_folders(inside: _Inside) -> list[Path]:
    """The folders that may hold images: of masks are those called so beside images or a folder of images."""
    has_images = inside.images or any(path.name.lower() in IMAGE_FOLDERS for path in inside.folders)
    return [path for path in inside.folders if not (has_images and path.name.lower() in MASK_FOLDERS)]


def _images_of(folder: Path, recursive: bool, note: Callable[[str], object]) -> Iterator[Path]:
    """The image files of a folder in natural order, and notes on what else there is."""
    inside = _inside(folder)
    yield from inside.images
    for sentence in _others(inside):
        note(f"Left out of {folder}: {sentence}")
    inner = _image_folders(inside)
    if recursive:
        for place in inner:
            yield from _images_of(place, recursive, note)
    elif inner := [place for place in inner if _has_images(place)]:
        note(f"Left out of {folder}: the images in {_listed(inner)}. Add --recursive, or name the folders.")
    if not inside.images and not inner:
        note(f"There is no image in {folder}.")


def mask_name(stem: str) -> re.Match[str] | None:
    """The parts ``stem``, ``word`` and ``number`` of a name such as anybody gives a mask; None for another one."""
    return _MASK.fullmatch(stem) or _MASK_FIRST.fullmatch(stem)


def name_of(path: Path) -> str:
    """The file's name without its ending, by which an image and its mask are found together."""
    return same_name(stem_of(path))


def _is_image(path: Path) -> bool:
    """Whether a path is a file with the ending of an image, DICOM without one, or the folder of a DICOM series."""
    if path.name.startswith("."):
        return False
    if path.name.lower().endswith(SUFFIXES):
        return _is_named_image(path)
    return is_image_folder(path) if path.is_dir() else _is_foreign(path) and dicom.is_dicom(path)


def _is_named_image(path: Path) -> bool:
    return path.name.lower().endswith(SUFFIXES) and path.is_file()


def is_image_folder(path: Path) -> bool:
    """Whether a folder is an image: the slices of a DICOM series, or an OME-Zarr."""
    return ome_zarr.is_image(path) or dicom.is_series(path)


def _is_foreign(path: Path) -> bool:
    """Whether a file may be a picture of a format that is not read."""
    return _NO_PICTURE.fullmatch(path.suffix) is None and path.is_file()


def _has_images(folder: Path) -> bool:
    with suppress(OSError):
        return any(_is_image(path) for path in islice(folder.rglob("*"), _LOOKED_AT))
    return False


def _image_of(mask: Path) -> Path | None:
    """The image beside a file with a mask's name."""
    stem = stem_of(mask)
    found = _OURS.fullmatch(stem) or mask_name(stem)
    places = (mask.with_name(f"{found['stem']}{suffix}") for suffix in (*SUFFIXES, "")) if found else ()
    return next((place for place in places if _is_image(place)), None)


def listed_files(folder: str | os.PathLike[str]) -> list[Path]:
    """The files of a folder that may be images or masks, in natural order; `InputError` where it cannot be listed."""
    place = expanded(str(folder))
    try:
        return sorted((path for path in place.iterdir() if _is_image(path)), key=lambda path: natural(path.name))
    except (OSError, ValueError) as cause:
        why = getattr(cause, "strerror", None) or cause
        sentence = f"Cannot list the folder {place} ({why}). Choose the folder with the {KINDS} files."
        raise InputError(sentence) from cause


def _listed(paths: Sequence[Path]) -> str:
    return listed(path.name for path in paths)


def _distinguished(group: list[Path], taken: set[str]) -> dict[Path, str]:
    for candidates in _candidates(group):
        folded = {name.casefold() for name in candidates}
        if len(folded) == len(group) and not taken & folded:
            break
    return dict(zip(group, candidates, strict=True))


def _candidates(group: list[Path]) -> Iterator[list[str]]:
    """Ever longer names; the last ones are numbered and go on for ever."""
    stems = [stem_of(file) for file in group]
    endings = [file.name[len(stem) :].replace(".", "_") for file, stem in zip(group, stems, strict=True)]
    folders = [Path(os.path.abspath(file)).parent.parts[1:] for file in group]  # noqa: PTH100 - links stay what they are
    yield [stem + ending for stem, ending in zip(stems, endings, strict=True)]
    for depth in range(1, max(map(len, folders)) + 1):
        placed = ["_".join([*folder[-depth:], stem]) for folder, stem in zip(folders, stems, strict=True)]
        yield placed
        yield [name + ending for name, ending in zip(placed, endings, strict=True)]
    for first in count(1):
        yield [f"{stem}_{number}" for number, stem in enumerate(stems, start=first)]
