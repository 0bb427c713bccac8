"""What a training run says while it runs and when it ends."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from napari_wavegms.commands.common.console import bar, counted, duration, show, show_json, tell
from napari_wavegms.commands.common.exit_codes import DONE, INTERRUPTED
from napari_wavegms.commands.train_plan import Plan
from napari_wavegms.learn.events import (
    BEST,
    HISTORY,
    LAST,
    TrainEpoch,
    TrainEvent,
    TrainResult,
    TrainStarted,
    TrainStep,
)

if TYPE_CHECKING:
    from tqdm import tqdm

_FEW = 5  # held-out images; below, their score says little


def follow(run: Generator[TrainEvent, None, TrainResult], plan: Plan, *, as_json: bool) -> int:
    """Go through a run with a bar for each epoch and a line after it; Ctrl-C stops it well.

    Returns
    -------
    int
        The exit code: done, or interrupted.
    """
    narrator = Narrator(plan)
    result = None
    try:
        while True:
            narrator.hear(next(run))
    except StopIteration as end:
        result = end.value
    except KeyboardInterrupt:
        run.close()  # it leaves a loadable best
    finally:
        narrator.close()
    if as_json:
        show_json(narrator.summary(result))
    if result is None:
        tell(narrator.stopped())
        return INTERRUPTED
    if not as_json:
        for line in narrator.ending(result):
            show(line)
    return DONE


class Narrator:
    """Tells a run's events."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._done = 0
        self._best: float | None = None
        self._bar: tqdm[Any] | None = None
        self._seconds: list[float] = []

    def hear(self, event: TrainEvent) -> None:
        """Tell one event."""
        if isinstance(event, TrainStarted):
            self._start(event)
        elif isinstance(event, TrainStep):
            self._step(event)
        elif isinstance(event, TrainEpoch):
            self._epoch(event)
        else:  # the device ran out of memory and the run goes on with less
            tell(event.sentence)

    def close(self) -> None:
        """Take the bar off the screen."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _start(self, event: TrainStarted) -> None:
        self._done = event.first_epoch
        if event.first_epoch >= event.epochs:
            tell(f"This run is done: {event.first_epoch} of {counted(event.epochs, 'epoch')}.")
            return
        again = f", from epoch {event.first_epoch + 1} on" if event.first_epoch else ""
        tell(
            f"Learning from {counted(event.pairs, 'pair')}, {event.validation} held out: "
            f"{counted(event.epochs, 'epoch')} of {counted(event.steps_per_epoch, 'step')} in {event.precision}{again}."
        )

    def _step(self, event: TrainStep) -> None:
        if self._bar is None:
            what = f"epoch {event.epoch + 1}/{self.plan.config.epochs}"
            self._bar = bar(event.steps_per_epoch, what, "step")
        self._bar.set_postfix_str(f"loss {event.loss:.3f}", refresh=False)
        self._bar.update()

    def _epoch(self, event: TrainEpoch) -> None:
        self.close()
        self._done, self._best = event.epoch + 1, event.best_dsc
        self._seconds.append(event.seconds)
        scored = "" if event.dsc is None else f"  DSC {event.dsc:.3f}{' (best)' if event.improved else ''}"
        left = sum(self._seconds) / len(self._seconds) * (event.epochs - self._done)
        tell(
            f"epoch {self._done:{len(str(event.epochs))}}/{event.epochs}  loss {event.loss:.4f} (mask "
            f"{event.segmentation:.4f}, latent {event.latent:.4f}, alignment {event.alignment:.4f}){scored}  "
            f"{duration(event.seconds)}{f', {duration(left)} left' if left else ''}"
        )

    def ending(self, result: TrainResult) -> list[str]:
        """Say where the finished model is, how good, and what to do with it."""
        return [
            f"The model is {result.best}, {self._score(result.best_dsc)}, after epoch {result.best_epoch + 1}.",
            f"Use it: wavegms segment INPUT --output DIR --model {result.best}",
        ]

    def stopped(self) -> str:
        """Say what a stopped run leaves behind."""
        best, last = self.plan.output / BEST, self.plan.output / LAST
        said = f"Stopped after {self._done} of {counted(self.plan.config.epochs, 'epoch')}."
        if best.is_file():
            how = self._score(self._best) if self._done else "as it was at the stop"
            said += f" The best model so far is {best}, {how}."
        return said + (" Continue with --resume." if last.is_file() else "")

    def summary(self, result: TrainResult | None) -> dict[str, Any]:
        """Plain values for JSON; paths where there are files."""
        files = {name: self.plan.output / file for name, file in (("best", BEST), ("last", LAST), ("history", HISTORY))}
        return {
            "finished": result is not None,
            "epochs": self._done,
            "pairs": len(self.plan.train),
            "held_out": len(self.plan.validation),
            "best_dsc": result.best_dsc if result else self._best,
            **{name: str(file) if file.is_file() else None for name, file in files.items()},
        }

    def _score(self, dsc: float | None) -> str:
        count = len(self.plan.validation)
        if dsc is None:
            return "not scored, because nothing was held out"
        few = " (so few say little about others)" if count < _FEW else ""
        return f"DSC {dsc:.3f} on {counted(count, 'held-out image')}{few}"
