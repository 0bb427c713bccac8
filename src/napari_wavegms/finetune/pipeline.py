"""From corrections to a model version: score the current model, learn, score again, judge, keep.

The start's file is never written to. The best network stays in memory and is written once, as a version, with its card
complete. In case the program is killed, a copy of it is written now and then to the folder of the unfinished run.
"""

from __future__ import annotations

import copy
import gc
import math
import shutil
import sys
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import TYPE_CHECKING

from napari_wavegms.errors import CheckpointError, InputError, WaveGMSError
from napari_wavegms.finetune.events import (
    FineTuneEvent,
    FineTuneRequest,
    FineTuneResult,
    RefitStep,
    Scored,
    Stage,
    StageName,
)
from napari_wavegms.finetune.gate import Verdict, held_back, judge, measure
from napari_wavegms.finetune.networks import Networks
from napari_wavegms.finetune.presets import REFIT_STEPS, WATCHED
from napari_wavegms.finetune.replay import LEARNED, learned_mark
from napari_wavegms.finetune.split import FEW, leave_one_out
from napari_wavegms.finetune.versions import ModelVersions, Version
from napari_wavegms.learn.events import BEST, HISTORY, TrainStarted, TrainStep
from napari_wavegms.model.card import ModelCard, read_card
from napari_wavegms.storage.atomic import exclusive, explain_os_error
from napari_wavegms.wording import counted, duration

if TYPE_CHECKING:
    from napari_wavegms.learn.config import TrainConfig
    from napari_wavegms.learn.events import TrainResult
    from napari_wavegms.learn.pairs import Pair
    from napari_wavegms.segment.segmenter import Segmenter

_LOCK = "training.lock"
_START = "from"


def iter_fine_tune(
    request: FineTuneRequest, stop: Callable[[], bool] = lambda: False
) -> Generator[FineTuneEvent, None, FineTuneResult]:
    """Learn from corrections, and keep what was learned as a version, in use if it is clearly better.

    With five test images and more the best epoch is chosen on them, so that the score after is a little flattering.

    Parameters
    ----------
    request : FineTuneRequest
    stop : callable
        Asked after every event; once it returns True, the learning ends, and the best so far is scored, judged and
        kept. Closing the generator instead ends everything at once: the best so far is kept unscored, not in use.

    Raises
    ------
    InputError, CheckpointError, TrainingError
        If the pairs or the start do not fit, or the learning fails; the models are untouched, and epochs that were
        finished are kept as a version.
    """
    versions = ModelVersions(request.home)
    work = versions.database.folder / "training"
    with ExitStack() as stack:
        with explain_os_error("The training did not start", work):
            stack.enter_context(exclusive(work / _LOCK))
        _keep_leftover(work, versions)
        run = _Run(request, versions, work, stop)
        try:
            return (yield from run.events())
        except BaseException as cause:
            run.rescue("stopped before it was scored" if isinstance(cause, GeneratorExit) else "cut off by an error")
            raise
        finally:
            run.release()


def recover(home: Path | None = None) -> Version | None:
    """Keep what a run left behind whose program was killed, if any; `InputError` if another is learning right now."""
    known = ModelVersions(home)
    work = known.database.folder / "training"
    if not (work / BEST).is_file():
        return None
    with explain_os_error("The unfinished training was not kept", work), exclusive(work / _LOCK):
        return _keep_leftover(work, known)


