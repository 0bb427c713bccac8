"""`wavegms segment`: masks for the images in files and folders."""

from __future__ import annotations

import argparse
import math
import os
import re
import time
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_wavegms.commands.common.arguments import Commands, a_path, add_command, add_shared, between_0_and_1, whole
from napari_wavegms.commands.common.console import about, bar, note, show, show_json
from napari_wavegms.commands.common.exit_codes import BAD_INPUT, DONE, FAILED, INTERRUPTED, verdict
from napari_wavegms.commands.common.models import load_segmenter
from napari_wavegms.commands.common.output_paths import checked_output_folder, refuse_overwriting
from napari_wavegms.errors import InputError
from napari_wavegms.files.discovery import find_images, mask_ending, result_names
from napari_wavegms.files.formats import ome_zarr
from napari_wavegms.files.mask_writer import write_mask, write_probability
from napari_wavegms.files.provenance import Provenance
from napari_wavegms.files.reading import LoadedImage, read_image
from napari_wavegms.segment.measure import objects_of
from napari_wavegms.segment.planes import ChannelNeeded, StackPlan, plan_stack, segment_planes
from napari_wavegms.segment.postprocess import threshold_probability
from napari_wavegms.segment.preprocessing import WINDOWS
from napari_wavegms.segment.refine import refine
from napari_wavegms.segment.uncertainty import uncertainty_map
from napari_wavegms.storage.memory import set_memory_limit
from napari_wavegms.wording import counted, duration, listed

if TYPE_CHECKING:
    from tqdm import tqdm

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
    add_shared(parser, "--recursive", "--overwrite", "--model", "--device", "--format")
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
        where = f"the finished masks are in {options.output}" if options.output else "the finished masks are kept"
        note(f"Stopped after {len(done)} of {counted(len(jobs), 'image')}; {where}.")
        return INTERRUPTED
    if options.json:
        show_json(
            {
                "model": segmenter.card.name,
                "device": segmenter.device.name,
                "threshold": threshold,
                "detail": segmenter.detail,
                "images": [one.as_dict() for one in done],
                "kept": [str(job.mask) for job in there],
                "failed": [{"source": str(source), "error": sentence} for source, sentence in failed],
            }
        )
    if len(jobs) > 1:
        failures = f"; {counted(len(failed), 'file')} could not be segmented" if failed else ""
        note(f"{counted(len(done), 'mask')}{f' in {options.output}' if options.output else ''}{failures}.")
    if not failed:
        return DONE
    return FAILED if done or there else BAD_INPUT


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
    segmenter: Segmenter,
    jobs: list[Job],
    threshold: float,
    options: argparse.Namespace,
    done: list[Done],
    failed: list[tuple[Path, str]],
) -> None:
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


@dataclass(frozen=True, slots=True)
class Job:
    """One file to segment and where its results go."""

    source: Path
    mask: Path
    probability: Path | None = None
    uncertainty: Path | None = None
    objects: bool = False  # whether the mask numbers them, instead of the classes

    @property
    def results(self) -> tuple[Path, ...]:
        """The files to be written."""
        return tuple(path for path in (self.mask, self.probability, self.uncertainty) if path)


@dataclass(frozen=True, slots=True)
class Done:
    """What became of one file.

    `labelled` is the share of the pixels in the mask, `highest` the largest probability, `intensity` the source values
    shown as black and white where one plane was scaled; `notes` are sentences on what was left out.
    """

    job: Job
    shape: tuple[int, ...]
    planes: int
    labelled: float
    highest: float
    intensity: tuple[float, float] | None
    seconds: float
    notes: tuple[str, ...] = ()
    is_uniform: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "source": str(self.job.source),
            "mask": str(self.job.mask),
            "probability": str(self.job.probability) if self.job.probability else None,
            "uncertainty": str(self.job.uncertainty) if self.job.uncertainty else None,
            "shape": list(self.shape),
            "planes": self.planes,
            "labelled": self.labelled,
            "intensity": list(self.intensity) if self.intensity else None,
            "seconds": round(self.seconds, 4),
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        found = f"{self.labelled:.1%} labelled" if self.labelled else f"nothing labelled, highest {self.highest:.2f}"
        if self.is_uniform:
            found = "nothing to segment, all pixels are alike; the mask is empty,"
        scaled = "" if self.intensity is None else ", {:g} to {:g} shown as black to white".format(*self.intensity)
        planes = f"{self.planes} planes, " if self.planes > 1 else ""
        return f"{self.job.mask}  {planes}{found} in {duration(self.seconds)}{scaled}"


