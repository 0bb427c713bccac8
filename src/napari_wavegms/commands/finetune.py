"""`wavegms finetune`: what the Fine-tune panel does, in a terminal."""

from __future__ import annotations

import argparse
import math
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_wavegms.commands.common.arguments import Commands, add_command, add_shared
from napari_wavegms.commands.common.console import bar, note, show, show_json
from napari_wavegms.commands.common.exit_codes import DONE, INTERRUPTED, NOT_BETTER, UNSURE
from napari_wavegms.commands.common.models import IN_USE, named_model
from napari_wavegms.commands.common.pairs import add_folders, add_labels, note_unpaired, usable_pairs
from napari_wavegms.errors import InputError
from napari_wavegms.files.pairing import pair_by_stem

if TYPE_CHECKING:
    from tqdm import tqdm

    from napari_wavegms.finetune.events import FineTuneEvent, FineTuneResult
    from napari_wavegms.finetune.preflight import Candidate
    from napari_wavegms.segment.segmenter_cache import Progress

_START = "start"

_EPILOG = """\
Learns from the corrections that were stored in napari, and from --images with --masks. A fifth of them is held out for
good as test images: at least one of two, two of five. Both models are scored on those, and the new one is kept as a
version, which napari and --model v1 know; earlier corrections are replayed. It is put in use if it is clearly better;
where nobody can tell, --use v1 does so. Exit codes: 0 in use, 3 cannot tell yet, 4 clearly worse or not scored."""


def add_parser(commands: Commands) -> None:
    """Register the command with argparse."""
    parser = add_command(commands, "finetune", run, "Learn from corrected masks, as the panel does", epilog=_EPILOG)
    add_folders(parser, required=False)
    parser.add_argument("--from", dest="start", metavar="NAME|FILE", help="the model to start from (default: in use)")
    parser.add_argument("--preset", default="quick", metavar="quick|full", help="how to learn (default: quick)")
    parser.add_argument("--use", metavar="v1|start", help="put a version in use, or none, and learn nothing")
    add_labels(parser)
    add_shared(parser, "--device", "--json")


def run(options: argparse.Namespace) -> int:
    """Learn, and say what became of it."""
    from napari_wavegms.finetune.events import FineTuneRequest
    from napari_wavegms.finetune.from_corrections import iter_from_corrections
    from napari_wavegms.finetune.presets import preset_named
    from napari_wavegms.finetune.versions import ModelVersions

    versions = ModelVersions()
    if options.use:
        return _use(versions, options.use)
    current = versions.current_path()
    name = options.start or ("default" if current is None else IN_USE)
    start = named_model(name)
    request = FineTuneRequest(
        (),
        start,
        start.stem if name in ("default", IN_USE) else name,
        current=current,
        preset=preset_named(options.preset),
        learned=options.labels,
        device=options.device,
    )
    candidates = _candidates(options.images, options.masks)
    result = _follow(iter_from_corrections(request, lambda: False, candidates))
    if result is None or result.version is None or result.verdict is None:
        note("Stopped. Epochs that were finished are kept as a version, unscored and not in use.")
        return INTERRUPTED
    if options.json:
        show_json(_as_dict(result))
    else:
        show(result.sentence)
    return DONE if result.verdict.promote else UNSURE if result.verdict.unsure else NOT_BETTER


def _use(versions: Any, name: str) -> int:
    """Put a version in use by its name."""
    if name == _START:
        versions.roll_back(0)
        show("No version is in use now; the default model is.")
        return DONE
    number = name.removeprefix("v")
    if not number.isdecimal():
        raise InputError(f"--use is '{name}'; give a version such as v1, or {_START}.")
    show(f"{versions.promote(int(number)).name} is in use now.")
    return DONE


def _candidates(images: Path | None, masks: Path | None) -> tuple[Candidate, ...]:
    from napari_wavegms.finetune.preflight import Candidate

    if images is None and masks is None:
        return ()
    if images is None or masks is None:
        raise InputError("Give --images and --masks together, or neither of them.")
    note_unpaired(images, masks)
    pairs = usable_pairs(pair_by_stem(images, masks), "Reading pairs")
    return tuple(Candidate(pair.name, pair.image, pair.mask, pair.group, known=pair.known) for pair in pairs)


def _follow(run: Generator[Progress | FineTuneEvent, None, FineTuneResult]) -> FineTuneResult | None:
    """Go through a run with a bar of its steps; Ctrl-C stops it cleanly."""
    from napari_wavegms.finetune.events import SplitMade, Stage
    from napari_wavegms.learn.events import MemoryShort, TrainStarted, TrainStep, run_to_end

    steps: list[tqdm[Any]] = []

    def report(event: Progress | FineTuneEvent) -> None:
        if isinstance(event, SplitMade | Stage | MemoryShort):
            note(event.sentence)
        elif isinstance(event, TrainStarted):
            steps.append(bar(event.steps, "Training", "step"))
        elif isinstance(event, TrainStep):
            steps[-1].update()
            if steps[-1].n == steps[-1].total:
                steps[-1].close()

    try:
        return run_to_end(run, report)
    except KeyboardInterrupt:
        return None
    finally:
        for each in steps:
            each.close()


def _as_dict(result: FineTuneResult) -> dict[str, Any]:
    assert result.version is not None
    assert result.verdict is not None
    return {
        "version": result.version.name,
        "path": str(result.path),
        "verdict": result.verdict.word,
        "in_use": result.verdict.promote,
        "compared_with": result.compared_with.stem,
        "before": _finite(result.before),
        "after": _finite(result.after),
        "steps": result.steps,
        "seconds": result.learning,
    }


def _finite(scores: Mapping[str, float]) -> dict[str, float]:
    return {name: score for name, score in scores.items() if math.isfinite(score)}