class _Run:
    """The state of one fine-tuning."""

    def __init__(self, request: FineTuneRequest, versions: ModelVersions, work: Path, stop: Callable[[], bool]) -> None:
        from napari_wavegms.model.codec import load_codec
        from napari_wavegms.model.device import choose_device

        if not request.pairs:
            raise InputError("There is no pair of image and mask to learn from. Add at least one.")
        self.request, self.versions, self.work, self.stop = request, versions, work, stop
        everything = (*request.pairs, *request.replay)
        title = f"{request.preset.title}, {counted(len(everything), 'correction')}"
        card = read_card(request.start)
        names = request.class_names or card.class_names
        self.networks = Networks.of(request.start, request.pairs, len(names) - 1)
        self.card = replace(card, title=title, familiarity=self.networks.familiarity, class_names=names)
        self.parent = request.start_name or request.start.stem
        self.learned = sorted({learned_mark(pair) for pair in everything})
        self.device, self.codec = choose_device(request.device), load_codec("mask-codec")
        if "torch._dynamo" not in sys.modules:
            # Two seconds of imports that torch's first optimiser waits for; meanwhile the model in use is scored.
            Thread(target=import_module, args=("torch._dynamo",), daemon=True).start()
        self.clock = time.perf_counter()
        self.stopped = self.kept = False
        self.before: dict[str, float] = {}
        self.after: dict[str, float] = {}
        self.by_class: dict[StageName, dict[str, float]] = {}
        self.trained: TrainResult | None = None

    def events(self) -> Generator[FineTuneEvent, None, FineTuneResult]:
        """Do it all."""
        from napari_wavegms.segment.segmenter import Segmenter

        request = self.request
        current = partial(Segmenter.from_checkpoint, request.current or request.start, self.device.name, self.codec)
        self.before = yield from self._score("before", current)
        if not self.stopped:
            yield Stage("learning", f"Training on {self.device.reason}…", self.device.reason)
            watched = request.held_out[:WATCHED]
            run = self._training(request.pairs, watched, self._config, self.work, self._asked_to_stop, request.replay)
            self.trained = yield from run
        if self.trained is None or not self.trained.steps:
            return self._result(None, None)
        network, card = self.trained.model, self.trained.card
        new = partial(Segmenter, network, card, self.codec, self.device, lambda: self.networks.keeper)
        self.after = yield from self._score("after", new)
        left_before, left_after = yield from self._leave_out_in_turn(current)
        verdict = judge(self.before | left_before, self.after | left_after, len(left_before))
        verdict = held_back(verdict, self.by_class.get("before", {}), self.by_class.get("after", {}))
        return self._result(self._keep(card, verdict), verdict)

    def _score(
        self, stage: StageName, load: Callable[[], Segmenter]
    ) -> Generator[FineTuneEvent, None, dict[str, float]]:
        """DSC of every test image; a stop takes effect only before the learning."""
        from napari_wavegms.learn.evaluate import Report

        held_out = self.request.held_out
        if not held_out:
            return {}
        which = "the model in use" if stage == "before" else "the new model"
        yield Stage(stage, f"Scoring {which} on {counted(len(held_out), 'test image')}…")
        scored = []
        for image in measure(load(), held_out, self._classes):
            scored.append(image)
            yield Scored(stage, image)
            if stage == "before" and self._asked_to_stop():
                return {}
        means = Report(tuple(scored)).by_class
        self.by_class[stage] = {self.card.class_names[label]: dsc for label, dsc in means.items()}
        return {image.name: image.dsc for image in scored}

    @property
    def _classes(self) -> int:
        return len(self.card.class_names) - 1

    def _leave_out_in_turn(
        self, current: Callable[[], Segmenter]
    ) -> Generator[FineTuneEvent, None, tuple[dict[str, float], dict[str, float]]]:
        """DSC before and after of few images that were learned from: after a shorter training without each of them."""
        from napari_wavegms.segment.segmenter import Segmenter

        request = self.request
        learned = {id(pair) for pair in request.pairs}
        views = [view for view in leave_one_out((*request.held_out, *request.pairs)) if id(view.held_out[0]) in learned]
        before: dict[str, float] = {}
        after: dict[str, float] = {}
        few = 0 < len(request.held_out) < FEW - len(request.pairs)
        if self.stopped or request.replay or not few:
            return before, after
        config = replace(self._config, steps=min(self._config.steps, REFIT_STEPS), keep="last")
        for number, view in enumerate(views, start=1):
            yield Stage("after", f"Training without {number} of {counted(len(views), 'training image')}, to score it…")
            with (
                TemporaryDirectory() as folder,
                closing(self._training(view.train, (), config, Path(folder), self.stop)) as run,
            ):
                refit = yield from _steps_of(run, number, len(views))
            if self.stop():
                return {}, {}
            models: tuple[Callable[[], Segmenter], ...] = (
                current,
                partial(Segmenter, refit.model, refit.card, self.codec, self.device),
            )
            for scores, model in zip((before, after), models, strict=True):
                scores |= {
                    f"{image.name}, left out": image.dsc for image in measure(model(), view.held_out, self._classes)
                }
        return before, after

    @property
    def _config(self) -> TrainConfig:
        request = self.request
        config = replace(request.preset.config, size=int(self.card.preprocessing["size"]), seed=request.seed)
        few = len(request.held_out) < FEW  # their score jumps too much to end a run by, or to choose an epoch by
        return replace(config, patience=0, keep="last") if few else config

    def _training(
        self,
        pairs: Sequence[Pair],
        watched: Sequence[Pair],
        config: TrainConfig,
        folder: Path,
        stop: Callable[[], bool],
        replay: Sequence[Pair] = (),
    ) -> Generator[FineTuneEvent, None, TrainResult]:
        from napari_wavegms.learn.train import iter_train

        return iter_train(
            pairs,
            watched,
            copy.deepcopy(self.networks.learner),
            self.codec,
            config,
            folder,
            replay=replay,
            card=self.card,
            origin={_START: self.parent, LEARNED: self.learned},
            device=self.device.name,
            resumable=False,  # what is stopped here is kept as a version, never taken up again
            stop=stop,
        )

    def _asked_to_stop(self) -> bool:
        self.stopped = self.stopped or self.stop()
        return self.stopped

    def _keep(self, card: ModelCard, verdict: Verdict) -> Version:
        """Write the network in memory as a version."""
        from napari_wavegms.model.checkpoint import save_checkpoint

        assert self.trained is not None
        after = self.after
        # The start's scores are not its own.
        dsc = math.fsum(after.values()) / max(1, len(after))
        card = replace(card, scores={"test images": {"dsc": dsc, "n": len(after)}} if after else {})
        save = partial(save_checkpoint, model=self.trained.model, card=card, keeper=self.networks.keeper)
        version = self.versions.add(save, verdict, self.parent, card.title, self.before, after)
        self.kept = True
        _clear(self.work)
        return version

    def rescue(self, reason: str) -> None:
        """Keep the epochs that were finished; where even that fails, the file waits for `recover`."""
        verdict = Verdict(reason)
        with suppress(WaveGMSError):
            if self.kept:
                return
            if self.trained is not None and self.trained.epochs:
                self._keep(self.trained.card, verdict)
            else:
                _keep_leftover(self.work, self.versions, verdict, self.before)

    def release(self) -> None:
        """Free the memory."""
        from napari_wavegms.model.device import release_memory

        del self.codec, self.trained, self.networks
        gc.collect()
        release_memory()

    def _result(self, version: Version | None, verdict: Verdict | None) -> FineTuneResult:
        compared_with = self.request.current or self.request.start
        steps, learning = (self.trained.steps, self.trained.seconds) if self.trained is not None else (0, 0.0)
        sentence = "Stopped before anything was learned; nothing has changed."
        if version is not None and verdict is not None:
            sentence = f"Learned {counted(steps, 'step')} in {duration(learning)}. "
            sentence += _outcome(version.name, compared_with.stem, verdict)
        return FineTuneResult(
            version=version,
            path=None if version is None else self.versions.path(version.number),
            compared_with=compared_with,
            held_out=self.request.held_out,
            verdict=verdict,
            before=self.before,
            after=self.after,
            steps=steps,
            epochs=0 if self.trained is None else self.trained.epochs,
            learning=learning,
            seconds=time.perf_counter() - self.clock,
            stopped=self.stopped,
            sentence=sentence,
        )


