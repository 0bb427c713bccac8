"""`wavegms evaluate`: DSC, IoU and HD95 of a model, image by image."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_wavegms.commands.common.arguments import Commands, add_codec, add_command, add_device, add_model
from napari_wavegms.commands.common.console import about, bar, counted, show, tell
from napari_wavegms.commands.common.exit_codes import DONE, FAILED, verdict
from napari_wavegms.commands.common.models import load_segmenter
from napari_wavegms.commands.common.output_paths import checked_output_file
from napari_wavegms.commands.common.pairs import PairFiles, add_folders, chosen, find_pairs, tell_unpaired
from napari_wavegms.commands.evaluate_sheet import sheet_target, write_overlays
from napari_wavegms.errors import InputError

if TYPE_CHECKING:
    from napari_wavegms.learn.evaluate import ImageScored, Report
    from napari_wavegms.segment.segmenter import Segmenter

_FEW = 5  # images; below, a mean says little
_STDOUT = "-"

_EPILOG = """\
DSC (Dice similarity coefficient) and IoU (intersection over union) are between 0 and 1; HD95 is the 95th percentile of
the distances between the two outlines, in pixels of the model's working size. Where one of the two masks is empty HD95
is undefined; such images are left out of its mean and counted.
A pair that cannot be read is reported and the rest is done; the exit code is then 1, or 2 if nothing could be done."""


def add_parser(commands: Commands) -> None:
    """Tell argparse about the command."""
    parser = add_command(commands, "evaluate", run, "Score a model on images with true masks", epilog=_EPILOG)
    add_folders(parser)
    add_model(parser)
    parser.add_argument("--split", metavar="FILE", type=Path, help='JSON such as {"train": [stems], "val": [stems]}')
    parser.add_argument("--subset", metavar="NAME", help="the list of the split file to score")
    add_device(parser)
    add_codec(parser)
    parser.add_argument(
        "--json", metavar="FILE", nargs="?", const=_STDOUT, help="write the scores as JSON (without FILE: print them)"
    )
    parser.add_argument(
        "--overlays",
        metavar="DIR",
        type=Path,
        help="draw a contact sheet of the worst, middle and best images, with both outlines",
    )


@dataclass(slots=True)
class _Scores:
    """What was scored and what could not be."""

    scored: list[ImageScored] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)


def run(options: argparse.Namespace) -> int:
    """Score all pairs and print the table."""
    files = _files(options)
    inputs = _inputs(options, files)
    target = None
    if options.json not in (None, _STDOUT):
        target = checked_output_file(Path(options.json), inputs, option="--json")
    sheet = sheet_target(options.overlays, inputs) if options.overlays else None
    segmenter = load_segmenter(options)
    scores = _Scores()
    _score(segmenter, files, scores, quiet=options.json == _STDOUT)
    if not scores.scored:
        raise InputError(f"None of the {counted(len(files), 'pair')} could be scored.")
    from napari_wavegms.learn.evaluate import Report

    report = Report(tuple(scores.scored))
    text = json.dumps(_as_dict(report, segmenter, options, scores), indent=2, allow_nan=False)
    if options.json == _STDOUT:
        show(text)
    else:
        for line in _closing(report, segmenter, _width(files)):
            show(line)
    if target:
        _write(target, text)
        tell(f"The scores are in {target}.")
    if sheet:
        write_overlays(sheet, segmenter, files, report)
        tell(f"The contact sheet is {sheet}.")
    return FAILED if scores.failed else DONE


def _files(options: argparse.Namespace) -> list[PairFiles]:
    if options.subset and not options.split:
        raise InputError("--subset names a list of a split file; give the file with --split.")
    if options.split and not options.subset:
        raise InputError("--split needs --subset: name the list to score, such as --subset val.")
    found = find_pairs(options.images, options.masks)
    if options.split:
        return chosen(found, options.split, options.subset)
    tell_unpaired(options.images, options.masks)
    return found


def _inputs(options: argparse.Namespace, files: Sequence[PairFiles]) -> list[Path]:
    inputs = [path for pair in files for path in (pair.image, pair.mask)]
    return [*inputs, options.split] if options.split else inputs


def _score(segmenter: Segmenter, files: Sequence[PairFiles], scores: _Scores, *, quiet: bool) -> None:
    """Score pair by pair, so that no more than one is in memory and a broken one costs only itself."""
    from napari_wavegms.learn.evaluate import evaluate

    width = _width(files)
    if not quiet:
        show(f"{'image':{width}}  {'DSC':>6}  {'IoU':>6}  {'HD95':>6}")
    with bar(len(files), "Scoring", "image") as progress:
        for number, pair in enumerate(files, start=1):
            try:
                (scored,) = evaluate(segmenter, [pair.read()]).images
            except Exception as error:
                if (found := verdict(error)) is None:
                    raise
                scores.failed.append((pair.name, about(pair.name, found[1])))
                tell(scores.failed[-1][1])
            else:
                scores.scored.append(replace(scored, number=number, total=len(files)))
                if not quiet:
                    show(_row(pair.name, width, scored.dsc, scored.iou, scored.hd95))
            progress.update()


def _closing(report: Report, segmenter: Segmenter, width: int) -> list[str]:
    count, side = len(report.images), segmenter.preprocessing.size
    lines = [_row(f"mean of {count}", width, report.dsc, report.iou, report.hd95), ""]
    few = " So few images say little about others." if count < _FEW else ""
    lines.append(
        f"{segmenter.card.name} on {counted(count, 'image')}, at {side} x {side} pixels and threshold "
        f"{segmenter.threshold:g}; HD95 in pixels.{few}"
    )
    if report.hd95_undefined:
        lines.append(f"HD95 is undefined for {counted(report.hd95_undefined, 'image')}: one of the two masks is empty.")
    return lines


def _width(files: Sequence[PairFiles]) -> int:
    return max(len(f"mean of {len(files)}"), *(len(pair.name) for pair in files))


def _row(name: str, width: int, dsc: float, iou: float, hd95: float | None) -> str:
    distance = "–" if hd95 is None else f"{hd95:.2f}"
    return f"{name:{width}}  {dsc:6.4f}  {iou:6.4f}  {distance:>6}"


def _as_dict(report: Report, segmenter: Segmenter, options: argparse.Namespace, scores: _Scores) -> dict[str, Any]:
    return report.as_dict() | {
        "model": segmenter.card.name,
        "codec": options.codec,
        "subset": options.subset,
        "failed": [{"name": name, "error": sentence} for name, sentence in scores.failed],
    }


def _write(target: Path, text: str) -> None:
    from napari_wavegms.storage.atomic import atomic_write

    with atomic_write(target) as neighbour:
        neighbour.write_text(text + "\n", encoding="utf-8")
