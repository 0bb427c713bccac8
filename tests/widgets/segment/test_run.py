"""The worker's half of a run: what it says, when it loads the model; and the report in words."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_wavegms.errors import InputError
from napari_wavegms.model.card import ModelCard
from napari_wavegms.segment.planes import SliceDone, plan_stack
from napari_wavegms.segment.segmenter_cache import Progress, SegmenterCache
from napari_wavegms.widgets.forms.model_row import ModelChoice
from napari_wavegms.widgets.segment.request import SegmentOptions, SegmentRequest
from napari_wavegms.widgets.segment.run import Finished, Ready, RunReport, segment_job


def request_for(model: Path, pixels: Any, device: str = "auto") -> SegmentRequest:
    options = SegmentOptions(every=True, model=ModelChoice("tiny", model, ModelCard("tiny")), device=device)
    plan = plan_stack(pixels.shape, pixels.dtype, rgb=False, every=True)
    return SegmentRequest(options, (), plan=plan, pixels=pixels)


def drained(job: Any) -> tuple[list[object], Finished]:
    events = []
    while True:
        try:
            events.append(next(job))
        except StopIteration as end:
            return events, end.value


def test_a_run_announces_loads_segments_and_reports(model_file: Path, segmenter: Any) -> None:
    pixels = np.zeros((3, 8, 9), np.uint8)
    events, finished = drained(segment_job(request_for(model_file, pixels), segmenter.load, SegmenterCache()))
    kinds = [type(event) for event in events if event != Progress("Loading PyTorch (once)…")]
    assert kinds == [Progress, Ready, SliceDone, SliceDone, SliceDone]
    assert finished.device == "cpu"
    assert segmenter.calls == [(8, 9)] * 3


def test_the_segmenter_waits_in_the_cache_until_file_or_device_change(model_file: Path, segmenter: Any) -> None:
    cache, pixels = SegmenterCache(), np.zeros((8, 9), np.uint8)

    def loads_after(device: str = "auto") -> int:
        drained(segment_job(request_for(model_file, pixels, device), segmenter.load, cache))
        return int(segmenter.loads)

    assert [loads_after(), loads_after(), loads_after("cpu"), loads_after("cpu")] == [1, 1, 2, 2]
    os.utime(model_file, ns=(1, 1))  # as if fine-tuning had written it anew
    assert loads_after("cpu") == 3


def test_a_model_file_that_is_gone_is_loaded_anew_and_may_say_so(model_file: Path, segmenter: Any) -> None:
    cache, pixels = SegmenterCache(), np.zeros((8, 9), np.uint8)
    drained(segment_job(request_for(model_file, pixels), segmenter.load, cache))
    model_file.unlink()
    assert not cache.holds(model_file, "auto")
    drained(segment_job(request_for(model_file, pixels), segmenter.load, cache))
    assert segmenter.loads == 2


def test_planes_are_read_one_by_one_from_a_lazy_array(model_file: Path, segmenter: Any) -> None:
    dask = pytest.importorskip("dask.array")
    read: list[int] = []

    def plane(block_id: tuple[int, ...]) -> np.ndarray:
        read.append(block_id[0])
        return np.zeros((1, 8, 9), np.uint8)

    lazy = dask.map_blocks(plane, chunks=((1,) * 5, (8,), (9,)), dtype=np.uint8, meta=np.zeros((0, 0, 0), np.uint8))
    job = segment_job(request_for(model_file, lazy), segmenter.load, SegmenterCache())
    for _ in range(2):
        while not isinstance(next(job), SliceDone):
            pass
    job.close()
    assert read == [0, 1]


def test_the_worker_leaves_a_core_to_the_window(model_file: Path, segmenter: Any) -> None:
    torch = pytest.importorskip("torch")
    drained(segment_job(request_for(model_file, np.zeros((8, 9), np.uint8)), segmenter.load, SegmenterCache()))
    assert torch.get_num_threads() <= max(1, (os.cpu_count() or 1) - 1)


def test_what_the_segmenter_refuses_comes_as_its_sentence(model_file: Path, segmenter: Any) -> None:
    segmenter.failure = InputError("The model tiny gave values that are not numbers.")
    with pytest.raises(InputError, match="values that are not numbers"):
        drained(segment_job(request_for(model_file, np.zeros((8, 9), np.uint8)), segmenter.load, SegmenterCache()))


def test_a_run_in_words() -> None:
    def sentence(*report: Any, finished: Finished | None, kept: int = 0) -> str:
        return RunReport(*report, kept=kept, finished=finished).sentence

    one = sentence("benign_12", 0.034, 1, 1, 0.5, finished=Finished(0.2, "cpu"))
    assert one == "3.4 % of benign_12 labelled in 0.2 s on CPU."
    nothing = sentence("benign_12", 0.0, 1, 1, 0.5, finished=Finished(0.2, "cuda"))
    assert nothing.startswith("Nothing found in benign_12 at threshold 0.50 (0.2 s on CUDA).")
    many = sentence("cine", 0.1, 12, 12, 0.5, kept=1, finished=Finished(2.0, "cpu"))
    assert many == "12 frames of cine segmented in 2 s on CPU; 10.0 % labelled. Your 1 edited pixel was kept."
    stopped = sentence("cine", 0.1, 5, 12, 0.5, finished=None)
    assert stopped == "Cancelled after 5 of 12 frames of cine; the finished frames are kept."
