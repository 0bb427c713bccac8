"""Several classes: Wave-GMS with a latent for each beside a U-Net of its size, given the same processor time.

    python -m pip install monai
    python recipes/several_classes.py --sets DATA/atlas/adapt/acdc_heart_mri DATA/atlas/adapt/wbc_jtsc --minutes 3

Images of one patient (what stands before the first "_" or "-" of a name) stay on one side: six tenths are learned from,
at most forty of the others are scored. Both networks have the same loss, a rate that falls like a cosine over the given
time after ten steps, and are scored by averaged weights:

- wave-gms: the generalist, its class copied for each class, learns as in Quick (the mapping model, turned);
- unet-lite0: a U-Net on the features of EfficientNet-Lite0, which learn, a channel for each class, Full's views.

Prints a line of JSON for each set and network.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from five_folds import CLIP, TRUNK_RATE, WEIGHT_DECAY, UNetOnLite0, average, falling
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from napari_wavegms.finetune.presets import FULL, QUICK
from napari_wavegms.learn.augmentation import draw_views
from napari_wavegms.learn.frames import Frames, framed
from napari_wavegms.learn.learner import Learner
from napari_wavegms.learn.losses import segmentation_loss
from napari_wavegms.learn.metrics import class_masks, dice
from napari_wavegms.learn.pairs import Pair, load_pairs
from napari_wavegms.model.checkpoint import load_checkpoint
from napari_wavegms.model.codec import load_codec
from napari_wavegms.model.device import computes_bfloat16
from napari_wavegms.model.registry import resolve
from napari_wavegms.segment.postprocess import strongest, threshold_probability
from napari_wavegms.segment.preprocessing import Preprocessing
from napari_wavegms.segment.segmenter import Inference

BATCH = {"wave-gms": 1, "unet-lite0": 4}
RATE = {"wave-gms": 3e-3, "unet-lite0": 1.5e-3}
MOST, WARMUP = 40, 10
Answer = Callable[[Tensor], Tensor]
"""Probabilities (B, K, S, S) of images (B, 3, S, S) in [0, 1]."""


def divided(pairs: list[Pair]) -> tuple[list[Pair], list[Pair]]:
    """What is learned from and what is scored."""
    patients = {pair.name: re.split(r"[_-]", pair.name)[0] for pair in pairs}
    names = sorted({*patients.values()})
    drawn = np.random.default_rng(0).permutation(len(names))
    learned = {names[number] for number in drawn[: len(names) * 6 // 10]}
    sides = [[pair for pair in pairs if (patients[pair.name] in learned) is side] for side in (True, False)]
    return sides[0], sides[1][:MOST]


def wave_gms(frames: Frames, classes: int, minutes: float) -> tuple[Answer, int]:
    network = load_checkpoint(resolve("default"))[0].with_at_least(classes)
    codec = load_codec()
    learner = Learner(frames, network, codec, QUICK.config, None, "cpu")
    rng, generator = np.random.default_rng(0), torch.Generator().manual_seed(0)
    clock, steps = time.process_time(), 0
    for _ in learner.teach_copies():  # as every training does
        pass
    while (passed := (time.process_time() - clock) / 60) < minutes:
        learner.rate = RATE["wave-gms"] * falling(passed / minutes) * min(1.0, (steps + 1) / WARMUP)
        indices = rng.choice(len(frames.images), BATCH["wave-gms"], replace=False).tolist()
        learner.step(learner.prepare(indices, rng), generator)
        steps += 1
    return Inference(learner.kept_model.eval(), codec, "cpu").predict, steps


def u_net(frames: Frames, classes: int, minutes: float) -> tuple[Answer, int]:
    bfloat16, model = computes_bfloat16("cpu"), UNetOnLite0(classes).to(memory_format=torch.channels_last)
    averaged = AveragedModel(model, multi_avg_fn=average, use_buffers=True)
    slow = {id(weights) for weights in model.trunk.parameters()}
    groups = [
        {"params": [weights for weights in model.parameters() if (id(weights) in slow) is tuned], "times": times}
        for tuned, times in ((False, 1.0), (True, TRUNK_RATE))
    ]
    optimiser = torch.optim.AdamW(groups, lr=RATE["unet-lite0"], weight_decay=WEIGHT_DECAY, fused=True)
    rng, clock, steps = np.random.default_rng(0), time.process_time(), 0
    while (passed := (time.process_time() - clock) / 60) < minutes:
        indices = rng.choice(len(frames.images), BATCH["unet-lite0"], replace=False).tolist()
        images, masks = frames.images[indices].float() / 255, frames.masks[indices].float()
        views = draw_views(images, masks, FULL.config.augmentation, rng)
        for group in optimiser.param_groups:
            rate = RATE["unet-lite0"] * falling(passed / minutes) * min(1.0, (steps + 1) / WARMUP)
            group["lr"] = rate * group["times"]
        model.train()
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            logits = model(views.images.contiguous(memory_format=torch.channels_last))
        known = torch.ones(views.masks.shape[:2], dtype=torch.bool)
        loss = segmentation_loss(torch.sigmoid(logits.float()), views.masks, "dice_entropy", known)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimiser.step()
        averaged.update_parameters(model)
        steps += 1
    averaged.eval()

    def answer(images: Tensor) -> Tensor:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            return torch.sigmoid(averaged(images).float())

    return answer, steps


def scored(answer: Answer, frames: Frames) -> dict[int, float]:
    """Mean DSC of each class over the images that have it or where it was found."""
    found: dict[int, list[float]] = {}
    for image, masks in zip(frames.images, frames.masks.numpy(), strict=True):
        confidence, classes = strongest(answer(image[None].float() / 255)[0].numpy())
        truth = np.einsum("kij,k->ij", masks, range(1, len(masks) + 1))
        for label, pair in class_masks(threshold_probability(confidence, 0.5, classes), truth).items():
            found.setdefault(label, []).append(dice(*pair))
    return {label: round(float(np.mean(found[label])), 4) for label in sorted(found)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", metavar="FOLDER", type=Path, nargs="+", required=True, help="with images and masks")
    parser.add_argument("--minutes", type=float, default=3.0, help="processor time of each network (default: 3)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for folder in options.sets:
        pairs = load_pairs(folder / "images", folder / "masks", labels="each")
        classes = max(int(pair.mask.max()) for pair in pairs)
        learned, held_out = (framed(side, Preprocessing(), classes) for side in divided(pairs))
        for name, train in (("wave-gms", wave_gms), ("unet-lite0", u_net)):
            torch.manual_seed(0)
            answer, steps = train(learned, classes, options.minutes)
            scores = scored(answer, held_out)
            line = {"set": folder.name, "network": name, "minutes": options.minutes, "steps": steps}
            line |= {"learned": len(learned.images), "scored": len(held_out.images)}
            print(json.dumps(line | {"mean": round(float(np.mean([*scores.values()])), 4), "dsc": scores}), flush=True)


if __name__ == "__main__":
    main()
