"""Ten corrections of a kind of image that the model has never seen: DSC before and after fine-tuning, and wall time.

    python benchmarks/adapt.py --new ../shared/data/kvasir_seg --known ../shared/data/busi [--draws 3] [--json FILE]

Fine-tunes as the Fine-tune panel does, on corrections drawn anew for each draw, and scores other images before and
after. The corrections go through the sticky split like a user's, so that the model learns from about four fifths of
them. DATA is a folder with images and masks, and a split.json ({"train": [stems], "val": [stems]}) if it has one.
Without --new the skin lesion phantoms are the new kind and the ultrasound phantoms the known one; those show that
everything works and how long it takes, not how well it does on patients. Nothing is written outside a temporary folder
but the account's secret, where there is none yet.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from napari_wavegms.commands.common.models import named_model
from napari_wavegms.finetune.from_corrections import fine_tune
from napari_wavegms.finetune.presets import PRESETS, Preset
from napari_wavegms.finetune.replay import ReplaySet
from napari_wavegms.finetune.split import StickySplit
from napari_wavegms.learn.evaluate import evaluate
from napari_wavegms.learn.pairs import Pair, load_pairs
from napari_wavegms.model.card import read_card
from napari_wavegms.samples import Phantom, skin_lesion_phantom, ultrasound_phantom
from napari_wavegms.segment.segmenter import Segmenter


@dataclass(frozen=True, slots=True, eq=False)
class Clinic:
    """A kind of image: pairs to learn from and pairs to score on."""

    name: str
    train: Sequence[Pair]
    val: Sequence[Pair]


@dataclass(frozen=True, slots=True)
class Adapted:
    """One fine-tuning: mean DSC on both clinics' val images before and after, and what it took.

    `seconds` is wall time from a press on the button to the verdict: loading, scoring the test images before and
    after, and learning; `processor` is processor time of the same, all threads together, and `learning` the wall time
    of the steps.
    """

    draw: int
    speed: str
    before: float
    after: float
    known_before: float | None
    known_after: float | None
    seconds: float
    processor: float
    learning: float
    steps: int
    learned: int
    held_out: int
    replayed: int
    verdict: str


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What is measured: `start` adapts to `new`; pairs of `known`, where it comes from, are replayed and scored."""

    start: Path
    new: Clinic
    known: Clinic | None
    speeds: Sequence[Preset]
    draws: int = 3
    corrections: int = 10
    replayed: int = 10
    steps: int = 0
    device: str = "auto"


def measure(plan: Plan) -> Iterator[Adapted]:
    """Fine-tune at each speed on each draw."""
    before = mean_dsc(plan, plan.start, plan.new)
    known_before = plan.known and mean_dsc(plan, plan.start, plan.known)
    for draw in range(plan.draws):
        for speed in plan.speeds:
            with tempfile.TemporaryDirectory() as folder:
                adapted = _adapt(plan, draw, speed, Path(folder))
            yield replace(adapted, before=before, known_before=known_before)


def _adapt(plan: Plan, draw: int, speed: Preset, folder: Path) -> Adapted:
    rng = np.random.default_rng(draw)
    drawn = draw_pairs(plan.new.train, plan.corrections, rng)
    replayed = draw_pairs(plan.known.train, plan.replayed, rng) if plan.known else []
    clock, processor = time.perf_counter(), time.process_time()
    sides = StickySplit(folder).divide(drawn)
    material = ReplaySet.of(sides.train, sides.held_out, read_card(plan.start))
    result = fine_tune(
        plan.start,
        material.new,
        preset=replace(speed, config=replace(speed.config, steps=plan.steps, patience=0)) if plan.steps else speed,
        output=folder,
        held_out=material.held_out,
        replay=replayed,
        device=plan.device,
        seed=draw,
    )
    seconds, processor = time.perf_counter() - clock, time.process_time() - processor
    return Adapted(
        draw=draw,
        speed=speed.key,
        before=0.0,
        after=mean_dsc(plan, result.path, plan.new),
        known_before=None,
        known_after=plan.known and mean_dsc(plan, result.path, plan.known),
        seconds=seconds,
        processor=processor,
        learning=result.learning,
        steps=result.steps,
        learned=len(material.new),
        held_out=len(material.held_out),
        replayed=len(replayed),
        verdict=result.verdict.word,
    )


