"""From one file to its mask: what `wavegms segment` does with each, in whatever thread or process."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_wavegms.commands.common.console import bar
from napari_wavegms.errors import InputError
from napari_wavegms.files.formats import ome_zarr
from napari_wavegms.files.labels import smallest_labels
from napari_wavegms.files.mask_writer import write_mask, write_probability
from napari_wavegms.files.provenance import Provenance
from napari_wavegms.files.reading import LoadedImage, read_image
from napari_wavegms.segment.measure import objects_of
from napari_wavegms.segment.planes import ChannelNeeded, StackPlan, plan_stack, segment_planes
from napari_wavegms.segment.postprocess import threshold_probability
from napari_wavegms.segment.preprocessing import WINDOWS
from napari_wavegms.segment.refine import refine
from napari_wavegms.segment.uncertainty import uncertainty_map
from napari_wavegms.storage.content_hash import content_hash, file_hash
from napari_wavegms.wording import duration

if TYPE_CHECKING:
    from tqdm import tqdm

    from napari_wavegms.segment.segmenter import Segmenter


@dataclass(frozen=True, slots=True)
class Job:
    """One file to segment and where its results go."""

    source: Path
    mask: Path
    probability: Path | None = None
    uncertainty: Path | None = None
    objects: bool = False  # whether the mask numbers them, instead of the classes
    settings: str = ""  # digest of all that decides the mask but the image, for its provenance

    @property
    def results(self) -> tuple[Path, ...]:
        """The files to be written."""
        return tuple(path for path in (self.mask, self.probability, self.uncertainty) if path)

    def absolute(self) -> Job:
        """The same from whatever folder it is done."""
        places = {name: getattr(self, name) for name in ("source", "mask", "probability", "uncertainty")}
        return replace(self, **{name: path.absolute() for name, path in places.items() if path})


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
    source_hash = file_hash(job.source)
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
    drawn_as = content_hash(smallest_labels(mask))
    provenance = replace(provenance, settings=job.settings, source_hash=source_hash, mask_hash=drawn_as)
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
