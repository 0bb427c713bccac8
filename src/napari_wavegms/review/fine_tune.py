"""From corrections to a model version: score the current model, learn, score again, judge, keep.

Whatever happens on the way, the start's file is never written to, and what was learned by then is kept as a version.
"""

from __future__ import annotations

import gc
import json
import math
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from napari_wavegms.atomic import replacing
from napari_wavegms.errors import CheckpointError, InputError, WaveGMSError
from napari_wavegms.learn.evaluate import ImageScored
from napari_wavegms.learn.events import TrainEpoch, TrainEvent, TrainStep
from napari_wavegms.learn.pairs import Pair
from napari_wavegms.model.card import ModelCard
from napari_wavegms.review.content import content_hash
from napari_wavegms.review.disk import locked, told
from napari_wavegms.review.gate import MAX_FALL, Verdict, judge, measure
from napari_wavegms.review.speeds import QUICK, WATCHED, Speed
from napari_wavegms.review.split import worth
from napari_wavegms.review.versions import ModelVersions, Version

if TYPE_CHECKING:
    from napari_wavegms.model.codec import TinyVAE

__all__ = ["FineTuneEvent", "FineTuneRequest", "FineTuneResult", "Material", "Scored", "Stage", "fine_tune", "recover"]

LEARNED = "learned"
"""Key of a card's lineage entry under which the content hashes of the images stand that were learned from."""

_BEST, _LAST, _HISTORY = "best.safetensors", "last.safetensors", "history.jsonl"
_NOTE, _LOCK = "run.json", "training.lock"


@dataclass(frozen=True, slots=True, eq=False)
class FineTuneRequest:
    """All that a fine-tuning needs.

    Attributes
    ----------
    pairs : tuple of Pair
        What to learn from.
    start : pathlib.Path
        The model file to start from; it is only read.
    start_name : str
        What the user calls it: ``v2``, ``default``. The file's stem where it is empty.
    held_out : tuple of Pair
        What to score on, image by image; may be empty, then nothing can be measured and nothing is promoted.
    replay : tuple of Pair
        Earlier pairs to mix in, so that they are not forgotten.
    current : pathlib.Path, optional
        The model in use, which the new one has to be as good as; the start by default.
    speed : Speed
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
    versions : pathlib.Path, optional
        Folder of the versions; the user's by default.
    work : pathlib.Path, optional
        Folder for the unfinished run; ``training`` beside `versions` by default. One run at a time uses it.
    seed : int
    max_fall : float
        What a single held-out image may lose; see `napari_wavegms.review.gate.judge`.
    """

    pairs: tuple[Pair, ...]
    start: Path
    start_name: str = ""
    held_out: tuple[Pair, ...] = ()
    replay: tuple[Pair, ...] = ()
    current: Path | None = None
    speed: Speed = QUICK
    device: str = "auto"
    versions: Path | None = None
    work: Path | None = None
    seed: int = 2333
    max_fall: float = MAX_FALL


StageName = Literal["before", "learning", "after"]


@dataclass(frozen=True, slots=True)
class Stage:
    """Another part of the work begins."""

    name: StageName
    sentence: str


@dataclass(frozen=True, slots=True)
class Scored:
    """One held-out image was scored, with the model before or after."""

    stage: StageName
    image: ImageScored


FineTuneEvent = Stage | Scored | TrainEvent


@dataclass(frozen=True, slots=True)
class FineTuneResult:
    """What a fine-tuning came to.

    Attributes
    ----------
    version : Version or None
        What was kept, promoted or not; None where it was stopped before anything was learned.
    verdict : Verdict or None
    before, after : dict of str to float
        DSC by held-out image.
    epochs : int
    seconds : float
    stopped : bool
        Whether it was stopped before its end.
    sentence : str
        All of it for the user.
    """

    version: Version | None
    verdict: Verdict | None
    before: dict[str, float]
    after: dict[str, float]
    epochs: int
    seconds: float
    stopped: bool
    sentence: str


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """Pairs on their sides, as a start with its lineage may use them.

    Attributes
    ----------
    new : tuple of Pair
        Not learned from before, or all where none is new.
    replay : tuple of Pair
        Learned from before.
    held_out : tuple of Pair
        Never learned from.
    """

    new: tuple[Pair, ...]
    replay: tuple[Pair, ...]
    held_out: tuple[Pair, ...]

    @classmethod
    def of(cls, train: Sequence[Pair], held_out: Sequence[Pair], *lineages: ModelCard) -> Material:
        """Sort pairs by what the cards say was learned from.

        Parameters
        ----------
        train, held_out : sequence of Pair
            As `napari_wavegms.review.split.StickySplit` divides them. Where all are held out, they are learned from
            after all, because one pair is enough to start, and nothing is measured on them any more.
        *lineages : ModelCard
            Cards of the start and of the model in use.
        """
        known = {content for card in lineages for content in learned(card)}
        seen = {id(pair) for pair in (*train, *held_out) if content_hash(pair.image) in known}
        clean = tuple(pair for pair in held_out if id(pair) not in seen)
        if not train:
            train, clean = held_out, ()
        new = tuple(pair for pair in train if id(pair) not in seen)
        replay = tuple(pair for pair in train if id(pair) in seen)
        return cls(new or replay, replay if new else (), clean)


