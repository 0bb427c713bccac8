"""Fine-tune from corrections: gather the pairs, split them, learn, keep the new model. Needs no window."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_wavegms.corrections.records import Approval
from napari_wavegms.corrections.store import CorrectionStore
from napari_wavegms.errors import InputError, WaveGMSError
from napari_wavegms.finetune.events import FineTuneEvent, FineTuneRequest, FineTuneResult
from napari_wavegms.finetune.pipeline import iter_fine_tune, recover
from napari_wavegms.finetune.preflight import Candidate, Trouble, check_pairs, ready_pairs
from napari_wavegms.finetune.presets import PRESETS, Preset
from napari_wavegms.finetune.replay import ReplaySet
from napari_wavegms.finetune.split import StickySplit
from napari_wavegms.finetune.versions import ModelVersions, Version
from napari_wavegms.learn.events import run_to_end
from napari_wavegms.learn.pairs import Pair
from napari_wavegms.model.card import read_card
from napari_wavegms.model.registry import resolve
from napari_wavegms.segment.segmenter_cache import Progress


@dataclass(frozen=True, slots=True, eq=False)
class FineTuneInputs:
    """All that a run needs, and nothing that belongs to the window."""

    candidates: tuple[Candidate, ...]  # from open layers and folders, in the order in which they win over doubles
    without: frozenset[Hashable]  # stored corrections to leave out, by the content of their image
    start: Path
    start_name: str
    current: Path | None  # the version in use
    preset: Preset
    device: str = "auto"


@dataclass(frozen=True, slots=True)
class SplitMade:
    """The pairs are divided into training and test images."""

    held_out: int
    sentence: str


def fine_tune(
    start: str | os.PathLike[str],
    pairs: Sequence[Pair],
    *,
    preset: str | Preset = "quick",
    output: str | os.PathLike[str] | None = None,
    held_out: Sequence[Pair] | None = None,
    replay: Sequence[Pair] = (),
    device: str = "auto",
    seed: int = 2333,
    on_event: Callable[[FineTuneEvent], object] | None = None,
) -> FineTuneResult:
    """Learn from corrected masks, and keep the new model as a version, in use if it is not worse.

    Parameters
    ----------
    start : str or path-like
        The name of an installed model or a model file; it is only read.
    pairs : sequence of Pair
        Images with their corrected masks; one is enough.
    preset : str or Preset
        ``"quick"``, about a quarter of a minute, ``"full"``, about five minutes, or settings of your own.
    output : path-like, optional
        Folder for the versions and for which images are held out; a later run with the same folder goes on from both.
        By default the user's own folder, so that the new model appears in napari, too.
    held_out : sequence of Pair, optional
        What to score on before and after. By default about a fifth of `pairs`, always the same ones, is held out.
    replay : sequence of Pair
        Earlier pairs to mix in, so that they are not forgotten.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
    seed : int
        Decides order, augmentation and sampled latents.
    on_event : callable, optional
        Called with each event: Stage, Scored, and those of `train`.

    Returns
    -------
    FineTuneResult
        The version, its file, and the scores before and after.

    Raises
    ------
    InputError, CheckpointError, TrainingError
        If the pairs or the start do not fit, or the learning fails; the start and the version in use are untouched.

    Examples
    --------
    The second call starts from the new model and replays what the first one learned from.

    >>> from napari_wavegms import fine_tune, load_pairs
    >>> pairs = load_pairs("monday/images", "monday/masks")  # doctest: +SKIP
    >>> first = fine_tune("default", pairs, output="learned")  # doctest: +SKIP
    >>> pairs += load_pairs("tuesday/images", "tuesday/masks")  # doctest: +SKIP
    >>> second = fine_tune(first.path, pairs, output="learned", on_event=print)  # doctest: +SKIP
    """
    if isinstance(preset, str):
        if preset not in PRESETS:
            raise InputError(f"There is no preset '{preset}'; choose {' or '.join(PRESETS)}.")
        preset = PRESETS[preset]
    path, versions = resolve(start), ModelVersions(output)
    current = versions.current()
    in_use = None if current is None else versions.path(current.number)
    if held_out is None:
        sides = StickySplit(output).divide(pairs)
        pairs, held_out = sides.train, sides.held_out
    material = _replay_set(pairs, held_out, path, in_use)
    request = FineTuneRequest(
        pairs=material.new,
        start=path,
        start_name=start if isinstance(start, str) and start != str(path) else "",
        held_out=material.held_out,
        replay=(*material.replay, *replay),
        current=in_use,
        preset=preset,
        device=device,
        home=versions.database.folder,
        seed=seed,
    )
    return run_to_end(iter_fine_tune(request), on_event)


def _replay_set(train: Sequence[Pair], held_out: Sequence[Pair], start: Path, current: Path | None) -> ReplaySet:
    return ReplaySet.of(train, held_out, *(read_card(path) for path in (start, current) if path is not None))


def iter_from_corrections(
    inputs: FineTuneInputs, stop: Callable[[], bool]
) -> Generator[Progress | SplitMade | FineTuneEvent, None, FineTuneResult]:
    """Gather pairs and stored corrections, split them, and go on with `iter_fine_tune`."""
    yield Progress("Collecting the training images…" if "torch" in sys.modules else "Loading PyTorch (once)…")
    from napari_wavegms.model.device import reserve_ui_core

    reserve_ui_core()
    candidates = [*inputs.candidates, *_kept(inputs.without)]
    pairs = ready_pairs(candidates, check_pairs(candidates))
    sides = StickySplit().divide(pairs)
    material = _replay_set(sides.train, sides.held_out, inputs.start, inputs.current)
    yield SplitMade(len(material.held_out), sides.sentence)
    request = FineTuneRequest(
        pairs=material.new,
        start=inputs.start,
        start_name=inputs.start_name,
        held_out=material.held_out,
        replay=material.replay,
        current=inputs.current,
        preset=inputs.preset,
        device=inputs.device,
    )
    return (yield from iter_fine_tune(request, stop))


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
    """Store corrections one after the other; returns how many."""
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
