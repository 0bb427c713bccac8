"""Five-fold cross-validation on BUSI: Wave-GMS and U-Nets of its size, given the same processor time.

    python -m pip install monai
    python recipes/five_folds.py --data DATA --taesd TAESD --run runs/folds --minutes 10

All 517 images take part, near-duplicates in one fold, so a mean has a standard error of about 0.009 (val's 57 images:
0.028). Everybody learns from the same views, 70 % of them at 128 and 30 % at 224 pixels, four at a time, with a rate
that warms up and falls like a cosine over the given time, and is scored by the averaged weights of the last step:

- wave-gms: with context features that learn, as the generalist; its encoder is aligned with TAESD for 15 % of the time;
- unet-lite0: a U-Net on the same features, which learn at the same rate; its decoder fills it up to the same size;
- unet: MONAI's BasicUNet from random weights.

Prints one line of JSON for each network and fold and appends it to `scores.jsonl` in the run folder. What stands there
is not trained again, and `--summary` prints the means over all folds.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from atlas import SOURCES, Framed, framed, grouped
from draws import Data, few
from strong_views import Strength
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from train_generalist import AVERAGE_DECAY, CLIP, SIDE, TRUNK_RATE, WARMUP, WEIGHT_DECAY, Stage, Trainer

from napari_wavegms.learn.metrics import dice, hd95
from napari_wavegms.model.codec import Taesd, load_codec
from napari_wavegms.model.context import ContextTrunk
from napari_wavegms.model.device import computes_bfloat16
from napari_wavegms.segment.preprocessing import Preprocessing
from napari_wavegms.segment.segmenter import Inference

BUSI = next(source for source in SOURCES if source.name == "busi")
NETWORKS = ("wave-gms", "unet-lite0", "unet")
FOLDS, BATCH, RATE, SIZES, ALIGNED = 5, 4, 1.5e-3, {128: 0.7, 224: 0.3}, 0.15
VIEWS = Strength(plain=0.5)
Answer = Callable[[Tensor], Tensor]
"""Probability (S, S) of an image (3, S, S) in [0, 1]."""


class UNetOnLite0(nn.Module):
    """The context trunk as the encoder of a U-Net: images (B, 3, S, S) to logits (B, K, S, S)."""

    SKIPS = (112 + 80, 40, 24, 3)
    """Channels that come from the trunk at strides 16, 8 and 4, and from the image at stride 2."""
    WIDTHS = (288, 192, 120, 56)

    def __init__(self, classes: int = 1) -> None:
        super().__init__()
        self.trunk = ContextTrunk.from_file(learns=True)
        self.decoder = nn.ModuleList()
        below = 0
        for skip, width in zip(self.SKIPS, self.WIDTHS, strict=True):
            self.decoder.append(_convolutions(below + skip, width))
            below = width
        self.head = nn.Conv2d(below, classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Logits of images whose sides are multiples of 16."""
        quarter, eighth, *sixteenth = self.trunk.stages(image)
        x = self.decoder[0](torch.cat(sixteenth, dim=1))
        for stage, skip in zip(self.decoder[1:], (eighth, quarter, F.avg_pool2d(image, 2)), strict=True):
            x = stage(torch.cat([F.interpolate(x, scale_factor=2.0, mode="nearest"), skip], dim=1))
        return F.interpolate(self.head(x), scale_factor=2.0, mode="bilinear", align_corners=False)


