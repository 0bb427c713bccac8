"""Which masks are done already, decided by the provenance in them: `wavegms segment --resume`."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from napari_wavegms import __version__
from napari_wavegms.commands.common.segment_files import Job
from napari_wavegms.errors import WaveGMSError
from napari_wavegms.files.formats import ome_zarr
from napari_wavegms.files.reading import read_mask_details
from napari_wavegms.storage.content_hash import content_hash, file_hash
from napari_wavegms.storage.plain import to_json

_READERS = 4


@dataclass(frozen=True, slots=True)
class Sorted:
    """Jobs to do, those whose masks are there and done by the same settings, and those that are kept, each with why."""

    to_do: list[Job]
    done: list[Job]
    kept: list[tuple[Job, str]]


def settings_digest(options: argparse.Namespace, model: Path, threshold: float) -> str:
    """Digest of the model file and of all settings that decide a mask; another version may draw another one."""
    names = ("codec", "taesd", "channel", "detail", "objects", "window")
    settings = {name: getattr(options, name) for name in names} | {"threshold": threshold, "version": __version__}
    return blake2b(f"{file_hash(model)}{to_json(settings)}".encode(), digest_size=16).hexdigest()


def sort_out(jobs: Iterable[Job], *, resume: bool, overwrite: bool) -> Sorted:
    """Decide on each job. A mask that is there is kept unless `overwrite`; `resume` tells which of them are done."""
    found = Sorted([], [], [])
    for job, reason in _reasons(list(jobs), resume=resume, overwrite=overwrite):
        if reason is None:
            found.to_do.append(job)
        elif resume and not reason:
            found.done.append(job)
        elif overwrite:
            found.to_do.append(job)
        else:
            found.kept.append((job, reason))
    return found


def _reasons(jobs: list[Job], *, resume: bool, overwrite: bool) -> Iterator[tuple[Job, str | None]]:
    """Why a mask is not that of its job: None where there is none, empty where it is, or was not asked."""
    if resume:
        with ThreadPoolExecutor(_READERS) as pool:
            yield from zip(jobs, pool.map(_why_not_done, jobs), strict=True)
        return
    for job in jobs:
        yield job, "" if os.path.lexists(job.mask) and not overwrite else None


def _why_not_done(job: Job) -> str | None:
    if not os.path.lexists(job.mask):
        return None
    if ome_zarr.is_image(job.source):
        return "labels in an OME-Zarr, which are not compared"
    try:
        mask = read_mask_details(job.mask)
        about, labels = mask.provenance, content_hash(mask.labels)
    except (WaveGMSError, OSError):
        return "cannot be read"
    if about is None or not about.mask_hash:
        return "does not say how it was made"
    if about.edited or labels != about.mask_hash:
        return "changed by hand"
    if about.settings != job.settings:
        return "made by another model or other settings"
    try:
        if about.source_hash != file_hash(job.source):
            return "made of another image"
    except OSError:
        return None  # reading it tells what is wrong
    return None if any(not path.exists() for path in job.results) else ""
