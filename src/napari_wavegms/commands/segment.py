"""`wavegms segment`: masks for the images in files and folders."""

from __future__ import annotations

import argparse
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_wavegms.commands.common.arguments import (
    Commands,
    add_codec,
    add_command,
    add_device,
    add_json,
    add_model,
    between_0_and_1,
    one_of,
    whole,
)
from napari_wavegms.commands.common.console import about, bar, counted, show, show_json, tell
from napari_wavegms.commands.common.exit_codes import BAD_INPUT, DONE, FAILED, INTERRUPTED, verdict
from napari_wavegms.commands.common.models import load_segmenter
from napari_wavegms.commands.common.output_paths import (
    checked_output_folder,
    distinct,
    refuse_overwriting,
    result_names,
)

if TYPE_CHECKING:
    from napari_wavegms.commands.segment_files import Done, Job
    from napari_wavegms.segment.segmenter import Segmenter

_EPILOG = """\
Each mask is written as soon as it is done, to DIR/<name>_mask.tiff: 0 is background, 1 is lesion. Images of one name
from several folders get the folder's name before theirs. Stacks are segmented plane by plane into one stack.
A file that cannot be read is reported and the rest is done; the exit code is then 1, or 2 if nothing could be done."""


def add_parser(commands: Commands) -> None:
    """Tell argparse about the command."""
    parser = add_command(commands, "segment", run, "Write masks for images, stacks and folders of them", epilog=_EPILOG)
    parser.add_argument("input", metavar="INPUT", nargs="+", help="images (PNG, JPEG, BMP, TIFF, NIfTI) or folders")
    parser.add_argument("--output", metavar="DIR", type=Path, required=True, help="folder for the masks")
    add_model(parser)
    add_device(parser)
    parser.add_argument(
        "--format", type=one_of("tiff", "png"), default="tiff", metavar="tiff|png", help="of the masks (default: tiff)"
    )
    parser.add_argument(
        "--threshold",
        type=between_0_and_1,
        metavar="P",
        help="probability from which a pixel is lesion (default: the model's, mostly 0.5)",
    )
    parser.add_argument("--probability", action="store_true", help="also write DIR/<name>_probability.tiff, 0 to 1")
    parser.add_argument(
        "--uncertainty",
        action="store_true",
        help="also write DIR/<name>_uncertainty.tiff: 1 on the mask's edge, 0 where the model is sure",
    )
    parser.add_argument("--channel", type=whole, metavar="N", help="channel to read where there are several, from 0")
    add_codec(parser)
    add_json(parser)


@dataclass(slots=True)
class _Outcome:
    """How far the work came."""

    done: list[Done] = field(default_factory=list)
    failed: list[tuple[Path, str]] = field(default_factory=list)

    @property
    def code(self) -> int:
        if self.failed:
            return FAILED if self.done else BAD_INPUT
        return DONE


def run(options: argparse.Namespace) -> int:
    """Segment everything that can be."""
    jobs = _jobs(options)
    checked_output_folder(options.output)
    segmenter = load_segmenter(options)
    threshold = options.threshold or segmenter.threshold
    outcome = _Outcome()
    try:
        _work(segmenter, jobs, threshold, options, outcome)
    except KeyboardInterrupt:
        masks = f"the finished masks are in {options.output}"
        tell(f"Stopped after {len(outcome.done)} of {counted(len(jobs), 'image')}; {masks}.")
        return INTERRUPTED
    if options.json:
        show_json(_summary(segmenter, threshold, outcome))
    if len(jobs) > 1:
        failures = f"; {counted(len(outcome.failed), 'file')} could not be segmented" if outcome.failed else ""
        tell(f"{counted(len(outcome.done), 'mask')} in {options.output}{failures}.")
    return outcome.code


def _jobs(options: argparse.Namespace) -> list[Job]:
    from napari_wavegms.commands.segment_files import Job
    from napari_wavegms.files.discovery import find_images

    files = distinct(find_images(options.input))
    jobs = [
        Job(
            file,
            mask=options.output / f"{name}_mask.{options.format}",
            probability=options.output / f"{name}_probability.tiff" if options.probability else None,
            uncertainty=options.output / f"{name}_uncertainty.tiff" if options.uncertainty else None,
        )
        for file, name in zip(files, result_names(files), strict=True)
    ]
    refuse_overwriting([path for job in jobs for path in job.results], files)
    return jobs


def _work(
    segmenter: Segmenter, jobs: list[Job], threshold: float, options: argparse.Namespace, outcome: _Outcome
) -> None:
    from napari_wavegms.commands.segment_files import Done, segment_many

    with (
        bar(len(jobs), "Segmenting", "image", silent=len(jobs) == 1) as progress,
        closing(segment_many(segmenter, jobs, threshold, options.channel)) as finished,
    ):
        for job, result in finished:
            if isinstance(result, Done):
                outcome.done.append(result)
                if not options.json:
                    show(str(result))
            elif (found := verdict(result)) is None:
                raise result
            else:
                outcome.failed.append((job.source, about(job.source.name, found[1])))
                tell(outcome.failed[-1][1])
            progress.update()


def _summary(segmenter: Segmenter, threshold: float, outcome: _Outcome) -> dict[str, Any]:
    return {
        "model": segmenter.card.name,
        "device": segmenter.device.name,
        "threshold": threshold,
        "images": [done.as_dict() for done in outcome.done],
        "failed": [{"source": str(source), "error": sentence} for source, sentence in outcome.failed],
    }
