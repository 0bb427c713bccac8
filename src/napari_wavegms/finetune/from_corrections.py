"""Fine-tune from corrections: gather the pairs, split them, learn, and keep what was corrected. No window."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_wavegms.corrections.records import Approval
from napari_wavegms.corrections.store import CorrectionStore
from napari_wavegms.errors import InputError, WaveGMSError
from napari_wavegms.finetune.events import FineTuneEvent, FineTuneRequest, FineTuneResult
from napari_wavegms.finetune.pipeline import fine_tune, recover
from napari_wavegms.finetune.preflight import Candidate, Trouble, check_pairs, ready_pairs
from napari_wavegms.finetune.presets import Preset
from napari_wavegms.finetune.replay import ReplaySet
from napari_wavegms.finetune.split import StickySplit
from napari_wavegms.finetune.versions import Version
from napari_wavegms.learn.pairs import Pair
from napari_wavegms.model.card import read_card
from napari_wavegms.segment.segmenter_cache import Progress


@dataclass(frozen=True, slots=True, eq=False)
class FineTuneInputs:
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
    speed : Preset
    device : str
    """

    candidates: tuple[Candidate, ...]
    without: frozenset[Hashable]
    start: Path
    start_name: str
    current: Path | None
    speed: Preset
    device: str = "auto"


@dataclass(frozen=True, slots=True, eq=False)
class FineTuneOutcome:
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
class SplitMade:
    """The pairs are on their sides."""

    held_out: int
    sentence: str


def finetune_job(
    luggage: FineTuneInputs, stop: Callable[[], bool]
) -> Generator[Progress | SplitMade | FineTuneEvent, None, FineTuneOutcome]:
    """Gather the pairs, divide them, and learn.

    Parameters
    ----------
    luggage : FineTuneInputs
    stop : callable
        Asked after every step; True ends the learning and keeps the best.

    Yields
    ------
    Progress, SplitMade, and what `fine_tune` yields

    Returns
    -------
    FineTuneOutcome
    """
    yield Progress("Gathering the pairs…" if "torch" in sys.modules else "Loading PyTorch (once)…")
    from napari_wavegms.model.device import reserve_ui_core

    reserve_ui_core()
    candidates = [*luggage.candidates, *_kept(luggage.without)]
    pairs = ready_pairs(candidates, check_pairs(candidates))
    sides = StickySplit().divide(pairs)
    cards = [read_card(path) for path in (luggage.start, luggage.current) if path is not None]
    material = ReplaySet.of(sides.train, sides.held_out, *cards)
    yield SplitMade(len(material.held_out), sides.sentence)
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
    return FineTuneOutcome(result, material.held_out, luggage.current or luggage.start)


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
