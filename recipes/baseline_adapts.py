"""Ten corrections of a kind of image never seen: what the baseline's U-Net learns from them, as fast as Quick and Full.

    python -m pip install monai
    python recipes/baseline_unet.py --data BUSI --stages small full --seed 1
    python recipes/baseline_adapts.py --start runs/baseline/…/1.pt --new KVASIR --speed quick --rates 3e-4 1e-3 3e-3

The same draws as `python benchmarks/adapt.py --model FILE --new KVASIR`, which measures a Wave-GMS model: the ten
go through the same split, so that both learn from the same ones; the U-Net has no use for the others, as its rate is
given. All of it learns, with the views, batch, average and time of the speed. One line of the lab file a rate: the mean
over the draws, and the draws.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from baseline_unet import fit, judged, unet
from lab import LAB, command, machine, record
from monai.networks.nets import BasicUNet
from sets import read_set

from napari_wavegms.finetune.presets import PRESETS
from napari_wavegms.finetune.split import StickySplit
from napari_wavegms.learn.config import TrainConfig
from napari_wavegms.learn.pairs import Pair
from napari_wavegms.model.device import choose_device


def main() -> None:
    options = parse()
    device = choose_device(options.device).name
    pairs, validation = (read_set(options.new, subset) for subset in ("train", "val"))
    speed, seconds = PRESETS[options.speed].config, PRESETS[options.speed].seconds
    before = judged(started(options.start, device), validation, speed.size, device).dsc
    for rate in options.rates:
        config = replace(speed, learning_rate=rate)
        reports = []
        for draw in range(options.draws):
            model = started(options.start, device)
            adapt(model, learned_from(pairs, options.corrections, draw), replace(config, seed=draw), device, seconds)
            reports.append(judged(model, validation, config.size, device))
        record(
            options.lab,
            f"U-Net (MONAI's BasicUNet), {options.corrections} corrections, {options.speed}",
            {
                "n": len(validation),
                "dsc": round(float(np.mean([report.dsc for report in reports])), 4),
                "iou": round(float(np.mean([report.iou for report in reports])), 4),
                "hd95": None,
            },
            data=f"{options.new.name} val",
            before=round(before, 4),
            draws=[round(report.dsc, 4) for report in reports],
            training=f"{seconds:g} s at {config.size} px, rate {rate:g}",
            start=options.start.name,
            device=machine(device),
            command=command(sys.argv[1:]),
        )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--start", type=Path, required=True, help="what baseline_unet.py left of its last stage")
    parser.add_argument("--new", type=Path, required=True, help="folder with images/, masks/ and split.json")
    parser.add_argument("--speed", choices=list(PRESETS), default="quick")
    parser.add_argument("--rates", type=float, nargs="+", default=[3e-4, 1e-3, 3e-3])
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--corrections", type=int, default=10)
    parser.add_argument("--lab", type=Path, default=LAB, help=f"file that gets a line a result (default: {LAB})")
    parser.add_argument("--device", default="auto")
    return parser.parse_args()


def started(file: Path, device: str) -> BasicUNet:
    """The U-Net as it came out of its training: the averaged weights."""
    model = unet()
    averaged = torch.load(file, map_location="cpu", weights_only=True)["averaged"]
    weights = {name.removeprefix("module."): value for name, value in averaged.items() if name.startswith("module.")}
    model.load_state_dict(weights)
    return model.to(device)


def learned_from(pairs: list[Pair], corrections: int, draw: int) -> list[Pair]:
    """Those of the drawn corrections that a Wave-GMS model would learn from."""
    drawn = [pairs[i] for i in np.random.default_rng(draw).permutation(len(pairs))[:corrections]]
    with tempfile.TemporaryDirectory() as folder:
        return list(StickySplit(Path(folder)).divide(drawn).train)


def adapt(model: BasicUNet, pairs: list[Pair], config: TrainConfig, device: str, seconds: float) -> None:
    """Learn for so many seconds."""
    with tempfile.TemporaryDirectory() as folder:
        fit(model, pairs, config, Path(folder) / "run.pt", device, seconds)


if __name__ == "__main__":
    main()