def segment_file(
    segmenter: Segmenter, job: Job, threshold: float, channel: int | None = None, stop: Event | None = None
) -> Done:
    """Segment one file, plane by plane where it is a stack, and write the results.

    `channel` is the one to read where there are several. `stop` is given where several files are segmented at once,
    whose bars would overwrite each other: once set, the work stops before the next plane with `InterruptedError`, and
    nothing is written. Raises `InputError` if the file cannot be read, is no image, or its results cannot be written.
    """
    if ome_zarr.is_image(job.source):
        return _segment_pyramid(segmenter, job, threshold, channel, stop)
    loaded = read_image(job.source)
    plan, ignored = _plan(loaded.pixels.shape, loaded.pixels.dtype, loaded.axes, loaded.source.name, channel)
    if plan.total > 1 and job.mask.suffix == ".png":
        raise InputError(f"{job.source} holds {plan.sentence}, but a PNG holds one plane. Use --format tiff.")
    confidence = np.zeros(plan.labels_shape, np.float32)
    classes = np.ones(plan.labels_shape, np.uint8)
    seconds, intensity, is_uniform = 0.0, None, True
    with _progress(segmenter, job, plan, stop) as (stoppable, progress):
        for plane in segment_planes(stoppable, loaded.pixels, plan):
            _check(job, stop)
            confidence[plane.index] = plane.segmentation.confidence
            if plane.segmentation.classes is not None:
                classes[plane.index] = plane.segmentation.classes
            seconds += plane.segmentation.seconds
            intensity = plane.segmentation.intensity
            is_uniform = is_uniform and plane.segmentation.is_uniform
            progress.update()
    mask = threshold_probability(confidence, threshold, classes)
    provenance = _provenance(segmenter, job, threshold, plane.window)
    axes = "".join(loaded.axes[axis] for axis in plan.kept_axes)
    if job.objects:
        mask, drawn = objects_of(mask, axes, loaded.spacing)
        provenance = provenance.of_objects(drawn)
    about = loaded.spacing, axes, provenance, job.source
    if job.probability:
        write_probability(job.probability, confidence, *about)
    if job.uncertainty:
        write_probability(job.uncertainty, uncertainty_map(confidence, threshold), *about)
    write_mask(job.mask, mask, *about)
    return Done(
        job,
        shape=plan.labels_shape,
        planes=plan.total,
        labelled=float(np.count_nonzero(mask) / mask.size),
        highest=float(confidence.max()),
        intensity=intensity if plan.total == 1 else None,
        seconds=seconds,
        notes=tuple(filter(None, (loaded.note, ignored, _odd_window(segmenter.preprocessing.window, loaded)))),
        is_uniform=is_uniform,
    )