def _convolutions(channels: int, width: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before in (channels, width):
        layers += [nn.Conv2d(before, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
    return nn.Sequential(*layers)


def wave_gms(data: Data, minutes: float, seed: int, taesd: Path) -> tuple[Answer, int, int]:
    """Train it; its answers, steps and parameters."""
    trainer = Trainer(data, load_codec(), Taesd.from_file(taesd), seed, VIEWS)
    clock = time.process_time()
    stages = (Stage("align", 0, 8, 2e-3, {128: 1.0}, align_only=True), Stage("all", 0, BATCH, RATE, SIZES))
    steps = 0
    for stage, until in zip(stages, (ALIGNED * minutes, minutes), strict=True):
        trainer.progress.stages = (stage,)
        while (passed := (time.process_time() - clock) / 60) < until:
            if not stage.align_only:
                trainer.rate = falling((passed - ALIGNED * minutes) / (minutes * (1 - ALIGNED)))
            trainer.step()
            steps += 1
    inference = Inference(trainer.averaged.eval(), trainer.codec, "cpu")
    parameters = sum(weights.numel() for weights in trainer.model.parameters())
    return lambda image: inference.predict(image[None])[0, 0], steps, parameters


def u_net(model: nn.Module, trunk: nn.Module | None, data: Data, minutes: float, seed: int) -> tuple[Answer, int, int]:
    """Train one of the others; its answers, steps and parameters."""
    from baseline_unet import dice_and_entropy  # which needs monai

    bfloat16 = computes_bfloat16("cpu")
    averaged = AveragedModel(model, multi_avg_fn=average, use_buffers=True)
    slow = {id(weights) for weights in (trunk.parameters() if trunk is not None else ())}
    groups = [
        {"params": [weights for weights in model.parameters() if (id(weights) in slow) is tuned], "times": times}
        for tuned, times in ((False, 1.0), (True, TRUNK_RATE))
    ]
    optimiser = torch.optim.AdamW([g for g in groups if g["params"]], lr=RATE, weight_decay=WEIGHT_DECAY, fused=True)
    clock, steps = time.process_time(), 0
    while (passed := (time.process_time() - clock) / 60) < minutes:
        rng = np.random.default_rng([seed, steps])
        size = int(rng.choice(list(SIZES), p=list(SIZES.values())))
        samples = [data.draw(rng, VIEWS, size) for _ in range(BATCH)]
        images = torch.stack([sample.image for sample in samples]).contiguous(memory_format=torch.channels_last)
        masks = torch.stack([sample.mask for sample in samples])[:, None].float()
        for group in optimiser.param_groups:
            group["lr"] = RATE * group["times"] * falling(passed / minutes) * min(1.0, (steps + 1) / WARMUP)
        model.train()
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            logits = model(images)
        loss = dice_and_entropy(logits.float(), masks)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimiser.step()
        averaged.update_parameters(model)
        steps += 1
    averaged.eval()

    def answer(image: Tensor) -> Tensor:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            return torch.sigmoid(averaged(image[None]).float())[0, 0]

    return answer, steps, sum(weights.numel() for weights in model.parameters())


def average(means: Any, values: Any, count: Any) -> None:
    # As in Trainer: short at first, so that the random start is soon forgotten.
    get_ema_multi_avg_fn(min(AVERAGE_DECAY, (1 + int(count)) / (10 + int(count))))(means, values, count)


def falling(share: float) -> float:
    """Half a cosine from one to zero."""
    return 0.5 + 0.5 * math.cos(math.pi * min(max(share, 0.0), 1.0))


def trained(network: str, data: Data, options: argparse.Namespace) -> tuple[Answer, int, int]:
    torch.manual_seed(options.seed)
    if network == "wave-gms":
        return wave_gms(data, options.minutes, options.seed, options.taesd)
    if network == "unet-lite0":
        model: nn.Module = UNetOnLite0()
    else:
        from baseline_unet import unet

        model = unet()
    model = model.to(memory_format=torch.channels_last)
    return u_net(model, getattr(model, "trunk", None), data, options.minutes, options.seed)


def folds_of(frames: Sequence[Framed], groups: Mapping[str, int]) -> list[int]:
    """A fold for each image: those of a group share it, the largest group goes first, to the smallest fold."""
    members: dict[int, list[str]] = {}
    for frame in frames:
        members.setdefault(groups[frame.name], []).append(frame.name)
    sizes, chosen = [0] * FOLDS, {}
    for group, names in sorted(members.items(), key=lambda item: (-len(item[1]), item[0])):
        fold = min(range(FOLDS), key=sizes.__getitem__)
        sizes[fold] += len(names)
        chosen[group] = fold
    return [chosen[groups[frame.name]] for frame in frames]


def scored(answer: Answer, frames: Sequence[Framed]) -> dict[str, list[float | None]]:
    """DSC and HD95 (pixels at 224; None where nothing was found) of each image, without its margins."""
    scores: dict[str, list[float | None]] = {"dsc": [], "hd95": []}
    for frame in frames:
        image, labels = frame.views[-1]
        predicted = answer(torch.from_numpy(image).float() / 255).numpy() >= 0.5
        distance = hd95(predicted, labels > 0)
        scores["dsc"].append(round(dice(predicted, labels > 0), 4))
        scores["hd95"].append(None if math.isnan(distance) else round(distance, 2))
    return scores


def summary(lines: Sequence[dict[str, Any]]) -> str:
    """Means over all images of all folds, with standard errors."""
    rows = [
        "| network | parameters | folds | images | DSC | HD95 | without an answer | steps a fold |",
        "| --- " * 8 + "|",
    ]
    for network in dict.fromkeys(line["network"] for line in lines):
        own = [line for line in lines if line["network"] == network]
        overlap = np.array([score for line in own for score in line["dsc"]])
        distances = [score for line in own for score in line["hd95"]]
        found = np.array([score for score in distances if score is not None])
        mean = f"{overlap.mean():.4f} ± {overlap.std(ddof=1) / len(overlap) ** 0.5:.4f}"
        steps = np.mean([line["steps"] for line in own])
        rows.append(
            f"| {network} | {own[0]['parameters']:,} | {len(own)} | {len(overlap)} | {mean} | "
            f"{found.mean():.1f} | {len(distances) - len(found)} | {steps:.0f} |"
        )
    return "\n".join(rows)


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    torch.set_num_threads(1)
    options.run.mkdir(parents=True, exist_ok=True)
    file = options.run / "scores.jsonl"
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.exists() else []
    if options.summary:
        print(summary(lines))
        return
    files = sorted((options.data / "busi" / "images").iterdir())
    masks = options.data / "busi" / "masks"
    read = (framed(BUSI, image, masks / f"{image.stem}.png", Preprocessing(SIDE)) for image in files)
    frames = few([frame for frame in read if frame], options.limit or len(files))
    folds = folds_of(frames, dict(zip([image.stem for image in files], grouped(files, BUSI.group), strict=True)))
    done = {(line["network"], line["fold"]) for line in lines}
    for fold, network in ((f, n) for f in options.folds for n in options.networks if (n, f) not in done):
        learned, held_out = (
            [x for x, f in zip(frames, folds, strict=True) if (f == fold) is own] for own in (False, True)
        )
        answer, steps, parameters = trained(network, Data({BUSI: learned}), options)
        about = {"network": network, "fold": fold, "minutes": options.minutes, "steps": steps, "parameters": parameters}
        line = about | scored(answer, held_out)
        with file.open("a", encoding="utf-8") as out:
            out.write(json.dumps(line) + "\n")
        print(json.dumps(about | {"n": len(held_out), "mean": round(float(np.mean(line["dsc"])), 4)}), flush=True)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--data", type=Path, help="folder that holds busi/")
    parser.add_argument("--taesd", type=Path, help="folder of TAESD's weights, the alignment teacher")
    parser.add_argument("--run", type=Path, required=True, help="folder of the scores")
    parser.add_argument("--minutes", type=float, default=10.0, help="processor time of each training (default: 10)")
    parser.add_argument("--folds", type=int, nargs="+", default=list(range(FOLDS)), help="only these of 0 to 4")
    parser.add_argument("--limit", type=int, help="only so many images, for a try")
    parser.add_argument("--seed", type=int, default=2333)
    parser.add_argument("--summary", action="store_true", help="print the table of what is there, and train nothing")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
