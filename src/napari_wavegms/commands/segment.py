"""`wavegms segment`: masks for the images in files and folders."""

from __future__ import annotations

import argparse
import re
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

from napari_wavegms.commands.common.arguments import Commands, a_path, add_command, add_shared, between_0_and_1, whole
from napari_wavegms.commands.common.cluster import on_cluster
from napari_wavegms.commands.common.console import about, bar, note, show, show_json
from napari_wavegms.commands.common.exit_codes import BAD_INPUT, DONE, FAILED, INTERRUPTED, verdict
from napari_wavegms.commands.common.models import for_elsewhere, load_segmenter, loaded_in_worker, named_model
from napari_wavegms.commands.common.output_paths import checked_output_folder, refuse_overwriting
from napari_wavegms.commands.common.resume import Sorted, settings_digest, sort_out
from napari_wavegms.commands.common.segment_files import Done, Job, segment_file
from napari_wavegms.commands.common.workers import Pace, in_processes
from napari_wavegms.errors import InputError
from napari_wavegms.files.discovery import find_images, mask_ending, result_names
from napari_wavegms.files.formats import ome_zarr
from napari_wavegms.model.card import read_card
from napari_wavegms.storage.memory import set_memory_limit
from napari_wavegms.wording import counted, listed

if TYPE_CHECKING:
    from napari_wavegms.segment.segmenter import Segmenter

_LABEL = "wavegms"
_MOST_WORKERS = 8  # each holds the maps of one image, about 100 MB at 224 x 224

_EPILOG = """\
Each mask is written as soon as it is done, to DIR/<name>_mask.tiff: 0 is background, 1 is lesion. A mask that is there
already, perhaps corrected by hand, is kept unless --overwrite is given. Images of the same name from several folders
get the folder's name before theirs. Stacks are segmented plane by plane into one stack. Files named like masks,
<name>_mask.*, are no images. A folder with the slices of a DICOM series is one volume. A volume (NIfTI, MHA, NRRD,
DICOM series) gets a NIfTI mask, <name>_mask.nii.gz, with the same axes and affine, so that it lies on it in every
program; --format dcm gives DICOM images their segmentation (SEG), <name>_mask.dcm.
An OME-Zarr gets labels inside, in labels/NAME, at every level of its pyramid.
--resume looks into the masks that are there: those that the same model made with the same settings from the same image,
and that nobody changed, are done; the others are kept and named, or with --overwrite made again.
A file that cannot be read is reported and the rest is done; the exit code is then 1, or 2 if nothing could be done."""


def add_parser(commands: Commands) -> None:
    """Register the command with argparse."""
    parser = add_command(commands, "segment", run, "Write masks for images, stacks and folders of them", epilog=_EPILOG)
    parser.add_argument(
        "input",
        metavar="INPUT",
        nargs="+",
        help="images (PNG, JPEG, BMP, TIFF, DICOM, OME-Zarr), volumes (NIfTI, MHA, NRRD, DICOM series) or folders",
    )
    parser.add_argument("--output", metavar="DIR", type=a_path, help="folder for the masks; OME-Zarr needs none")
    parser.add_argument(
        "--label",
        metavar="NAME",
        type=_a_name,
        help="name of the labels in an OME-Zarr (default: wavegms)",
    )
    add_shared(parser, "--recursive", "--overwrite")
    parser.add_argument(
        "--resume", action="store_true", help="tell by what stands in the masks that are there which of them are done"
    )
    add_shared(parser, "--workers", "--scheduler", "--model", "--device", "--format")
    parser.add_argument(
        "--threshold",
        type=between_0_and_1,
        metavar="P",
        help="probability from which a pixel is lesion (default: the model's, usually 0.5)",
    )
    parser.add_argument("--probability", action="store_true", help="also write DIR/<name>_probability.*, 0 to 1")
    parser.add_argument(
        "--uncertainty",
        action="store_true",
        help="also write DIR/<name>_uncertainty.*: 1 on the mask's edge, 0 where the model is sure",
    )
    parser.add_argument(
        "--objects",
        action="store_true",
        help="number the objects, those that touch parted at their necks, instead of the classes",
    )
    parser.add_argument("--channel", type=whole, metavar="N", help="channel to read where there are several, from 0")
    add_shared(parser, "--detail", "--window", "--max-memory", "--codec", "--taesd", "--allow-download", "--json")


