"""Corrections as a plain folder of images and masks, for every other program."""

from __future__ import annotations

import json
import re
import shutil
import unicodedata
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_wavegms.corrections.records import Correction, Kept
from napari_wavegms.errors import InputError
from napari_wavegms.files.provenance import Provenance
from napari_wavegms.files.spacing import Spacing
from napari_wavegms.model.registry import classes_of
from napari_wavegms.storage.atomic import explain_os_error, unfinished

_UNSAFE = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*\ud800-\udfff]+')
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
_LONGEST = 80  # characters; four bytes each at most, of the 255 that a file name may have


def export_corrections(
    kept: Sequence[tuple[Correction, Kept]], folder: Path, *, keep_names: bool = False
) -> list[Correction]:
    """Write ``images/NAME.tif``, ``masks/NAME.tif`` and ``corrections.jsonl``; the folder appears when all is written.

    Folders, editors and content hashes stay at home unless `keep_names`. Raises `InputError` if the folder holds
    something, or the disk refuses.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} is not an empty folder, and an export overwrites nothing. Choose another one.")
    stems = file_stems([correction.name for correction, _ in kept])
    groups = list(dict.fromkeys(correction.group for correction, _ in kept))
    with explain_os_error("The corrections were not exported", folder):
        draft = unfinished(folder)
        draft.mkdir(parents=True)
        try:
            for stem, (correction, pixels) in zip(stems, kept, strict=True):
                _write_one(draft, stem, correction, pixels, keep_names)
            told = [asdict(one) if keep_names else _without_names(one, groups) for one, _ in kept]
            lines = [{"file": f"{stem}.tif", **about} for stem, about in zip(stems, told, strict=True)]
            text = "".join(json.dumps(line) + "\n" for line in lines)
            (draft / "corrections.jsonl").write_text(text, encoding="utf-8")
            if folder.exists():
                folder.rmdir()
            draft.replace(folder)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
    return [correction for correction, _ in kept]


def file_stems(names: Sequence[str]) -> list[str]:
    """One file stem a name: different on every file system, without the characters that some refuse.

    Examples
    --------
    >>> file_stems(["Polyp/3", "polyp_3", ".x"])
    ['Polyp_3', 'polyp_3 (2)', 'x']
    """
    taken: set[str] = set()
    stems = []
    for name in names:
        plain = _UNSAFE.sub("_", name).strip(" .")[:_LONGEST].strip(" .") or "image"
        plain = f"_{plain}" if _RESERVED.fullmatch(plain) else plain
        stem, number = plain, 1
        while _key(stem) in taken:
            number += 1
            stem = f"{plain} ({number})"
        taken.add(_key(stem))
        stems.append(stem)
    return stems


def _key(stem: str) -> str:
    """What macOS and Windows take for the same name: case and composed accents make no difference."""
    return unicodedata.normalize("NFKD", stem).casefold()


def _without_names(correction: Correction, groups: list[str]) -> dict[str, Any]:
    """What a stranger may know: no folders, no editor, no hashes; groups, which a split needs, as numbers."""
    known = asdict(correction)
    for name in ("image", "mask", "prediction", "editor"):
        del known[name]
    return known | {"source": file_name(correction.source), "group": str(groups.index(correction.group) + 1)}


def file_name(source: str) -> str:
    """The last part of a path of this system or another one."""
    return re.split(r"[/\\]", source)[-1]


def _write_one(folder: Path, stem: str, correction: Correction, kept: Kept, keep_names: bool) -> None:
    from napari_wavegms.files.mask_writer import write_mask

    provenance = provenance_of(correction, keep_names=keep_names)
    write_mask(folder / "masks" / f"{stem}.tif", kept.mask, correction.spacing, provenance=provenance)
    _write_image(folder / "images" / f"{stem}.tif", kept.image, correction.spacing)


def provenance_of(correction: Correction, *, keep_names: bool = False) -> Provenance | None:
    """Where the mask came from; nothing is made up for a mask that no model began."""
    if not correction.model or correction.threshold is None:
        return None
    source = (correction.source if keep_names else file_name(correction.source)) or correction.name
    return replace(
        Provenance.now(correction.model, correction.threshold, source),
        created="",
        approved=correction.time,
        editor=(correction.editor or None) if keep_names else None,
        **classes_of(correction.model),
        edited=None if correction.changed is None else correction.changed > 0,
    )


def _write_image(path: Path, image: npt.NDArray[Any], spacing: Spacing | None) -> None:
    import tifffile

    path.parent.mkdir(exist_ok=True)
    pixels = image[..., 0] if image.ndim == 3 and image.shape[2] == 1 else image
    colour = pixels.ndim == 3
    if colour and pixels.dtype == np.bool_:  # TIFF has no colours of one bit
        pixels = pixels.astype(np.uint8) * np.uint8(255)
    options: dict[str, Any] = {
        "photometric": "rgb" if colour else "minisblack",
        "compression": "zlib",
        "metadata": None,
    }
    if colour:
        options |= {"planarconfig": "contig", "extrasamples": ["unassalpha"] if pixels.shape[2] == 4 else []}
    if spacing is not None and spacing.is_length:
        rows, columns = spacing.in_unit("cm").size[-2:]
        options |= {"resolution": (1 / columns, 1 / rows), "resolutionunit": "CENTIMETER"}
    tifffile.imwrite(path, pixels, **options)
