"""What happens in the worker's thread: gathering pairs, learning, keeping corrections, looking at held-out images.

Arrays, paths and settings come in, events go out; no layer, no widget, no Qt. Torch is imported here and only here.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_wavegms.errors import InputError, WaveGMSError
from napari_wavegms.learn.pairs import Pair, load_pairs
from napari_wavegms.model.card import read_card
from napari_wavegms.review.corrections import Approval, CorrectionStore
from napari_wavegms.review.fine_tune import fine_tune, recover
from napari_wavegms.review.fine_tune_events import FineTuneEvent, FineTuneRequest, FineTuneResult
from napari_wavegms.review.material import Material
from napari_wavegms.review.preflight import Candidate, PairReport, Trouble, check_pairs, ready_pairs
from napari_wavegms.review.speeds import Speed
from napari_wavegms.review.split import StickySplit
from napari_wavegms.review.versions import Version
from napari_wavegms.widgets.finetune_rows import PairPicture
from napari_wavegms.widgets.jobs import leave_a_core_to_the_window
from napari_wavegms.widgets.segment_job import Announced


@dataclass(frozen=True, slots=True, eq=False)
class Luggage:
    """All that a run needs, and nothing that belongs to the window.

    Attributes
    ----------
    candidates : tuple of Candidate
        From open layers and folders, in the order in which they win over doubles.
    without : frozenset
        Kept corrections that are left out, by the content of their image, maybe among other keys.
    start, start_name
        The model to start from.
    current : pathlib.Path or None
        The version in use; None where there is none.
    speed : Speed
    device : str
    """

    candidates: tuple[Candidate, ...]
    without: frozenset[Hashable]
    start: Path
    start_name: str
    current: Path | None
    speed: Speed
    device: str = "auto"


@dataclass(frozen=True, slots=True, eq=False)
class Taught:
    """What a run came to, and what is needed to look at it.

    Attributes
    ----------
    result : FineTuneResult
    held_out : tuple of Pair
    before : pathlib.Path
        The model that the new one was compared with.
    """

    result: FineTuneResult
    held_out: tuple[Pair, ...]
    before: Path


@dataclass(frozen=True, slots=True)
class Divided:
    """The pairs are on their sides."""

    held_out: int
    sentence: str


def finetune_job(
    luggage: Luggage, stop: Callable[[], bool]
) -> Generator[Announced | Divided | FineTuneEvent, None, Taught]:
    """Gather the pairs, divide them, and learn.

    Parameters
    ----------
    luggage : Luggage
    stop : callable
        Asked after every step; True ends the learning and keeps the best.

    Yields
    ------
    Announced, Divided, and what `fine_tune` yields

    Returns
    -------
    Taught
    """
    yield Announced("Gathering the pairs…" if "torch" in sys.modules else "Loading PyTorch (once)…")
    leave_a_core_to_the_window()
    candidates = [*luggage.candidates, *_kept(luggage.without)]
    pairs = ready_pairs(candidates, check_pairs(candidates))
    sides = StickySplit().divide(pairs)
    cards = [read_card(path) for path in (luggage.start, luggage.current) if path is not None]
    material = Material.of(sides.train, sides.held_out, *cards)
    yield Divided(len(material.held_out), sides.sentence)
    request = FineTuneRequest(
        pairs=material.new,
        start=luggage.start,
        start_name=luggage.start_name,
        held_out=material.held_out,
        replay=material.replay,
        current=luggage.current,
        speed=luggage.speed,
        device=luggage.device,
    )
    result = yield from fine_tune(request, stop)
    return Taught(result, material.held_out, luggage.current or luggage.start)


def _kept(without: frozenset[Hashable]) -> list[Candidate]:
    """Corrections kept before; what a person approved as empty or full is meant to be so."""
    store = CorrectionStore()
    meant = frozenset({Trouble.EMPTY, Trouble.FULL})
    candidates = []
    for correction in store.corrections():
        if correction.image in without:
            continue
        try:
            kept = store.load(correction)
        except InputError:  # told in the store's warnings, which the panel shows
            continue
        candidates.append(Candidate(correction.name, kept.image, kept.mask, correction.group, accepted=meant))
    return candidates


def keep_job(approvals: Sequence[Approval]) -> Generator[int, None, int]:
    """Keep corrections on disk, one after the other.

    Returns
    -------
    int
        How many.
    """
    store = CorrectionStore()
    for number, approval in enumerate(approvals, start=1):
        store.approve(approval)
        yield number
    return len(approvals)


def recover_job() -> Generator[None, None, Version | None]:
    """Keep what a killed run left behind; None where there was nothing, or another window is learning."""
    yield
    try:
        return recover()
    except WaveGMSError:
        return None


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


@dataclass(frozen=True, slots=True, eq=False)
class Looked:
    """Held-out images as stacks of one size, (N, H, W, 3) and (N, H, W), the smaller ones padded with black.

    Attributes
    ----------
    names : tuple of str
    images, before, after, corrected : ndarray
    """

    names: tuple[str, ...]
    images: npt.NDArray[np.uint8]
    before: npt.NDArray[np.uint8]
    after: npt.NDArray[np.uint8]
    corrected: npt.NDArray[np.uint8]


def look_job(
    pairs: Sequence[Pair], before: Path, after: Path, device: str = "auto"
) -> Generator[Announced, None, Looked]:
    """Segment held-out images with the model before and the model after.

    Raises
    ------
    CheckpointError
        If a model file is gone.
    """
    from napari_wavegms.segment.images import as_image, scale_intensity
    from napari_wavegms.segment.segmenter import Segmenter

    leave_a_core_to_the_window()
    rows, columns = (max(pair.mask.shape[axis] for pair in pairs) for axis in (0, 1))
    stacks = {name: np.zeros((len(pairs), rows, columns), np.uint8) for name in ("before", "after", "corrected")}
    images = np.zeros((len(pairs), rows, columns, 3), np.uint8)
    models = {name: Segmenter.from_checkpoint(path, device) for name, path in (("before", before), ("after", after))}
    for i, pair in enumerate(pairs):
        yield Announced(f"Segmenting held-out image {i + 1} of {len(pairs)}…")
        height, width = pair.mask.shape
        scaled: npt.NDArray[Any] = scale_intensity(as_image(pair.image), (0.1, 99.9))[0]
        images[i, :height, :width] = np.rint(scaled * 255)  # grey is broadcast to three channels
        stacks["corrected"][i, :height, :width] = pair.mask != 0
        for name, model in models.items():
            stacks[name][i, :height, :width] = model.segment(pair.image).mask
    return Looked(tuple(pair.name for pair in pairs), images, **stacks)
