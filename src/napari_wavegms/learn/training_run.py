"""A training run: epochs, clock and files."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_wavegms.errors import InputError, TrainingError
from napari_wavegms.learn.augmentation import warmup_cosine
from napari_wavegms.learn.config import TrainConfig
from napari_wavegms.learn.events import (
    BEST,
    HISTORY,
    LAST,
    MemoryShort,
    TrainEpoch,
    TrainEvent,
    TrainResult,
    TrainStarted,
    TrainStep,
)
from napari_wavegms.learn.frames import Frames, epoch_order, framed
from napari_wavegms.learn.learner import Learner
from napari_wavegms.learn.metrics import dice, iou
from napari_wavegms.model.card import ModelCard
from napari_wavegms.model.checkpoint import load_training, save_checkpoint
from napari_wavegms.model.device import out_of_memory, release_memory
from napari_wavegms.model.inference import Inference
from napari_wavegms.segment.preprocessing import Preprocessing

if TYPE_CHECKING:
    from napari_wavegms.learn.pairs import Pair
    from napari_wavegms.learn.teacher import ImageTeacher
    from napari_wavegms.model.codec import TinyVAE
    from napari_wavegms.model.network import WaveGMS


class Pace:
    """Keeps something that is done now and then within its share of the time.

    Parameters
    ----------
    share : float
        Largest share of the time that it may take, 0 to 1; 1 is no limit.
    clock : callable
        Seconds; `time.perf_counter` by default.

    Examples
    --------
    >>> seconds = iter([0.0, 1.0, 5.0, 10.0])
    >>> pace = Pace(0.1, clock=lambda: next(seconds))
    >>> with pace.measured():  # takes one second, at the start
    ...     pass
    >>> pace.is_due(), pace.is_due()  # after 5 and after 10 seconds
    (False, True)
    """

    def __init__(self, share: float, clock: Callable[[], float] = time.perf_counter) -> None:
        self._share = share
        self._clock = clock
        self._not_before = float("-inf")

    def is_due(self) -> bool:
        """Whether there is time for it now."""
        return self._clock() >= self._not_before

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Measure what it takes, from which follows when it is due again."""
        begun = self._clock()
        yield
        if self._share < 1:
            self._not_before = begun + (self._clock() - begun) / self._share


FILES_SHARE = 0.05
"""Largest share of the time that goes into files; an epoch of one image takes less time than writing what it gave."""


class _Means:
    """Mean losses of one epoch, under the names that events give them."""

    def __init__(self) -> None:
        self.count = 0
        self.sums = dict.fromkeys(("loss", "segmentation", "latent", "alignment"), 0.0)

    def add(self, losses: dict[str, float], pairs: int) -> None:
        self.count += pairs
        for name, value in losses.items():
            self.sums[name] += pairs * value

    def of_all(self) -> dict[str, float]:
        return {name: value / max(1, self.count) for name, value in self.sums.items()}