def _segment_pyramid(segmenter: Segmenter, job: Job, threshold: float, channel: int | None, stop: Event | None) -> Done:
    """Segment an OME-Zarr from its fitting levels, and write labels into it, a part of a plane at a time."""
    image = ome_zarr.open_image(job.source)
    plan, ignored = _plan(image.plan_shape, image.levels[0].dtype, image.plan_axes, job.source.name, channel)
    started, labelled, highest, is_uniform = time.perf_counter(), 0, 0.0, True
    segmenter = segmenter.for_volume([image.planes(index)[-1] for index in plan.indices])
    with (
        _progress(segmenter, job, plan, stop) as (stoppable, progress),
        ome_zarr.label_writer(image, job.mask) as writer,
    ):
        for index, place in plan.planes:
            _check(job, stop)
            found = refine(stoppable, image.planes(index))
            labelled += writer.write(place, found, threshold)
            highest = max(highest, float(found.whole.max()), *(float(patch.max()) for _, patch in found.patches))
            is_uniform = is_uniform and found.is_uniform
            progress.update()
        writer.describe(job.mask.name, _provenance(segmenter, job, threshold, segmenter.preprocessing.window))
    return Done(
        job,
        shape=plan.labels_shape,
        planes=plan.total,
        labelled=labelled / math.prod(plan.labels_shape),
        highest=highest,
        intensity=found.intensity if plan.total == 1 else None,
        seconds=time.perf_counter() - started,
        notes=tuple(filter(None, (ignored,))),
        is_uniform=is_uniform,
    )


def _check(job: Job, stop: Event | None) -> None:
    if stop is not None and stop.is_set():
        raise InterruptedError(f"{job.source} was stopped.")


@contextmanager
def _progress(
    segmenter: Segmenter, job: Job, plan: StackPlan, stop: Event | None
) -> Iterator[tuple[Segmenter, tqdm[Any]]]:
    """A bar of planes, or of windows where there is one plane; and the segmenter, which `stop` stops."""
    by_window = plan.total == 1 and segmenter.detail == "native"
    silent = stop is not None or (plan.total == 1 and not by_window)
    with bar(plan.total, job.source.name, "window" if by_window else "plane", silent=silent) as progress:

        def on_window(done: int, known: int) -> None:
            _check(job, stop)
            if by_window:
                progress.total = known
                progress.update(done - progress.n)

        yield segmenter.with_detail(segmenter.detail, on_window), progress


def _provenance(segmenter: Segmenter, job: Job, threshold: float, window: Any) -> Provenance:
    return Provenance.now(
        *(segmenter.card.name, threshold, job.source.name),
        **segmenter.card.classes,
        window=window,
        detail="" if segmenter.detail == "whole" else segmenter.detail,
        edited=False,
    )


def _odd_window(window: tuple[float, float] | None, loaded: LoadedImage) -> str:
    """A sentence where a window of CT is used on values that are no Hounsfield units."""
    if window is None:
        return ""
    if loaded.pixels.dtype in (np.bool_, np.uint8):
        return f"{loaded.source.name} has eight bits, which are used as they are, without the window."
    if window in WINDOWS.values() and loaded.pixels.min() >= 0:  # air is -1000
        return f"{loaded.source.name} has no value below 0, so that it is hardly in the Hounsfield units of the window."
    return ""


def _plan(shape: tuple[int, ...], dtype: Any, axes: str, name: str, channel: int | None) -> tuple[StackPlan, str]:
    """What to segment, and a sentence where --channel does not apply."""
    rgb, labels = axes.endswith("S"), axes.lower()
    axis = None
    if channel is not None and not rgb and "c" not in labels:
        # Whoever asks for a channel says what pages of unknown meaning are.
        axis = next((place for place, letter in enumerate(labels) if letter in "iq" and shape[place] > 1), None)
    try:
        chosen = None if axis is None else channel
        plan = plan_stack(shape, dtype, rgb, labels, every=True, channel_axis=axis, channel=chosen)
    except ChannelNeeded as needed:
        if channel is None:
            count = len(needed.choices)
            raise InputError(
                f"This image has {count} channels; Wave-GMS reads grey or RGB. Choose one with --channel, from 0."
            ) from needed
        return plan_stack(shape, dtype, rgb, labels, every=True, channel=channel), ""
    if channel is None or axis is not None:
        return plan, ""
    kind = "a colour image, which is read as a whole" if rgb else "an image without channels"
    return plan, f"--channel {channel} does not apply to {name}, {kind}."


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
