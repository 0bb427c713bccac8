"""Train the next generalist from the beginning, with context features, over all sets whose terms let weights ship.

    python recipes/train_generalist.py --data DATA --taesd TAESD --run runs/generalist

goes on where the run folder's `last.safetensors` stands, until it is stopped (SIGTERM and Ctrl+C write it first). Where
the folder is lost, `--start recipes/checkpoints/FILE.safetensors` goes on from averaged weights with a fresh optimiser;
`--begin-with MODEL` begins in the last stage with the weights of a model that has no context yet. `--cooldown STEPS`
lowers the rate to nothing over as many steps and ends. DATA holds busi/, isic2017/ and atlas/train/. What ships is made
of its averaged weights by `recipes/average.py`, and `recipes/familiarity.py` adds the kinds of image that it knows.

Meant to be cut at any time: the rate is constant, and what counts is an exponential average of the weights, written
beside as `averaged.safetensors` (float16, with its card) every ten minutes; cooling down is a short stage of its own.
Beforehand E_wave alone learns to speak TAESD's latents, for which no mask is needed; then everything learns, with
cross-entropy beside Dice, from strong views, most steps on small frames at first.

One image may be asked for several things (three structures of a spine): each class of a set with several has a learned
vector that is added to the mapper's stem while training, and the union of all classes, like every set of one class, has
none. So contradicting masks do not average out, what ships answers with everything that is labelled, and the
vectors stay behind.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from atlas import SOURCES, TASKS, Framed, Source, read
from draws import Data, Sample, few
from parts import whole
from strong_views import Strength
from torch import Tensor, nn

from napari_wavegms.learn.learner import pack_state, unpack_state
from napari_wavegms.learn.losses import alignment_loss, cross_entropy
from napari_wavegms.learn.metrics import dice
from napari_wavegms.model.card import ModelCard
from napari_wavegms.model.checkpoint import load_checkpoint, load_training, save_checkpoint
from napari_wavegms.model.codec import Taesd, TinyVAE, load_codec
from napari_wavegms.model.device import computes_bfloat16
from napari_wavegms.model.network import HEADS, WaveGMS
from napari_wavegms.model.registry import resolve
from napari_wavegms.segment.preprocessing import Preprocessing
from napari_wavegms.segment.segmenter import Inference

SIDE = 224
WEIGHT_DECAY, CLIP = 1e-2, 1.0
AVERAGE_DECAY = 0.999
CONTEXT_KEPT = 0.85
"""Share of the samples that see their context, so that the wavelet path keeps its worth."""
TRUNK_RATE = 0.1
"""Rate of the context trunk, which is trained already, as a multiple of the others'."""
TASK_SPREAD, TASK_RATE = 1.5, 5.0
"""Standard deviation of the tasks' vectors at the start, and their rate as a multiple of the others'."""
DICE_SMOOTHING = 1e-5


@dataclass(frozen=True)
class Stage:
    """A part of the training; `steps` of 0 is without end."""

    name: str
    steps: int
    batch: int
    rate: float
    sizes: dict[int, float]
    """Sides of the frames and the share of the steps that take them."""
    align_only: bool = False


STAGES = (
    Stage("align", 450, 8, 2e-3, {128: 1.0}, align_only=True),
    Stage("small", 3000, 4, 1.5e-3, {128: 0.6, 224: 0.4}),
    Stage("full", 0, 4, 1e-3, {224: 1.0}),
)
WARMUP = 150


class Tasks(nn.Module):
    """A vector for each task, added to the stem of a mapper by a hook for the batch at hand."""

    def __init__(self, mapper: nn.Module, width: int, generator: torch.Generator) -> None:
        super().__init__()
        self.vectors = nn.Parameter(TASK_SPREAD * torch.randn(len(TASKS), width, generator=generator))
        self.asked = torch.zeros(0, dtype=torch.long)
        mapper.stem.register_forward_hook(self._add)

    def _add(self, module: nn.Module, arguments: Any, maps: Tensor) -> Tensor:
        if not (self.asked >= 0).any():
            return maps
        known = (self.asked >= 0)[:, None]
        vectors = torch.where(known, self.vectors[self.asked.clamp(min=0)], 0.0)
        return maps + vectors[:, :, None, None].to(maps.dtype)