class Run:
    """The state of one training run."""

    def __init__(
        self,
        pairs: Sequence[Pair],
        new: int,
        validation: Sequence[Pair],
        start: WaveGMS,
        codec: TinyVAE,
        config: TrainConfig,
        output: Path,
        teacher: ImageTeacher | None,
        card: ModelCard | None,
        device: str,
        resumable: bool,
    ) -> None:
        self.config, self.output = config, output
        self.resumable = resumable
        card = card or ModelCard(name=output.name)
        rules = Preprocessing.from_dict(card.preprocessing | {"size": config.size})
        self.val_images, self.val_masks = framed(validation, rules)
        self.learner = Learner(Frames.of(pairs, rules, new), start, codec, config, teacher, device)
        self.card = _new_card(card, rules, codec.fingerprint, config, new)
        self.epoch, self.best_dsc, self.best_epoch = 0, None, -1
        self.unimproved = 0  # validations since the best one
        self.means, self.clock, self.born = _Means(), time.perf_counter(), time.perf_counter()
        self.saving = Pace(FILES_SHARE)
        self.validating = Pace(config.validation_share or 1)
        self.newest_is_kept = False

    best_dsc: float | None

    @property
    def pairs_per_epoch(self) -> int:
        """Pairs that one epoch sees, replayed ones included."""
        return len(self._order(np.random.default_rng(0)))

    @property
    def steps_per_epoch(self) -> int:
        """Steps of one epoch."""
        return -(-self.pairs_per_epoch // self.config.batch)

    def started(self) -> TrainStarted:
        """Make the folder ready and tell what is to come."""
        self.output.mkdir(parents=True, exist_ok=True)
        if self.epoch == 0:
            (self.output / HISTORY).write_text("", encoding="utf-8")
            (self.output / BEST).unlink(missing_ok=True)  # an earlier run's best is not this run's
        return TrainStarted(
            pairs=self.learner.frames.new,
            validation=len(self.val_images),
            steps_per_epoch=self.steps_per_epoch,
            epochs=self.config.epochs,
            first_epoch=self.epoch,
            device=self.learner.device,
            precision="bfloat16" if self.learner.bfloat16 else "float32",
        )

    def goes_on(self) -> bool:
        """Whether there is another epoch to do."""
        config = self.config
        tired = bool(config.patience) and self.unimproved >= config.patience
        return self.epoch < config.epochs and not tired and (self.epoch == 0 or self._time_share() < 1)

    def _time_share(self) -> float:
        limit = self.config.max_seconds
        return (time.perf_counter() - self.born) / limit if limit else 0.0

    def train_epoch(self) -> Generator[TrainEvent, None, None]:
        """Do one epoch, telling each step."""
        config, epoch = self.config, self.epoch
        self.means, self.clock = _Means(), time.perf_counter()
        rng = np.random.default_rng((config.seed, epoch))
        generator = self._generator()
        order = self._order(rng)
        batches = [order[first : first + config.batch] for first in range(0, len(order), config.batch)]
        for step, batch in enumerate(batches):
            rate = self._set_rate(epoch * len(batches) + step, config.epochs * len(batches))
            waiting, losses = [batch], {}
            while waiting:
                indices = waiting.pop(0)
                losses = self._try_step(indices, rng, generator)
                if not losses:
                    event, parts = self._with_less_memory(indices)
                    waiting = parts + waiting
                    if self.learner.device != generator.device.type:
                        generator = self._generator()
                    yield event
                    continue
                self.means.add(losses, len(indices))
            yield TrainStep(epoch, step, len(batches), **losses, learning_rate=rate)
            if self._time_share() >= 1:
                return

    def _order(self, rng: np.random.Generator) -> list[int]:
        frames = self.learner.frames
        return epoch_order(frames.new, len(frames.images) - frames.new, self.config.replay_share, rng)

    def _set_rate(self, step: int, steps: int) -> float:
        per_epoch = steps // self.config.epochs
        warmup = max(1, round(min(self.config.warmup_epochs * per_epoch, steps / 5)))
        rate = self.config.learning_rate * warmup_cosine(max(step, int(self._time_share() * steps)), steps, warmup)
        self.learner.rate = rate
        return rate

    def _generator(self) -> torch.Generator:
        return torch.Generator(self.learner.device).manual_seed(self.config.seed * 1_000_003 + self.epoch)

    def _try_step(self, indices: list[int], rng: np.random.Generator, generator: torch.Generator) -> dict[str, float]:
        """Take one step; no losses come back if the device has no memory for it."""
        try:
            losses = self.learner.step(indices, rng, generator)
        except RuntimeError as error:
            if not out_of_memory(error):
                raise TrainingError(f"The training step failed: {str(error).splitlines()[0]}.") from error
            self.learner.optimiser.zero_grad(set_to_none=True)
            release_memory()
            return {}
        if not np.isfinite(total := losses.total.item()):
            raise TrainingError(
                f"The loss became {total} in epoch {self.epoch + 1}; the best model so far is kept. "
                f"Try a smaller learning rate than {self.config.learning_rate:g}."
            )
        parts = {name: loss.item() for name, loss in losses._asdict().items() if name != "total"}
        return {"loss": total, **parts}

    def _with_less_memory(self, indices: list[int]) -> tuple[MemoryShort, list[list[int]]]:
        """Halve the batch from here on, or go on on the CPU where one pair is already too much."""
        device = self.learner.device
        if len(indices) > 1:
            batch = -(-len(indices) // 2)
            # A frozen dataclass: the run's own copy shrinks, the caller's stays.
            self.config = replace(self.config, batch=batch)
            sentence = f"The {device} memory is too small for {len(indices)} pairs at once; going on with {batch}."
            return MemoryShort(sentence, batch, device), [indices[:batch], indices[batch:]]
        if device == "cpu":
            raise TrainingError("There is not enough memory to learn from one pair. Close other programs.")
        self.learner.move("cpu")
        sentence = f"The {device} memory is too small for one pair; going on on the CPU."
        return MemoryShort(sentence, 1, "cpu"), [indices]

    def finish_epoch(self) -> TrainEpoch:
        """Validate, write the files, tell."""
        config, epoch = self.config, self.epoch
        last = epoch + 1 == config.epochs or self._time_share() >= 1
        due = ((epoch + 1) % config.validate_every == 0 and self.validating.is_due()) or last
        dsc, overlap = self._validate() if due and len(self.val_images) else (None, None)
        improved = dsc is not None and (self.best_dsc is None or dsc > self.best_dsc or config.keep == "last")
        self.unimproved = 0 if improved else self.unimproved + (dsc is not None)
        self.epoch, self.newest_is_kept = epoch + 1, improved
        if improved or not len(self.val_images):
            self.best_dsc, self.best_epoch = dsc, epoch
        if improved:
            self._save_best()
        if self.saving.is_due() or last:
            self._save_newest()
        event = TrainEpoch(
            epoch=epoch,
            epochs=config.epochs,
            **self.means.of_all(),
            learning_rate=self.learner.rate,
            dsc=dsc,
            iou=overlap,
            best_dsc=self.best_dsc,
            improved=improved,
            seconds=time.perf_counter() - self.clock,
        )
        with (self.output / HISTORY).open("a", encoding="utf-8") as history:
            history.write(json.dumps(asdict(event)) + "\n")
        return event

    def _save_newest(self) -> None:
        """Write what a run is resumed from, and the newest model where none is chosen by validation."""
        with self.saving.measured():
            if not len(self.val_images):
                self._save_best()
                self.newest_is_kept = True
            if self.resumable:
                self._save_last()

    def _validate(self) -> tuple[float, float]:
        with self.validating.measured():
            return self._scores()

    def _scores(self) -> tuple[float, float]:
        # In the precision that the segmenter computes in.
        inference = Inference(self.learner.kept_model.eval(), self.learner.codec, self.learner.device)
        scores = []
        for first in range(0, len(self.val_images), self.config.batch):
            probability = inference.look(self.val_images[first : first + self.config.batch].float() / 255).probability
            truth = self.val_masks[first : first + self.config.batch].numpy().astype(bool)
            scores += [
                (dice(a, b), iou(a, b))
                for a, b in zip(probability.cpu().numpy() >= self.card.threshold, truth, strict=True)
            ]
        dsc, overlap = np.mean(scores, axis=0)
        return float(dsc), float(overlap)

    def _save_best(self) -> None:
        scores = {} if self.best_dsc is None else {"validation": {"dsc": self.best_dsc, "n": len(self.val_images)}}
        card = replace(self.card, scores=scores)
        save_checkpoint(self.output / BEST, self.learner.kept_model, card)

    def _save_last(self) -> None:
        progress = {name: getattr(self, name) for name in ("epoch", "best_dsc", "best_epoch", "unimproved")}
        card = replace(self.card, scores={"unfinished": progress})
        save_checkpoint(self.output / LAST, self.learner.model, card, training=self.learner.state())

    def resume(self) -> None:
        """Take up the run that `last.safetensors` holds, if there is one."""
        last = self.output / LAST
        if not last.is_file():
            return
        model, card, state = load_training(last)
        # Settings that have come since then have their defaults.
        noted = card.lineage[-1].get("config")
        if not noted or TrainConfig.from_dict(noted) != self.config:
            raise InputError(
                f"{last} was trained with other settings; a run resumes with its own. Give the same options, or "
                "another output folder."
            )
        progress = card.scores["unfinished"]
        self.learner.restore(model.state_dict(), state)
        self.epoch = int(progress["epoch"])
        self.best_dsc, self.best_epoch = progress["best_dsc"], int(progress["best_epoch"])
        self.unimproved = int(progress.get("unimproved", 0))
        self._trim_history()

    def _trim_history(self) -> None:
        """Drop a half-written line and epochs that the resumed run does again."""
        history = self.output / HISTORY
        lines = history.read_text(encoding="utf-8").splitlines() if history.is_file() else []
        history.write_text("".join(line + "\n" for line in lines[: self.epoch]), encoding="utf-8")

    def leave_something(self) -> None:
        """A run stopped before its first validation, or without any, still leaves a loadable best."""
        if not self.output.is_dir():
            return
        unwritten = self.epoch and not len(self.val_images) and not self.newest_is_kept
        if unwritten or not (self.output / BEST).is_file():
            self._save_best()

    def result(self) -> TrainResult:
        """What the run leaves behind."""
        return TrainResult(
            self.output / BEST,
            self.output / LAST,
            self.output / HISTORY,
            self.best_dsc,
            self.best_epoch,
            self.epoch,
            self.config,
        )


def _new_card(card: ModelCard, rules: Preprocessing, codec: str, config: TrainConfig, pairs: int) -> ModelCard:
    """The card of what this run makes of a model."""
    step = {"pairs": pairs, "date": date.today().isoformat(), "config": config.as_dict()}
    return replace(
        card,
        preprocessing=rules.as_dict(),
        codec=codec,
        scores={},  # those of the start are not those of what becomes of it
        versions={name: _version(name) for name in ("napari-wavegms", "torch")},
        created=date.today().isoformat(),
        # Through JSON, so that a card from a file compares equal to a fresh one.
        lineage=(*card.lineage, json.loads(json.dumps(step))),
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"
