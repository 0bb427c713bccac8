"""Distil the shipped mask codec from TAESD.

    python recipes/distil_mask_codec.py --taesd ../shared/weights/taesd \
        --data ../shared/data/busi ../shared/data/isic2017 --samples 960 --steps 1500 --output runs/first.safetensors

and, once a model was trained with that, again with what the model predicts:

    python recipes/distil_mask_codec.py --taesd ../shared/weights/taesd \
        --data ../shared/data/busi ../shared/data/isic2017 --samples 960 --steps 1200 --rate 1e-3 \
        --start runs/first.safetensors --model runs/default/full/best.safetensors \
        --output src/napari_wavegms/assets/mask-codec.safetensors

The decoder learns to paint what TAESD paints, from TAESD's latents of masks (train part of each data set, and
synthetic blobs; hard and blurred), clean and perturbed, and, with `--model`, from the latents that a trained model
predicts on the train images. The encoder learns TAESD's latents of the same masks, and that the pair gives the mask
back.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file
from scipy import ndimage
from torch import Tensor

from napari_wavegms.model.codec import MaskCodec, Taesd
from napari_wavegms.model.device import computes_bfloat16
from napari_wavegms.storage.atomic import atomic_write

SIDE = 128  # every layer is a convolution, so crops teach what whole frames need at a third of the price
BATCH = 16
PREDICTED_IMAGES = 230  # of each data set, at least; their latents are enough to learn from
PREDICTED_SHARE = 0.6  # of the decoder's samples, where a trained model is given
STEEPNESS = 16.0  # of the soft threshold at 0.5 under which Dice is taken


def main() -> None:
    options = parse()
    torch.manual_seed(options.seed)
    rng = np.random.default_rng(options.seed)
    teacher = Taesd.from_file(options.taesd)
    masks = [mask for folder in options.data for mask in train_masks(folder)]
    predicted = predicted_latents(options.model, options.data) if options.model else []
    print(f"{len(masks)} masks, {len(predicted)} predicted latents; asking the teacher for {options.samples} samples")
    samples = []
    for number in range(options.samples // BATCH):
        samples.append(teach(teacher, batch(masks, rng), predicted, rng))
        if number % 10 == 9:
            print(f"{(number + 1) * BATCH} samples", flush=True)
    codec = MaskCodec.from_file(options.start) if options.start else MaskCodec()
    fit(codec, samples, options.steps, options.rate)
    write(codec, options.output)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--taesd", type=Path, required=True, help="folder of TAESD's weights")
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="folders with masks/ and split.json")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--start", type=Path, help="continue from this codec")
    parser.add_argument("--model", help="a trained model whose predicted latents are learned from, too")
    parser.add_argument("--samples", type=int, default=2400)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=2333)
    return parser.parse_args()


def write(codec: MaskCodec, output: Path) -> None:
    """Write a codec in half precision, and tell the identity that the file has."""
    with atomic_write(output) as file:
        save_file({name: tensor.half().contiguous() for name, tensor in codec.state_dict().items()}, file)
    print(f"{output}: {output.stat().st_size / 1e6:.2f} MB, {MaskCodec.from_file(output).fingerprint}")


def train_masks(folder: Path) -> list[np.ndarray]:
    stems = json.loads((folder / "split.json").read_text())["train"]
    return [np.asarray(Image.open(folder / "masks" / f"{stem}.png").convert("L")) > 127 for stem in stems]


def batch(masks: list[np.ndarray], rng: np.random.Generator) -> Tensor:
    """Masks (B, 1, SIDE, SIDE) in [0, 1]: real crops at many scales, a quarter synthetic, a quarter blurred."""
    views = [
        synthetic(rng) if rng.random() < 0.25 else view(masks[rng.integers(len(masks))], rng) for _ in range(BATCH)
    ]
    soft = [ndimage.gaussian_filter(v, rng.uniform(0.5, 6)) if rng.random() < 0.25 else v for v in views]
    return torch.from_numpy(np.stack(soft)[:, None]).float()


def view(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The whole mask, squashed to 224 as the network sees it, or to another size; then a crop that touches it."""
    side = int(rng.choice([SIDE, 160, 224, 224, 320]))
    resized = np.asarray(Image.fromarray(mask).resize((side, side), Image.Resampling.NEAREST))
    rows, columns = np.nonzero(resized)
    centre = (rows[k := rng.integers(len(rows))], columns[k]) if len(rows) else (side // 2, side // 2)
    top, left = (int(np.clip(c - SIDE // 2 + rng.integers(-40, 41), 0, side - SIDE)) for c in centre)
    crop = np.rot90(resized[top : top + SIDE, left : left + SIDE], rng.integers(4))
    return (crop[:, ::-1] if rng.random() < 0.5 else crop).astype(np.float32)


def synthetic(rng: np.random.Generator) -> np.ndarray:
    """A thresholded smooth random field: blobs of any number, size and genus."""
    field = ndimage.gaussian_filter(rng.standard_normal((SIDE, SIDE)), rng.uniform(3, 14))
    return (field > np.quantile(field, rng.uniform(0.5, 0.98))).astype(np.float32)


@torch.no_grad()
def teach(teacher: Taesd, masks: Tensor, predicted: list[Tensor], rng: np.random.Generator) -> tuple[Tensor, ...]:
    """Masks, their latents, perturbed latents and what the teacher paints from those; float16 to save memory."""
    with torch.autocast("cpu", torch.bfloat16):
        latents = teacher.encode(masks).float()
        perturbed = perturb(latents)
        for i in range(len(perturbed)):
            if predicted and rng.random() < PREDICTED_SHARE:
                perturbed[i] = predicted[rng.integers(len(predicted))]
        painted = teacher.decode(perturbed).float()
    return tuple(x.half() for x in (masks, latents, perturbed, painted))


def perturb(latents: Tensor) -> Tensor:
    """What a network gets wrong: noise of all strengths, fine and coarse, blur, and a fade towards another mask."""
    n = len(latents)
    strength = torch.rand(n, 1, 1, 1).square() * 0.6
    fine = torch.randn_like(latents)
    coarse = F.interpolate(torch.randn(n, 4, 4, 4), size=latents.shape[-2:], mode="bilinear")
    blurred = F.avg_pool2d(latents, 3, stride=1, padding=1, count_include_pad=False)
    blur, fade = torch.rand(n, 1, 1, 1) * (torch.rand(n, 1, 1, 1) < 0.5), torch.rand(n, 1, 1, 1) ** 3 * 0.5
    mixed = (1 - fade) * torch.lerp(latents, blurred, blur) + fade * latents.roll(1, 0)
    noisy = mixed + strength * torch.where(torch.rand(n, 1, 1, 1) < 0.5, fine, coarse)
    clean = torch.rand(n, 1, 1, 1) < 0.25
    return torch.where(clean, latents, noisy)


@torch.no_grad()
def predicted_latents(model: str, folders: list[Path]) -> list[Tensor]:
    """Crops (4, SIDE/8, SIDE/8) of the mask latents that a trained model predicts on train images."""
    from napari_wavegms.learn.pairs import load_pairs
    from napari_wavegms.segment.segmenter import Segmenter

    segmenter = Segmenter.from_checkpoint(model, device="cpu")
    crops = []
    for folder in folders:
        pairs = load_pairs(folder / "images", folder / "masks", folder / "split.json", "train")
        for pair in pairs[:: max(1, len(pairs) // PREDICTED_IMAGES)]:
            latents = segmenter.mask_latents(pair.image)  # (4, 28, 28)
            room = latents.shape[-1] - SIDE // 8
            corners = ((0, 0), (0, room), (room, 0), (room, room), (room // 2, room // 2))
            crops += [latents[:, top : top + SIDE // 8, left : left + SIDE // 8] for top, left in corners]
    return crops


def fit(codec: MaskCodec, samples: list[tuple[Tensor, ...]], steps: int, rate: float) -> None:
    codec.requires_grad_(True).to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(codec.parameters(), lr=rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps)
    start = time.perf_counter()
    for step in range(steps):
        chosen = samples[torch.randint(len(samples), ()).item()]
        masks, latents, perturbed, painted = (x.float().contiguous(memory_format=torch.channels_last) for x in chosen)
        with torch.autocast("cpu", torch.bfloat16, enabled=computes_bfloat16("cpu")):
            guess = codec.encoder(masks)
            raw, again = codec.decoder(torch.cat([perturbed, guess])).float().chunk(2)
        guess = guess.float()
        loss = painting_loss(raw, painted) + F.mse_loss(guess, latents) + 0.5 * F.l1_loss(again, masks)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(codec.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        if step % 100 == 0 or step == steps - 1:
            agreement = np.mean([dice(a, b) for a, b in zip(raw.detach(), painted, strict=True)])
            print(
                f"step {step:5d}  loss {loss.item():.4f}  latents {F.mse_loss(guess, latents).item():.4f}  "
                f"dice to teacher {agreement:.4f}  round trip {dice(again.detach(), masks):.4f}  "
                f"{time.perf_counter() - start:.0f} s",
                flush=True,
            )
    codec.requires_grad_(False)


def painting_loss(raw: Tensor, painted: Tensor) -> Tensor:
    """L1 with and without the clamp (without, so that saturated pixels still learn), and Dice of what passes 0.5.

    Dice is taken per image, so that a small or doubtful structure counts as much as a large one.
    """
    clamped = raw.clamp(0, 1)
    ours, theirs = torch.sigmoid(STEEPNESS * (raw - 0.5)), torch.sigmoid(STEEPNESS * (painted - 0.5))
    common, both = (ours * theirs).sum(dim=(1, 2, 3)), (ours.square() + theirs.square()).sum(dim=(1, 2, 3))
    overlap = (1 - (2 * common + 1) / (both + 1)).mean()
    return F.l1_loss(clamped, painted) + 0.2 * F.smooth_l1_loss(raw, painted) + overlap


def dice(a: Tensor, b: Tensor) -> float:
    a, b = a >= 0.5, b >= 0.5
    return float((2 * (a & b).sum() + 1e-6) / (a.sum() + b.sum() + 1e-6))


if __name__ == "__main__":
    main()