def _steps_of(
    run: Generator[FineTuneEvent, None, TrainResult], number: int, total: int
) -> Generator[FineTuneEvent, None, TrainResult]:
    """Go through the training of this number, of so many alike, and tell its steps only."""
    steps = done = 0
    while True:
        try:
            event = next(run)
        except StopIteration as end:
            result: TrainResult = end.value
            return result
        if isinstance(event, TrainStarted):
            steps = event.steps
        elif isinstance(event, TrainStep):
            done += 1
            yield RefitStep((number - 1) * steps + done, total * steps)


def _outcome(new: str, current: str, verdict: Verdict) -> str:
    """What became of a model, and what to do next."""
    if verdict.promote:
        return f"{new} is in use now: {verdict.word} {verdict.measured}."
    if not verdict.unsure:
        why = f"{verdict.word} {verdict.measured}".strip()
        return f"{new} is kept, not in use: {why}. Correct more images and train again."
    question = f"Cannot tell yet whether {new} is better than {current}"
    if not verdict.images:
        return f"{question}, {verdict.measured}: choose; from two corrections on, one is a test image."
    return f"{question} {verdict.measured}: compare, then choose; more corrections make it clearer."


_CUT_OFF = Verdict("cut off before it was scored, because the program ended")


def _keep_leftover(
    work: Path, versions: ModelVersions, verdict: Verdict = _CUT_OFF, before: dict[str, float] | None = None
) -> Version | None:
    """Keep the best of a run that did not come to its end; only while its lock is ours."""
    best, version = work / BEST, None
    if best.is_file():
        with suppress(CheckpointError):  # what cannot be loaded is no loss
            card = read_card(best)
            parent = str(card.lineage[-1].get(_START, "")) if card.lineage else ""
            version = versions.add(partial(shutil.copyfile, best), verdict, parent, card.title, before)
    _clear(work)
    return version


def _clear(work: Path) -> None:
    """Remove an ended run's files; whatever else lies there is somebody's."""
    # Beside them, half-written neighbours of a killed run.
    for file in (work / BEST, work / HISTORY, *work.glob(".*-*.safetensors")):
        with suppress(OSError):
            file.unlink()
