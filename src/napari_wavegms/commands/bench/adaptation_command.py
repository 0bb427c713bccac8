"""How a model adapts to a kind of image that it has never seen: the second part of `wavegms bench`."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_wavegms.commands.common.arguments import one_of, whole
from napari_wavegms.commands.common.console import counted, duration, tell
from napari_wavegms.commands.common.models import named_model
from napari_wavegms.errors import InputError

if TYPE_CHECKING:
    from napari_wavegms.commands.bench.adaptation import Adapted, Clinic

_SPEEDS = ("quick", "full")  # kept beside review.speeds, which need not be loaded to print help


def add_options(parser: argparse._ArgumentGroup) -> None:
    """Tell argparse about the options of this part."""
    parser.add_argument("--new", metavar="DATA", type=Path, help="the kind of image to adapt to")
    parser.add_argument("--known", metavar="DATA", type=Path, help="the kind that the model knows: replayed and scored")
    parser.add_argument(
        "--speed",
        metavar="NAME",
        nargs="+",
        type=one_of(*_SPEEDS),
        default=list(_SPEEDS),
        help="quick, full or both (default: both)",
    )
    parser.add_argument("--draws", metavar="N", type=whole, default=3, help="draws of corrections (default: 3)")
    parser.add_argument("--corrections", metavar="N", type=whole, default=10, help="corrections a draw (default: 10)")
    parser.add_argument(
        "--replayed", metavar="N", type=whole, default=10, help="earlier corrections, of the known kind (default: 10)"
    )
    parser.add_argument(
        "--steps", metavar="N", type=whole, default=0, help="end after N steps, not by the clock (for a busy machine)"
    )


def check(options: argparse.Namespace) -> None:
    """Refuse what cannot be measured, before anything slow is done.

    Raises
    ------
    InputError
        If options contradict each other, or a folder has no split.
    """
    if options.draws < 1 or options.corrections < 1:
        raise InputError("There is nothing to measure without a draw of at least one correction.")
    if options.known and not options.new:
        raise InputError("--known says where the model comes from and --new where it is to go; give --new too.")
    from napari_wavegms.learn.pairs import read_split

    for folder in (options.new, options.known):
        for part in ("train", "val") if folder else ():
            read_split(folder / "split.json", part)


def measure(options: argparse.Namespace) -> list[Adapted]:
    """Measure, and tell of each run on stderr as it ends."""
    from napari_wavegms.commands.bench.adaptation import AdaptationPlan, measure_adaptation
    from napari_wavegms.finetune.presets import PRESETS

    new, known = _clinics(options.new, options.known)
    plan = AdaptationPlan(
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
    tell(f"Adapting to {new.name}.")
    began = time.perf_counter()
    results = []
    for adapted in measure_adaptation(plan):
        results.append(adapted)
        tell(
            f"draw {adapted.draw}, {adapted.speed}: DSC {adapted.before:.3f} → {adapted.after:.3f} in "
            f"{duration(adapted.seconds)}, {counted(adapted.epochs, 'epoch')}, "
            f"{'promoted' if adapted.promoted else 'not promoted'}{_forgotten(adapted)}"
        )
    tell(f"The adaptation took {duration(time.perf_counter() - began)}.")
    return results


def _forgotten(adapted: Adapted) -> str:
    if adapted.known_before is None or adapted.known_after is None:
        return ""
    return f"; on what it knew {adapted.known_before:.3f} → {adapted.known_after:.3f}"


def _clinics(new: Path | None, known: Path | None) -> tuple[Clinic, Clinic | None]:
    from napari_wavegms.commands.bench.adaptation import Clinic

    if new is None:
        from napari_wavegms.samples import skin_lesion_phantom, ultrasound_phantom

        return (
            Clinic(
                "skin lesion phantoms",
                _phantoms(skin_lesion_phantom, range(20)),
                _phantoms(skin_lesion_phantom, range(20, 30)),
            ),
            Clinic(
                "ultrasound phantoms",
                _phantoms(ultrasound_phantom, range(20)),
                _phantoms(ultrasound_phantom, range(20, 30)),
            ),
        )
    return _clinic(new), None if known is None else _clinic(known)


def _phantoms(make: Any, seeds: Sequence[int]) -> list[Any]:
    from napari_wavegms.learn.pairs import Pair

    phantoms = [(seed, make(seed)) for seed in seeds]
    return [Pair(f"{phantom.name} {seed}", phantom.image, phantom.mask != 0) for seed, phantom in phantoms]


def _clinic(folder: Path) -> Clinic:
    from napari_wavegms.commands.bench.adaptation import Clinic
    from napari_wavegms.learn.pairs import load_pairs

    parts = [load_pairs(folder / "images", folder / "masks", folder / "split.json", part) for part in ("train", "val")]
    return Clinic(folder.resolve().name, *parts)


def table(results: Sequence[Adapted]) -> list[str]:
    """Give the mean over the draws for each speed, with the lowest and highest, as a Markdown table."""
    rows = ["| | DSC before | DSC after | change | wall time | known before | known after |", "| --- " * 7 + "|"]
    for speed in dict.fromkeys(adapted.speed for adapted in results):
        of_speed = [adapted for adapted in results if adapted.speed == speed]
        known = [adapted for adapted in of_speed if adapted.known_after is not None]
        cells = [
            speed,
            f"{of_speed[0].before:.3f}",
            _spread([adapted.after for adapted in of_speed]),
            _spread([adapted.after - adapted.before for adapted in of_speed], "+.3f"),
            _spread([adapted.seconds for adapted in of_speed], ".1f") + " s",
            f"{known[0].known_before:.3f}" if known else "–",
            _spread([float(adapted.known_after or 0) for adapted in known]) if known else "–",
        ]
        rows.append("| " + " | ".join(cells) + " |")
    return rows


def _spread(values: Sequence[float], digits: str = ".3f") -> str:
    mean = sum(values) / len(values)
    if len(values) == 1:
        return f"{mean:{digits}}"
    return f"{mean:{digits}} ({min(values):{digits}} to {max(values):{digits}})"