@dataclass
class Progress:
    """Where a run stands."""

    step: int = 0
    images: int = 0
    seconds: float = 0.0
    cooled: int = 0
    scores: dict[str, Any] = field(default_factory=dict)
    stages: tuple[Stage, ...] = STAGES

    def stage(self) -> tuple[Stage, int]:
        """The stage of the next step, and the steps already done in it."""
        within = self.step
        for stage in self.stages:
            if not stage.steps or within < stage.steps:
                return stage, within
            within -= stage.steps
        raise AssertionError("the last stage has no end")


class Trainer:
    """The network as it learns.

    Parameters
    ----------
    data : Data
    codec : TinyVAE
        Encodes and decodes masks.
    teacher : TinyVAE
        TAESD, whose latents of images E_wave learns.
    seed : int
        With the step it decides everything random.
    trunk_rate : float
        The rate of the context trunk as a multiple of the others'; it stays frozen at 0.
    """

    def __init__(
        self, data: Data, codec: TinyVAE, teacher: Taesd, seed: int, strength: Strength, trunk_rate: float = TRUNK_RATE
    ) -> None:
        self.data, self.codec, self.seed, self.strength = data, codec, seed, strength
        self.trunk_rate = trunk_rate
        self.bfloat16 = computes_bfloat16("cpu")
        self.teacher = teacher.bfloat16() if self.bfloat16 else teacher
        if self.bfloat16:
            self.teacher.to(memory_format=torch.channels_last)
        torch.manual_seed(seed)
        self.model, self.averaged = (WaveGMS(context=True, own_trunk=trunk_rate > 0) for _ in range(2))
        self.averaged.load_state_dict(self.model.state_dict())
        self.tasks = Tasks(self.model.mapper, self.model.mapper.stem.out_channels, torch.Generator().manual_seed(seed))
        self.progress = Progress()
        self.rate = 1.0
        self.context_kept, self.alignment_weight = CONTEXT_KEPT, 1.0
        self.lineage: tuple[dict[str, Any], ...] = ()
        self.fresh = 0  # steps since the optimiser began
        self.renew()

    def renew(self) -> None:
        """Begin with a fresh optimiser."""
        parts: tuple[tuple[nn.Module | None, float, float], ...] = (
            (self.model.encoder, WEIGHT_DECAY, 1.0),
            (self.model.mapper, WEIGHT_DECAY, 1.0),
            (self.tasks, 0.0, TASK_RATE),
            (self.model.trunk if self.trunk_rate else None, WEIGHT_DECAY, self.trunk_rate),
        )
        groups = [
            {"params": list(part.parameters()), "weight_decay": decay, "times": times}
            for part, decay, times in parts
            if part is not None
        ]
        self.optimiser = torch.optim.AdamW(groups, lr=1e-3, fused=True)
        self.fresh = 0

    def step(self, cooldown: int = 0) -> dict[str, Any]:
        """Learn from one batch; what it lost, by terms and by sets."""
        stage, within = self.progress.stage()
        rng = np.random.default_rng([self.seed, self.progress.step])
        size = int(rng.choice(list(stage.sizes), p=list(stage.sizes.values())))
        samples = [self.data.draw(rng, self.strength, size) for _ in range(stage.batch)]
        rate = self.rate * stage.rate * min(1.0, (min(within, self.fresh) + 1) / WARMUP)
        if cooldown:
            rate *= max(0.0, 1 - self.progress.cooled / cooldown)
            self.progress.cooled += 1
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group["times"]
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.progress.step)
        self.model.train()
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16):
            total, told = self._losses(samples, stage, generator)
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()
        learned = [*self.model.parameters(), *self.tasks.parameters()]
        norm = torch.nn.utils.clip_grad_norm_(learned, CLIP)
        if not torch.isfinite(norm):
            raise FloatingPointError(f"the gradient is not finite at step {self.progress.step}")
        self.optimiser.step()
        self._average()
        self.progress.step += 1
        self.progress.images += len(samples)
        self.fresh += 1
        return told | {"rate": rate}

    def _losses(self, samples: list[Sample], stage: Stage, generator: torch.Generator) -> tuple[Tensor, dict[str, Any]]:
        images = torch.stack([sample.image for sample in samples])
        latent = self.model.encoder(images)
        fed = latent.sample(generator)
        # The teacher costs a third of a step an image: beside the masks it speaks of one image a batch.
        aligned = len(images) if stage.align_only else 1
        alignment = alignment_loss(fed[:aligned].float(), self._teach(images[:aligned]))
        if stage.align_only:
            return alignment, {"alignment": float(alignment.detach())}
        masks = torch.stack([sample.mask for sample in samples])[:, None].float()
        context = self.model.context(images)
        assert context is not None
        kept = torch.rand(len(samples), generator=generator) < self.context_kept
        self.tasks.asked = torch.tensor([sample.task for sample in samples])
        heads = self.model.mapper(fed, context * kept[:, None, None, None])
        probability = self.codec.decode(heads.out).float()
        overlaps = dice_losses(probability, masks)
        entropy = cross_entropy(probability, masks)
        with torch.no_grad():
            wanted = self.codec.encode(masks).float()
        errors = torch.stack([F.mse_loss(getattr(heads, level).float(), wanted) for level in HEADS]).sum()
        by_set: dict[str, list[float]] = defaultdict(list)
        for sample, loss in zip(samples, overlaps.tolist(), strict=True):
            by_set[sample.source.name].append(1 - loss)
        total = overlaps.mean() + entropy + errors + self.alignment_weight * alignment
        terms = {"dice": overlaps.mean(), "entropy": entropy, "latent": errors, "alignment": alignment}
        return total, {name: float(term.detach()) for name, term in terms.items()} | {"sets": dict(by_set)}

    @torch.no_grad()
    def _teach(self, images: Tensor) -> Tensor:
        if self.bfloat16:
            images = images.bfloat16().contiguous(memory_format=torch.channels_last)
        return self.teacher.encode(images).float()

    @torch.no_grad()
    def _average(self) -> None:
        decay = min(AVERAGE_DECAY, (1 + self.fresh) / (10 + self.fresh))
        torch._foreach_lerp_(list(self.averaged.parameters()), list(self.model.parameters()), 1 - decay)

    def save(self, folder: Path) -> None:
        """Write what a stopped run needs, and the averaged weights as they are committed."""
        state = pack_state(self.optimiser, None) | {"tasks": self.tasks.vectors}
        state |= {f"ema.{name}": tensor for name, tensor in self.averaged.state_dict().items()}
        card = self.card()
        save_checkpoint(folder / "last.safetensors", self.model, card, training=state)
        save_checkpoint(
            folder / "averaged.safetensors",
            self.averaged,
            card,
            half=True,
            training={"tasks": self.tasks.vectors.half()},
        )

    def load(self, file: Path) -> None:
        """Go on from `last.safetensors`, or from averaged weights with a fresh optimiser."""
        model, card, state = load_training(file)
        take_up(self.model, model.state_dict())
        *before, about = card.lineage
        self.lineage = tuple(before)
        average = {name.removeprefix("ema."): tensor for name, tensor in state.items() if name.startswith("ema.")}
        cooled = about.get("cooled", 0) if average else 0  # a new run cools down anew
        self.progress = Progress(about["step"], about["images"], about["seconds"], cooled, dict(card.scores))
        self.tasks.vectors.data.copy_(state["tasks"])
        take_up(self.averaged, average or model.state_dict())
        self.renew()
        if average:
            times = [group["times"] for group in self.optimiser.param_groups]
            unpack_state(state, self.optimiser, None)
            for group, factor in zip(self.optimiser.param_groups, times, strict=True):
                group["times"] = factor
            self.fresh = about["fresh"]

    def begin_with(self, file: Path, trunk: Path | None = None) -> None:
        """Take the weights of a model without context, and a trunk that learned, and go straight to the last stage."""
        model, card = load_checkpoint(file)
        weights = model.state_dict()
        if trunk is not None:
            learned = load_checkpoint(trunk)[0].state_dict()
            weights |= {name: tensor for name, tensor in learned.items() if name.startswith("trunk.")}
        for network in (self.model, self.averaged):
            take_up(network, weights)
        self.progress = Progress(step=sum(stage.steps for stage in STAGES))
        self.lineage = card.lineage

    def card(self) -> ModelCard:
        """What the checkpoint says of itself."""
        stage, _ = self.progress.stage()
        about = {
            "recipe": "recipes/train_generalist.py",
            "seed": self.seed,
            "stage": stage.name,
            "step": self.progress.step,
            "images": self.progress.images,
            "seconds": round(self.progress.seconds),
            "cooled": self.progress.cooled,
            "fresh": self.fresh,
        }
        return ModelCard(
            name="generalist-context",
            title="Many kinds of medical image",
            description="Wave-GMS with context features, on its way to the next generalist.",
            preprocessing=Preprocessing(SIDE, margins=True).as_dict(),
            codec=self.codec.fingerprint,
            class_names=("background", "structure"),
            lineage=(*self.lineage, about),
            scores=self.progress.scores,
            data="; ".join(f"{source.name} ({source.citation}; {source.terms})" for source in SOURCES),
            terms="Weights: BSD-3-Clause, as the program; the context trunk: Apache-2.0 (context-trunk.NOTICE). The "
            "training images are CC0 or CC BY 4.0; cite the papers.",
            command="python recipes/train_generalist.py --data DATA --taesd TAESD --run runs/generalist",
        )


