"""`wavegms segment`: masks for the images in files and folders."""

from __future__ import annotations

import argparse
import os
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from napari_wavegms.commands.common.arguments import Commands, a_path, add_command, add_shared, between_0_and_1, whole
from napari_wavegms.commands.common.console import about, bar, note, show, show_json
from napari_wavegms.commands.common.exit_codes import BAD_INPUT, DONE, FAILED, INTERRUPTED, verdict
from napari_wavegms.commands.common.models import load_segmenter
from napari_wavegms.commands.common.output_paths import checked_output_folder, refuse_overwriting
from napari_wavegms.storage.memory import set_memory_limit
from napari_wavegms.wording import counted, listed

if TYPE_CHECKING:
    from napari_wavegms.commands.segment_files import Done, Job
    from napari_wavegms.segment.segmenter import Segmenter

_EPILOG = """\
Each mask is written as soon as it is done, to DIR/<name>_mask.tiff: 0 is background, 1 is lesion. A mask that is there
already, perhaps corrected by hand, is kept unless --overwrite is given. Images of the same name from several folders
get the folder's name before theirs. Stacks are segmented plane by plane into one stack. Files named like masks,
<name>_mask.*, are no images.
A file that cannot be read is reported and the rest is done; the exit code is then 1, or 2 if nothing could be done."""


def add_parser(commands: Commands) -> None:
    """Register the command with argparse."""
    parser = add_command(commands, "segment", run, "Write masks for images, stacks and folders of them", epilog=_EPILOG)
    parser.add_argument("input", metavar="INPUT", nargs="+", help="images (PNG, JPEG, BMP, TIFF, NIfTI) or folders")
    parser.add_argument("--output", metavar="DIR", type=a_path, required=True, help="folder for the masks")
    add_shared(parser, "--recursive", "--overwrite", "--model", "--device", "--format")
    parser.add_argument(
        "--threshold",
        type=between_0_and_1,
        metavar="P",
        help="probability from which a pixel is lesion (default: the model's, usually 0.5)",
    )
    parser.add_argument("--probability", action="store_true", help="also write DIR/<name>_probability.tiff, 0 to 1")
    parser.add_argument(
        "--uncertainty",
        action="store_true",
        help="also write DIR/<name>_uncertainty.tiff: 1 on the mask's edge, 0 where the model is sure",
    )
    parser.add_argument("--channel", type=whole, metavar="N", help="channel to read where there are several, from 0")
    add_shared(parser, "--max-memory", "--codec", "--taesd", "--allow-download", "--json")


def run(options: argparse.Namespace) -> int:
    """Segment everything that can be segmented."""
    set_memory_limit(options.max_memory)
    jobs = _jobs(options)
    checked_output_folder(options.output)
    there = [] if options.overwrite else [job for job in jobs if os.path.lexists(job.mask)]
    if there:
        note(
            f"Kept {counted(len(there), 'mask')} that exist already: {listed(job.mask.name for job in there)}. Replace "
            "them with --overwrite."
        )
        jobs = [job for job in jobs if job not in there]
        if not jobs and not options.json:
            return DONE
    segmenter = load_segmenter(options)
    threshold = options.threshold or segmenter.threshold
    done: list[Done] = []
    failed: list[tuple[Path, str]] = []
    try:
        _segment(segmenter, jobs, threshold, options, done, failed)
    except KeyboardInterrupt:
        note(f"Stopped after {len(done)} of {counted(len(jobs), 'image')}; the finished masks are in {options.output}.")
        return INTERRUPTED
    if options.json:
        show_json(
            {
                "model": segmenter.card.name,
                "device": segmenter.device.name,
                "threshold": threshold,
                "images": [one.as_dict() for one in done],
                "kept": [str(job.mask) for job in there],
                "failed": [{"source": str(source), "error": sentence} for source, sentence in failed],
            }
        )
    if len(jobs) > 1:
        failures = f"; {counted(len(failed), 'file')} could not be segmented" if failed else ""
        note(f"{counted(len(done), 'mask')} in {options.output}{failures}.")
    if not failed:
        return DONE
    return FAILED if done or there else BAD_INPUT


def _jobs(options: argparse.Namespace) -> list[Job]:
    from napari_wavegms.commands.segment_files import Job
    from napari_wavegms.files.discovery import distinct, find_images, result_names

    files = distinct(find_images(options.input, recursive=options.recursive, on_note=note))
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


def _segment(
    segmenter: Segmenter,
    jobs: list[Job],
    threshold: float,
    options: argparse.Namespace,
    done: list[Done],
    failed: list[tuple[Path, str]],
) -> None:
    from napari_wavegms.commands.segment_files import Done, segment_many

    with (
        bar(len(jobs), "Segmenting", "image", silent=len(jobs) == 1) as progress,
        closing(segment_many(segmenter, jobs, threshold, options.channel)) as finished,
    ):
        for job, result in finished:
            if isinstance(result, Done):
                done.append(result)
                if not options.json:
                    show(str(result))
                for sentence in result.notes:
                    note(sentence)
            elif (found := verdict(result)) is None:
                raise result
            else:
                failed.append((job.source, about(job.source.name, found[1])))
                note(failed[-1][1])
            progress.update()
