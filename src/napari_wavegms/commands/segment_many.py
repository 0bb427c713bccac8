"""Many files at once: while one is read or written, others are in the network."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event
from typing import TYPE_CHECKING

from napari_wavegms.commands.segment_file import Done, Job, segment_file

if TYPE_CHECKING:
    from napari_wavegms.segment.segmenter import Segmenter

Finished = tuple[Job, Done | Exception]
MOST_WORKERS = 8
"""Each holds the maps of one image, about 100 MB at 224 x 224."""


def segment_many(
    segmenter: Segmenter, jobs: Sequence[Job], threshold: float, channel: int | None = None, workers: int | None = None
) -> Generator[Finished, None, None]:
    """Segment files, several at a time on a CPU of several cores; closing the generator stops between two planes.

    An image is too small to keep two cores busy with it; two images are not. So each of the workers computes in one
    thread, as many of them as torch would take, and reads and writes its own files.

    Parameters
    ----------
    segmenter : Segmenter
    jobs : sequence of Job
    threshold : float
        In (0, 1).
    channel : int, optional
        See `segment_file`.
    workers : int, optional
        How many files at a time.

    Yields
    ------
    tuple of Job and Done or Exception
        In the order of the jobs.
    """
    workers = min(workers or _workers(segmenter), len(jobs))
    if workers < 2:
        for job in jobs:
            yield job, _outcome(segmenter, job, threshold, channel, None)
        return
    import torch

    stop = Event()
    pool = ThreadPoolExecutor(workers, "wavegms-segment", initializer=torch.set_num_threads, initargs=(1,))
    futures: list[tuple[Job, Future[Done | Exception]]] = [
        (job, pool.submit(_outcome, segmenter, job, threshold, channel, stop)) for job in jobs
    ]
    try:
        for job, future in futures:
            yield job, future.result()
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


def _workers(segmenter: Segmenter) -> int:
    import torch

    # A GPU computes one image at a time; the second worker reads and writes meanwhile.
    return min(torch.get_num_threads(), MOST_WORKERS) if segmenter.device.name == "cpu" else 2


def _outcome(
    segmenter: Segmenter, job: Job, threshold: float, channel: int | None, stop: Event | None
) -> Done | Exception:
    try:
        return segment_file(segmenter, job, threshold, channel, stop)
    except Exception as error:
        return error