def take_up(network: WaveGMS, weights: Mapping[str, Tensor]) -> None:
    """Load the weights of a network that may lack context or a trunk of its own."""
    missing, unexpected = network.load_state_dict(weights, strict=False)
    assert not unexpected
    assert all(name.startswith(("mapper.context.", "trunk.")) for name in missing)


def dice_losses(probability: Tensor, masks: Tensor) -> Tensor:
    """One minus the soft Dice of each sample (B,); 0 where there is nothing to find, which is cross-entropy's part."""
    overlap = (probability * masks).sum(dim=(1, 2, 3))
    total = probability.sum(dim=(1, 2, 3)) + masks.sum(dim=(1, 2, 3))
    lost = 1 - (2 * overlap + DICE_SMOOTHING) / (total + DICE_SMOOTHING)
    return torch.where(masks.amax(dim=(1, 2, 3)) > 0, lost, 0.0)


def validated(model: WaveGMS, codec: TinyVAE, held_out: Mapping[Source, Sequence[Framed]]) -> dict[str, Any]:
    """DSC of each set at the working size without margins, and as the images come where they have any."""
    inference = Inference(model.eval(), codec, "cpu")
    scores = {}
    for source, frames in held_out.items():
        found = [[score_view(inference, image, labels) for image, labels in frame.views] for frame in frames]
        entry = {"n": len(found), "dsc": round(float(np.mean([each[-1] for each in found])), 4)}
        if any(len(each) > 1 for each in found):
            entry["as_is"] = round(float(np.mean([each[0] for each in found])), 4)
        scores[source.name] = entry
    return scores


