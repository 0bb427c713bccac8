"""Which foundation features? One training four times, from random weights on five sets: what each teacher adds.

    python recipes/foundation_features.py none taesd lite0 lite0-tuned --data DATA --taesd TAESD --run runs/features

- none: the wavelet encoder learns from the masks alone;
- taesd: it is aligned with TAESD's latents beforehand and all along, as in the paper;
- lite0: the same, and the features of the frozen EfficientNet-Lite0 enter the mapping model, as in what ships;
- lite0-tuned: the same, and EfficientNet-Lite0 learns, too, at a tenth of the rate.

The same steps on the same views in the same order for all, most of them on frames of 128 pixels, then cooled down; the
steps of the alignment beforehand come on top. Prints one line of JSON for each: mean DSC of the averaged weights on the
val images of each set (at 224 pixels), processor time, and trainable parameters. The run folder gets the networks, for
`benchmarks/adapt.py --model FILE` on a kind of image that none has seen.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from atlas import SOURCES, read
from draws import Data, few
from strong_views import Strength
from train_generalist import TRUNK_RATE, Stage, Trainer, validated

from napari_wavegms.model.codec import Taesd, load_codec
from napari_wavegms.segment.preprocessing import Preprocessing

SETS = ("busi", "isic2017", "hc18_fetal_head_us", "dsb2018_fluo", "dsb2018_histo_brightfield")
SIZES = {128: 0.7, 224: 0.3}


@dataclass(frozen=True)
class Features:
    """What a variant learns with."""

    aligned: bool = True
    context: bool = True
    tuned: bool = False


VARIANTS = {
    "none": Features(aligned=False, context=False),
    "taesd": Features(context=False),
    "lite0": Features(),
    "lite0-tuned": Features(tuned=True),
}


def measure(name: str, options: argparse.Namespace, data: Data, held_out: Any) -> dict[str, Any]:
    features = VARIANTS[name]
    trainer = Trainer(
        data,
        load_codec(),
        Taesd.from_file(options.taesd),
        options.seed,
        Strength(plain=options.plain),
        TRUNK_RATE if features.tuned else 0.0,
    )
    trainer.context_kept = trainer.context_kept if features.context else 0.0
    trainer.alignment_weight = float(features.aligned)
    beforehand = Stage("align", options.align, 8, 2e-3, {128: 1.0}, align_only=True)
    trainer.progress.stages = (beforehand, Stage("all", 0, 4, 1.5e-3, SIZES))
    begun = time.process_time()
    # The same step has the same views in all variants, whether it was aligned beforehand or not.
    trainer.progress.step = 0 if features.aligned else options.align
    while trainer.progress.step < options.align + options.steps:
        left = options.align + options.steps - trainer.progress.step
        trainer.step(options.cooldown if left <= options.cooldown else 0)
    seconds = time.process_time() - begun
    scores = validated(trainer.averaged, trainer.codec, held_out)
    folder = options.run / f"{name}-{options.seed}"
    folder.mkdir(parents=True, exist_ok=True)
    trainer.save(folder)
    learned = sum(weights.numel() for weights in trainer.model.parameters())
    return {"features": name, "seed": options.seed, "dsc": scores, "processor": round(seconds), "parameters": learned}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("variants", nargs="+", choices=list(VARIANTS))
    parser.add_argument("--data", type=Path, required=True, help="folder of busi/, isic2017/ and atlas/train/")
    parser.add_argument("--taesd", type=Path, required=True, help="folder of TAESD's weights, the alignment teacher")
    parser.add_argument("--run", type=Path, required=True, help="folder for the trained networks")
    parser.add_argument("--align", type=int, default=200, help="steps of 8 images beforehand (default: 200)")
    parser.add_argument("--steps", type=int, default=700, help="steps of 4 images (default: 700)")
    parser.add_argument("--cooldown", type=int, default=250, help="how many of them cool down (default: 250)")
    parser.add_argument("--plain", type=float, default=0.5, help="share of the views that are hardly changed")
    parser.add_argument("--limit", type=int, help="only so many images of each set, for a try")
    parser.add_argument("--seed", type=int, default=2333)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    divided = {source: read(options.data, source, Preprocessing(224)) for source in SOURCES if source.name in SETS}
    data = Data({source: few(train, options.limit or len(train)) for source, (train, _) in divided.items()})
    held_out = {source: few(val, options.limit or 57) for source, (_, val) in divided.items()}
    for name in options.variants:
        print(json.dumps(measure(name, options, data, held_out)), flush=True)


if __name__ == "__main__":
    main()
