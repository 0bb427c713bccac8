"""Fine-tune from corrections: gather the pairs, split them, learn, keep the new model. Needs no window."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator, Hashable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy.typing as npt

from napari_wavegms.corrections.records import Approval, Correction
from napari_wavegms.corrections.store import CorrectionStore
from napari_wavegms.errors import InputError, WaveGMSError
from napari_wavegms.finetune.events import FineTuneEvent, FineTuneRequest, FineTuneResult, SplitMade
from napari_wavegms.finetune.pipeline import iter_fine_tune, recover
from napari_wavegms.finetune.preflight import Candidate, Trouble, check_pairs, ready_pairs
from napari_wavegms.finetune.presets import Preset, preset_named
from napari_wavegms.finetune.replay import ReplaySet
from napari_wavegms.finetune.split import SplitView, StickySplit
from napari_wavegms.finetune.versions import ModelVersions, Version
from napari_wavegms.learn.events import run_to_end
from napari_wavegms.learn.pairs import Pair, meant
from napari_wavegms.model.card import read_card
from napari_wavegms.model.classes import Learned, classes_for, named_classes, values_in
from napari_wavegms.model.registry import class_names_of, resolve
from napari_wavegms.segment.segmenter_cache import Progress, reserve_ui_core
from napari_wavegms.wording import counted


def fine_tune(
    start: str | os.PathLike[str],
    pairs: Sequence[Pair],
    *,
    preset: str | Preset = "quick",
    output: str | os.PathLike[str] | None = None,
    held_out: Sequence[Pair] | None = None,
    replay: Sequence[Pair] = (),
    labels: Learned | None = None,
    label_names: Mapping[int, str] = MappingProxyType({}),
    device: str = "auto",
    seed: int = 2333,
    on_event: Callable[[FineTuneEvent], object] | None = None,
) -> FineTuneResult:
    """Learn from corrected masks, and keep the new model as a version, in use if it is clearly better.

    Parameters
    ----------
    start : str or path-like
        The name of an installed model or a model file; it is only read.
    pairs : sequence of Pair
        Images with their corrected masks; one is enough.
    preset : str or Preset
        ``"quick"``, some 15 s, ``"full"``, minutes, or settings of your own.
    output : path-like, optional
        Folder for the versions and for which images are held out; a later run with the same folder goes on from both.
        By default the user's own folder, so that the new model appears in napari, too. What was learned from is noted
        in hashes keyed with a secret of the account, which is always in the user's own folder.
    held_out : sequence of Pair, optional
        What to score on before and after. By default about a fifth of `pairs`, and always the same ones.
    replay : sequence of Pair
        Earlier pairs to mix in, so that they are not forgotten.
    labels : "all", "each", "known" or int, optional
        What becomes of several labels: all are one class, each is a class of its own, which the model gets where it
        has no such class yet, those that it does not know are background, or the one of this number is learned. By
        default they are the model's classes.
    label_names : mapping of int to str
        Names for the classes that are added, by their label.
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
    LabelsNeeded
        If the masks have labels that are no classes of the model, and nothing is said about them.
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
    path, versions = resolve(start), ModelVersions(output)
    sides = StickySplit(output).divide(pairs) if held_out is None else SplitView(tuple(pairs), tuple(held_out))
    request = FineTuneRequest(
        (),
        path,
        start if isinstance(start, str) and start != str(path) else "",
        replay=tuple(replay),
        current=versions.current_path(),
        preset=preset_named(preset) if isinstance(preset, str) else preset,
        learned=labels,
        label_names=label_names,
        device=device,
        home=versions.database.folder,
        seed=seed,
    )
    return run_to_end(iter_fine_tune(_with_pairs(request, sides)), on_event)


def _with_pairs(request: FineTuneRequest, sides: SplitView) -> FineTuneRequest:
    """What is learned, replayed and scored, as the lineages of the start and of the model in use allow."""
    lineages = (read_card(path) for path in (request.start, request.current) if path)
    sorted_out = ReplaySet.of(sides.train, sides.held_out, *lineages)
    new, held_out, replay = sorted_out.new, sorted_out.held_out, (*sorted_out.replay, *request.replay)
    names = read_card(request.start).class_names
    drawn = frozenset[int]().union(*(values_in(pair.mask) for pair in (*new, *held_out, *replay)))
    meaning = classes_for(drawn, request.learned, len(names) - 1)
    if max(meaning.values(), default=0) > len(names) - 1:
        names = named_classes(names, meaning, request.label_names)
    new, held_out, replay = (tuple(meant(pair, meaning) for pair in part) for part in (new, held_out, replay))
    return replace(request, pairs=new, held_out=held_out, replay=replay, class_names=names)


def iter_from_corrections(
    request: FineTuneRequest,
    stop: Callable[[], bool],
    candidates: Sequence[Candidate] = (),
    without: frozenset[Hashable] = frozenset(),
) -> Generator[Progress | FineTuneEvent, None, FineTuneResult]:
    """Gather the pairs of a request that has none, split them, and go on with `iter_fine_tune`.

    They are `candidates`, the first of doubles winning, and the stored corrections, but for those `without`, by the
    content of their image.
    """
    yield Progress("Collecting the training images…" if "torch" in sys.modules else "Loading PyTorch (once)…")
    reserve_ui_core()  # which the thread that prepares views takes where there is no window
    candidates = [*candidates, *_kept(without)]
    sides = StickySplit().divide(ready_pairs(candidates, check_pairs(candidates)))
    request = _with_pairs(request, sides)
    yield SplitMade(len(request.held_out), sides.sentence)
    return (yield from iter_fine_tune(request, stop))


def _kept(without: frozenset[Hashable]) -> list[Candidate]:
    """Corrections kept before; what a person approved as empty, full or with its border is meant to be so."""
    store = CorrectionStore()
    meant_so = frozenset({Trouble.EMPTY, Trouble.FULL, Trouble.INVERTED})
    candidates = []
    for correction in store.corrections():
        if correction.image in without:
            continue
        try:
            kept = store.load(correction)
        except InputError:  # told in the store's warnings, which the panel shows
            continue
        known = _known(correction, kept.mask)
        about = correction.group, None, meant_so, correction.window, known
        candidates.append(Candidate(correction.name, kept.image, kept.mask, *about))
    return candidates


def _known(correction: Correction, mask: npt.NDArray[Any]) -> frozenset[int] | None:
    """The classes that were there to be drawn: those of the model that began it, and what a person has added."""
    names = class_names_of(correction.model)
    return frozenset(range(1, len(names))) | values_in(mask) if names else None


def keep_job(approvals: Sequence[Approval]) -> Generator[int, None, str]:
    """Store corrections one after the other; returns a sentence."""
    store = CorrectionStore()
    notice = store.notice
    for number, approval in enumerate(approvals, start=1):
        store.approve(approval)
        yield number
    stored = f"Stored {counted(len(approvals), 'correction')}"
    return f"{stored}. {notice}" if notice else f"{stored} in {store.folder}."


def recover_job() -> Generator[None, None, Version | None]:
    """Keep what a killed run left behind; None where there was nothing, or another window is learning."""
    yield
    try:
        return recover()
    except WaveGMSError:
        return None