def learned(card: ModelCard) -> set[str]:
    """Content hashes of all images that a model and its forebears were fine-tuned on."""
    return {str(content) for step in card.lineage for content in step.get(LEARNED, ())}


def fine_tune(
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
        with told("The training did not start", work):
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
    if not (work / _HISTORY).is_file():
        return None
    with told("The unfinished training was not kept", work), locked(work / _LOCK):
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
            title=f"{request.speed.title}, {count}",
            learned=sorted({content_hash(pair.image) for pair in everything}),
        )

    @property
    def best(self) -> Path:
        return self.work / _BEST

    def run(self) -> Generator[FineTuneEvent, None, FineTuneResult]:
        request = self.request
        before = yield from self._score("before", request.current or request.start)
        self.note = replace(self.note, before=before)
        if not self.stopped:
            yield Stage("learning", f"Learning on {self.device.reason}…")
            yield from self._refit() if request.speed.kind == "refit" else self._train()
        if not self.steps:
            return self._result(None, None)
        self.after = yield from self._score("after", self.best)
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
        from napari_wavegms.learn.trainer import train
        from napari_wavegms.model.checkpoint import load_checkpoint

        request = self.request
        network, _ = load_checkpoint(request.start)
        size = int(self.card.preprocessing["size"])
        config = replace(request.speed.config, size=size, seed=request.seed)
        self._write_note()
        events = train(
            request.pairs,
            request.held_out[:WATCHED],
            network,
            self.codec,
            config,
            self.work,
            replay=request.replay,
            card=self.card,
            device=self.device.name,
        )
        with closing(events):
            for event in events:
                self.steps += isinstance(event, TrainStep)
                self.epochs += isinstance(event, TrainEpoch)
                yield event
                if self._asked_to_stop():
                    break

    def _refit(self) -> Generator[FineTuneEvent, None, None]:
        from napari_wavegms.review.instant import refit_file

        request = self.request
        self._write_note()
        refit_file(request.start, [*request.pairs, *request.replay], self.codec, self.best, self.device.name)
        self.steps = 1
        yield from ()

    def _asked_to_stop(self) -> bool:
        self.stopped = self.stopped or self.stop()
        return self.stopped

    def _write_note(self) -> None:
        """What is to be told of this run, on disk in case nobody else is left to tell."""
        self.work.mkdir(parents=True, exist_ok=True)
        with told("The training did not start", self.work), replacing(self.work / _NOTE) as file:
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
            verdict=verdict,
            before=self.note.before,
            after=self.after,
            epochs=self.epochs,
            seconds=time.perf_counter() - self.clock,
            stopped=self.stopped,
            sentence=_sentence(version, verdict),
        )


def before_and_after(verdict: Verdict) -> str:
    """The two numbers, and what they were measured on.

    Examples
    --------
    >>> before_and_after(judge({"a": 0.61}, {"a": 0.74}))
    'Before 0.61 → now 0.74 on 1 held-out image, which means little'
    """
    if verdict.mean_before is None or verdict.mean_after is None:
        return f"Before and after: {worth(verdict.images)}"
    return f"Before {verdict.mean_before:.2f} → now {verdict.mean_after:.2f} {worth(verdict.images)}"


def _sentence(version: Version | None, verdict: Verdict | None) -> str:
    if version is None or verdict is None:
        return "Stopped before anything was learned; nothing has changed."
    kept = f"{version.name} is in use now" if version.promoted else f"{version.name} is kept, {verdict.reason}"
    return f"{before_and_after(verdict)}. {kept}."


def _keep(
    versions: ModelVersions, work: Path, note: _Note, verdict: Verdict, after: Mapping[str, float] | None = None
) -> Version:
    """Let a run's best tell where it comes from, and keep it as a version."""
    from napari_wavegms.model.checkpoint import load_checkpoint, save_checkpoint

    best = work / _BEST
    network, card = load_checkpoint(best)
    step = dict(card.lineage[-1]) | {"from": note.parent, LEARNED: note.learned}
    # The start's scores are not its own.
    scores = {"held-out corrections": {"dsc": math.fsum(after.values()) / len(after), "n": len(after)}} if after else {}
    card = replace(card, title=note.title, scores=scores, lineage=(*card.lineage[:-1], step))
    with told("The new model was not kept", work):
        save_checkpoint(best, network, card)
    version = versions.add(best, verdict, note.parent, note.title, note.before, after)
    _clear(work)
    return version


def _take_in_leftover(work: Path, versions: ModelVersions) -> Version | None:
    """Keep the best of a run that was killed; only while its lock is ours."""
    history = work / _HISTORY
    if not ((work / _BEST).is_file() and history.is_file() and history.stat().st_size):
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
    for name in (_BEST, _LAST, _HISTORY, _NOTE):
        with suppress(OSError):
            (work / name).unlink()
    for leftover in work.glob(".*-*.safetensors"):  # half-written neighbours of a killed run
        with suppress(OSError):
            leftover.unlink()
