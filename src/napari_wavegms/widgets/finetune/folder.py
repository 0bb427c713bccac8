"""Read the pairs of a folder in a worker's thread."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_wavegms.errors import InputError
from napari_wavegms.finetune.preflight import Candidate, PairReport, check_pairs
from napari_wavegms.learn.pairs import load_pairs
from napari_wavegms.widgets.finetune.rows import PairPicture


@dataclass(frozen=True, slots=True, eq=False)
class FolderRead:
    """Pairs of a folder, as the pre-flight sees them."""

    folder: Path
    candidates: tuple[Candidate, ...]
    reports: tuple[PairReport, ...]

    def picture(self, number: int) -> PairPicture:
        """What is shown of a pair."""
        candidate = self.candidates[number]
        return PairPicture(f"{self.folder} {number}", candidate.name, lambda: (candidate.image, candidate.mask))


def folder_job(folder: Path) -> Generator[None, None, FolderRead]:
    """Read the pairs of a folder with `images` and `masks` inside.

    Raises
    ------
    InputError
        If there are no such two folders, or their files do not pair.
    """
    yield
    images, masks = (_subfolder(folder, names) for names in (("images", "image"), ("masks", "mask", "labels")))
    if images is None or masks is None:
        raise InputError(
            f"{folder.name} does not hold the folders “images” and “masks”. Choose a folder that does; a mask has the "
            "name of its image."
        )
    pairs = load_pairs(images, masks)
    candidates = tuple(Candidate(pair.name, pair.image, pair.mask) for pair in pairs)
    return FolderRead(folder, candidates, tuple(check_pairs(candidates)))


def _subfolder(folder: Path, names: Sequence[str]) -> Path | None:
    inside = {path.name.lower(): path for path in folder.iterdir() if path.is_dir()} if folder.is_dir() else {}
    return next((inside[name] for name in names if name in inside), None)
