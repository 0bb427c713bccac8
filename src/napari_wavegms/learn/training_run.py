"""A training run: epochs, clock and files."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_wavegms import __version__
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
from napari_wavegms.learn.frames import Frames, epoch_order
from napari_wavegms.learn.learner import Batch, Learner
from napari_wavegms.learn.metrics import class_masks, dice, iou
from napari_wavegms.model.card import ModelCard
from napari_wavegms.model.checkpoint import load_checkpoint, load_training, save_checkpoint
from napari_wavegms.model.device import release_memory
from napari_wavegms.segment.postprocess import strongest, threshold_probability
from napari_wavegms.segment.preprocessing import Preprocessing
from napari_wavegms.segment.segmenter import Inference
from napari_wavegms.storage.memory import out_of_memory

if TYPE_CHECKING:
    from napari_wavegms.model.network import WaveGMS


class Pace:
    """Keeps occasional side work within its share of the time, above 0 and up to 1; 1 is no limit.

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
"""Largest share of the time that goes into files; an epoch of one image takes less time than writing its result."""


class Run:
    """The state of one training run. The best network so far stays in memory; files follow at their pace."""

    def __init__(self, learner: Learner, validation: Frames, card: ModelCard, output: Path, resumable: bool) -> None:
        self.config: TrainConfig = learner.config
        self.learner, self.card, self.output, self.resumable = learner, card, output, resumable
        self.val_images, self.val_masks = validation.images, validation.masks
        self.epoch, self.steps = 0, 0
        self.best: WaveGMS | None = None
        self.best_dsc: float | None = None
        self.best_epoch = -1
        self.unimproved = 0  # validations since the best one
        self.seen: list[tuple[int, dict[str, float]]] = []  # of this epoch: pairs of a step, and their mean losses
        self.born = self.clock = time.perf_counter()
        self.saving = Pace(FILES_SHARE)
        self.best_is_saved = False
        self.inference: Inference | None = None

    @property
    def steps_per_epoch(self) -> int:
        """Steps of one epoch, replayed pairs included."""
        return -(-len(self._order(np.random.default_rng(0))) // self.config.batch)

    @property
    def epochs(self) -> int:
        """Epochs that the run takes, the last one perhaps cut short."""
        return -(-self.config.steps // self.steps_per_epoch) or self.config.epochs

    def started(self) -> TrainStarted:
        """Make the folder ready."""
        self.output.mkdir(parents=True, exist_ok=True)
        if self.epoch == 0:
            (self.output / HISTORY).write_text("", encoding="utf-8")
            (self.output / BEST).unlink(missing_ok=True)  # an earlier run's best is not this run's
        self.learner.warm_up()
        self.born = time.perf_counter()
        return TrainStarted(
            pairs=self.learner.frames.new,
            validation=len(self.val_images),
            steps_per_epoch=self.steps_per_epoch,
            steps=self.config.steps or self.epochs * self.steps_per_epoch,
            epochs=self.epochs,
            first_epoch=self.epoch,
            device=self.learner.device,
            precision="bfloat16" if self.learner.bfloat16 else "float32",
        )

    def goes_on(self) -> bool:
        """Whether there is another epoch to do."""
        in_vain = bool(self.config.patience) and self.unimproved >= self.config.patience
        return not in_vain and not self._is_over(self.epoch)

    def _is_over(self, epochs: int) -> bool:
        return self.steps >= self.config.steps if self.config.steps else epochs >= self.config.epochs

    def train_epoch(self) -> Generator[TrainEvent, None, None]:
        """Do one epoch, step by step."""
        config, epoch = self.config, self.epoch
        self.seen, self.clock = [], time.perf_counter()
        rng = np.random.default_rng((config.seed, epoch))
        generator = self._generator()
        order = self._order(rng)
        batches = [order[first : first + config.batch] for first in range(0, len(order), config.batch)]
        per_epoch = len(batches)
        if config.steps:
            del batches[config.steps - self.steps :]
        # One thread, so that the views are drawn in turn.
        with ThreadPoolExecutor(1, "wavegms-views", torch.set_num_threads, (1,)) as thread:

            def prepare(indices: list[int]) -> Future[Batch]:
                return thread.submit(self.learner.prepare, indices, rng)

            coming = None
            for step, batch in enumerate(batches):
                done = self.steps if config.steps else epoch * per_epoch + step
                rate = self._set_rate(done, config.steps or config.epochs * per_epoch, per_epoch)
                waiting, losses = [(batch, coming or prepare(batch))], {}
                # While this one is learned from. A GPU has a queue of its own, and may hand over to the processor.
                ahead = self.learner.device == "cpu" and step + 1 < len(batches)
                coming = prepare(batches[step + 1]) if ahead else None
                while waiting:
                    indices, prepared = waiting.pop(0)
                    losses = self._try_step(prepared, generator)
                    if losses:
                        self.seen.append((len(indices), losses))
                        continue
                    event, parts = self._with_less_memory(indices)
                    waiting = [(part, prepare(part)) for part in parts] + waiting
                    if self.learner.device != generator.device.type:
                        generator = self._generator()
                    yield event
                self.steps += 1
                yield TrainStep(epoch, step, per_epoch, **losses, learning_rate=rate)

    def _order(self, rng: np.random.Generator) -> list[int]:
        frames = self.learner.frames
        return epoch_order(frames.new, len(frames.images) - frames.new, self.config.replay_share, rng)

    def _set_rate(self, step: int, steps: int, per_epoch: int) -> float:
        warmup = max(1, round(min(self.config.warmup_epochs * per_epoch, steps / 5)))
        self.learner.rate = rate = self.config.learning_rate * warmup_cosine(step, steps, warmup)
        return rate

    def _generator(self) -> torch.Generator:
        return torch.Generator(self.learner.device).manual_seed(self.config.seed * 1_000_003 + self.epoch)

    def _try_step(self, prepared: Future[Batch], generator: torch.Generator) -> dict[str, float]:
        """The losses of one step; none if the device has no memory for it."""
        try:
            losses = self.learner.step(prepared.result(), generator)
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
        """Halve the batch from here on, or go on on the processor where one pair is already too much."""
        device = self.learner.device
        if len(indices) > 1:
            batch = -(-len(indices) // 2)
            self.config = replace(self.config, batch=batch)
            sentence = f"Out of memory on {device} with {len(indices)} pairs a step; continuing with {batch}."
            return MemoryShort(sentence, batch, device), [indices[:batch], indices[batch:]]
        if device == "cpu":
            raise TrainingError("Out of memory, even for a single pair. Close other programs.")
        self.learner.move("cpu")
        self.inference = None
        sentence = f"Out of memory on {device} with a single pair; continuing on the processor."
        return MemoryShort(sentence, 1, "cpu"), [indices]

    def finish_epoch(self) -> TrainEpoch:
        """Validate, keep the best, and write what is due."""
        config, epoch = self.config, self.epoch
        last = self._is_over(epoch + 1)
        every = max(1, self.epochs // config.validations) if config.validations else config.validate_every
        due = last or (epoch + 1) % every == 0
        dsc, overlap = self._scores() if due and len(self.val_images) else (None, None)
        improved = dsc is not None and (self.best_dsc is None or dsc > self.best_dsc or config.keep == "last")
        self.unimproved = 0 if improved else self.unimproved + (dsc is not None)
        self.epoch += 1
        if improved or not len(self.val_images):
            self.best_dsc, self.best_epoch = dsc, epoch
            self._keep()
        if self.saving.is_due() or (last and self.resumable):
            with self.saving.measured():
                self.save_best()
                if self.resumable:
                    self._save_last()
        count = sum(pairs for pairs, _ in self.seen)
        event = TrainEpoch(
            epoch=epoch,
            epochs=self.epochs,
            **{name: sum(pairs * losses[name] for pairs, losses in self.seen) / count for name in self.seen[0][1]},
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

    def _scores(self) -> tuple[float, float]:
        """Mean DSC and IoU of the validation pairs, in the precision that the segmenter computes in."""
        network, batch = self.learner.kept_model.eval(), self.config.batch
        if self.inference is None:
            self.inference = Inference(network, self.learner.codec, self.learner.device)
        self.inference.reload()
        scores = []
        for images, masks in zip(self.val_images.split(batch), self.val_masks.split(batch), strict=True):
            probability = self.inference.predict(images.float() / 255).cpu().numpy()
            for found, truth in zip(probability, masks.numpy(), strict=True):
                confidence, classes = strongest(found)
                drawn = threshold_probability(confidence, self.card.threshold, classes)
                pairs = class_masks(drawn, np.einsum("kij,k->ij", truth, range(1, len(truth) + 1))).values()
                scores.append(np.mean([(dice(*pair), iou(*pair)) for pair in pairs] or [(1.0, 1.0)], axis=0))
        dsc, overlap = np.mean(scores, axis=0)
        return float(dsc), float(overlap)

    def _keep(self) -> None:
        """Copy the network as it is now, as the best so far."""
        kept = self.learner.kept_model
        self.best = self.best or copy.deepcopy(kept)
        self.best.load_state_dict(kept.state_dict())
        self.best_is_saved = False

    def save_best(self) -> None:
        """Write the best network, if that has not been done."""
        if self.best is not None and not self.best_is_saved:
            save_checkpoint(self.output / BEST, self.best, self._best_card())
            self.best_is_saved = True

    def leave_best(self) -> None:
        """Write the best network of a run that was closed or failed, or the one at hand where no epoch was finished."""
        if self.best is None and self.resumable:
            self._keep()
        self.save_best()

    def _best_card(self) -> ModelCard:
        scores = {} if self.best_dsc is None else {"validation": {"dsc": self.best_dsc, "n": len(self.val_images)}}
        return replace(self.card, scores=scores)

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
        self.steps = self.epoch * self.steps_per_epoch
        self.best_dsc, self.best_epoch = progress["best_dsc"], int(progress["best_epoch"])
        self.unimproved = int(progress.get("unimproved", 0))
        if self.best_epoch >= 0 and (self.output / BEST).is_file():
            self.best, self.best_is_saved = load_checkpoint(self.output / BEST)[0], True
        self._trim_history()

    def _trim_history(self) -> None:
        """Drop a half-written line and epochs that the resumed run does again."""
        history = self.output / HISTORY
        lines = history.read_text(encoding="utf-8").splitlines() if history.is_file() else []
        history.write_text("".join(line + "\n" for line in lines[: self.epoch]), encoding="utf-8")

    def result(self) -> TrainResult:
        """What the run leaves behind: its best network, or the network as it is where no epoch was finished."""
        if self.best is None:
            self._keep()
        assert self.best is not None
        return TrainResult(
            model=self.best.eval(),
            card=self._best_card(),
            best=self.output / BEST,
            last=self.output / LAST,
            history=self.output / HISTORY,
            best_dsc=self.best_dsc,
            best_epoch=self.best_epoch,
            epochs=self.epoch,
            steps=self.steps,
            seconds=time.perf_counter() - self.born,
            config=self.config,
        )


def new_card(
    card: ModelCard, rules: Preprocessing, codec: str, config: TrainConfig, origin: Mapping[str, Any]
) -> ModelCard:
    """The card of what this run makes of a model."""
    step = {**origin, "date": date.today().isoformat(), "config": config.as_dict()}
    return replace(
        card,
        preprocessing=rules.as_dict(),
        codec=codec,
        scores={},  # those of the start are not those of what becomes of it
        versions={"napari-wavegms": __version__, "torch": str(torch.__version__)},
        created=date.today().isoformat(),
        # Through JSON, so that a card from a file compares equal to a fresh one.
        lineage=(*card.lineage, json.loads(json.dumps(step))),
    )