def run(options: argparse.Namespace) -> int:
    """Segment everything that can be segmented."""
    set_memory_limit(options.max_memory)
    jobs = _jobs(options)
    if options.output is not None:
        checked_output_folder(options.output)
    model = named_model(options.model)
    card = read_card(model)
    threshold = options.threshold or card.threshold
    settings = settings_digest(options, model, threshold)
    jobs = [replace(job, settings=settings) for job in jobs]
    places = sort_out(jobs, resume=options.resume, overwrite=options.overwrite)
    _tell_kept(places)
    if not places.to_do and (places.kept or places.done) and not options.json:
        return DONE
    done: list[Done] = []
    failed: list[tuple[Path, str]] = []
    device = ""
    try:
        device = _segment(places.to_do, threshold, options, done, failed)
    except KeyboardInterrupt:
        where = f"the finished masks are in {options.output}" if options.output else "the finished masks are kept"
        note(f"Stopped after {len(done)} of {counted(len(places.to_do), 'image')}; {where}.")
        return INTERRUPTED
    if options.json:
        order = {job.absolute().source: place for place, job in enumerate(jobs)}
        show_json(
            {
                "model": card.name,
                "device": device,
                "threshold": threshold,
                "detail": options.detail,
                "images": [one.as_dict() for one in sorted(done, key=lambda one: order[one.job.absolute().source])],
                "done_before": [str(job.mask) for job in places.done],
                "kept": [str(job.mask) for job, _ in places.kept],
                "failed": [{"source": str(source), "error": sentence} for source, sentence in failed],
            }
        )
    if len(places.to_do) > 1:
        failures = f"; {counted(len(failed), 'file')} could not be segmented" if failed else ""
        note(f"{counted(len(done), 'mask')}{f' in {options.output}' if options.output else ''}{failures}.")
    if not failed:
        return DONE
    return FAILED if done or places.kept or places.done else BAD_INPUT


def _tell_kept(places: Sorted) -> None:
    if places.done:
        note(f"Already done: {counted(len(places.done), 'mask')}.")
    if places.kept:
        names = [f"{job.mask.name}{f' ({reason})' if reason else ''}" for job, reason in places.kept]
        note(f"Kept {counted(len(names), 'mask')} that exist already: {listed(names)}. Replace them with --overwrite.")


def _jobs(options: argparse.Namespace) -> list[Job]:
    files = find_images(options.input, recursive=options.recursive, on_note=note)
    folder = options.output
    jobs = []
    inside = {file for file in files if ome_zarr.is_image(file)}
    asked = {"--format": options.format, "--probability": options.probability, "--uncertainty": options.uncertainty}
    asked["--objects"] = options.objects
    if inside and (idle := [name for name, wanted in asked.items() if wanted]):
        names = listed(file.name for file in sorted(inside))
        note(f"{', '.join(idle)}: without effect on OME-Zarr, which gets labels alone ({names}).")
    if options.label and not inside:
        note("--label: without effect, as no input is an OME-Zarr.")
    for file, name in zip(files, result_names(files), strict=True):
        if file in inside:
            jobs.append(Job(file, mask=file / ome_zarr.LABELS / (options.label or _LABEL)))
            continue
        if folder is None:
            raise InputError(f"wavegms segment needs --output, the folder for the mask of {file.name}.")
        jobs.append(
            Job(
                file,
                mask=folder / f"{name}_mask.{mask_ending(file, options.format)}",
                probability=folder / f"{name}_probability.{mask_ending(file)}" if options.probability else None,
                uncertainty=folder / f"{name}_uncertainty.{mask_ending(file)}" if options.uncertainty else None,
                objects=options.objects,
            )
        )
    refuse_overwriting([path for job in jobs for path in job.results], files)
    return jobs


