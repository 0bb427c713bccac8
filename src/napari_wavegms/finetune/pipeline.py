"""From corrections to a model version: score the current model, learn, score again, judge, keep.

Whatever happens on the way, the start's file is never written to, and what was learned by then is kept as a version.
"""

from __future__ import annotations

import gc
import json
import math
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, closing, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_wavegms.errors import CheckpointError, InputError, WaveGMSError
from napari_wavegms.finetune.events import (
    FineTuneEvent,
    FineTuneRequest,
    FineTuneResult,
    Scored,
    Stage,
    StageName,
    before_and_after,
)
from napari_wavegms.finetune.gate import Verdict, judge, measure
from napari_wavegms.finetune.known_images import remember
from napari_wavegms.finetune.presets import WATCHED
from napari_wavegms.finetune.replay import LEARNED
from napari_wavegms.finetune.split import FEW
from napari_wavegms.finetune.versions import ModelVersions, Version
from napari_wavegms.learn.events import BEST, HISTORY, LAST, TrainEpoch, TrainStep
from napari_wavegms.storage.atomic import atomic_write, explain_os_error
from napari_wavegms.storage.content_hash import content_hash
from napari_wavegms.storage.file_lock import locked

if TYPE_CHECKING:
    from napari_wavegms.model.codec import TinyVAE

_NOTE, _LOCK = "run.json", "training.lock"


def iter_fine_tune(
    request: FineTuneRequest, stop: Callable[[], bool] = lambda: False
) -> Generator[FineTuneEvent, None, FineTuneResult]:
    """Learn from corrections, and keep what was learned as a version, promoted if it is not worse.

    The curve's best epoch is chosen on the held-out images themselves, so that the score after is a little
    flattering; the gate's rule for single images is not touched by that.

    Parameters
    ----------
    request : FineTuneRequest
    stop : callable
        Asked after every event; once it gives True, the learning ends, and the best so far is scored, judged and kept.
        Closing the generator instead ends everything at once: the best so far is kept unscored, and not promoted.

    Yields
    ------
    Stage, Scored, TrainStarted, MemoryShort, TrainStep, TrainEpoch

    Returns
    -------
    FineTuneResult

    Raises
    ------
    InputError, CheckpointError, TrainingError
        If the pairs or the start do not fit, or the learning fails; the models are untouched, and epochs that were
        finished are kept as a version.
    """
    versions = ModelVersions(request.versions)
    work = request.work or versions.folder.parent / "training"
    with ExitStack() as stack:
        with explain_os_error("The training did not start", work):
            stack.enter_context(locked(work / _LOCK))
        _take_in_leftover(work, versions)
        tuning = _Tuning(request, versions, work, stop)
        try:
            return (yield from tuning.run())
        except BaseException as cause:
            why = "stopped before it was scored" if isinstance(cause, GeneratorExit) else "the run failed"
            tuning.rescue(f"not promoted: {why}")
            raise
        finally:
            tuning.release()


def recover(versions: Path | None = None, work: Path | None = None) -> Version | None:
    """Keep what a run left behind whose program was killed.

    Returns
    -------
    Version or None
        None where nothing was left behind.

    Raises
    ------
    InputError
        If another program is learning right now.
    """
    known = ModelVersions(versions)
    work = work or known.folder.parent / "training"
    if not (work / HISTORY).is_file():
        return None
    with explain_os_error("The unfinished training was not kept", work), locked(work / _LOCK):
        return _take_in_leftover(work, known)


@dataclass(frozen=True, slots=True)
class _Note:
    """What a version is told to be: its parent, its title, what it was learned from, and the scores before."""

    parent: str = ""
    title: str = ""
    learned: list[str] = field(default_factory=list)
    before: dict[str, float] = field(default_factory=dict)