def draw_pairs(pairs: Sequence[Pair], count: int, rng: np.random.Generator) -> list[Pair]:
    """So many of the pairs, at random."""
    return [pairs[i] for i in rng.permutation(len(pairs))[:count]]


def mean_dsc(plan: Plan, model: Path, clinic: Clinic) -> float:
    return evaluate(Segmenter.from_checkpoint(model, plan.device), clinic.val).dsc


def clinic_in(folder: Path, label: int | None = None) -> Clinic:
    """A folder's parts; without a split 40 images to draw from and 40 to score on, of a permutation of all."""
    split, parts = folder / "split.json", (folder / "images", folder / "masks")
    if split.exists():
        train, val = (load_pairs(*parts, split, subset) for subset in ("train", "val"))
    else:
        pairs = draw_pairs(load_pairs(*parts), 80, np.random.default_rng(0))
        train, val = pairs[: len(pairs) // 2], pairs[len(pairs) // 2 :]
    name = folder.resolve().name
    if label is None:
        return Clinic(name, train, val)
    train, val = ([replace(pair, mask=pair.mask == label) for pair in part] for part in (train, val))
    return Clinic(f"{name}, label {label}", train, val)


def clinic_of(name: str, make: Callable[[int], Phantom]) -> Clinic:
    phantoms = [make(seed) for seed in range(30)]
    pairs = [Pair(phantom.name, phantom.image, phantom.mask != 0) for phantom in phantoms]
    return Clinic(name, pairs[:20], pairs[20:])


def table(results: Sequence[Adapted]) -> list[str]:
    """The mean over the draws for each speed, with the lowest and highest, as a Markdown table."""
    rows = [
        "| | DSC before | DSC after | change | wall time | processor time | known before | known after |",
        "| --- " * 8 + "|",
    ]
    for speed in dict.fromkeys(adapted.speed for adapted in results):
        of_speed = [adapted for adapted in results if adapted.speed == speed]
        known = [adapted for adapted in of_speed if adapted.known_after is not None]
        cells = [
            speed,
            f"{of_speed[0].before:.3f}",
            _spread([adapted.after for adapted in of_speed]),
            _spread([adapted.after - adapted.before for adapted in of_speed], "+.3f"),
            _spread([adapted.seconds for adapted in of_speed], ".1f") + " s",
            _spread([adapted.processor for adapted in of_speed], ".1f") + " s",
            f"{known[0].known_before:.3f}" if known else "–",
            _spread([adapted.known_after for adapted in known]) if known else "–",
        ]
        rows.append("| " + " | ".join(cells) + " |")
    return rows


def _spread(values: Sequence[float], digits: str = ".3f") -> str:
    mean = f"{sum(values) / len(values):{digits}}"
    return mean if len(values) == 1 else f"{mean} ({min(values):{digits}} to {max(values):{digits}})"


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--new", metavar="DATA", type=Path, help="the kind of image to adapt to")
    parser.add_argument("--label", metavar="N", type=int, help="the structure, where the new masks have several labels")
    parser.add_argument("--known", metavar="DATA", type=Path, help="the kind that the model knows: replayed and scored")
    parser.add_argument("--model", metavar="NAME|FILE", default="default")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--speed", nargs="+", choices=list(PRESETS), default=list(PRESETS))
    parser.add_argument("--draws", metavar="N", type=int, default=3, help="draws of corrections")
    parser.add_argument("--corrections", metavar="N", type=int, default=10, help="corrections a draw")
    parser.add_argument("--replayed", metavar="N", type=int, default=10, help="earlier corrections, of the known kind")
    parser.add_argument("--steps", metavar="N", type=int, default=0, help="end after N steps instead of the preset's")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(words)
    if options.new is None:
        new, known = clinic_of("skin phantoms", skin_lesion_phantom), clinic_of("ultrasound", ultrasound_phantom)
    else:
        new, known = clinic_in(options.new, options.label), options.known and clinic_in(options.known)
    plan = Plan(
        start=named_model(options.model),
        new=new,
        known=known,
        speeds=[PRESETS[name] for name in dict.fromkeys(options.speed)],
        draws=options.draws,
        corrections=options.corrections,
        replayed=options.replayed,
        steps=options.steps,
        device=options.device,
    )
    results = []
    for adapted in measure(plan):
        results.append(adapted)
        print(json.dumps(asdict(adapted)), flush=True)
    print("", *table(results), sep="\n")
    if options.json:
        options.json.write_text(json.dumps([asdict(adapted) for adapted in results], indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
