"""The mask codec's last step: its decoder learns what TAESD paints from the latents that the shipped models predict.

    python recipes/refine_mask_decoder.py --taesd TAESD --data BUSI ISIC \
        --models generalist breast-ultrasound skin-lesion --output src/napari_wavegms/assets/mask-codec.safetensors

Whole frames of the train parts, each in `--views` random flips and turns, a third of them brighter or darker; one frame
of four is a mask that comes back from the codec's own encoder. The encoder is left alone, so that latents mean what
they meant, and models trained with the codec as it was go on fitting. After every 500 steps the agreement with TAESD on
the val parts is told; nothing is chosen by it. With `--frames FILE` the teacher is asked once and its answers are kept.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from distil_mask_codec import dice, painting_loss, write
from sets import read_set
from torch import Tensor

from napari_wavegms.learn.augmentation import turn
from napari_wavegms.learn.pairs import Pair
from napari_wavegms.model.codec import MaskCodec, Taesd
from napari_wavegms.segment.preprocessing import prepare, prepare_mask
from napari_wavegms.segment.segmenter import Segmenter

BATCH = 4
TURNS = 8
BRIGHTER = (0.85, 1.15)


def main() -> None:
    options = parse()
    rng = np.random.default_rng(options.seed)
    taesd = Taesd.from_file(options.taesd)
    segmenters = [Segmenter.from_checkpoint(model, "cpu") for model in options.models]
    learned, held_out = ([read_set(folder, part, None) for folder in options.data] for part in ("train", "val"))
    pairs = [pair for part in learned for pair in part]
    if options.frames and options.frames.is_file():
        latents, painted = torch.load(options.frames, weights_only=True)
    else:
        latents, painted = frames(pairs, segmenters, taesd, options.views, rng)
        if options.frames:
            torch.save((latents, painted), options.frames)
    rules = segmenters[0].preprocessing
    masks = torch.from_numpy(np.stack([prepare_mask(pair.mask, rules)[None] for pair in pairs]))
    probes = {
        folder.name: frames(pairs, segmenters[:1], taesd, 0, rng)
        for folder, pairs in zip(options.data, held_out, strict=True)
    }
    codec = MaskCodec.from_file(options.start)
    fit(codec, (latents, painted, masks), probes, options.steps, options.rate, rng)
    write(codec, options.output)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--taesd", type=Path, required=True, help="folder of TAESD's weights")
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="folders of images/, masks/, split.json")
    parser.add_argument("--models", nargs="+", default=["generalist"], metavar="NAME|FILE")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--start", type=Path, help="continue from this codec instead of the shipped one")
    parser.add_argument("--views", type=int, default=2, help="views of each train image (default: 2)")
    parser.add_argument("--frames", type=Path, help="file that keeps what the teacher painted")
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--rate", type=float, default=1.5e-3)
    parser.add_argument("--seed", type=int, default=2333)
    return parser.parse_args()


@torch.inference_mode()
def frames(
    pairs: list[Pair], segmenters: list[Segmenter], taesd: Taesd, views: int, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Predicted mask latents (N, 4, S/8, S/8) and what TAESD paints from them (N, 1, S, S), in float16.

    `views` of each image, by a segmenter drawn at random; with 0 each image as it is.
    """
    latents, painted = [], []
    for pair in pairs:
        for _ in range(max(1, views)):
            segmenter = segmenters[rng.integers(len(segmenters))]
            pixels = torch.from_numpy(prepare(pair.image, segmenter.preprocessing).pixels)
            if views:
                pixels = turn(pixels, int(rng.integers(TURNS)))
                pixels = (pixels * rng.uniform(*BRIGHTER)).clamp(0, 1) if rng.random() < 1 / 3 else pixels
            found = segmenter.model(pixels[None]).mask.out
            latents.append(found[0].half())
            painted.append(taesd.decode(found)[0].half())
    return torch.stack(latents), torch.stack(painted)


def fit(
    codec: MaskCodec,
    samples: tuple[Tensor, Tensor, Tensor],
    probes: dict[str, tuple[Tensor, Tensor]],
    steps: int,
    rate: float,
    rng: np.random.Generator,
) -> None:
    latents, painted, masks = samples
    decoder = codec.decoder.requires_grad_(True).to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(decoder.parameters(), lr=rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps)
    start = time.perf_counter()
    for step in range(steps):
        chosen, mask = rng.integers(len(latents), size=BATCH - 1), masks[[rng.integers(len(masks))]].float()
        with torch.no_grad():
            shown = torch.cat([latents[chosen].float(), codec.encode(mask)])
        raw = decoder(shown.contiguous(memory_format=torch.channels_last))
        loss = painting_loss(raw, torch.cat([painted[chosen].float(), mask]))
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(decoder.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        if step % 500 == 499 or step == steps - 1:
            told = {name: round(agreement(codec, *probe), 4) for name, probe in probes.items()}
            print(f"step {step + 1}  loss {loss.item():.4f}  {told}  {time.perf_counter() - start:.0f} s", flush=True)
    decoder.requires_grad_(False)


@torch.inference_mode()
def agreement(codec: MaskCodec, latents: Tensor, painted: Tensor) -> float:
    """Mean Dice of the two decoders' masks."""
    return float(
        np.mean(
            [dice(codec.decode(latents[i : i + 1].float()), painted[i : i + 1].float()) for i in range(len(latents))]
        )
    )


if __name__ == "__main__":
    main()