class _Tuning:
    """The state of one fine-tuning."""

    def __init__(self, request: FineTuneRequest, versions: ModelVersions, work: Path, stop: Callable[[], bool]) -> None:
        from napari_wavegms.model.card import read_card
        from napari_wavegms.model.codec import load_codec
        from napari_wavegms.model.device import choose_device

        if not request.pairs:
            raise InputError("There is no pair of image and mask to learn from. Add at least one.")
        self.request, self.versions, self.work, self.stop = request, versions, work, stop
        self.card = read_card(request.start)
        self.device = choose_device(request.device)
        self.codec: TinyVAE = load_codec("mask-codec")
        self.clock = time.perf_counter()
        self.steps, self.epochs, self.stopped, self.kept = 0, 0, False, False
        self.after: dict[str, float] = {}
        everything = (*request.pairs, *request.replay)
        count = f"{len(everything)} correction{'' if len(everything) == 1 else 's'}"
        self.note = _Note(
            parent=request.start_name or request.start.stem,
            title=f"{request.preset.title}, {count}",
            learned=sorted({content_hash(pair.image) for pair in everything}),
        )

    @property
    def best(self) -> Path:
        return self.work / BEST

    def run(self) -> Generator[FineTuneEvent, None, FineTuneResult]:
        request = self.request
        before = yield from self._score("before", request.current or request.start)
        self.note = replace(self.note, before=before)
        if not self.stopped:
            yield Stage("learning", f"Learning on {self.device.reason}…", self.device.reason)
            yield from self._train()
        if not self.steps:
            return self._result(None, None)
        self.after = yield from self._score("after", self.best)
        remember(self.best, request.pairs, request.replay, self.device.name)
        verdict = judge(before, self.after, request.max_fall)
        return self._result(self._keep(verdict), verdict)

    def _score(self, stage: StageName, path: Path) -> Generator[FineTuneEvent, None, dict[str, float]]:
        """DSC of every held-out image; a stop takes effect only before the learning."""
        from napari_wavegms.segment.segmenter import Segmenter

        held_out = self.request.held_out
        if not held_out:
            return {}
        which = "the model in use" if stage == "before" else "the new model"
        yield Stage(stage, f"Scoring {which} on {len(held_out)} held-out image{'' if len(held_out) == 1 else 's'}…")
        scores = measure(Segmenter.from_checkpoint(path, self.device.name, self.codec), held_out)
        with closing(scores):
            while True:
                try:
                    scored = next(scores)
                except StopIteration as end:
                    return dict(end.value)
                yield Scored(stage, scored)
                if stage == "before" and self._asked_to_stop():
                    return {}

    def _train(self) -> Generator[FineTuneEvent, None, None]:
        from napari_wavegms.learn.train import iter_train
        from napari_wavegms.model.checkpoint import load_checkpoint

        request = self.request
        network, _ = load_checkpoint(request.start)
        size = int(self.card.preprocessing["size"])
        config = replace(request.preset.config, size=size, seed=request.seed)
        if len(request.held_out) < FEW:  # their score jumps too much to end a run by, or to choose an epoch by
            config = replace(config, patience=0, keep="last")
        self._write_note()
        events = iter_train(
            request.pairs,
            request.held_out[:WATCHED],
            network,
            self.codec,
            config,
            self.work,
            replay=request.replay,
            card=self.card,
            device=self.device.name,
            resumable=False,  # what is stopped here is kept as a version, never taken up again
        )
        with closing(events):
            for event in events:
                self.steps += isinstance(event, TrainStep)
                self.epochs += isinstance(event, TrainEpoch)
                yield event
                if self._asked_to_stop():
                    break

    def _asked_to_stop(self) -> bool:
        self.stopped = self.stopped or self.stop()
        return self.stopped

    def _write_note(self) -> None:
        """What is to be told of this run, on disk in case nobody else is left to tell."""
        self.work.mkdir(parents=True, exist_ok=True)
        with explain_os_error("The training did not start", self.work), atomic_write(self.work / _NOTE) as file:
            file.write_text(json.dumps(asdict(self.note)), encoding="utf-8")

    def _keep(self, verdict: Verdict) -> Version:
        version = _keep(self.versions, self.work, self.note, verdict, self.after)
        self.kept = True
        return version

    def rescue(self, reason: str) -> None:
        """Keep the epochs that were finished; where even that fails, the files wait for `recover`."""
        if self.kept:
            return
        if not self.epochs:
            _clear(self.work)
        elif self.best.is_file():
            with suppress(WaveGMSError):
                self._keep(Verdict(False, reason, None, None, None, 0))

    def release(self) -> None:
        """Give memory back."""
        from napari_wavegms.model.device import release_memory

        del self.codec
        gc.collect()
        release_memory()

    def _result(self, version: Version | None, verdict: Verdict | None) -> FineTuneResult:
        return FineTuneResult(
            version=version,
            path=None if version is None else self.versions.path(version.number),
            compared_with=self.request.current or self.request.start,
            held_out=self.request.held_out,
            verdict=verdict,
            before=self.note.before,
            after=self.after,
            epochs=self.epochs,
            seconds=time.perf_counter() - self.clock,
            stopped=self.stopped,
            comparison=before_and_after(verdict) if verdict is not None else "",
            sentence=_sentence(version, verdict),
        )


def _sentence(version: Version | None, verdict: Verdict | None) -> str:
    if version is None or verdict is None:
        return "Stopped before anything was learned; nothing has changed."
    kept = f"{version.name} is in use now" if version.promoted else f"{version.name} is kept, {verdict.reason}"
    return f"{kept}."


def _keep(
    versions: ModelVersions, work: Path, note: _Note, verdict: Verdict, after: Mapping[str, float] | None = None
) -> Version:
    """Let a run's best tell where it comes from, and keep it as a version."""
    from napari_wavegms.model.checkpoint import load_checkpoint, save_checkpoint

    best = work / BEST
    network, card = load_checkpoint(best)
    step = dict(card.lineage[-1] if card.lineage else {}) | {"from": note.parent, LEARNED: note.learned}
    # The start's scores are not its own.
    scores = {"held-out corrections": {"dsc": math.fsum(after.values()) / len(after), "n": len(after)}} if after else {}
    card = replace(card, title=note.title, scores=scores, lineage=(*card.lineage[:-1], step))
    with explain_os_error("The new model was not kept", work):
        save_checkpoint(best, network, card)
    version = versions.add(best, verdict, note.parent, note.title, note.before, after)
    _clear(work)
    return version


def _take_in_leftover(work: Path, versions: ModelVersions) -> Version | None:
    """Keep the best of a run that was killed; only while its lock is ours."""
    history = work / HISTORY
    if not ((work / BEST).is_file() and history.is_file() and history.stat().st_size):
        _clear(work)
        return None
    try:
        note = _Note(**json.loads((work / _NOTE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        note = _Note()
    verdict = Verdict(False, "not promoted: the program ended before it was scored", None, None, None, 0)
    try:
        return _keep(versions, work, note, verdict)
    except CheckpointError:  # what cannot be loaded is no loss
        _clear(work)
        return None


def _clear(work: Path) -> None:
    """Remove an ended run's files; whatever else lies there is somebody's."""
    for name in (BEST, LAST, HISTORY, _NOTE):
        with suppress(OSError):
            (work / name).unlink()
    for leftover in work.glob(".*-*.safetensors"):  # half-written neighbours of a killed run
        with suppress(OSError):
            leftover.unlink()