def score_view(inference: Inference, image: np.ndarray, labels: np.ndarray) -> float:
    """DSC of one framed image against the union of its labels."""
    probability = inference.predict(torch.from_numpy(image)[None].float() / 255)[0, 0]
    return dice(probability.numpy() >= 0.5, labels > 0)


def windows(count: int) -> Generator[dict[str, Any] | None, dict[str, Any], None]:
    """Means over the steps that are sent in, every `count` of them; None before."""
    kept: dict[str, list[float]] = defaultdict(list)
    by_set: dict[str, list[float]] = defaultdict(list)
    line: dict[str, Any] | None = None
    steps = 0
    while True:
        told = yield line
        steps += 1
        for name, value in told.pop("sets", {}).items():
            by_set[name] += value
        for name, value in told.items():
            kept[name].append(value)
        line = None
        if steps % count == 0:
            line = {name: float(f"{np.mean(values):.4g}") for name, values in kept.items()}
            line["sets"] = {name: round(float(np.mean(values)), 3) for name, values in sorted(by_set.items())}
            kept.clear()
            by_set.clear()


@contextmanager
def stoppable() -> Iterator[list[int]]:
    """Collect SIGTERM and Ctrl+C in a list, so that a run ends between two steps."""
    asked: list[int] = []
    before = {number: signal.signal(number, lambda n, _: asked.append(n)) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def tell(folder: Path, progress: Progress, **line: Any) -> None:
    """Append a line to the log."""
    line = {"step": progress.step, "images": progress.images, "seconds": round(progress.seconds)} | line
    with (folder / "log.jsonl").open("a", encoding="utf-8") as log:
        log.write(json.dumps(line) + "\n")


def run(trainer: Trainer, held_out: Mapping[Source, Sequence[Framed]], options: argparse.Namespace) -> None:
    """Learn until it is stopped, cooled down, or has made the steps asked for; then write everything."""
    folder, progress = options.run, trainer.progress
    window = windows(options.log_every)
    next(window)
    clock = saved = scored = time.perf_counter()
    end = progress.step + (options.steps or sys.maxsize)

    def score() -> None:
        if not progress.stage()[0].align_only:
            progress.scores = validated(trainer.averaged, trainer.codec, held_out)
            tell(folder, progress, val=progress.scores)

    with stoppable() as stopped:
        while not stopped and progress.step < end and not (options.cooldown and progress.cooled >= options.cooldown):
            told = trainer.step(options.cooldown)
            now = time.perf_counter()
            progress.seconds += now - clock
            clock = now
            if line := window.send(told):
                tell(folder, progress, stage=progress.stage()[0].name, **line)
            if now - scored > 60 * options.validate_minutes:
                score()
                scored = time.perf_counter()
            if now - saved > 60 * options.save_minutes:
                trainer.save(folder)
                saved = time.perf_counter()
        if not stopped:
            score()
        trainer.save(folder)
    tell(folder, progress, ended=time.strftime("%Y-%m-%d %H:%M:%S"))


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    torch.set_num_threads(1)
    sources = [source for source in SOURCES if not options.sets or source.name in options.sets]
    divided = {source: read(options.data, source, Preprocessing(SIDE)) for source in sources}
    learned = {source: few(train, options.limit or len(train)) for source, (train, _) in divided.items()}
    held_out = {source: few(val, 57 if source.name == "busi" else options.val) for source, (_, val) in divided.items()}
    trainer = Trainer(
        Data(learned),
        load_codec(),
        Taesd.from_file(options.taesd),
        options.seed,
        Strength(plain=options.plain),
        options.trunk_rate,
    )
    options.run.mkdir(parents=True, exist_ok=True)
    last = options.run / "last.safetensors"
    trainer.rate = options.rate
    if last.exists() or options.start:
        with whole(last if last.exists() else options.start) as file:
            trainer.load(file)
    elif options.begin_with:
        trainer.begin_with(resolve(options.begin_with), options.trunk)
    counts = {source.name: [len(frames), len(held_out[source])] for source, frames in learned.items()}
    begun = time.strftime("%Y-%m-%d %H:%M:%S")
    tell(options.run, trainer.progress, begun=begun, sets=counts, start=str(options.start or ""))
    run(trainer, held_out, options)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of busi/, isic2017/ and atlas/train/")
    parser.add_argument("--taesd", type=Path, required=True, help="folder of TAESD's weights, the alignment teacher")
    parser.add_argument("--run", type=Path, required=True, help="folder of the run's own files")
    parser.add_argument("--start", type=Path, metavar="FILE", help="averaged weights, where the run folder is lost")
    parser.add_argument("--begin-with", metavar="MODEL", help="name or file of a model without context")
    parser.add_argument("--trunk", type=Path, metavar="FILE", help="a model whose trunk it begins with, too")
    parser.add_argument("--rate", type=float, default=1.0, help="multiplies the stages' rates")
    parser.add_argument(
        "--trunk-rate", type=float, default=TRUNK_RATE, help="the trunk's, times the others'; 0: frozen"
    )
    parser.add_argument("--cooldown", type=int, default=0, help="lower the rate to nothing over so many steps, and end")
    parser.add_argument(
        "--plain", type=float, default=Strength.plain, help="share of the views that are hardly changed"
    )
    parser.add_argument("--steps", type=int, default=0, help="end after so many steps")
    parser.add_argument("--sets", nargs="+", help="only these sets, for a try")
    parser.add_argument("--limit", type=int, help="only so many images of each set, for a try")
    parser.add_argument("--val", type=int, default=24, help="images of each set but BUSI to validate on (default: 24)")
    parser.add_argument("--seed", type=int, default=2333)
    parser.add_argument("--log-every", type=int, default=100, help="steps a line of log.jsonl")
    parser.add_argument("--save-minutes", type=float, default=10)
    parser.add_argument("--validate-minutes", type=float, default=30)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
