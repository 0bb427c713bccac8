"""`wavegms evaluate`: DSC, IoU and HD95 of a model, image by image."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_wavegms.commands.common.arguments import (
    STDOUT,
    Commands,
    a_path,
    add_command,
    add_json_file,
    add_shared,
    json_target,
)
from napari_wavegms.commands.common.cluster import on_cluster
from napari_wavegms.commands.common.console import about, bar, note, show, show_json
from napari_wavegms.commands.common.exit_codes import DONE, FAILED, verdict
from napari_wavegms.commands.common.models import for_elsewhere, load_segmenter, loaded_in_worker
from napari_wavegms.commands.common.output_paths import checked_output_folder, refuse_overwriting, write_json
from napari_wavegms.commands.common.pairs import add_folders, add_labels, chosen, note_unpaired
from napari_wavegms.commands.common.workers import Pace, in_order, in_processes
from napari_wavegms.errors import InputError
from napari_wavegms.files.pairing import PairPaths, pair_by_stem
from napari_wavegms.learn.pairs import PairArrays, read_pair
from napari_wavegms.model.classes import Learned, as_classes, classes_for, values_in
from napari_wavegms.storage.memory import set_memory_limit
from napari_wavegms.wording import counted

if TYPE_CHECKING:
    from napari_wavegms.commands.common.pictures import Tile
    from napari_wavegms.learn.evaluate import ImageScored, Report
    from napari_wavegms.segment.segmenter import Segmenter

    _Scored = tuple[list[ImageScored], str]  # of one pair, and a sentence on what was left out of its files

SHEET = "contact-sheet.png"

_FEW = 5  # images; below, a mean says little
_EACH = 10  # images in a section of the contact sheet

_EPILOG = """\
DSC (Dice similarity coefficient) and IoU (intersection over union) are between 0 and 1; HD95 is the 95th percentile of
the distances between the two outlines, in pixels of the model's working size. A volume is scored as a whole at its own
voxels, HD95 in mm; time series are scored frame by frame. Where one of the two masks is empty, HD95 is undefined; such
images are left out of its mean and counted.
A pair that cannot be read is reported and the rest is scored; the exit code is then 1, or 2 if nothing was scored."""


def add_parser(commands: Commands) -> None:
    """Register the command with argparse."""
    parser = add_command(commands, "evaluate", run, "Score a model on images with true masks", epilog=_EPILOG)
    add_folders(parser)
    add_labels(parser)
    add_shared(parser, "--model", "--device", "--window", "--detail", "--workers", "--scheduler", "--max-memory")
    add_shared(parser, "--codec", "--taesd", "--allow-download")
    parser.add_argument("--split", metavar="FILE", type=a_path, help='JSON such as {"train": [stems], "val": [stems]}')
    parser.add_argument("--subset", metavar="NAME", help="the list of the split file to score")
    add_json_file(parser, "scores")
    parser.add_argument(
        "--overlays",
        metavar="DIR",
        type=a_path,
        help="draw a contact sheet of the worst, middle and best images, with both outlines",
    )


def run(options: argparse.Namespace) -> int:
    """Score all pairs and print the table."""
    set_memory_limit(options.max_memory)
    files = _files(options)
    inputs = [path for pair in files for path in (pair.image, *pair.masks)] + [options.split] * bool(options.split)
    target = json_target(options, inputs)
    sheet = _sheet_target(options.overlays, inputs) if options.overlays else None
    segmenter = load_segmenter(options)
    prints_json = options.json == STDOUT
    with closing(_outcomes(segmenter, files, options)) as outcomes:
        scored, failed = _score(outcomes, files, quiet=prints_json)
    if not scored:
        raise InputError(f"None of the {counted(len(files), 'pair')} could be scored.")
    from napari_wavegms.learn.evaluate import Report

    report = Report(tuple(scored))
    values = report.as_dict() | {
        "model": segmenter.card.name,
        "codec": options.codec,
        "detail": options.detail,
        "subset": options.subset,
        "failed": [{"name": name, "error": sentence} for name, sentence in failed],
    }
    if prints_json:
        show_json(values)
    else:
        show(*_closing(report, segmenter, _width(files)))
    if target:
        write_json(target, values)
        note(f"Scores written to {target}.")
    if sheet:
        _write_sheet(sheet, segmenter, files, report)
        note(f"Contact sheet written to {sheet}.")
    return FAILED if failed else DONE


def _files(options: argparse.Namespace) -> list[PairPaths]:
    if options.subset and not options.split:
        raise InputError("--subset names a list of a split file; give the file with --split.")
    if options.split and not options.subset:
        raise InputError("--split needs --subset: name the list to score, such as --subset val.")
    found = pair_by_stem(options.images, options.masks)
    if options.split:
        return chosen(found, options.split, options.subset)
    note_unpaired(options.images, options.masks)
    return found


def _outcomes(
    segmenter: Segmenter, files: Sequence[PairPaths], options: argparse.Namespace
) -> Generator[tuple[PairPaths, _Scored | Exception], None, None]:
    """The scores of each pair, or why it has none, in the order of the files."""
    if options.workers or options.scheduler:
        if options.scheduler:
            here = [replace(pair, image=pair.image.absolute(), masks=_absolute(pair.masks)) for pair in files]
            tasks = on_cluster(partial(_worker, for_elsewhere(options)), here, options.scheduler, name_of=_name)
            files = here
        else:
            tasks = in_processes(partial(_worker, options), files, options.workers, name_of=_name)
        with closing(tasks) as outcomes:
            yield from in_order(files, outcomes)
        return
    for pair in files:
        try:
            outcome: _Scored | Exception = _scores(segmenter, options.labels, pair)
        except Exception as error:
            outcome = error
        yield pair, outcome


def _name(pair: PairPaths) -> str:
    return pair.name


def _absolute(paths: Iterable[Path]) -> tuple[Path, ...]:
    return tuple(path.absolute() for path in paths)


def _worker(options: argparse.Namespace) -> tuple[None, Callable[[PairPaths], _Scored]]:
    """What a process of `--workers` does first."""
    return None, partial(_scores, loaded_in_worker(options), options.labels)


def _scores(segmenter: Segmenter, learned: Learned | None, files: PairPaths) -> _Scored:
    """Score one pair, so that no more than one is in memory; with a sentence on what was left out of its files."""
    from napari_wavegms.learn.evaluate import evaluate, score_volume

    found = _read(files, learned, segmenter.classes)
    if found.is_volume:
        return [score_volume(segmenter, found)], found.note
    return list(evaluate(segmenter, [plane.pair for plane in found.planes]).images), found.note


def _read(files: PairPaths, learned: Learned | None, classes: int) -> PairArrays:
    """Read a pair; a mask without background is refused."""
    found = read_pair(files)
    if found.mask.all():
        raise InputError(f"The mask of {files.name} has no background. Set what is not to be found to 0.")
    if isinstance(learned, int):  # an image may well lack it
        return replace(found, mask=as_classes(found.mask, {learned: 1}))
    return replace(found, mask=as_classes(found.mask, classes_for(values_in(found.mask), learned, classes, files.name)))


def _score(
    outcomes: Iterable[tuple[PairPaths, _Scored | Exception]], files: Sequence[PairPaths], *, quiet: bool
) -> tuple[list[ImageScored], list[tuple[str, str]]]:
    """Print the scores as they come; a pair that is broken costs only itself."""
    scored, failed = [], []
    width = _width(files)
    if not quiet:
        show(f"{'image':{width}}  {'DSC':>6}  {'IoU':>6}  {'HD95':>6}")
    pace = Pace(len(files))
    with bar(len(files), "Scoring", "image") as progress:
        for number, (pair, outcome) in enumerate(outcomes, start=1):
            if not isinstance(outcome, Exception):
                scores, left_out = outcome
                if left_out:
                    note(left_out)
                for one in scores:
                    scored.append(replace(one, number=number, total=len(files)))
                    if not quiet:
                        show(_row(one.name, width, one))
            elif (found := verdict(outcome)) is None:
                raise outcome
            else:
                failed.append((pair.name, about(pair.name, found[1])))
                note(failed[-1][1])
            progress.update()
            if (sentence := pace.step()) and progress.disable:
                note(sentence)
    return scored, failed


def _closing(report: Report, segmenter: Segmenter, width: int) -> list[str]:
    count, side = len(report.images), segmenter.preprocessing.size
    few = " So few images say little about others." if count < _FEW else ""
    units = sorted({"pixels" if scored.unit == "pixel" else scored.unit for scored in report.images})
    about_all = (
        f"{segmenter.card.name} on {counted(count, 'image')}, at {side} x {side} pixels and threshold "
        f"{segmenter.threshold:g}; HD95 in {' or '.join(units)}.{few}"
    )
    lines = [_row(f"mean of {count}", width, report), "", about_all]
    names = dict(enumerate(segmenter.card.class_names))
    if by_class := [f"{names.get(label, label)} {dsc:.4f}" for label, dsc in report.by_class.items()]:
        lines.append(f"DSC by class, over the images that have it or where it was found: {', '.join(by_class)}.")
    if report.hd95_undefined:
        lines.append(f"HD95 is undefined for {counted(report.hd95_undefined, 'image')}: one of the two masks is empty.")
    return lines


def _width(files: Sequence[PairPaths]) -> int:
    return max(len(f"mean of {len(files)}"), *(len(pair.name) for pair in files))


def _row(name: str, width: int, scores: ImageScored | Report) -> str:
    distance = "–" if scores.hd95 is None else f"{scores.hd95:.2f}"
    return f"{name:{width}}  {scores.dsc:6.4f}  {scores.iou:6.4f}  {distance:>6}"


def _sheet_target(folder: Path, inputs: Sequence[Path]) -> Path:
    target = folder / SHEET
    refuse_overwriting([target], inputs, "--overlays")
    checked_output_folder(folder, "--overlays")
    return target


def _write_sheet(target: Path, segmenter: Segmenter, files: Sequence[PairPaths], report: Report) -> None:
    """Draw the contact sheet; its images are read and segmented again, so that only its tiles are ever in memory."""
    from napari_wavegms.commands.common.pictures import Section, write_contact_sheet

    sections = sheet_sections(report.images)
    by_name = {file.name: file for file in files}
    drawn: list[Section] = []
    with bar(sum(len(scored) for _, scored in sections), "Drawing", "image") as progress:
        for heading, scored in sections:
            tiles = []
            for one in scored:
                file = by_name.get(one.name) or by_name[one.name.rpartition(" ")[0]]  # or a frame of it
                tiles.append(_tile(segmenter, file, one))
                progress.update()
            drawn.append(Section(heading, tuple(tiles)))
    title = f"{segmenter.card.name} on {counted(len(report.images), 'image')}, mean DSC {report.dsc:.3f}"
    write_contact_sheet(target, title, drawn)


def sheet_sections(images: Sequence[ImageScored], each: int = _EACH) -> list[tuple[str, list[ImageScored]]]:
    """Headings and images of the contact sheet, worst first: all of them where they are few."""
    ranked = sorted(images, key=lambda scored: (scored.dsc, scored.name))
    if len(ranked) <= 3 * each:
        return [(f"All {counted(len(ranked), 'image')}, worst first", ranked)]
    middle = (len(ranked) - each) // 2
    return [
        (f"The {each} worst", ranked[:each]),
        (f"The {each} around the median", ranked[middle : middle + each]),
        (f"The {each} best", ranked[-each:]),
    ]


def _tile(segmenter: Segmenter, file: PairPaths, scored: ImageScored) -> Tile:
    from napari_wavegms.commands.common.pictures import make_tile

    planes = {plane.name: plane for plane in read_pair(file).planes}
    # Of a volume the slice where the structure is largest.
    pair = (planes.get(scored.name) or max(planes.values(), key=lambda plane: np.count_nonzero(plane.mask))).pair
    unit = "px" if scored.unit == "pixel" else scored.unit
    distance = "undefined" if scored.hd95 is None else f"{scored.hd95:.1f} {unit}"
    mask = segmenter.for_volume(pair.volume).segment(pair.image).mask
    return make_tile(pair.image, mask, pair.mask, pair.name, f"DSC {scored.dsc:.3f}   HD95 {distance}")
