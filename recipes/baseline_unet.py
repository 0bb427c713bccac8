"""The baseline: MONAI's U-Net of the same size, trained as long on the same data, views and schedule.

    python -m pip install monai
    python recipes/baseline_unet.py --data BUSI --epochs 36 --size 128 --seed 1
    python recipes/baseline_unet.py --data BUSI --stages small full

The loss is the usual one of such networks, Dice and cross-entropy in equal parts; batch, optimiser, schedule, views,
average of the weights and precision are those of the shipped model's recipe. `--hours` ends it, its rate decayed to
match, where the comparison is by time rather than by epochs. It is scored by the averaged weights of the last step, so
val chooses nothing. A stopped run continues with the same command. The result is one line of the lab file.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from budget import add_budget, folder_name, in_words, stages_of
from lab import command, machine, record
from monai.networks.nets import BasicUNet
from scoring import rounded
from sets import read_set
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from napari_wavegms.learn.augmentation import draw_views, misplacing_turns, warmup_cosine
from napari_wavegms.learn.config import TrainConfig
from napari_wavegms.learn.evaluate import ImageScored, Report
from napari_wavegms.learn.frames import framed
from napari_wavegms.learn.losses import soft_dice_loss
from napari_wavegms.learn.metrics import dice, hd95, iou
from napari_wavegms.learn.pairs import Pair
from napari_wavegms.model.device import choose_device, computes_bfloat16
from napari_wavegms.segment.preprocessing import Preprocessing
from napari_wavegms.storage.atomic import atomic_write

FEATURES = (24, 36, 72, 148, 296, 24)  # 2,596,967 parameters; Wave-GMS has 2,600,668


def main() -> None:
    options = parse()
    device = choose_device(options.device).name
    stages = stages_of(options)
    pairs, validation = (read_set(options.data, subset, options.limit) for subset in ("train", "val"))
    torch.manual_seed(options.seed)
    model = unet().to(device)
    limit = f"-{options.limit}-images" if options.limit else ""
    limit += f"-{options.hours}-hours" if options.hours else ""
    seconds = 0.0
    for number, config in enumerate(stages):
        file = options.run / f"{folder_name(stages)}{limit}" / f"{number}.pt"
        seconds += fit(model, pairs, config, file, device, 3600 * options.hours / len(stages))
    config = stages[-1]
    record(
        options.lab,
        "U-Net (MONAI's BasicUNet)",
        rounded(judged(model, validation, config.size, device)),
        data=f"{options.data.name} val",
        training=in_words(stages) + (f", at most {options.hours:g} hours" if options.hours else ""),
        start="random",
        pairs=len(pairs),
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        seed=options.seed,
        device=machine(device),
        seconds=round(seconds),
        command=command(sys.argv[1:]),
    )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_budget(parser)
    parser.add_argument("--hours", type=float, default=0.0, help="end after this much training, shared by the stages")
    parser.add_argument("--run", type=Path, default=Path("runs/baseline"), help="folder of the run's own files")
    return parser.parse_args()


def unet() -> BasicUNet:
    """The network, with random weights."""
    return BasicUNet(spatial_dims=2, in_channels=3, out_channels=1, features=FEATURES)


def fit(model: BasicUNet, pairs: list[Pair], config: TrainConfig, file: Path, device: str, limit: float) -> float:
    """Train one stage, leave the averaged weights in the model, and give the seconds that it took.

    The file holds the state after each epoch; with a finished one there is nothing to do.
    """
    frames = framed(pairs, replace(Preprocessing(), size=config.size))
    images, masks, misplacing = frames.images, frames.masks, misplacing_turns(frames.masks)
    averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(config.average_decay))
    optimiser = torch.optim.AdamW(model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    epoch, seconds = 0, 0.0
    if file.is_file():
        state = torch.load(file, map_location=device, weights_only=True)
        epoch, seconds = state["epoch"], state["seconds"]
        for part, name in ((model, "model"), (averaged, "averaged"), (optimiser, "optimiser")):
            part.load_state_dict(state[name])
    bfloat16 = config.precision == "bfloat16" or (config.precision == "auto" and computes_bfloat16(device))
    per_epoch = math.ceil(len(pairs) / config.batch)
    steps = config.epochs * per_epoch
    warmup = max(1, round(min(config.warmup_epochs * per_epoch, steps / 5)))
    while epoch < config.epochs and not (limit and seconds >= limit):
        clock, losses = time.perf_counter(), []
        rng = np.random.default_rng((config.seed, epoch))
        order = rng.permutation(len(pairs))
        model.train()
        for step, first in enumerate(range(0, len(order), config.batch)):
            share = (seconds + time.perf_counter() - clock) / limit if limit else 0.0
            reached = max(epoch * per_epoch + step, int(min(share, 1.0) * steps))
            for group in optimiser.param_groups:
                group["lr"] = config.learning_rate * warmup_cosine(reached, steps, warmup)
            indices = order[first : first + config.batch]
            views = draw_views(
                (images[indices].float() / 255).to(device),
                masks[indices].float().to(device),
                config.augmentation,
                rng,
                misplacing=[misplacing[i] for i in indices],
            )
            with torch.autocast(device.partition(":")[0], torch.bfloat16, enabled=bfloat16):
                logits = model(views.images)
            loss = dice_and_entropy(logits.float(), views.masks)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip)
            optimiser.step()
            averaged.update_parameters(model)
            losses.append(loss.item())
        epoch, seconds = epoch + 1, seconds + time.perf_counter() - clock
        print(f"epoch {epoch} of {config.epochs}, loss {np.mean(losses):.3f}, {seconds:.0f} s", flush=True)
        state = {"model": model, "averaged": averaged, "optimiser": optimiser}
        with atomic_write(file) as neighbour:
            torch.save(
                {name: part.state_dict() for name, part in state.items()} | {"epoch": epoch, "seconds": seconds},
                neighbour,
            )
    model.load_state_dict(averaged.module.state_dict())
    return seconds


def dice_and_entropy(logits: Tensor, masks: Tensor) -> Tensor:
    return soft_dice_loss(torch.sigmoid(logits), masks) + F.binary_cross_entropy_with_logits(logits, masks)


@torch.inference_mode()
def judged(model: BasicUNet, pairs: list[Pair], size: int, device: str) -> Report:
    """Scores at the working size and threshold 0.5, as of a Wave-GMS model."""
    model.eval()
    frames = framed(pairs, replace(Preprocessing(), size=size))
    images, masks = frames.images, frames.masks
    scores = []
    for number, pair in enumerate(pairs):
        logits = model((images[number : number + 1].float() / 255).to(device))
        predicted = (logits[0, 0] >= 0).cpu().numpy()
        truth = masks[number, 0].numpy() > 0
        distance = hd95(predicted, truth)
        scores.append(
            ImageScored(
                pair.name,
                dice(predicted, truth),
                iou(predicted, truth),
                None if math.isnan(distance) else distance,
                number + 1,
                len(pairs),
            )
        )
    return Report(tuple(scores))


if __name__ == "__main__":
    main()
