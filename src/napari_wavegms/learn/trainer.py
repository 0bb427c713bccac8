"""Training and fine-tuning: a generator that yields events and leaves best, last and history behind as it goes."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Generator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from napari_wavegms.errors import InputError, TrainingError
from napari_wavegms.learn.events import TrainEpoch, TrainEvent, TrainResult, TrainStarted, TrainStep
from napari_wavegms.learn.losses import Losses, Targets, wave_gms_losses
from napari_wavegms.learn.metrics import dice, iou
from napari_wavegms.learn.teacher import FrozenEncoder, ImageTeacher, LatentCache
from napari_wavegms.learn.views import draw_views, warmup_cosine
from napari_wavegms.model.card import ModelCard
from napari_wavegms.model.checkpoint import load_training, save_checkpoint
from napari_wavegms.model.device import computes_bfloat16
from napari_wavegms.model.wave_gms import Prediction, WaveGMS
from napari_wavegms.segment.images import Preprocessing, prepare, prepare_mask

if TYPE_CHECKING:
    from napari_wavegms.learn.config import TrainConfig
    from napari_wavegms.learn.pairs import Pair
    from napari_wavegms.model.codec import TinyVAE

BEST, LAST, HISTORY = "best.safetensors", "last.safetensors", "history.jsonl"


def train(
    pairs: Sequence[Pair],
    validation: Sequence[Pair],
    start: WaveGMS,
    codec: TinyVAE,
    config: TrainConfig,
    output: str | os.PathLike[str],
    *,
    teacher: ImageTeacher | None = None,
    card: ModelCard | None = None,
    device: str = "cpu",
    resume: bool = False,
) -> Generator[TrainEvent, None, TrainResult]:
    """Train a network on pairs of images and masks.

    Closing the generator stops the run; `best.safetensors` then holds the best epoch so far, or the state at the stop
    if no epoch was finished. Everything random follows from the seed and the epoch, so a run resumed from
    `last.safetensors` continues as if it had not been stopped.

    Parameters
    ----------
    pairs : sequence of Pair
        What to learn from; one is enough.
    validation : sequence of Pair
        What to choose the best epoch by (mean DSC at the working size); may be empty, then the last epoch is the best.
    start : WaveGMS
        The network to start from; it is trained in place.
    codec : TinyVAE
        Encodes and decodes masks.
    config : TrainConfig
        The recipe.
    output : path-like
        Folder for best.safetensors, last.safetensors and history.jsonl.
    teacher : ImageTeacher, optional
        Gives the image latents to align with; by default a frozen copy of `start`'s encoder.
    card : ModelCard, optional
        The card to start from; lineage, scores and preprocessing are filled in.
    device : str
        A torch device name.
    resume : bool
        Continue from `last.safetensors` in `output`, if it is there.

    Yields
    ------
    TrainStarted, TrainStep, TrainEpoch

    Returns
    -------
    TrainResult

    Raises
    ------
    InputError
        If there are no pairs, or they do not fit.
    TrainingError
        If the loss is no longer finite.
    """
    if not pairs:
        raise InputError("There is no pair of image and mask to learn from. Add at least one.")
    run = _Run(pairs, validation, start, codec, config, Path(output), teacher, card, device)
    if resume:
        run.resume()
    yield run.started()
    try:
        for epoch in range(run.epoch, config.epochs):
            yield from run.train_epoch(epoch)
            yield run.finish_epoch(epoch)
    finally:
        run.leave_something()
    return run.result()


@dataclass(slots=True)
class _Sums:
    """Running means of one epoch."""

    count: int = 0
    values: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0)

    def add(self, values: tuple[float, ...], weight: int) -> None:
        self.count += weight
        self.values = tuple(a + weight * b for a, b in zip(self.values, values, strict=True))

    def means(self) -> tuple[float, ...]:
        return tuple(value / max(1, self.count) for value in self.values)


class _Run:
    """The state of one training run."""

    def __init__(
        self,
        pairs: Sequence[Pair],
        validation: Sequence[Pair],
        start: WaveGMS,
        codec: TinyVAE,
        config: TrainConfig,
        output: Path,
        teacher: ImageTeacher | None,
        card: ModelCard | None,
        device: str,
    ) -> None:
        self.config, self.output, self.device = config, output, device
        card = card or ModelCard(name=output.name)
        rules = Preprocessing.from_dict(card.preprocessing | {"size": config.size})
        self.images, self.masks = framed(pairs, rules)
        self.val_images, self.val_masks = framed(validation, rules)
        self.model = start.to(device)
        self.codec = codec.to(device)
        self.image_cache = LatentCache((teacher or FrozenEncoder(start)).encode) if config.alignment_weight else None
        self.mask_cache = LatentCache(self.codec.encode)
        self.averaged = AveragedModel(start, multi_avg_fn=get_ema_multi_avg_fn(config.average_decay)) if (
            config.average_decay
        ) else None
        self.optimiser = torch.optim.AdamW(
            start.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self.bfloat16 = config.precision == "bfloat16" or (config.precision == "auto" and computes_bfloat16(device))
        self.card = replace(
            card,
            preprocessing=rules.as_dict(),
            codec=codec.fingerprint,
            versions=_versions(),
            created=date.today().isoformat(),
            lineage=(*card.lineage, {"pairs": len(pairs), "config": config.as_dict(), "from": card.name}),
        )
        self.epoch = 0
        self.best_dsc: float | None = None
        self.best_epoch = -1
        self.sums = _Sums()
        self.clock = time.perf_counter()

    @property
    def steps_per_epoch(self) -> int:
        return -(-len(self.images) // self.config.batch)

    def started(self) -> TrainStarted:
        self.output.mkdir(parents=True, exist_ok=True)
        if self.epoch == 0:
            (self.output / HISTORY).write_text("")
        return TrainStarted(
            pairs=len(self.images),
            validation=len(self.val_images),
            steps_per_epoch=self.steps_per_epoch,
            epochs=self.config.epochs,
            first_epoch=self.epoch,
            device=self.device,
            precision="bfloat16" if self.bfloat16 else "float32",
        )

    def train_epoch(self, epoch: int) -> Generator[TrainEvent, None, None]:
        self.sums, self.clock = _Sums(), time.perf_counter()
        rng = np.random.default_rng((self.config.seed, epoch))
        generator = torch.Generator(self.device).manual_seed(self.config.seed * 1_000_003 + epoch)
        order = rng.permutation(len(self.images))
        for step, first in enumerate(range(0, len(order), self.config.batch)):
            indices = [int(i) for i in order[first : first + self.config.batch]]
            rate = self._set_rate(epoch * self.steps_per_epoch + step)
            losses = self._step(indices, rng, generator)
            values = tuple(x.item() for x in (losses.total, losses.segmentation, losses.latent, losses.alignment))
            if not np.isfinite(values[0]):
                raise TrainingError(
                    f"The loss became {values[0]} in epoch {epoch + 1}, step {step + 1}; the best model so far is "
                    f"kept. Try a smaller learning rate than {self.config.learning_rate:g}."
                )
            self.sums.add(values, len(indices))
            yield TrainStep(epoch, step, self.steps_per_epoch, *values, learning_rate=rate)

    def _set_rate(self, step: int) -> float:
        steps = self.config.epochs * self.steps_per_epoch
        warmup = max(1, round(min(self.config.warmup_epochs * self.steps_per_epoch, steps / 5)))
        rate = self.config.learning_rate * warmup_cosine(step, steps, warmup)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        return rate

    def _step(self, indices: list[int], rng: np.random.Generator, generator: torch.Generator) -> Losses:
        self.model.train()
        images = (self.images[indices].float() / 255).to(self.device)
        masks = self.masks[indices].float().to(self.device)
        views = draw_views(images, masks, self.config.augmentation, rng)
        with self._autocast():
            everything = torch.ones(len(indices), dtype=torch.bool)
            mask_latents = self.mask_cache.latents(views.masks, views, indices, everything)
            aligned = everything if self.config.align_warped else views.plain
            image_latents = self.image_cache and self.image_cache.latents(views.images, views, indices, aligned)
            latent = self.model.encoder(views.images)
            fed = latent.sample(generator) if self.config.sample_latent else latent.mean
            prediction = Prediction(latent, self.model.mapper(fed))
            targets = Targets(views.masks, mask_latents, image_latents, aligned)
            losses = wave_gms_losses(prediction, fed, targets, self.codec, self.config)
        self.optimiser.zero_grad(set_to_none=True)
        losses.total.backward()  # type: ignore[no-untyped-call]
        if self.config.clip:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip)
        self.optimiser.step()
        if self.averaged is not None:
            self.averaged.update_parameters(self.model)
        return losses

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.partition(":")[0], torch.bfloat16, enabled=self.bfloat16)

    def finish_epoch(self, epoch: int) -> TrainEpoch:
        """Validate, write the files, tell."""
        config = self.config
        due = (epoch + 1) % config.validate_every == 0 or epoch + 1 == config.epochs
        scores = self._validate() if due and len(self.val_images) else None
        dsc, overlap = scores or (None, None)
        improved = dsc is not None and (self.best_dsc is None or dsc > self.best_dsc)
        if improved or not len(self.val_images):
            self.best_dsc, self.best_epoch = dsc, epoch
            self._save_best()
        self.epoch = epoch + 1
        self._save_last()
        loss, segmentation, latent, alignment = self.sums.means()
        event = TrainEpoch(
            epoch,
            config.epochs,
            loss,
            segmentation,
            latent,
            alignment,
            learning_rate=self.optimiser.param_groups[0]["lr"],
            dsc=dsc,
            iou=overlap,
            best_dsc=self.best_dsc,
            improved=improved,
            seconds=time.perf_counter() - self.clock,
        )
        with (self.output / HISTORY).open("a", encoding="utf-8") as history:
            history.write(json.dumps(asdict(event)) + "\n")
        return event

    def _kept_model(self) -> WaveGMS:
        """The network that is validated and kept: the averaged one, where there is one."""
        return self.model if self.averaged is None else self.averaged.module

    @torch.inference_mode()
    def _validate(self) -> tuple[float, float]:
        model = self._kept_model().eval()
        scores = []
        for first in range(0, len(self.val_images), self.config.batch):
            images = (self.val_images[first : first + self.config.batch].float() / 255).to(self.device)
            with self._autocast():
                latents = model(images.contiguous(memory_format=torch.channels_last)).mask.out
                probability = self.codec.decode(latents).float().cpu().numpy()
            truth = self.val_masks[first : first + self.config.batch].numpy().astype(bool)
            scores += [(dice(a, b), iou(a, b)) for a, b in zip(probability >= self.card.threshold, truth, strict=True)]
        dsc, overlap = np.mean(scores, axis=0)
        return float(dsc), float(overlap)

    def _save_best(self) -> None:
        scores = {} if self.best_dsc is None else {"validation": {"dsc": self.best_dsc, "n": len(self.val_images)}}
        card = replace(self.card, scores=self.card.scores | scores)
        save_checkpoint(self.output / BEST, self._kept_model(), card)

    def _save_last(self) -> None:
        progress = {"epoch": self.epoch, "best_dsc": self.best_dsc, "best_epoch": self.best_epoch}
        card = replace(self.card, scores={"unfinished": progress})
        save_checkpoint(self.output / LAST, self.model, card, training=self._training_state())

    def _training_state(self) -> dict[str, Tensor]:
        state = {
            f"optimiser.{index}.{name}": value
            for index, entry in self.optimiser.state_dict()["state"].items()
            for name, value in entry.items()
        }
        if self.averaged is not None:
            state |= {f"averaged.{name}": value for name, value in self.averaged.state_dict().items()}
        return state

    def resume(self) -> None:
        last = self.output / LAST
        if not last.is_file():
            return
        model, card, state = load_training(last)
        progress = card.scores.get("unfinished", {})
        if card.lineage[-1].get("config") != json.loads(json.dumps(self.config.as_dict())):
            raise InputError(
                f"{last} was trained with other settings; a run resumes with its own. Give the same options, or "
                "another output folder."
            )
        self.model.load_state_dict(model.state_dict())
        self._load_optimiser(state)
        if self.averaged is not None:
            averaged = {n.removeprefix("averaged."): t for n, t in state.items() if n.startswith("averaged.")}
            self.averaged.load_state_dict(averaged)
        self.epoch = int(progress["epoch"])
        self.best_dsc, self.best_epoch = progress["best_dsc"], int(progress["best_epoch"])
        self._trim_history()

    def _load_optimiser(self, state: dict[str, Tensor]) -> None:
        entries: dict[int, dict[str, Tensor]] = {}
        for key, tensor in state.items():
            part, _, rest = key.partition(".")
            if part == "optimiser":
                index, _, name = rest.partition(".")
                entries.setdefault(int(index), {})[name] = tensor
        whole: dict[str, Any] = self.optimiser.state_dict()
        self.optimiser.load_state_dict(whole | {"state": entries})

    def _trim_history(self) -> None:
        """Drop a half-written line and epochs that the resumed run does again."""
        history = self.output / HISTORY
        lines = history.read_text(encoding="utf-8").splitlines() if history.is_file() else []
        history.write_text("".join(line + "\n" for line in lines[: self.epoch]), encoding="utf-8")

    def leave_something(self) -> None:
        """A run stopped before its first validation still leaves a loadable best."""
        if not (self.output / BEST).is_file() and self.output.is_dir():
            self._save_best()

    def result(self) -> TrainResult:
        return TrainResult(
            self.output / BEST,
            self.output / LAST,
            self.output / HISTORY,
            self.best_dsc,
            self.best_epoch,
            self.epoch,
            self.config,
        )


def framed(pairs: Sequence[Pair], rules: Preprocessing) -> tuple[Tensor, Tensor]:
    """Images (N, 3, S, S) and masks (N, 1, S, S) in the working frame, uint8 to hold whole data sets in memory."""
    side = rules.size
    images = np.empty((len(pairs), 3, side, side), np.uint8)
    masks = np.empty((len(pairs), 1, side, side), np.uint8)
    for i, pair in enumerate(pairs):
        images[i] = np.rint(prepare(pair.image, rules).pixels * 255)
        masks[i, 0] = prepare_mask(pair.mask, rules)
    return torch.from_numpy(images), torch.from_numpy(masks)


def _versions() -> dict[str, str]:
    found = {}
    for name in ("napari-wavegms", "torch"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "unknown"
    return found