def _a_name(text: str) -> str:
    """The name of a group of Zarr."""
    if not re.fullmatch(r"[\w-][\w. -]*", text):
        raise argparse.ArgumentTypeError(f"is '{text}'; give a name of letters, digits, '-' and '_'")
    return text


def _segment(
    jobs: list[Job],
    threshold: float,
    options: argparse.Namespace,
    done: list[Done],
    failed: list[tuple[Path, str]],
) -> str:
    """Segment in threads, or in processes where some are asked for; returns the device."""
    device = ""

    def on_ready(told: tuple[str, str, str]) -> None:
        nonlocal device
        device = told[1]
        note(f"Model {told[0]} on {told[2]}, with {counted(min(options.workers, len(jobs)), 'worker')}.")

    if options.scheduler and jobs:
        note(f"Handing {counted(len(jobs), 'file')} to {options.scheduler}.")
        device = "cluster"
        outcomes: Any = on_cluster(
            partial(_worker, for_elsewhere(options), threshold),
            [job.absolute() for job in jobs],
            options.scheduler,
            name_of=lambda job: job.source.name,
        )
    elif options.workers and jobs:
        outcomes = in_processes(
            partial(_worker, options, threshold),
            jobs,
            options.workers,
            name_of=lambda job: job.source.name,
            on_ready=on_ready,
        )
    else:
        segmenter = load_segmenter(options)
        device = segmenter.device.name
        outcomes = segment_many(segmenter, jobs, threshold, options.channel)
    pace = Pace(len(jobs))
    with (
        bar(len(jobs), "Segmenting", "image", silent=len(jobs) == 1) as progress,
        closing(outcomes) as finished,
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
            if (sentence := pace.step()) and progress.disable:
                note(sentence)
    return device


def _worker(options: argparse.Namespace, threshold: float) -> tuple[tuple[str, str, str], Any]:
    """What a process of `--workers` does first."""
    segmenter = loaded_in_worker(options)
    told = segmenter.card.name, segmenter.device.name, segmenter.device.reason
    return told, partial(_in_worker, segmenter, threshold, options.channel)


def _in_worker(segmenter: Segmenter, threshold: float, channel: int | None, job: Job) -> Done:
    return segment_file(segmenter, job, threshold, channel, Event())  # whose bars are silent


def segment_many(
    segmenter: Segmenter, jobs: Sequence[Job], threshold: float, channel: int | None = None, workers: int | None = None
) -> Generator[tuple[Job, Done | Exception], None, None]:
    """Segment files, several at a time on a CPU of several cores; closing the generator stops between two planes.

    One image is too small to keep two cores busy; two images are not. So there are as many workers as torch would use
    threads, each computes in one thread, and reads and writes its own files. Yields in the order of the jobs.
    """
    import torch

    if workers is None:
        # A GPU computes one image at a time; the second worker reads and writes meanwhile.
        workers = min(torch.get_num_threads(), _MOST_WORKERS) if segmenter.device.name == "cpu" else 2
    workers = min(workers, len(jobs))
    if workers < 2:
        for job in jobs:
            yield job, _outcome(segmenter, job, threshold, channel, None)
        return
    stop = Event()
    pool = ThreadPoolExecutor(workers, "wavegms-segment", initializer=torch.set_num_threads, initargs=(1,))
    futures = [(job, pool.submit(_outcome, segmenter, job, threshold, channel, stop)) for job in jobs]
    try:
        for job, future in futures:
            yield job, future.result()
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


def _outcome(
    segmenter: Segmenter, job: Job, threshold: float, channel: int | None, stop: Event | None
) -> Done | Exception:
    try:
        return segment_file(segmenter, job, threshold, channel, stop)
    except Exception as error:
        return error
