"""Train the shipped breast-ultrasound model.

    python recipes/train_default.py --data ../shared/data/busi --taesd ../shared/weights/taesd \
        --output src/napari_wavegms/assets/breast-ultrasound.safetensors

Trains on the data set's train part only; its val part chooses the best epoch. Two stages of the same recipe: small
frames first, where an epoch costs a third, then the paper's 224 × 224. A stopped run continues with the same command.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import torch

from napari_wavegms.learn.config import Augmentation, TrainConfig
from napari_wavegms.learn.evaluate import evaluate
from napari_wavegms.learn.events import TrainEpoch
from napari_wavegms.learn.pairs import Pair, load_pairs
from napari_wavegms.learn.trainer import train
from napari_wavegms.model.card import ModelCard
from napari_wavegms.model.checkpoint import load_checkpoint, save_checkpoint
from napari_wavegms.model.codec import Taesd, TinyVAE, load_codec
from napari_wavegms.model.device import choose_device
from napari_wavegms.model.wave_gms import WaveGMS
from napari_wavegms.segment.segmenter import Segmenter

COMMON = TrainConfig(
    batch=8,
    decoded_levels=("out",),
    align_warped=False,
    average_decay=0.995,
    augmentation=Augmentation(jitter=0.2, jitter_probability=0.3, warp_probability=0.25),
)
STAGES = {
    "small": replace(COMMON, epochs=36, size=128, learning_rate=2e-3, validate_every=36),
    "full": replace(COMMON, epochs=10, size=224, learning_rate=1e-3, warmup_epochs=1, validate_every=1),
}

ABOUT = {
    "title": "Lesions in breast ultrasound",
    "description": "Wave-GMS trained on breast ultrasound (BUSI, benign and malignant lesions).",
    "data": "BUSI (Al-Dhabyani et al., Data in Brief 28:104863, 2020): 460 to learn from, 57 to choose the epoch by.",
    "terms": "Weights: BSD-3-Clause, as the program. The training images are CC0 1.0 as republished; cite their paper.",
    "command": "python recipes/train_default.py --data BUSI --taesd TAESD --output breast-ultrasound.safetensors",
}


def main() -> None:
    options = parse()
    device = choose_device(options.device).name
    split = options.data / "split.json"
    pairs, validation = (
        load_pairs(options.data / "images", options.data / "masks", split, subset) for subset in ("train", "val")
    )
    codec, teacher = load_codec("mask-codec", options.codec), Taesd.from_file(options.taesd).to(device)
    torch.manual_seed(COMMON.seed)
    model, card = WaveGMS(), ModelCard(name=options.output.stem)
    for name, config in STAGES.items():
        folder = options.run / name
        done = folder / "done"
        if not done.exists():
            run = train(
                pairs, validation, model, codec, config, folder, teacher=teacher, card=card, device=device, resume=True
            )
            for event in run:
                if isinstance(event, TrainEpoch):
                    print(name, json.dumps({k: round(v, 4) for k, v in _numbers(event).items()}), flush=True)
            done.touch()
        model, card = load_checkpoint(folder / "best.safetensors", device)
    ship(model, card, codec, validation, options.output)


def ship(model: WaveGMS, card: ModelCard, codec: TinyVAE, validation: list[Pair], output: Path) -> None:
    """Write the model in half precision, with the scores that this very file reaches."""
    card = replace(card, **ABOUT, codec=codec.fingerprint)
    save_checkpoint(output, model, card, half=True)
    scores = {"BUSI val": score(Segmenter.from_checkpoint(output, codec=codec), validation)}
    save_checkpoint(output, model, replace(card, scores=scores), half=True)
    print(output, json.dumps(scores))


def score(segmenter: Segmenter, pairs: list[Pair]) -> dict[str, float | int | None]:
    """Mean scores of a model, as `wavegms evaluate` measures them."""
    scoring = evaluate(segmenter, pairs)
    while True:
        try:
            next(scoring)
        except StopIteration as stop:
            report = stop.value
            return {
                "n": len(pairs),
                "dsc": round(report.dsc, 4),
                "iou": round(report.iou, 4),
                "hd95": round(report.hd95, 2),
            }


def _numbers(event: TrainEpoch) -> dict[str, float]:
    return {
        name: value
        for name in ("epoch", "loss", "segmentation", "latent", "alignment", "dsc", "iou", "best_dsc", "seconds")
        if (value := getattr(event, name)) is not None
    }


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with images/, masks/ and split.json")
    parser.add_argument("--taesd", type=Path, required=True, help="folder of TAESD's weights, the alignment teacher")
    parser.add_argument("--output", type=Path, required=True, help="the model file to ship")
    parser.add_argument("--run", type=Path, default=Path("runs/default"), help="folder of the run's own files")
    parser.add_argument("--codec", type=Path, help="another mask codec than the shipped one")
    parser.add_argument("--device", default="auto")
    return parser.parse_args()


if __name__ == "__main__":
    main()
